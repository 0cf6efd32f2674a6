"""Lists of tasks: filters, pages, totals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from taskqueue.dev.services import Redis
from tests.support.api_caller import ApiCaller, api_caller

ROW = (
    "task_id",
    "task_name",
    "status",
    "next_execution_time",
    "last_execution_time",
    "task_type",
    "schedule_expression",
    "timezone",
    "enabled",
    "priority",
    "tags",
    "source",
    "created_at",
    "updated_at",
)


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


@pytest.fixture
async def made(caller: ApiCaller) -> dict[str, str]:
    """Some tasks, by the word that they are known by here; each was made a second after the one before it."""
    once = {"task_type": "one_time", "next_execution_time": "2025-01-01T00:00:00Z"}
    tasks: dict[str, dict[str, Any]] = {
        "plain": {"task_name": "plain"},
        "high": {"task_name": "report", "priority": "high", "tags": {"team": "analytics"}},
        "paused": {"task_name": "report two", "enabled": False, "tags": {"team": "analytics", "env": "test"}},
        "once": {"task_name": "other", "tags": {"team": "a:b"}, "priority": "high", "enabled": False} | once,
    }
    ids = {}
    for word, fields in tasks.items():
        ids[word] = await caller.create(**fields)
        caller.clock.turn(timedelta(seconds=1))
    return ids


async def listed(caller: ApiCaller, made: dict[str, str], query: str) -> list[str]:
    page = await caller.get(f"/tasks{query}")
    words = {task_id: word for word, task_id in made.items()}
    found = [words[row["task_id"]] for row in page["tasks"]]
    assert page["total"] == len(found)
    return found


FILTERS = [
    ("", ["once", "paused", "high", "plain"]),
    ("?status=scheduled", ["high", "plain"]),
    ("?status=paused", ["once", "paused"]),
    ("?status=failed", []),
    ("?priority=high", ["once", "high"]),
    ("?status=paused&priority=high", ["once"]),
    ("?task_type=one_time", ["once"]),
    ("?task_type=interval", []),
    ("?tag=team:analytics", ["paused", "high"]),
    ("?tag=team:analytics&tag=env:test", ["paused"]),
    ("?tag=team:analytics&tag=team:other", []),
    ("?tag=team:a:b", ["once"]),
    ("?tag=team:", []),
    ("?name=report", ["high"]),
    ("?name=report*", ["high", "paused"]),
    ("?name=rep", []),
    ("?name=*", ["once", "plain", "high", "paused"]),
    ("?name=report*&status=paused", ["paused"]),
    ("?status=paused&priority=medium&tag=env:test&task_type=cron&name=report%20two", ["paused"]),
]


async def test_a_filter_finds_those_of_which_all_of_it_is_true(caller: ApiCaller, made: dict[str, str]) -> None:
    for query, found in FILTERS:
        assert await listed(caller, made, query) == found, query


async def test_a_row_has_all_but_the_large_fields(caller: ApiCaller, made: dict[str, str]) -> None:
    row = (await caller.get("/tasks?name=report"))["tasks"][0]
    task = await caller.task(made["high"])

    assert tuple(row) == ROW
    assert row == {name: task[name] for name in ROW}


@pytest.mark.usefixtures("made")
async def test_pages_follow_each_other(caller: ApiCaller) -> None:
    whole = await caller.get("/tasks")
    pages = [await caller.get(f"/tasks?limit=3&offset={offset}") for offset in (0, 3, 6)]

    assert [row for page in pages for row in page["tasks"]] == whole["tasks"]
    assert [(page["total"], page["limit"], page["offset"]) for page in pages] == [(4, 3, 0), (4, 3, 3), (4, 3, 6)]


WRONG = [
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=101", "limit"),
    ("limit=x", "limit"),
    ("limit=", "limit"),
    (f"limit={10**40}", "limit"),
    ("offset=-1", "offset"),
    (f"offset={10**40}", "offset"),
    ("offset=1.5", "offset"),
    ("status=Scheduled", "status"),
    ("status=", "status"),
    ("priority=normal", "priority"),
    ("task_type=daily", "task_type"),
    ("tag=team", "tag"),
    ("tag=:x", "tag"),
    ("tag=", "tag"),
    ("name=", "name"),
    (f"name={'x' * 202}", "name"),
    ("sort=name", "sort"),
]


async def test_a_wrong_parameter_is_named(caller: ApiCaller) -> None:
    for query, parameter in WRONG:
        problem = await caller.get(f"/tasks?{query}", 422)
        assert [error["parameter"] for error in problem["errors"]] == [parameter]


async def test_the_longest_page_is_set_in_the_settings(redis_server: Redis, redis_db: int) -> None:
    async with api_caller(redis_server, redis_db, max_page=7) as caller:
        assert (await caller.get("/tasks?limit=7"))["limit"] == 7
        assert (await caller.get("/tasks?limit=8", 422))["errors"][0]["detail"] == "must be at most 7"


async def test_whatever_is_looked_for_is_data(caller: ApiCaller) -> None:
    for text in ("a%00b", "%ff", "a%0d%0ab", "*?[a]", "%F0%9F%98%80", "taskqueue:api:tasks"):
        for query in (f"name={text}", f"tag=k:{text}", f"tag={text}:v"):
            assert (await caller.get(f"/tasks?{query}"))["tasks"] == []
