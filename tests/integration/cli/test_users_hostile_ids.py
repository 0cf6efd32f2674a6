"""Ids that break what was built for `user_12345`, through every way of `taskqueue users` to take and to show one."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.hostile_ids import HOSTILE_IDS

Run = Callable[..., tuple[int, str, str]]

#: of those, what no argument of a program can be
ARGUMENTS = [user for user in HOSTILE_IDS if "\0" not in user and not user.startswith("-")]


def _switches(store: redis.Redis) -> dict[str, dict[str, str]]:
    keys = store.keys("taskqueue:users:*")
    assert isinstance(keys, list)
    return {key.removeprefix("taskqueue:users:").removesuffix(":tasks"): store.hgetall(key) for key in keys}


ALL_ON = {user: {"daily_report": "1"} for user in HOSTILE_IDS}


def test_json_lines_give_each_user_their_own_key(store: redis.Redis, directory: Path, run_users: Run) -> None:
    lines = [json.dumps({"user_id": user, "enabled_tasks": {"daily_report": True}}) for user in HOSTILE_IDS]
    (directory / "users.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    code, _, errors = run_users("import", "users.jsonl")

    assert (code, errors) == (0, "")
    assert _switches(store) == ALL_ON


def test_csv_gives_each_user_their_own_key(store: redis.Redis, directory: Path, run_users: Run) -> None:
    with (directory / "users.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "task_id", "enabled"])
        writer.writerows([user, "daily_report", "true"] for user in HOSTILE_IDS)

    code, _, errors = run_users("import", "users.csv")

    assert (code, errors) == (0, "")
    assert _switches(store) == ALL_ON


def test_arguments_give_each_user_their_own_key(store: redis.Redis, run_users: Run) -> None:
    code, _, errors = run_users("enable", "daily_report", *ARGUMENTS)

    assert (code, errors) == (0, "")
    assert _switches(store) == {user: ALL_ON[user] for user in ARGUMENTS}


def test_the_list_of_users_holds_each_as_it_is(store: redis.Redis, directory: Path, run_users: Run) -> None:
    for user in HOSTILE_IDS:
        store.hset(f"taskqueue:users:{user}:tasks", "daily_report", "1")
    store.hset(b"taskqueue:users:caf\xe9:tasks", "daily_report", "1")

    code, shown, errors = run_users("list", "--output", "json")

    assert (code, errors) == (0, "")
    assert sorted(json.loads(line)["user_id"] for line in shown.split("\n")[:-1]) == sorted(HOSTILE_IDS)


@pytest.mark.parametrize(
    "line",
    [
        '{"user_id": "\\ud800", "enabled_tasks": {"daily_report": true}}',
        '{"user_id": "", "enabled_tasks": {"daily_report": true}}',
        '{"user_id": "' + "x" * 10_240 + '", "enabled_tasks": {"daily_report": true}}',
        '{"user_id": null, "enabled_tasks": {"daily_report": true}}',
    ],
    ids=["lone surrogate", "empty", "10 kB", "null"],
)
def test_what_is_no_user_id_is_told_with_its_line_and_spoils_no_other(
    store: redis.Redis, directory: Path, run_users: Run, line: str
) -> None:
    good = '{"user_id": "ada", "enabled_tasks": {"daily_report": true}}'
    (directory / "users.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")

    code, _, errors = run_users("import", "users.jsonl")

    assert code == 1
    assert "users.jsonl:2: " in errors
    assert _switches(store) == {"ada": {"daily_report": "1"}}
