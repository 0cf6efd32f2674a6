"""`taskqueue task next`, as its user runs it; tasks that run are read from a real Redis."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import yaml

from taskqueue.assets import asset_dir
from taskqueue.config.catalog import parse_catalog, task_to_json
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.api_task import ApiTask, TaskStatus, TaskType, new_state
from taskqueue.core.task import Target
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.commands import run_here
from tests.support.scheduling import task_type

AFTER = "2026-03-07T00:00:00Z"
NEW_YORK = {"type": "daily", "at_time": "02:30", "timezone": "America/New_York"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return run_here(capsys, "task", "next", *arguments)


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = run(capsys, *arguments, "-o", "json")
    assert (code, err) == (0, "")
    return dict(json.loads(out))


@pytest.fixture
def tasks_file(directory: Path) -> str:
    """A file with a task in New York, whose clocks go forward on 8 March 2026, and a disabled one."""
    text = yaml.safe_dump({"tasks": [task_type("report", NEW_YORK), task_type("off", enabled=False)]})
    (directory / "tasks.yaml").write_text(text, encoding="utf-8")
    return "tasks.yaml"


def test_a_task_of_a_file_runs_on_its_own_clock(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "report", "--file", tasks_file, "--after", AFTER, "--count", "3")

    assert (found["timezone"], found["held"]) == ("America/New_York", None)
    assert [(run["at"], run["local"], run["marks"]) for run in found["next"]] == [
        ("2026-03-07T07:30:00Z", "Sat 2026-03-07 02:30:00 -05:00", []),
        (
            "2026-03-08T07:00:00Z",
            "Sun 2026-03-08 03:00:00 -04:00",
            ["02:30 is skipped and runs at 03:00", "offset -05:00 to -04:00"],
        ),
        ("2026-03-09T06:30:00Z", "Mon 2026-03-09 02:30:00 -04:00", []),
    ]


def test_another_clock_stands_beside_with_its_own_changes(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    after = "2026-03-28T12:00:00Z"
    found = data(capsys, "report", "--file", tasks_file, "--after", after, "--count", "2", "--tz", "Europe/Paris")

    assert [(run["in"], run["marks"]) for run in found["next"]] == [
        ("Sun 2026-03-29 08:30:00 +02:00", ["offset +01:00 to +02:00 in Europe/Paris"]),
        ("Mon 2026-03-30 08:30:00 +02:00", []),
    ]


def test_people_get_a_table(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "report", "--file", tasks_file, "--after", AFTER, "--tz", "Asia/Tokyo", "-o", "table")
    assert code == 0
    assert out.count("2026-03-") == 30
    assert "Asia/Tokyo" in out
    assert "02:30 is skipped and runs at 03:00" in out


def test_a_clock_stands_in_a_table_once(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, in_utc, _ = run(capsys, "off", "--file", tasks_file, "-o", "table")
    _, twice, _ = run(capsys, "report", "--file", tasks_file, "--tz", "America/New_York", "-o", "table")

    assert in_utc.splitlines()[2].split() == ["UTC"]
    assert twice.splitlines()[1].split() == ["UTC", "America/New_York"]


def test_a_task_that_is_off_is_said_to_be(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "off", "--file", tasks_file, "-o", "table")
    assert code == 0
    assert out.startswith("off: disabled in the file; it would run:\n")


def test_a_task_whose_time_is_over_never_runs_again(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = task_type("campaign", end_at="2020-12-24T23:59:59Z")
    (directory / "tasks.yaml").write_text(yaml.safe_dump({"tasks": [entry]}), encoding="utf-8")
    code, out, _ = run(capsys, "campaign", "--file", "tasks.yaml", "-o", "table")
    assert (code, out) == (0, "campaign: never again\n")


def test_what_runs_is_asked_without_a_file(store: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    text = yaml.safe_dump({"tasks": [task_type("report", NEW_YORK)]})
    store.hset("taskqueue:catalog", "report", task_to_json(parse_catalog(text, "t").tasks["report"]))

    found = data(capsys, "report", "--after", AFTER, "--count", "1")

    assert found["interval"]["at_time"] == "02:30"
    assert found["next"][0]["at"] == "2026-03-07T07:30:00Z"


def create_api_task(status: TaskStatus = TaskStatus.SCHEDULED) -> str:
    """Create a nightly task of the API; return its id."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    task = ApiTask(
        task_id=str(uuid4()),
        task_name="nightly",
        task_type=TaskType.CRON,
        schedule_expression="15 4 * * *",
        target=Target(endpoint="https://api.example.com/"),
        created_at=now,
        updated_at=now,
    )

    async def create() -> None:
        own = RedisStore(load_scheduler_settings(Path("config/scheduler.yaml")).redis, client_name="test")
        state = replace(new_state(task, now), status=status)
        assert await ApiTaskStore(own, Scripts(own, asset_dir("lua"))).create(task, state)
        await own.close()

    asyncio.run(create())
    return task.task_id


@pytest.mark.usefixtures("store")
def test_a_task_of_the_api_is_found_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, create_api_task(), "--after", AFTER, "--count", "1")

    assert (found["interval"]["cron"], found["held"]) == ("15 4 * * *", None)
    assert found["next"][0]["at"] == "2026-03-07T04:15:00Z"


@pytest.mark.usefixtures("store")
def test_a_task_that_waits_for_another_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    task_id = create_api_task(TaskStatus.WAITING)
    found = data(capsys, task_id, "--after", AFTER, "--count", "1")
    assert found["held"] == f"waiting for a task that it depends on, see taskqueue explain {task_id}"


def test_a_definition_of_a_newer_version_is_told_as_such(
    store: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    store.hset("taskqueue:catalog", "report", '{"id": "report", "from_the_future": 1}')
    code, out, err = run(capsys, "report")
    assert (code, out) == (4, "")
    assert err.startswith("report runs, with a definition of another version that this one cannot read; ")


@pytest.mark.usefixtures("store")
def test_a_task_that_does_not_run_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "report")
    assert (code, out) == (3, "")
    assert err == "no task report runs; no task of a file runs yet; name one with --file\n"


def test_a_task_that_the_file_lacks_has_a_near_one(tasks_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "reprot", "--file", tasks_file)
    assert code == 3
    assert err == "tasks.yaml: no task reprot; did you mean 'report'?\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--tz", "Europe/Pariss"), "--tz: timezone 'Europe/Pariss': unknown; did you mean Europe/Paris"),
        (("--after", "noon"), "--after: time 'noon': use RFC 3339"),
        (("--after", "timezone"), "--after: time 'timezone': use RFC 3339"),
        (("--count", "0"), "Invalid value for '--count'"),
    ],
)
def test_wrong_options_are_named(
    tasks_file: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], problem: str
) -> None:
    code, _, err = run(capsys, "report", "--file", tasks_file, *arguments)
    assert code == 2
    assert problem in err


@pytest.mark.usefixtures("directory")
def test_without_redis_the_exit_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "report")[0] == 5
