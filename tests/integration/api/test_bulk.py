"""Many tasks in one request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskqueue.dev.services import Redis
from taskqueue.store import keys
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.documented import EXAMPLES, assert_as_documented

CREATE = EXAMPLES["bulk_create"]["request"]
DAILY = {"task_name": "daily", "task_type": "cron", "schedule_expression": "@daily"}


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


async def test_many_tasks_are_created_as_documented(caller: ApiCaller) -> None:
    answer = await caller.post("/tasks/bulk", CREATE, 201)

    assert_as_documented(answer, "bulk_create")
    example = EXAMPLES["bulk_create"]["response"]
    assert (answer["created"], answer["failed"]) == (example["created"], example["failed"])
    for task_id, given in zip(answer["task_ids"], CREATE["tasks"], strict=True):
        task = await caller.task(task_id)
        assert {name: task[name] for name in given} == given


async def test_many_tasks_are_deleted_as_documented(caller: ApiCaller) -> None:
    task_ids = [await caller.create() for _ in EXAMPLES["bulk_delete"]["request"]["task_ids"]]

    answer = await caller.post("/tasks/bulk-delete", {"task_ids": task_ids})

    assert answer == EXAMPLES["bulk_delete"]["response"]
    assert (await caller.get("/tasks"))["total"] == 0


async def test_a_wrong_task_does_not_stop_the_others(caller: ApiCaller) -> None:
    wrong: list[Any] = [
        {"task_name": "", "task_type": "cron", "schedule_expression": "@daily"},
        DAILY | {"schedule_expression": "0 0 30 2 *"},
        DAILY | {"tags": {"a:b": ""}, "x": 1},
    ]

    answer = await caller.post("/tasks/bulk", {"tasks": [wrong[0], DAILY, wrong[1], DAILY, wrong[2]]}, 201)

    assert (answer["created"], answer["failed"], len(set(answer["task_ids"]))) == (2, 3, 2)
    assert [error["index"] for error in answer["errors"]] == [0, 2, 4]
    assert [[field["pointer"] for field in error["errors"]] for error in answer["errors"]] == [
        ["/tasks/0/task_name"],
        ["/tasks/2/schedule_expression"],
        ["/tasks/4/tags/a:b", "/tasks/4/x"],
    ]
    assert {error["code"] for error in answer["errors"]} == {"invalid"}
    assert (await caller.get("/tasks"))["total"] == 2


async def test_where_all_are_wrong_the_answer_says_so_in_numbers(caller: ApiCaller) -> None:
    answer = await caller.post("/tasks/bulk", {"tasks": [{}, {}]}, 201)

    assert (answer["created"], answer["failed"], answer["task_ids"]) == (0, 2, [])


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/tasks/bulk", {}, "/tasks"),
        ("/tasks/bulk", {"tasks": None}, "/tasks"),
        ("/tasks/bulk", {"tasks": {}}, "/tasks"),
        ("/tasks/bulk", {"tasks": []}, "/tasks"),
        ("/tasks/bulk", {"tasks": [DAILY, 1]}, "/tasks/1"),
        ("/tasks/bulk", {"tasks": [DAILY] * 4}, "/tasks"),
        ("/tasks/bulk", {"tasks": [DAILY], "x": 1}, "/x"),
        ("/tasks/bulk-delete", {"task_ids": []}, "/task_ids"),
        ("/tasks/bulk-delete", {"task_ids": "x"}, "/task_ids"),
        ("/tasks/bulk-delete", {"task_ids": [None]}, "/task_ids/0"),
        ("/tasks/bulk-delete", {"task_ids": [""]}, "/task_ids/0"),
        ("/tasks/bulk-delete", {"task_ids": ["a", "b", "c", "d"]}, "/task_ids"),
    ],
)
async def test_a_request_that_is_wrong_as_a_whole_is_refused(
    redis_server: Redis, redis_db: int, path: str, body: Any, pointer: str
) -> None:
    async with api_caller(redis_server, redis_db, max_bulk=3) as caller:
        assert pointers(await caller.post(path, body, 422)) == [pointer]
        assert not await caller.keys(f"{keys.API_TASKS}*")


async def test_a_request_that_is_sent_again_makes_the_same_tasks(caller: ApiCaller) -> None:
    first = await caller.post("/tasks/bulk", CREATE, 201, idempotency_key="k")
    await caller.lose_answer("k")

    again = await caller.post("/tasks/bulk", CREATE, 201, idempotency_key="k")

    assert again == first
    assert (await caller.get("/tasks"))["total"] == 2


async def test_a_key_that_is_used_again_a_day_later_makes_other_tasks(caller: ApiCaller) -> None:
    for _ in range(2):
        await caller.post("/tasks/bulk", CREATE, 201, idempotency_key="k")
        await caller.let_key_lapse("k")

    assert (await caller.get("/tasks"))["total"] == 4


async def test_what_cannot_be_deleted_is_told(caller: ApiCaller) -> None:
    parent, child, other = [await caller.create(task_name=name) for name in ("parent", "child", "other")]
    await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent}, 201)

    answer = await caller.post("/tasks/bulk-delete", {"task_ids": ["nothing", parent, other, "a\r\nb", other]})

    assert (answer["deleted"], answer["failed"]) == (1, 3)
    assert [(error["index"], error["task_id"], error["code"]) for error in answer["errors"]] == [
        (0, "nothing", "no_such_task"),
        (1, parent, "has_dependents"),
        (3, "a\r\nb", "no_such_task"),
    ]
    assert {row["task_id"] for row in (await caller.get("/tasks"))["tasks"]} == {parent, child}


async def test_tasks_that_depend_on_each_other_are_deleted_together(caller: ApiCaller) -> None:
    parent, child = await caller.create(), await caller.create()
    await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent}, 201)

    assert await caller.post("/tasks/bulk-delete", {"task_ids": [parent, child]}) == {"deleted": 2, "failed": 0}


async def test_a_thousand_tasks_are_made_in_one_request(caller: ApiCaller) -> None:
    answer = await caller.post("/tasks/bulk", {"tasks": [DAILY] * 1000}, 201)

    assert (answer["created"], answer["failed"]) == (1000, 0)
    assert (await caller.get("/tasks?limit=1&offset=999"))["total"] == 1000
