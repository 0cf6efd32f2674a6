from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from taskqueue.assets import asset_dir
from taskqueue.config.models import TasksFile
from taskqueue.config.schema import schema_texts, write_schemas
from taskqueue.config.settings import SchedulerSettings, WorkerSettings
from taskqueue.config.yaml_source import read_document

ROOT = Path(__file__).parents[3]
SPEC = ROOT / "tests" / "contract" / "spec"


def validator(kind: str) -> Draft202012Validator:
    schema = json.loads(schema_texts()[f"{kind}.schema.json"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(
    "name", ["scheduler.schema.json", "worker.schema.json", "api.schema.json", "tasks.schema.json"]
)
def test_the_committed_schemas_are_those_of_the_models(name: str) -> None:
    committed = (asset_dir("config") / name).read_text(encoding="utf-8")
    assert committed == schema_texts()[name], "run: python -m taskqueue.config.schema"


@pytest.mark.parametrize(
    "path",
    [
        *(SPEC / f"{kind}.yaml" for kind in ("scheduler", "worker", "tasks")),
        *(asset_dir("config") / f"{kind}.yaml" for kind in ("scheduler", "worker", "api", "tasks")),
    ],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_files_that_load_satisfy_their_schema(path: Path) -> None:
    kind = path.stem
    value = read_document(path).value
    assert list(validator(kind).iter_errors(value)) == []


@pytest.mark.parametrize("kind", ["scheduler", "worker", "api", "tasks"])
def test_shipped_files_name_their_schema_in_the_first_line(kind: str) -> None:
    first = (asset_dir("config") / f"{kind}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{kind}.schema.json"


@pytest.mark.parametrize(
    "interval",
    [
        {"type": "dayly"},
        {"type": "hourly", "at_time": "08:00"},
        {"type": "hourly", "dst": {"gap": "skip"}},
        {"type": "daily", "at_time": "25:00"},
        {"type": "daily", "dst": {"gap": "leap"}},
        {"type": "monthly", "day": 32},
        {"type": "daily", "evry": 2},
        {"value": 2},
        "daily",
    ],
)
def test_an_editor_marks_a_wrong_interval(interval: object) -> None:
    task = {"id": "a", "interval": interval, "config": {"endpoint": "https://h"}}
    assert not validator("tasks").is_valid({"tasks": [task]})


@pytest.mark.parametrize("duration", ["30", 30, "PT5M", "5 m", ""])
def test_an_editor_marks_a_wrong_duration(duration: object) -> None:
    assert not validator("worker").is_valid({"execution": {"timeout": duration}})


def test_schemas_show_public_defaults_as_yaml_would_have_them() -> None:
    texts = schema_texts()
    assert '"default": "5m"' in texts["worker.schema.json"]
    assert '"default": "00:00"' in texts["tasks.schema.json"]
    assert "**" not in texts["scheduler.schema.json"]


def test_schemas_are_written_to_their_directory(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(schema_texts())


def test_plain_yaml_readers_see_the_shipped_files_as_we_do() -> None:
    text = (asset_dir("config") / "tasks.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == read_document(asset_dir("config") / "tasks.yaml").value


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize("model", [SchedulerSettings, WorkerSettings])
def test_the_documentation_has_a_row_for_every_setting(model: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for section, field in model.model_fields.items():
        assert isinstance(field.annotation, type)
        for key in _keys(field.annotation):
            assert f"| `{section}.{key}` |" in text


def test_the_documentation_has_a_row_for_every_key_of_a_task() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    schema = TasksFile.model_json_schema()["$defs"]
    keys = {key for name, entry in schema.items() if name != "TaskEntry" for key in entry["properties"]}
    for key in keys | set(schema["TaskEntry"]["properties"]):
        assert f"`{key}`" in text
