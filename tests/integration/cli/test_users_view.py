"""`taskqueue users show` and `list`, as their user runs them, against a real Redis."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import redis
import yaml

from taskqueue.core.task import Task
from taskqueue.store.users import MAX_SWITCHES
from tests.support.values import a_task

Run = Callable[..., tuple[int, str, str]]

TASKS = """\
    tasks:
      - id: daily_report
        name: Daily report
        interval: {type: daily, value: 1}
        config: {endpoint: 'http://127.0.0.1:9/'}
      - id: news
        name: News
        default_enabled: true
        interval: {type: hourly, value: 1}
        config: {endpoint: 'http://127.0.0.1:9/'}
      - id: retired
        name: Retired
        enabled: false
        interval: {type: hourly, value: 1}
        config: {endpoint: 'http://127.0.0.1:9/'}
"""


@pytest.fixture(autouse=True)
def _tasks(directory: Path) -> None:
    (directory / "config" / "tasks.yaml").write_text(dedent(TASKS), encoding="utf-8")


def on_a_terminal(*arguments: str) -> str:
    """Return what `taskqueue users` shows on a terminal of 120 columns."""
    ours, theirs = pty.openpty()
    completed = subprocess.run(
        [str(Path(sys.executable).with_name("taskqueue")), "users", *arguments],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        timeout=60,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (completed.returncode, completed.stderr) == (0, b"")
    return shown


def shown_tasks(run_users: Run, user: str) -> dict[str, dict[str, object]]:
    code, out, err = run_users("show", user)
    assert (code, err) == (0, "")
    return {task["task_id"]: task for task in json.loads(out)["tasks"]}


# --- show -------------------------------------------------------------------------------------------------------------


def test_a_user_gets_tasks_by_switch_and_by_default(store: redis.Redis, run_users: Run) -> None:
    store.hset("taskqueue:users:ada:tasks", mapping={"daily_report": "1", "retired": "1", "gone": "0"})

    tasks = shown_tasks(run_users, "ada")

    assert {task_id: (task["gets"], task["rule"], task["task"]) for task_id, task in tasks.items()} == {
        "daily_report": (True, "own_switch", "enabled"),
        "news": (True, "default_enabled", "enabled"),
        "retired": (False, "own_switch", "disabled"),
        "gone": (False, "own_switch", "missing"),
    }
    assert [len(task["next"]) for task in tasks.values()] == [3, 3, 0, 0]  # type: ignore[arg-type]  # JSON


def test_settings_are_shown_with_the_instants_that_follow(store: redis.Redis, run_users: Run) -> None:
    store.hset("taskqueue:users:a:b:tasks", "daily_report", "1")
    store.hset(
        "taskqueue:users:a:b:settings:daily_report",
        mapping={
            "custom_interval": '{"type": "daily", "at_time": "08:00"}',
            "parameters": '{"lang": "dé"}',
            "last_modified": "2024-01-15T10:00:00Z",
        },
    )

    task = shown_tasks(run_users, "a:b")["daily_report"]

    assert task["custom_interval"] is True
    assert all(str(instant).endswith("T08:00:00Z") for instant in task["next"])  # type: ignore[attr-defined]  # JSON
    assert task["parameters"] == {"lang": "dé"}
    assert task["last_modified"] == "2024-01-15T10:00:00Z"


@pytest.mark.usefixtures("store")
def test_a_user_of_whom_nothing_is_stored_gets_nothing(run_users: Run) -> None:
    code, out, _ = run_users("show", "nobody")

    shown = json.loads(out)
    assert (code, shown["user_id"], shown["known"]) == (0, "nobody", False)
    assert {(task["gets"], task["rule"]) for task in shown["tasks"]} == {(False, "no_preferences")}


def test_keys_of_another_type_say_nothing_and_that_is_told(store: redis.Redis, run_users: Run) -> None:
    store.set("taskqueue:users:ada:tasks", "1")
    store.set("taskqueue:users:ada:settings:news", "1")

    assert shown_tasks(run_users, "ada")["news"]["rule"] == "no_preferences"
    assert "is no hash" in json.loads(run_users("show", "ada")[1])["problem"]


def test_more_switches_than_the_scheduler_reads_count_for_nobody(store: redis.Redis, run_users: Run) -> None:
    store.hset("taskqueue:users:ada:tasks", mapping={f"task-{number}": "1" for number in range(MAX_SWITCHES)})
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")
    store.hset("taskqueue:users:bob:tasks", "daily_report", "1")

    code, out, _ = run_users("show", "ada")

    shown = json.loads(out)
    assert (code, shown["known"], [task["gets"] for task in shown["tasks"]]) == (0, False, [False] * 3)
    assert shown["problem"] == "5001 switches; none of them counts until there are 5000 at most"
    assert run_users("list") == (0, "bob\n", "")


@pytest.mark.parametrize("value", ["true", " 1", "01", "1\n", "yes", "", "2"])
def test_a_switch_that_is_neither_1_nor_0_is_off_and_told(store: redis.Redis, run_users: Run, value: str) -> None:
    store.hset("taskqueue:users:ada:tasks", mapping={"news": value, "daily_report": "0"})

    tasks = shown_tasks(run_users, "ada")

    assert (tasks["news"]["gets"], tasks["news"]["rule"]) == (False, "own_switch")
    assert tasks["news"]["problems"] == [f"switch: {value!r} is neither 1 nor 0, and counts as 0"]
    assert tasks["daily_report"]["problems"] == []
    assert json.loads(run_users("show", "ada")[1])["problem"] is None


def test_a_terminal_gets_a_table_without_control_characters_of_the_data(store: redis.Redis) -> None:
    store.hset("taskqueue:users:\x1b]0;x\x07:tasks", mapping={"daily_report": "1", "[bold]": "0"})
    store.hset("taskqueue:users:\x1b]0;x\x07:settings:news", "parameters", '{"a": "\u202e"}')

    shown = on_a_terminal("show", "\x1b]0;x\x07")

    assert r"user \x1b]0;x\x07" in shown
    assert "own switch is on" in shown
    assert "[bold]" in shown
    assert r'news: parameters {"a": "\u202e"}' in shown
    assert "\x1b]0;" not in shown


def test_a_table_can_be_had_elsewhere(store: redis.Redis, run_users: Run) -> None:
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")

    code, out, _ = run_users("show", "-o", "table", "ada")

    assert code == 0
    assert out.startswith("user ada\n")


def test_tasks_in_force_count_and_not_those_of_another_file(
    store: redis.Redis, run_users: Run, put_in_force: Callable[[Task], None]
) -> None:
    put_in_force(a_task(id="demo_report", default_enabled=True))
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")

    tasks = shown_tasks(run_users, "ada")

    assert {task_id: (task["gets"], task["task"]) for task_id, task in tasks.items()} == {
        "demo_report": (True, "enabled"),
        "daily_report": (False, "missing"),
    }
    assert "own switch is on; not in force" in run_users("show", "ada", "-o", "table")[1]
    assert run_users("list", "--task", "demo_report") == (0, "ada\n", "")


def test_a_table_names_the_file_that_lacks_a_task_and_how_default_enabled_stands(
    store: redis.Redis, run_users: Run
) -> None:
    store.hset("taskqueue:users:ada:tasks", "gone", "1")

    out = run_users("show", "ada", "-o", "table")[1]

    assert "own switch is on; not in config/tasks.yaml" in out
    for task_id, default in (("daily_report", "off"), ("news", "on")):
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [task_id])
        assert f"no own switch, so the task's default_enabled ({default})" in line


# --- list -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_users(store: redis.Redis) -> None:
    store.hset("taskqueue:users:ada:tasks", "daily_report", "1")
    store.hset("taskqueue:users:bob:tasks", mapping={"daily_report": "0", "news": "0"})
    store.hset("taskqueue:users:日本:tasks", "other", "1")
    store.hset("taskqueue:users:only-settings:settings:news", "parameters", "{}")
    store.set("taskqueue:users:no-hash:tasks", "1")


@pytest.mark.usefixtures("three_users")
@pytest.mark.parametrize(
    ("arguments", "users"),
    [
        ([], {"ada", "bob", "日本"}),
        (["--task", "daily_report"], {"ada"}),
        (["--task", "daily_report", "--enabled"], {"ada"}),
        (["--task", "daily_report", "--disabled"], {"bob", "日本"}),
        (["--task", "news"], {"ada", "日本"}),
        (["--task", "news", "--disabled"], {"bob"}),
    ],
)
def test_users_are_listed_by_what_they_get(run_users: Run, arguments: list[str], users: set[str]) -> None:
    code, out, err = run_users("list", *arguments)

    assert (code, err) == (0, "")
    assert set(out.splitlines()) == users


@pytest.mark.usefixtures("three_users")
def test_json_lines_tell_the_rule(run_users: Run) -> None:
    _, out, _ = run_users("list", "--task", "news", "--disabled", "-o", "json")

    assert json.loads(out) == {"user_id": "bob", "task_id": "news", "enabled": False, "rule": "own_switch"}


@pytest.mark.usefixtures("three_users")
def test_a_list_is_a_document_of_yaml_for_each_user_on_request(run_users: Run) -> None:
    _, out, _ = run_users("list", "--task", "news", "--disabled", "-o", "yaml")

    assert list(yaml.safe_load_all(out)) == [
        {"user_id": "bob", "task_id": "news", "enabled": False, "rule": "own_switch"}
    ]


def test_a_list_of_many_ends_at_its_limit(store: redis.Redis, run_users: Run) -> None:
    pipeline = store.pipeline(transaction=False)
    for number in range(3000):
        pipeline.hset(f"taskqueue:users:user_{number}:tasks", "daily_report", "1")
    pipeline.execute()

    assert len(set(run_users("list")[1].splitlines())) == 3000
    assert len(run_users("list", "--limit", "1500")[1].splitlines()) == 1500
    assert len(run_users("list", "--limit", "2")[1].splitlines()) == 2


@pytest.mark.usefixtures("store")
def test_a_list_of_nobody_is_empty(run_users: Run) -> None:
    assert run_users("list") == (0, "", "")


@pytest.mark.usefixtures("three_users")
@pytest.mark.parametrize(
    ("task", "warning"), [("retired", "retired is disabled in"), ("dayly_report", "did you mean 'daily_report'?")]
)
def test_a_task_that_nobody_gets_is_a_warning(run_users: Run, task: str, warning: str) -> None:
    code, out, err = run_users("list", "--task", task)

    assert (code, out) == (0, "")
    assert err.startswith("warning: ")
    assert warning in err


def test_ids_are_escaped_on_a_terminal_and_exact_elsewhere(store: redis.Redis, run_users: Run) -> None:
    store.hset("taskqueue:users:\x1b[2J:tasks", "daily_report", "1")

    assert run_users("list")[1] == "\x1b[2J\n"
    assert on_a_terminal("list") == "\\x1b[2J\r\n"
    assert json.loads(on_a_terminal("list", "-o", "json")) == {"user_id": "\x1b[2J"}


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", ""], "user id of 0 bytes: use 1 to 512"),
        (["show", "--config", "missing.yaml", "ada"], "missing.yaml: cannot be read"),
        (["list", "--enabled"], "name it with --task"),
        (["list", "--task", "a b"], "task id 'a b'"),
        (["list", "--limit", "0"], "Invalid value for '--limit'"),
    ],
)
def test_wrong_usage_is_exit_2(run_users: Run, arguments: list[str], problem: str) -> None:
    code, out, err = run_users(*arguments)

    assert (code, out) == (2, "")
    assert problem in err


@pytest.mark.parametrize("arguments", [["show", "ada"], ["list"]])
def test_without_redis_there_is_one_line_and_exit_5(run_users: Run, arguments: list[str]) -> None:
    code, out, err = run_users(*arguments)

    assert (code, out) == (5, "")
    assert err.startswith("Redis: ")
    assert len(err.splitlines()) == 1
