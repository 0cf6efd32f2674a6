from __future__ import annotations

import json
from pathlib import Path
from shutil import copy

import pytest
from typer.testing import CliRunner

from taskqueue.cli.config import config_app

SPEC = Path(__file__).parents[2] / "contract" / "spec"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in SPEC.iterdir():
        copy(path, tmp_path)
    with (tmp_path / "tasks.yaml").open("a") as file:
        file.write("\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def validate(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(config_app, ["validate", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("files")
def test_good_files_are_told_by_their_content() -> None:
    assert validate("tasks.yaml", "worker.yaml", "scheduler.yaml") == (
        0,
        "ok: tasks.yaml: 2 tasks\nok: worker.yaml\nok: scheduler.yaml: tasks.yaml has 2 tasks\n",
        "",
    )


def test_an_api_file_is_told_by_its_content(files: Path) -> None:
    (files / "a.yaml").write_text("api: {max_page: 50}\n")
    assert validate("a.yaml") == (0, "ok: a.yaml\n", "")


def test_all_problems_of_all_files_go_to_stderr_with_exit_2(files: Path) -> None:
    (files / "tasks.yaml").write_text("tasks:\n  - id: a b\n    nam: x\n")
    (files / "worker.yaml").write_text("worker: {pool_size: 0}\n")
    code, stdout, stderr = validate("tasks.yaml", "worker.yaml")
    assert (code, stdout) == (2, "")
    assert [line.split(": ")[0] for line in stderr.splitlines()] == [
        "tasks.yaml:2:5",
        "tasks.yaml:2:5",
        "tasks.yaml:2:9",
        "tasks.yaml:3:5",
        "worker.yaml:1:21",
    ]


def test_a_scheduler_file_is_checked_with_its_tasks(files: Path) -> None:
    (files / "tasks.yaml").write_text("tasks:\n")
    code, _, stderr = validate("scheduler.yaml")
    assert (code, stderr) == (2, "tasks.yaml:1:7: tasks: is empty; give a list, or [] for none\n")


def test_a_scheduler_file_whose_tasks_are_missing_is_bad(files: Path) -> None:
    (files / "tasks.yaml").unlink()
    code, _, stderr = validate("scheduler.yaml")
    assert code == 2
    assert stderr.startswith("tasks.yaml: cannot be read: No such file")


def test_warnings_do_not_make_a_file_bad(files: Path) -> None:
    (files / "tasks.yaml").write_text("tasks: []\n")
    assert validate("tasks.yaml") == (
        0,
        "ok: tasks.yaml: 0 tasks\n",
        "warning: tasks.yaml:1:8: tasks: no tasks; nothing will run\n",
    )


def test_the_name_tells_where_the_content_does_not(files: Path) -> None:
    (files / "my-worker.yaml").write_text("redis: {db: 1}\n")
    assert validate("my-worker.yaml")[:2] == (0, "ok: my-worker.yaml\n")


def test_a_file_that_could_be_anything_needs_its_kind(files: Path) -> None:
    (files / "x.yaml").write_text("redis: {db: 1}\n")
    code, _, stderr = validate("x.yaml")
    assert (code, stderr) == (2, "x.yaml: neither content nor name tell what it is; say it with --kind\n")
    assert validate("--kind", "worker", "x.yaml")[:2] == (0, "ok: x.yaml\n")


@pytest.mark.usefixtures("files")
def test_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQUEUE_REDIS__DBB", "1")
    code, _, stderr = validate("worker.yaml")
    assert (code, stderr) == (2, "TASKQUEUE_REDIS__DBB: unknown variable; did you mean TASKQUEUE_REDIS__DB?\n")


#: ten mistakes, some of them twice in one task
TEN_MISTAKES = """\
tasks:
  - id: "a b"
    name: One
    interval: {type: daily, value: 1}
    config: {endpoint: "ftp://example.com/"}
  - id: two
    nam: Two
    interval: {type: dayly, value: 1}
    config: {endpoint: "http://example.com/", timeout: soon}
  - id: three
    name: Three
    priority: urgent
    default_enabled: perhaps
    interval: {type: cron, expression: "61 * * * *"}
    config: {endpoint: "http://example.com/", retries: -1}
"""


def test_ten_mistakes_in_one_file_are_all_told_with_their_places(files: Path) -> None:
    (files / "tasks.yaml").write_text(TEN_MISTAKES)

    code, stdout, stderr = validate("tasks.yaml")

    assert (code, stdout) == (2, "")
    assert [line.split(": ")[:2] for line in stderr.splitlines()] == [
        ["tasks.yaml:2:9", "tasks[0].id"],
        ["tasks.yaml:5:24", "tasks[0].config.endpoint"],
        ["tasks.yaml:7:5", "tasks[1].nam"],
        ["tasks.yaml:8:22", "tasks[1].interval.type"],
        ["tasks.yaml:9:47", "tasks[1].config.timeout"],
        ["tasks.yaml:12:15", "tasks[2].priority"],
        ["tasks.yaml:13:22", "tasks[2].default_enabled"],
        ["tasks.yaml:14:15", "tasks[2].interval.cron"],
        ["tasks.yaml:14:28", "tasks[2].interval.expression"],
        ["tasks.yaml:15:47", "tasks[2].config.retries"],
    ]


@pytest.mark.parametrize("output", [[], ["-o", "json"]])
def test_of_very_many_mistakes_the_first_hundred_are_told_and_the_number_of_the_others(
    files: Path, output: list[str]
) -> None:
    (files / "tasks.yaml").write_text("tasks:\n" + "- 1\n" * 1234)

    code, stdout, stderr = validate("tasks.yaml", *output)

    told = json.loads(stdout)["files"][0]["problems"] if output else stderr.splitlines()
    assert (code, len(told), told[100]) == (2, 101, "and 1,134 more; mend these first")


def test_programs_get_an_object_for_each_file(files: Path) -> None:
    (files / "worker.yaml").write_text("worker: {pool_size: 0}\n")

    code, stdout, stderr = validate("tasks.yaml", "worker.yaml", "-o", "json")

    good, bad = json.loads(stdout)["files"]
    assert (code, stderr) == (2, "")
    assert good == {"file": "tasks.yaml", "ok": True, "problems": [], "warnings": []}
    assert (bad["ok"], bad["problems"][0].split(": ")[0]) == (False, "worker.yaml:1:21")
