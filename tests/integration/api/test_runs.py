"""Pause, resume and trigger through the API, of its own tasks and of those of tasks.yaml."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from taskqueue.core.api_task import TaskStatus
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.task import Target
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.file_task_list import FileTaskList
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.documented import EXAMPLES, assert_as_documented
from tests.support.values import a_task

CREATE = EXAMPLES["create_task"]["request"]
ONCE = {"task_name": "once", "task_type": "one_time", "next_execution_time": "2024-01-08T15:00:00Z"}


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


@pytest.fixture
async def from_file(caller: ApiCaller) -> str:
    """The id of a task type of tasks.yaml, as a leader has put it in force and into the lists."""
    services, token = caller.services, "t:1"
    target = Target(endpoint="https://api.example.com/{user_id}", headers={"Authorization": "Bearer ${env:KEY}"})
    tasks = {"daily_report": a_task(id="daily_report", name="Daily Report", target=target)}
    await services.store.command("SET", keys.LEASE, token)
    await CatalogStore(services.store, services.scripts).write(token, tasks, "1")
    await FileTaskList(services.store, services.scripts).write(token, tasks, frozenset(), caller.clock.now)
    return "daily_report"


async def end(caller: ApiCaller, task_id: str, status: TaskStatus) -> None:
    """Let a one_time task be over, as the script does that ends its job."""
    record = keys.api_task(task_id)
    before = keys.api_index("status:scheduled")
    await caller.services.store.command("HSET", record, "status", status.value, "next_at", "")
    await caller.services.store.command("ZREM", before, task_id)
    await caller.services.store.command("ZREM", keys.API_DUE, task_id)


async def test_a_task_is_paused_and_resumed_as_documented(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    paused = await caller.post(f"/tasks/{task_id}/pause")
    caller.clock.set("2024-01-08T10:05:00Z")
    resumed = await caller.post(f"/tasks/{task_id}/resume")

    assert paused == EXAMPLES["pause_task"]["response"] | {"task_id": task_id}
    assert resumed == EXAMPLES["resume_task"]["response"] | {"task_id": task_id}


async def test_a_paused_task_is_not_due(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    due = ["ZSCORE", keys.API_DUE, task_id]

    assert await caller.services.store.command(*due) is not None
    await caller.post(f"/tasks/{task_id}/pause")
    assert await caller.services.store.command(*due) is None
    assert (await caller.task(task_id))["next_execution_time"] is None
    await caller.post(f"/tasks/{task_id}/resume")
    assert await caller.services.store.command(*due) is not None


async def test_pausing_twice_keeps_the_first_instant(caller: ApiCaller) -> None:
    task_id = await caller.create()
    first = await caller.post(f"/tasks/{task_id}/pause")
    caller.clock.turn(timedelta(minutes=1))

    assert await caller.post(f"/tasks/{task_id}/pause") == first


async def test_resuming_a_task_that_is_on_changes_nothing(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    before = await caller.task(task_id)

    resumed = await caller.post(f"/tasks/{task_id}/resume")

    assert resumed["next_execution_time"] == before["next_execution_time"]
    assert await caller.task(task_id) == before


async def test_what_passed_while_a_task_was_paused_is_left_out(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    await caller.post(f"/tasks/{task_id}/pause")
    caller.clock.turn(timedelta(days=3))

    resumed = await caller.post(f"/tasks/{task_id}/resume")

    assert resumed["next_execution_time"] == "2024-01-12T05:00:00Z"


async def test_a_one_time_task_is_made_up_for(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", ONCE, 201))["task_id"]
    await caller.post(f"/tasks/{task_id}/pause")
    caller.clock.turn(timedelta(days=3))

    resumed = await caller.post(f"/tasks/{task_id}/resume")

    assert resumed["next_execution_time"] == ONCE["next_execution_time"]
    due = await caller.services.store.command("ZSCORE", keys.API_DUE, task_id)
    assert float(due) < to_unix_ms(caller.clock.now)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED])
async def test_a_task_that_is_over_is_neither_paused_nor_resumed_but_runs_again_at_another_instant(
    caller: ApiCaller, status: TaskStatus
) -> None:
    task_id = (await caller.post("/tasks", ONCE, 201))["task_id"]
    await end(caller, task_id, status)

    for word in ("pause", "resume"):
        assert (await caller.post(f"/tasks/{task_id}/{word}", status=409))["code"] == "task_over"
    assert (await caller.patch(f"/tasks/{task_id}", {"enabled": False}, 409))["code"] == "task_over"
    await caller.patch(f"/tasks/{task_id}", {"task_name": "other", "timezone": "Europe/Berlin"})
    assert (await caller.task(task_id))["status"] == status
    await caller.patch(f"/tasks/{task_id}", {"next_execution_time": "2024-02-01T00:00:00Z"})
    task = await caller.task(task_id)
    assert (task["status"], task["next_execution_time"]) == ("scheduled", "2024-02-01T00:00:00Z")


async def test_a_task_is_triggered_as_documented(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    triggered = await caller.post(f"/tasks/{task_id}/trigger", status=202)

    assert_as_documented(triggered, "trigger_task")
    assert (triggered["task_id"], triggered["status"]) == (task_id, "queued")
    assert await caller.services.store.command("ZSCORE", keys.DELAYED, triggered["execution_id"]) is not None


async def test_each_trigger_is_a_run_but_a_request_that_is_sent_again_is_the_same(caller: ApiCaller) -> None:
    task_id = await caller.create()
    path = f"/tasks/{task_id}/trigger"

    runs = [(await caller.post(path, {}, 202))["execution_id"] for _ in range(2)]
    first = await caller.post(path, status=202, idempotency_key="k")
    await caller.lose_answer("k")
    again = await caller.post(path, status=202, idempotency_key="k")

    assert len({*runs, first["execution_id"]}) == 3
    assert again == first


async def test_a_key_that_is_used_every_day_is_a_run_every_day(caller: ApiCaller) -> None:
    path = f"/tasks/{await caller.create()}/trigger"
    executions = set()
    for _ in range(3):
        executions.add((await caller.post(path, status=202, idempotency_key="nightly"))["execution_id"])
        await caller.let_key_lapse("nightly")

    assert len(executions) == 3
    assert [await caller.services.store.command("ZSCORE", keys.DELAYED, each) for each in executions].count(None) == 0


async def test_a_paused_task_is_not_triggered(caller: ApiCaller) -> None:
    task_id = await caller.create(enabled=False)

    assert (await caller.post(f"/tasks/{task_id}/trigger", status=409))["code"] == "paused"


async def test_a_task_of_the_api_runs_for_no_user(caller: ApiCaller) -> None:
    task_id = await caller.create()

    assert pointers(await caller.post(f"/tasks/{task_id}/trigger", {"user_ids": ["u"]}, 422)) == ["/user_ids"]
    assert pointers(await caller.post(f"/tasks/{task_id}/trigger", {"x": 1}, 422)) == ["/x"]


# --- task types of tasks.yaml -----------------------------------------------------------------------------------------


async def test_a_task_type_stands_beside_the_tasks(caller: ApiCaller, from_file: str) -> None:
    task_id = await caller.create()

    rows = (await caller.get("/tasks"))["tasks"]
    task = await caller.task(from_file)

    assert {(row["task_id"], row["source"]) for row in rows} == {(task_id, "api"), (from_file, "file")}
    assert {"task_name": "Daily Report", "status": "scheduled", "source": "file"}.items() <= task.items()
    assert task["next_execution_time"] is not None
    assert task["config"]["headers"] == {"Authorization": "***"}
    assert {row["task_id"]: row["next_execution_time"] for row in rows}[from_file] == task["next_execution_time"]


async def test_a_task_type_is_changed_in_its_file_alone(caller: ApiCaller, from_file: str) -> None:
    before = await caller.task(from_file)
    changes: list[Any] = [{"task_name": "x"}, {"enabled": False}, {}]

    problems = [await caller.patch(f"/tasks/{from_file}", change, 409) for change in changes]
    problems.append(await caller.delete(f"/tasks/{from_file}", 409))
    answer = await caller.post("/tasks/bulk-delete", {"task_ids": [from_file]})

    assert {problem["code"] for problem in [*problems, *answer["errors"]]} == {"read_only"}
    assert "tasks.yaml" in problems[0]["detail"]
    assert await caller.task(from_file) == before


async def test_a_task_type_is_paused_and_resumed(caller: ApiCaller, from_file: str) -> None:
    before = await caller.task(from_file)

    paused = await caller.post(f"/tasks/{from_file}/pause")
    shown = await caller.task(from_file)
    refused = await caller.post(f"/tasks/{from_file}/trigger", {"user_ids": ["u"]}, 409)
    resumed = await caller.post(f"/tasks/{from_file}/resume")

    assert paused == {"task_id": from_file, "status": "paused", "paused_at": "2024-01-08T10:00:00Z"}
    assert (shown["status"], shown["enabled"], refused["code"]) == ("paused", False, "paused")
    assert resumed["next_execution_time"] == before["next_execution_time"]
    assert (await caller.task(from_file))["status"] == "scheduled"


async def test_a_task_type_runs_for_the_users_that_are_named(caller: ApiCaller, from_file: str) -> None:
    path = f"/tasks/{from_file}/trigger"

    triggered = await caller.post(path, {"user_ids": ["b", "a", "b", "é:*"]}, 202)

    assert len(set(triggered["execution_ids"])) == 3
    assert triggered["execution_id"] == triggered["execution_ids"][0]
    assert (triggered["status"], triggered["queued_at"]) == ("queued", "2024-01-08T10:00:00Z")
    again = await caller.post(path, {"user_ids": ["a"]}, 202, idempotency_key="k")
    assert again["execution_ids"][0] not in triggered["execution_ids"]


NOBODY = [
    (None, "/user_ids"),
    ({}, "/user_ids"),
    ({"user_ids": None}, "/user_ids"),
    ({"user_ids": []}, "/user_ids"),
    ({"user_ids": "u"}, "/user_ids"),
    ({"user_ids": [1]}, "/user_ids/0"),
    ({"user_ids": [""]}, "/user_ids/0"),
    ({"user_ids": ["u", "é" * 257]}, "/user_ids/1"),
    ({"user_ids": [str(number) for number in range(1001)]}, "/user_ids"),
]


async def test_a_task_type_runs_for_nobody_else(caller: ApiCaller, from_file: str) -> None:
    for body, pointer in NOBODY:
        assert pointers(await caller.post(f"/tasks/{from_file}/trigger", body, 422)) == [pointer]


async def test_a_task_type_has_no_dependencies(caller: ApiCaller, from_file: str) -> None:
    task_id = await caller.create()

    for child, parent in ((task_id, from_file), (from_file, task_id)):
        problem = await caller.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent}, 422)
        assert pointers(problem) == ["/depends_on_task_id"]
