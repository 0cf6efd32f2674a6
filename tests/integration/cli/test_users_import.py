"""`taskqueue users import`, as its user runs it: files and standard input, against a real Redis."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import redis

from taskqueue.cli import user_batches
from taskqueue.core.task import Task
from tests.support.values import a_task

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_import(run_users: Run) -> Run:
    """Run `taskqueue users import` here; return its exit code, output and errors."""
    return partial(run_users, "import")


def write_lines(path: Path, *values: object) -> None:
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")


def switched_on(user_id: str) -> dict[str, object]:
    return {"user_id": user_id, "enabled_tasks": {"daily_report": True}}


# --- what is written --------------------------------------------------------------------------------------------------


def test_json_lines_become_the_hashes_of_the_spec(store: redis.Redis, directory: Path, run_import: Run) -> None:
    interval = {"type": "daily", "at_time": "08:00"}
    write_lines(
        directory / "users.jsonl",
        {
            "user_id": "ada",
            "enabled_tasks": {"daily_report": True},
            "task_settings": {"daily_report": {"custom_interval": interval, "parameters": {"lang": "dé"}}},
            "last_modified": "2024-01-15T10:00:00Z",
        },
        {"user_id": "a:b", "enabled_tasks": {"daily_report": False}},
    )

    assert run_import("users.jsonl") == (0, "imported 2 users, 2 switches, 1 setting\n", "")

    assert store.hgetall("taskqueue:users:ada:tasks") == {"daily_report": "1"}
    assert store.hgetall("taskqueue:users:a:b:tasks") == {"daily_report": "0"}
    settings = store.hgetall("taskqueue:users:ada:settings:daily_report")
    assert json.loads(settings["custom_interval"]) == interval
    assert json.loads(settings["parameters"]) == {"lang": "dé"}
    assert settings["last_modified"] == "2024-01-15T10:00:00Z"
    assert store.dbsize() == 3


def test_rows_of_csv_become_the_same_hashes(store: redis.Redis, directory: Path, run_import: Run) -> None:
    (directory / "users.csv").write_text(
        'user_id,task_id,enabled,parameters\nada,daily_report,true,"{""lang"": ""de""}"\nbob,daily_report,0,\n',
        encoding="utf-8",
    )

    assert run_import("users.csv") == (0, "imported 2 users, 2 switches, 1 setting\n", "")

    assert store.hgetall("taskqueue:users:ada:tasks") == {"daily_report": "1"}
    assert store.hgetall("taskqueue:users:bob:tasks") == {"daily_report": "0"}
    assert store.hget("taskqueue:users:ada:settings:daily_report", "parameters") == '{"lang":"de"}'
    assert store.hexists("taskqueue:users:ada:settings:daily_report", "last_modified")


def test_what_the_file_does_not_mention_stays(store: redis.Redis, directory: Path, run_import: Run) -> None:
    store.hset("taskqueue:users:ada:tasks", "other", "1")
    store.hset("taskqueue:users:ada:settings:daily_report", "custom_interval", "{}")
    parameters = {"daily_report": {"parameters": {"lang": "de"}}}
    write_lines(directory / "users.jsonl", {**switched_on("ada"), "task_settings": parameters})

    assert run_import("users.jsonl")[0] == 0

    assert store.hgetall("taskqueue:users:ada:tasks") == {"other": "1", "daily_report": "1"}
    assert store.hget("taskqueue:users:ada:settings:daily_report", "custom_interval") == "{}"


def test_importing_twice_changes_nothing(store: redis.Redis, directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", *(switched_on(f"user_{n}") for n in range(20)))

    assert run_import("users.jsonl") == run_import("users.jsonl")

    assert store.dbsize() == 20


def test_more_users_than_one_write_takes_are_all_written(store: redis.Redis, directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", *(switched_on(f"user_{n}") for n in range(1201)))

    assert run_import("users.jsonl") == (0, "imported 1201 users, 1201 switches, 0 settings\n", "")

    assert store.dbsize() == 1201


def test_rows_of_one_user_count_as_one_user(store: redis.Redis, directory: Path, run_import: Run) -> None:
    rows = "".join(f"user_{n},{task},1\n" for n in range(600) for task in ("daily_report", "other"))
    (directory / "users.csv").write_text("user_id,task_id,enabled\n" + rows, encoding="utf-8")

    assert run_import("users.csv")[1] == "imported 600 users, 1200 switches, 0 settings\n"

    assert store.hlen("taskqueue:users:user_599:tasks") == 2


def test_the_later_of_two_lines_about_one_user_counts(store: redis.Redis, directory: Path, run_import: Run) -> None:
    off = {"user_id": "ada", "enabled_tasks": {"daily_report": False}}
    write_lines(directory / "users.jsonl", switched_on("ada"), off)

    assert run_import("users.jsonl")[1] == "imported 1 user, 1 switch, 0 settings\n"

    assert store.hgetall("taskqueue:users:ada:tasks") == {"daily_report": "0"}


def test_lines_are_written_before_they_fill_the_memory(
    store: redis.Redis, directory: Path, run_import: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_batches, "BATCH_BYTES", 10)
    write_lines(directory / "users.jsonl", switched_on("ada"), switched_on("ada"))

    # Each line is a batch of its own now, and users are counted per batch.
    assert run_import("users.jsonl")[1] == "imported 2 users, 2 switches, 0 settings\n"
    assert store.dbsize() == 1


def test_standard_input_is_read(
    store: redis.Redis, directory: Path, run_import: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.BytesIO(b"user_id,task_id,enabled\nada,daily_report,1\nbob,daily_report,maybe\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(text))

    code, out, err = run_import("--format", "csv", "-")

    assert (code, out) == (1, "imported 1 user, 1 switch, 0 settings; 1 bad line\n")
    assert err == "<stdin>:3: enabled: 'maybe' is no switch; use true or false, or 1 or 0\n"
    assert store.dbsize() == 1


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_good_lines_are_imported_beside_bad_ones(store: redis.Redis, directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", switched_on("ada"), {"user_id": 5}, switched_on("bob"), {})

    assert run_import("users.jsonl") == (
        1,
        "imported 2 users, 2 switches, 0 settings; 2 bad lines\n",
        "users.jsonl:2: user_id is a number; give text\nusers.jsonl:4: user_id is missing or null; give text\n",
    )

    assert store.dbsize() == 2


def test_a_task_that_does_not_exist_is_one_warning(store: redis.Redis, directory: Path, run_import: Run) -> None:
    later = {"enabled_tasks": {"later": True}}
    write_lines(directory / "users.jsonl", {"user_id": "ada", **later}, {"user_id": "bob", **later})

    code, _, err = run_import("users.jsonl")

    assert code == 0
    assert err == "warning: config/tasks.yaml has no task later, stated for 2 users; it counts once there is one\n"
    assert store.dbsize() == 2


@pytest.mark.usefixtures("store")
def test_a_task_in_force_that_the_file_lacks_is_no_warning(
    directory: Path, run_import: Run, put_in_force: Callable[[Task], None]
) -> None:
    put_in_force(a_task(id="demo_report"))
    write_lines(directory / "users.jsonl", {"user_id": "ada", "enabled_tasks": {"demo_report": True}})

    assert run_import("users.jsonl")[::2] == (0, "")


def test_warnings_end_after_a_hundred_tasks(directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", {"user_id": "ada", "enabled_tasks": {f"t{n}": True for n in range(150)}})

    *_, last = lines = run_import("users.jsonl", "--dry-run")[2].splitlines()

    assert len(lines) == 101
    assert last.startswith("warning: config/tasks.yaml lacks more tasks than these")


def test_a_key_of_another_type_is_named(store: redis.Redis, directory: Path, run_import: Run) -> None:
    store.set("taskqueue:users:ada:tasks", "1")
    write_lines(directory / "users.jsonl", switched_on("ada"))

    code, out, err = run_import("users.jsonl")

    assert (code, out) == (1, "imported 0 users, 0 switches, 0 settings\n")
    assert err.startswith("stopped at users.jsonl:1: taskqueue:users:ada:tasks: Redis: WRONGTYPE")


def test_without_redis_one_line_says_how_far_it_got(directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", {}, switched_on("ada"))

    code, out, err = run_import("users.jsonl")

    bad, stopped = err.splitlines()
    assert (code, out) == (5, "imported 0 users, 0 switches, 0 settings; 1 bad line\n")
    assert bad.startswith("users.jsonl:1: ")
    assert stopped.startswith("stopped at users.jsonl:2: Redis: ")
    assert "TASKQUEUE_REDIS__ADDRESSES" in stopped
    assert "import the same files again" in stopped


def test_a_dry_run_needs_no_redis(directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", switched_on("ada"))

    assert run_import("--dry-run", "users.jsonl") == (0, "would import 1 user, 1 switch, 0 settings\n", "")


def test_a_dry_run_writes_nothing(store: redis.Redis, directory: Path, run_import: Run) -> None:
    write_lines(directory / "users.jsonl", switched_on("ada"))

    assert run_import("--dry-run", "users.jsonl")[0] == 0

    assert store.dbsize() == 0


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["missing.jsonl"], "missing.jsonl: cannot be read: No such file or directory"),
        (["config"], "config: the name tells no format; add --format jsonl or --format csv"),
        (["--format", "csv", "config"], "config: cannot be read: Is a directory"),
        (["-"], "-: the name tells no format; add --format jsonl or --format csv"),
        (["--format", "csv", "-", "-"], "-: stands twice; standard input can be read only once"),
        (["--config", "missing.yaml", "-"], "missing.yaml: cannot be read: No such file or directory"),
        (["--format", "xml", "-"], "Invalid value for '--format'"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_exit_2(run_import: Run, arguments: list[str], problem: str) -> None:
    code, out, err = run_import(*arguments)

    assert (code, out) == (2, "")
    assert problem in err


def test_tasks_that_cannot_be_read_are_exit_2(directory: Path, run_import: Run) -> None:
    (directory / "config" / "tasks.yaml").write_text("tasks: 5\n", encoding="utf-8")
    write_lines(directory / "users.jsonl", switched_on("ada"))

    assert run_import("users.jsonl")[0] == 2


# --- terminals and signals --------------------------------------------------------------------------------------------


def _command() -> list[str]:
    return [str(Path(sys.executable).with_name("taskqueue")), "users", "import"]


def test_ctrl_c_while_waiting_for_input_ends_the_import(directory: Path) -> None:
    with subprocess.Popen(
        [*_command(), "--format", "jsonl", "--dry-run", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"not json\n")
        process.stdin.flush()
        first = process.stderr.readline()  # told before the next line is waited for

        process.send_signal(signal.SIGINT)

        rest = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert first.startswith(b"<stdin>:1: not JSON")
    assert rest.startswith(b"interrupted after 0 users")
    assert len(rest.splitlines()) == 1


def test_the_progress_bar_is_for_terminals(directory: Path) -> None:
    write_lines(directory / "users.jsonl", switched_on("ada"), {"user_id": 5})
    ours, theirs = pty.openpty()

    completed = subprocess.run(
        [*_command(), "--dry-run", "users.jsonl"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        timeout=60,
        check=False,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert completed.stdout == b"would import 1 user, 1 switch, 0 settings; 1 bad line\n"
    assert "importing" in shown
    assert "users.jsonl:2: user_id is a number; give text\r\n" in shown
