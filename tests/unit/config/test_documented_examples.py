from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskqueue.config.catalog import parse_catalog
from taskqueue.config.models import TasksFile

DOCS = Path(__file__).parents[3] / "docs"
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(document: str) -> list[str]:
    """Return the YAML examples of a document; one that is the middle of a file gets its beginning."""
    blocks = _BLOCK.findall((DOCS / document).read_text(encoding="utf-8"))
    return [block if block.startswith("tasks:") else f"tasks:\n{block}" for block in blocks]


DOCUMENTED = [*examples("configuration.md"), *examples("scheduling.md")]


def keys_of(value: Any) -> Iterator[str]:
    """Yield every key of every mapping in `value`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


@pytest.mark.parametrize("example", DOCUMENTED)
def test_every_example_of_the_documentation_is_read_without_a_warning(example: str) -> None:
    catalog = parse_catalog(example, "example")
    assert (len(catalog.tasks) > 0, catalog.warnings) == (True, ())


def test_every_key_of_tasks_yaml_stands_in_an_example_of_the_configuration() -> None:
    used = {key for example in examples("configuration.md") for key in keys_of(yaml.safe_load(example))}
    known = {key for model in TasksFile.model_json_schema()["$defs"].values() for key in model["properties"]}
    assert known - used == set()
