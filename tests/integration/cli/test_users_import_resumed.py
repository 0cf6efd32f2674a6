"""`taskqueue users import --resume`: what an import that ended early has written is not written again."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
import redis

from taskqueue.cli import user_batches

Run = Callable[..., tuple[int, str, str]]

#: what its system says today of the first user, after the import has said otherwise
CHANGED_SINCE = ("taskqueue:users:user_0:tasks", "daily_report", "0")


@pytest.fixture
def run_import(run_users: Run) -> Run:
    """Run `taskqueue users import` here; return its exit code, output and errors."""
    return partial(run_users, "import")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users are written at once."""
    monkeypatch.setattr(user_batches, "BATCH_USERS", 2)


def lines(users: Iterable[str]) -> bytes:
    return b"".join(
        json.dumps({"user_id": user, "enabled_tasks": {"daily_report": True}}).encode() + b"\n" for user in users
    )


def stop_at(store: redis.Redis, run_import: Run, user_id: str, *files: str) -> str:
    """Import the files with something in the way of this user; take it away and return what was told."""
    key = f"taskqueue:users:{user_id}:tasks"
    store.set(key, "no hash")
    code, _, err = run_import(*files)
    assert code == 1
    store.delete(key)
    store.hset(*CHANGED_SINCE)
    return err


def test_a_killed_import_is_gone_on_with_where_it_stopped(
    store: redis.Redis, run_import: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lines(f"user_{number}" for number in range(1200))
    command = [str(Path(sys.executable).with_name("taskqueue")), "users", "import", "--format", "jsonl", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(lines(f"user_{number}" for number in range(501)))
        process.stdin.flush()
        until = time.monotonic() + 30
        while not store.exists("taskqueue:import:-"):
            assert time.monotonic() < until
            time.sleep(0.05)  # between two looks
        process.kill()
    store.hset(*CHANGED_SINCE)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(whole)))

    assert run_import("--format", "jsonl", "--resume", "-") == (
        0,
        "imported 700 users, 700 switches, 0 settings\n",
        "<stdin>: going on behind line 500\n",
    )

    assert store.hget(*CHANGED_SINCE[:2]) == "0"
    assert store.dbsize() == 1200  # and no mark any more


@pytest.mark.usefixtures("small_batches")
def test_files_that_were_finished_are_passed_over_as_well(store: redis.Redis, directory: Path, run_import: Run) -> None:
    (directory / "a.csv").write_text(
        "user_id,task_id,enabled\n" + "".join(f"user_{number},daily_report,1\n" for number in range(3))
    )
    (directory / "b.jsonl").write_bytes(lines(["eve", "fay", "gus", "hal"]))

    assert "--resume to go on from there" in stop_at(store, run_import, "gus", "a.csv", "b.jsonl")

    assert run_import("--resume", "a.csv", "b.jsonl") == (
        0,
        "imported 3 users, 3 switches, 0 settings\n",
        "a.csv: going on behind line 4\nb.jsonl: going on behind line 1\n",
    )
    assert store.hget(*CHANGED_SINCE[:2]) == "0"
    assert store.dbsize() == 7


@pytest.mark.usefixtures("small_batches")
def test_bad_lines_before_it_are_told_again(store: redis.Redis, directory: Path, run_import: Run) -> None:
    (directory / "users.jsonl").write_bytes(b"nonsense\n" + lines(["user_0", "user_1", "eve"]))
    stop_at(store, run_import, "eve", "users.jsonl")

    code, out, err = run_import("--resume", "users.jsonl")

    assert (code, out) == (1, "imported 1 user, 1 switch, 0 settings; 1 bad line\n")
    assert err.splitlines()[1].startswith("users.jsonl:1: not JSON")


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("users", [["user_0", "other", "eve", "fay"], ["user_0"]], ids=["another line", "shorter"])
def test_a_file_that_is_another_one_now_is_refused(
    store: redis.Redis, directory: Path, run_import: Run, users: list[str]
) -> None:
    (directory / "users.jsonl").write_bytes(lines(["user_0", "user_1", "eve", "fay"]))
    stop_at(store, run_import, "eve", "users.jsonl")
    (directory / "users.jsonl").write_bytes(lines(users))

    code, out, err = run_import("--resume", "users.jsonl")

    assert (code, out) == (2, "")
    assert err.splitlines()[1] == (
        "users.jsonl: its lines up to 2 are not those that were imported; import it without --resume"
    )
    assert store.hget(*CHANGED_SINCE[:2]) == "0"
    assert not store.exists("taskqueue:users:eve:tasks")


@pytest.mark.usefixtures("small_batches")
def test_what_was_appended_since_is_imported(store: redis.Redis, directory: Path, run_import: Run) -> None:
    users = ["user_0", "user_1", "eve"]
    (directory / "users.jsonl").write_bytes(lines(users))
    stop_at(store, run_import, "eve", "users.jsonl")
    (directory / "users.jsonl").write_bytes(lines([*users, "fay"]))

    assert run_import("--resume", "users.jsonl")[:2] == (0, "imported 2 users, 2 switches, 0 settings\n")


def test_without_an_unfinished_import_everything_is_written(
    store: redis.Redis, directory: Path, run_import: Run
) -> None:
    (directory / "users.jsonl").write_bytes(lines(["user_0"]))
    assert run_import("users.jsonl")[0] == 0
    store.hset(*CHANGED_SINCE)

    code, out, err = run_import("--resume", "users.jsonl")

    assert (code, out) == (0, "imported 1 user, 1 switch, 0 settings\n")
    assert err == "users.jsonl: no import of it is unfinished; it is read from its beginning\n"
    assert store.hget(*CHANGED_SINCE[:2]) == "1"


@pytest.mark.usefixtures("small_batches")
def test_an_import_from_the_beginning_forgets_how_far_an_earlier_one_came(
    store: redis.Redis, directory: Path, run_import: Run
) -> None:
    (directory / "users.jsonl").write_bytes(lines(["user_0", "user_1", "eve"]))
    stop_at(store, run_import, "eve", "users.jsonl")

    stop_at(store, run_import, "user_0", "users.jsonl")

    assert store.keys("taskqueue:import:*") == []


@pytest.mark.usefixtures("small_batches")
def test_a_file_whose_name_is_no_utf8_is_gone_on_with_as_well(
    store: redis.Redis, directory: Path, run_import: Run
) -> None:
    name = os.fsdecode(b"users-\xff.jsonl")
    (directory / name).write_bytes(lines(["user_0", "user_1", "eve"]))
    stop_at(store, run_import, "eve", name)

    assert run_import("--resume", name)[:2] == (0, "imported 1 user, 1 switch, 0 settings\n")
    assert store.hget(*CHANGED_SINCE[:2]) == "0"


@pytest.mark.usefixtures("small_batches")
def test_the_mark_ends_by_itself(store: redis.Redis, directory: Path, run_import: Run) -> None:
    (directory / "users.jsonl").write_bytes(lines(["user_0", "user_1", "eve"]))
    stop_at(store, run_import, "eve", "users.jsonl")

    (mark,) = store.keys("taskqueue:import:*")

    assert 0 < store.ttl(mark) <= 7 * 24 * 3600


def test_a_user_of_redis_with_no_right_to_marks_imports_all_the_same(
    store: redis.Redis, directory: Path, run_import: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "users.jsonl").write_bytes(lines(f"user_{number}" for number in range(501)))
    name = "taskqueue-test-writer"
    store.acl_setuser(name, enabled=True, passwords=["+pw"], keys=["taskqueue:users:*"], commands=["+@all"], reset=True)
    monkeypatch.setenv("TASKQUEUE_REDIS__USERNAME", name)
    monkeypatch.setenv("TASKQUEUE_REDIS__PASSWORD", "pw")

    try:
        code, out, err = run_import("users.jsonl")
    finally:
        store.acl_deluser(name)

    assert (code, out) == (0, "imported 501 users, 501 switches, 0 settings\n")
    assert err.startswith("warning: how far it comes cannot be noted, and --resume will not know: ")
    assert len(err.splitlines()) == 1


def test_a_trial_has_nothing_to_go_on_with(directory: Path, run_import: Run) -> None:
    (directory / "users.jsonl").write_bytes(lines(["user_0"]))

    code, _, err = run_import("--resume", "--dry-run", "users.jsonl")

    assert (code, err.split(":")[0]) == (2, "--resume and --dry-run")
