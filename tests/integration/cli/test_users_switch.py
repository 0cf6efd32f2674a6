"""`taskqueue users enable` and `disable`, as their user runs them, against a real Redis."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from taskqueue.core.task import Task
from tests.support.values import a_task

Run = Callable[..., tuple[int, str, str]]


def on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(("verb", "switch"), [("enable", "1"), ("disable", "0")])
def test_the_switch_is_set_and_all_others_stay(store: redis.Redis, run_users: Run, verb: str, switch: str) -> None:
    store.hset("taskqueue:users:ada:tasks", mapping={"daily_report": "x", "other": "1"})

    assert run_users(verb, "daily_report", "ada", "a:b") == (0, f"{verb}d daily_report for 2 users\n", "")

    assert store.hgetall("taskqueue:users:ada:tasks") == {"daily_report": switch, "other": "1"}
    assert store.hgetall("taskqueue:users:a:b:tasks") == {"daily_report": switch}
    assert store.dbsize() == 2


def test_any_characters_make_a_user(store: redis.Redis, run_users: Run) -> None:
    assert run_users("enable", "daily_report", "--", "-x", "line\nfeed", "日本 🦊")[0] == 0

    keys = {f"taskqueue:users:{user}:tasks" for user in ("-x", "line\nfeed", "日本 🦊")}
    assert set(store.keys("*")) == keys


def test_more_users_than_one_write_takes_come_from_standard_input(
    store: redis.Redis, run_users: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_stdin(monkeypatch, b"".join(b"user_%d\r\n" % number for number in range(1201)))

    assert run_users("enable", "daily_report", "ada", "-") == (0, "enabled daily_report for 1202 users\n", "")

    assert store.dbsize() == 1202


def test_good_lines_are_written_beside_bad_ones(
    store: redis.Redis, run_users: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_stdin(monkeypatch, b"ada\n" + b"x" * 513 + b"\nbob\n")

    assert run_users("enable", "daily_report", "-") == (
        1,
        "enabled daily_report for 2 users; 1 bad line\n",
        "<stdin>:2: user id of 513 bytes: use 1 to 512\n",
    )

    assert store.dbsize() == 2


def test_a_task_that_does_not_exist_is_a_warning(store: redis.Redis, run_users: Run) -> None:
    code, _, err = run_users("enable", "daly_report", "ada")

    assert code == 0
    assert err == "warning: config/tasks.yaml has no task daly_report; did you mean 'daily_report'?\n"
    assert store.hgetall("taskqueue:users:ada:tasks") == {"daly_report": "1"}


def test_a_task_that_is_in_force_is_no_warning_though_the_file_has_another_one(
    run_users: Run, put_in_force: Callable[[Task], None]
) -> None:
    put_in_force(a_task(id="demo_report"))

    assert run_users("enable", "demo_report", "ada") == (0, "enabled demo_report for 1 user\n", "")
    assert run_users("enable", "demo_reprt", "ada")[2] == (
        "warning: no task demo_reprt is in force; did you mean 'demo_report'?\n"
    )


@pytest.mark.usefixtures("directory")
def test_a_trial_without_redis_judges_by_the_file(run_users: Run) -> None:
    code, _, err = run_users("enable", "daly_report", "ada", "--dry-run")

    assert (code, err) == (0, "warning: config/tasks.yaml has no task daly_report; did you mean 'daily_report'?\n")


def test_a_bad_argument_writes_nothing(store: redis.Redis, run_users: Run) -> None:
    assert run_users("enable", "daily_report", "ada", "") == (2, "", "user id of 0 bytes: use 1 to 512\n")

    assert store.dbsize() == 0


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["daily report", "ada"], "task id 'daily report': use 1 to 64 of"),
        (["daily_report", "-", "-"], "-: stands twice; standard input can be read only once"),
        (["daily_report", "ada", "--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["daily_report"], "Missing argument"),
    ],
)
def test_wrong_usage_is_exit_2(run_users: Run, arguments: list[str], problem: str) -> None:
    code, out, err = run_users("disable", *arguments)

    assert (code, out) == (2, "")
    assert problem in err


@pytest.mark.usefixtures("directory")
def test_without_redis_one_line_says_how_far_it_got(run_users: Run) -> None:
    code, out, err = run_users("enable", "daily_report", "ada")

    (line,) = err.splitlines()
    assert (code, out) == (5, "enabled daily_report for 0 users\n")
    assert line.startswith("stopped at USER 1: Redis: ")
    assert "TASKQUEUE_REDIS__ADDRESSES" in line
    assert "run the same command again" in line


def test_a_key_of_another_type_is_named_without_control_characters(store: redis.Redis, run_users: Run) -> None:
    store.set("taskqueue:users:\x1b[2J:tasks", "1")

    code, _, err = run_users("enable", "daily_report", "\x1b[2J")

    assert code == 1
    assert err.startswith(r"stopped at USER 1: taskqueue:users:\x1b[2J:tasks: Redis: WRONGTYPE")


@pytest.mark.usefixtures("directory")
def test_ctrl_c_while_waiting_for_ids_ends_the_command() -> None:
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("taskqueue")), "users", "enable", "daily_report", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"\xff\n")
        process.stdin.flush()
        first = process.stderr.readline()  # told before the next line is waited for

        process.send_signal(signal.SIGINT)

        (last,) = process.stderr.read().splitlines()
        assert process.wait(timeout=30) == 130
    assert first.startswith(b"<stdin>:1: byte 1 is not UTF-8")
    assert last.startswith(b"interrupted: enabled daily_report for 0 users; ")


MANY = [f"user-{number}" for number in range(11)]


@pytest.mark.parametrize("users", [MANY, ["-"]])
def test_many_users_are_disabled_only_with_consent(store: redis.Redis, run_users: Run, users: list[str]) -> None:
    code, out, err = run_users("disable", "daily_report", *users)

    assert (code, out) == (4, "")
    assert "disable daily_report for " in err
    assert "--yes" in err
    assert store.dbsize() == 0


def test_many_users_are_disabled_with_consent(store: redis.Redis, run_users: Run) -> None:
    code, out, _ = run_users("disable", "daily_report", *MANY, "--yes", "-o", "json")

    assert (code, json.loads(out)["users"]) == (0, 11)
    assert store.hget("taskqueue:users:user-10:tasks", "daily_report") == "0"


@pytest.mark.parametrize(("verb", "said"), [("enable", "would enable"), ("disable", "would disable")])
def test_a_dry_run_writes_nothing(store: redis.Redis, run_users: Run, verb: str, said: str) -> None:
    assert run_users(verb, "daily_report", *MANY, "--dry-run") == (0, f"{said} daily_report for 11 users\n", "")
    assert store.dbsize() == 0
