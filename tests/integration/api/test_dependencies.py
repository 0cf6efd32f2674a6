"""Dependencies between tasks, through the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskqueue.dev.services import Redis
from taskqueue.store import keys
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.documented import EXAMPLES, assert_as_documented


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


async def depend(caller: ApiCaller, child: str, parent: str, status: int = 201, **more: object) -> dict[str, Any]:
    return await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent} | more, status)


async def test_a_dependency_is_added_listed_and_removed_as_documented(caller: ApiCaller) -> None:
    parent, child = await caller.create(task_name="data_processing"), await caller.create()

    added = await depend(caller, child, parent, dependency_type="success")
    listed = await caller.get(f"/tasks/{child}/dependencies")
    await caller.delete(f"/tasks/{child}/dependencies/{added['dependency_id']}")

    assert_as_documented(added, "add_dependency")
    assert (added["task_id"], added["depends_on_task_id"]) == (child, parent)
    assert_as_documented(listed, "list_dependencies")
    example = EXAMPLES["list_dependencies"]["response"]["dependencies"][0]
    own = {"dependency_id": added["dependency_id"], "depends_on_task_id": parent}
    assert listed["dependencies"] == [example | own]
    assert (await caller.get(f"/tasks/{child}/dependencies"))["dependencies"] == []
    await caller.delete(f"/tasks/{child}/dependencies/{added['dependency_id']}", 404)


@pytest.mark.parametrize(
    ("given", "kept"),
    [({}, "success"), *(({"dependency_type": kind}, kind) for kind in ("success", "completion", "any"))],
)
async def test_each_type_of_dependency_is_kept(caller: ApiCaller, given: dict[str, str], kept: str) -> None:
    parent, child = await caller.create(), await caller.create()

    await depend(caller, child, parent, **given)

    listed = await caller.get(f"/tasks/{child}/dependencies")
    assert [each["dependency_type"] for each in listed["dependencies"]] == [kept]


async def test_a_task_is_not_deleted_while_others_depend_on_it(caller: ApiCaller) -> None:
    parent, child = await caller.create(), await caller.create(task_name="child")
    dependency = await depend(caller, child, parent)

    problem = await caller.delete(f"/tasks/{parent}", 409)
    await caller.delete(f"/tasks/{child}/dependencies/{dependency['dependency_id']}")
    await caller.delete(f"/tasks/{parent}")

    assert problem["code"] == "has_dependents"
    assert problem["dependents"] == [{"task_id": child, "task_name": "child"}]
    assert "'child'" in problem["detail"]


async def test_tasks_do_not_wait_for_each_other(caller: ApiCaller) -> None:
    one, two, three = [await caller.create() for _ in range(3)]
    await depend(caller, two, one)
    await depend(caller, three, two)

    problem = await depend(caller, one, three, 409)
    itself = await depend(caller, one, one, 409)

    assert (problem["code"], problem["cycle"]) == ("dependency_cycle", [one, three, two, one])
    assert itself["cycle"] == [one, one]


async def test_a_task_depends_on_another_one_once(caller: ApiCaller) -> None:
    parent, child = await caller.create(), await caller.create()
    first = await depend(caller, child, parent)

    problem = await depend(caller, child, parent, 409, dependency_type="any")

    assert (problem["code"], problem["dependency_id"]) == ("dependency_exists", first["dependency_id"])


async def test_a_request_that_is_sent_again_adds_the_same_dependency(caller: ApiCaller) -> None:
    parent, child = await caller.create(), await caller.create()
    body = {"depends_on_task_id": parent}
    first = await caller.post(f"/tasks/{child}/dependencies", body, 201, idempotency_key="k")
    await caller.lose_answer("k")

    again = await caller.post(f"/tasks/{child}/dependencies", body, 201, idempotency_key="k")

    assert again == first


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "/depends_on_task_id"),
    ({"depends_on_task_id": None}, "/depends_on_task_id"),
    ({"depends_on_task_id": 1}, "/depends_on_task_id"),
    ({"depends_on_task_id": ""}, "/depends_on_task_id"),
    ({"depends_on_task_id": "nothing"}, "/depends_on_task_id"),
    ({"depends_on_task_id": "a\r\nb"}, "/depends_on_task_id"),
    ({"depends_on_task_id": "x" * 201}, "/depends_on_task_id"),
    ({"depends_on_task_id": "x", "dependency_type": "failure"}, "/dependency_type"),
    ({"depends_on_task_id": "x", "dependency_type": None}, "/dependency_type"),
    ({"depends_on_task_id": "x", "more": 1}, "/more"),
]


async def test_a_wrong_field_is_named(caller: ApiCaller) -> None:
    task_id = await caller.create()

    for body, pointer in WRONG:
        assert pointers(await caller.post(f"/tasks/{task_id}/dependencies", body, 422)) == [pointer]
    assert not await caller.keys(f"{keys.API_DEPENDENCIES_PREFIX}*")


async def test_a_task_that_is_not_there_has_no_dependencies(caller: ApiCaller) -> None:
    parent = await caller.create()

    assert (await depend(caller, "nothing", parent, 404))["code"] == "no_such_task"
    assert (await caller.get("/tasks/nothing/dependencies", 404))["code"] == "no_such_task"
    assert (await caller.delete("/tasks/nothing/dependencies/x", 404))["code"] == "no_such_task"
    assert (await caller.delete(f"/tasks/{parent}/dependencies/x", 404))["code"] == "no_such_dependency"
