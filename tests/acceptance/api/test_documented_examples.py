"""Each example of the API's document: its request is taken, and the answer has its status, its fields and its meaning.

Every figure comes from jobs that went through RabbitMQ and a worker.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from taskqueue.core.instants import parse_rfc3339
from tests.support.api_system import REPORT, ApiSystem, Client, in_seconds
from tests.support.documented import EXAMPLES, assert_as_documented
from tests.support.inbox import eventually

pytestmark = pytest.mark.timeout(120)

NEW_YORK = ZoneInfo("America/New_York")

#: how far the clocks of one machine may be apart, and how long a request may take
SOON = timedelta(seconds=10)

#: fields of a task that the document does not show
MORE_OF_A_TASK = ("interval", "tags", "config", "source")


def request_of(name: str, **changes: object) -> dict[str, Any]:
    return {**EXAMPLES[name]["request"], **changes}


async def example_task(api: Client, **changes: object) -> dict[str, Any]:
    return await api.post("/tasks", request_of("create_task", **changes), EXAMPLES["create_task"]["status"])


def next_in_new_york(hour: int, after: datetime) -> datetime:
    """Return the first instant after `after` at which clocks in New York show this hour; none of them is skipped."""
    day = after.astimezone(NEW_YORK).date()
    instants = (datetime.combine(day + timedelta(days=n), time(hour), NEW_YORK) for n in range(3))
    return next(instant for each in instants if (instant := each.astimezone(UTC)) > after)


def is_now(text: str) -> bool:
    return abs(parse_rfc3339(text) - datetime.now(UTC)) < SOON


async def test_create_task(api: Client) -> None:
    before = datetime.now(UTC)

    created = await example_task(api)

    assert_as_documented(created, "create_task")
    assert created["task_name"] == "daily_report_generation"
    assert created["status"] == "scheduled"
    assert parse_rfc3339(created["next_execution_time"]) == next_in_new_york(0, before)
    assert is_now(created["created_at"])


async def test_get_task(api: Client) -> None:
    created = await example_task(api)
    execution = await api.run_once(created["task_id"])

    task = await api.get(f"/tasks/{created['task_id']}")

    assert_as_documented(task, "get_task", more=MORE_OF_A_TASK)
    sent = request_of("create_task")
    assert {key: task[key] for key in sent} == sent
    assert {key: task[key] for key in created} == created
    assert (task["enabled"], task["retry_count"]) == (True, 0)
    ran_at = parse_rfc3339(task["last_execution_time"])
    assert parse_rfc3339(task["created_at"]) <= ran_at <= parse_rfc3339(execution["started_at"])
    assert task["config"]["endpoint"].endswith("/tasks/daily_report_generation")


async def test_list_tasks(api: Client) -> None:
    path = EXAMPLES["list_tasks"]["path"].removeprefix("/api/v1")
    before = (await api.get(path))["total"]
    created = await example_task(api)
    await example_task(api, priority="low")

    page = await api.get(path)

    assert_as_documented(page, "list_tasks")
    assert (page["total"], page["limit"], page["offset"]) == (before + 1, 20, 0)
    newest = page["tasks"][0]
    shown = EXAMPLES["list_tasks"]["response"]["tasks"][0]
    assert {key: newest[key] for key in shown} == {key: created[key] for key in shown}
    assert {(task["status"], task["priority"]) for task in page["tasks"]} == {("scheduled", "high")}


async def test_update_task(api: Client) -> None:
    created = await example_task(api)
    before = datetime.now(UTC)

    updated = await api.patch(f"/tasks/{created['task_id']}", request_of("update_task"))

    assert_as_documented(updated, "update_task")
    assert updated["updated_fields"] == EXAMPLES["update_task"]["response"]["updated_fields"]
    assert parse_rfc3339(updated["next_execution_time"]) == next_in_new_york(2, before)
    assert is_now(updated["updated_at"])
    task = await api.task(created["task_id"])
    sent = request_of("update_task")
    assert {key: task[key] for key in sent} == sent
    assert {key: task[key] for key in ("next_execution_time", "updated_at")} == {
        key: updated[key] for key in ("next_execution_time", "updated_at")
    }


async def test_delete_task(api: Client) -> None:
    created = await example_task(api)

    await api.delete(f"/tasks/{created['task_id']}", EXAMPLES["delete_task"]["status"])

    await api.get(f"/tasks/{created['task_id']}", 404)


async def test_pause_and_resume_task(api: Client) -> None:
    created = await example_task(api)
    path = f"/tasks/{created['task_id']}"

    paused = await api.post(f"{path}/pause")
    while_paused = await api.get(path)
    resumed = await api.post(f"{path}/resume")

    assert_as_documented(paused, "pause_task")
    assert (paused["task_id"], paused["status"]) == (created["task_id"], "paused")
    assert is_now(paused["paused_at"])
    assert (while_paused["status"], while_paused["enabled"]) == ("paused", False)
    assert_as_documented(resumed, "resume_task")
    assert (resumed["task_id"], resumed["status"]) == (created["task_id"], "scheduled")
    assert resumed["next_execution_time"] == created["next_execution_time"]
    assert is_now(resumed["resumed_at"])
    assert (await api.get(path))["enabled"] is True


async def test_trigger_task_immediately(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(payload={"report_type": "daily"}, **running.target())

    triggered = await api.post(f"/tasks/{task_id}/trigger", status=EXAMPLES["trigger_task"]["status"])

    assert_as_documented(triggered, "trigger_task")
    assert (triggered["task_id"], triggered["status"]) == (task_id, "queued")
    assert is_now(triggered["queued_at"])
    ended = await api.execution_is(triggered["execution_id"])
    assert ended["status"] == "success"
    (call,) = running.system.calls(task=task_id)
    assert call.headers["idempotency-key"] == triggered["execution_id"]
    assert call.body == b'{"report_type":"daily"}'


async def test_get_task_executions(api: Client) -> None:
    task_id = await api.create()
    ended = [await api.run_once(task_id) for _ in range(3)]

    page = await api.get(f"/tasks/{task_id}/executions", limit=2)

    assert_as_documented(page, "get_executions", more=("limit", "offset"))
    assert page["total"] == 3
    assert [row["execution_id"] for row in page["executions"]] == [each["execution_id"] for each in ended[:0:-1]]
    shown = EXAMPLES["get_executions"]["response"]["executions"][0]
    assert [{key: row[key] for key in shown} for row in page["executions"]] == [
        {key: each[key] for key in shown} for each in ended[:0:-1]
    ]
    assert {(row["task_id"], row["worker_id"], row["status"], row["retry_number"]) for row in page["executions"]} == {
        (task_id, "worker-1", "success", 0)
    }


async def test_get_execution_details(api: Client, running: ApiSystem) -> None:
    task_id = await api.create()

    execution = await api.run_once(task_id)

    assert_as_documented(execution, "get_execution", more=tuple(set(execution) - _shown("get_execution")))
    assert (execution["task_id"], execution["worker_id"]) == (task_id, "worker-1")
    assert (execution["status"], execution["result"]) == ("success", REPORT)
    assert (execution["retry_number"], execution["is_retry"]) == (0, False)
    took = parse_rfc3339(execution["completed_at"]) - parse_rfc3339(execution["started_at"])
    assert abs(took / timedelta(milliseconds=1) - execution["duration_ms"]) <= 1
    settled = await running.worker.wait_for("job_settled", job_id=execution["execution_id"])
    assert settled["status"] == "success"


def _shown(name: str) -> set[str]:
    return set(EXAMPLES[name]["response"])


async def test_get_execution_logs(api: Client, running: ApiSystem) -> None:
    execution_id = await api.trigger(await api.create(**running.target("/block")))
    await _blocked(running)
    texts = [line["message"] for line in EXAMPLES["get_execution_logs"]["response"]["logs"]]

    for text in texts:
        await api.post(f"/executions/{execution_id}/logs", {"logs": [{"level": "INFO", "message": text}]}, 201)
    running.system.target.release()
    await api.execution_is(execution_id)
    answer = await api.get(f"/executions/{execution_id}/logs")

    assert_as_documented(answer, "get_execution_logs")
    assert answer["execution_id"] == execution_id
    assert [line["message"] for line in answer["logs"] if line["message"] in texts] == texts
    assert {line["level"] for line in answer["logs"]} == {"INFO"}
    assert [line["timestamp"] for line in answer["logs"]] == sorted(line["timestamp"] for line in answer["logs"])


async def test_cancel_running_task(api: Client, running: ApiSystem) -> None:
    execution_id = await api.trigger(await api.create(**running.target("/hang")))
    await api.execution_is(execution_id, "running")

    cancelled = await api.post(f"/executions/{execution_id}/cancel")

    assert_as_documented(cancelled, "cancel_execution")
    assert (cancelled["execution_id"], cancelled["status"]) == (execution_id, "cancelled")
    assert is_now(cancelled["cancelled_at"])
    assert (await api.execution_is(execution_id))["status"] == "cancelled"
    await running.worker.wait_for("job_settled", job_id=execution_id, status="cancelled")


async def test_dependencies(api: Client) -> None:
    parent = await api.create(task_name="data_processing")
    child = await api.create()
    path = f"/tasks/{child}/dependencies"

    added = await api.post(path, request_of("add_dependency", depends_on_task_id=parent), 201)
    listed = await api.get(path)
    await api.delete(f"{path}/{added['dependency_id']}", EXAMPLES["remove_dependency"]["status"])

    assert_as_documented(added, "add_dependency")
    assert (added["task_id"], added["depends_on_task_id"], added["dependency_type"]) == (child, parent, "success")
    assert_as_documented(listed, "list_dependencies")
    assert listed["dependencies"] == [
        {
            "dependency_id": added["dependency_id"],
            "depends_on_task_id": parent,
            "depends_on_task_name": "data_processing",
            "dependency_type": "success",
        }
    ]
    assert (await api.get(path))["dependencies"] == []


async def test_bulk_create_and_delete_tasks(api: Client) -> None:
    tasks = [
        {**task, "next_execution_time": in_seconds(3600 + number)}
        for number, task in enumerate(request_of("bulk_create")["tasks"])
    ]

    created = await api.post("/tasks/bulk", {"tasks": tasks}, EXAMPLES["bulk_create"]["status"])
    found = [await api.task(task_id) for task_id in created["task_ids"]]
    deleted = await api.post("/tasks/bulk-delete", {"task_ids": created["task_ids"]})

    assert_as_documented(created, "bulk_create")
    assert (created["created"], created["failed"]) == (2, 0)
    assert [task["task_name"] for task in found] == ["task1", "task2"]
    assert [task["next_execution_time"] for task in found] == [task["next_execution_time"] for task in tasks]
    assert_as_documented(deleted, "bulk_delete")
    assert (deleted["deleted"], deleted["failed"]) == (2, 0)
    for task_id in created["task_ids"]:
        await api.get(f"/tasks/{task_id}", 404)


async def test_get_system_status(api: Client, running: ApiSystem) -> None:
    named = {"scheduler": {"instance_id": "scheduler-2"}}
    follower = await running.system.scheduler(named)
    await follower.wait_ready()
    execution_id = await api.trigger(await api.create(**running.target("/block")))
    await _blocked(running)

    async def told() -> bool:
        status = await api.get("/status")
        return bool(status["scheduler"]["followers"]) and status["workers"]["current_load"] == 1

    await eventually(told)
    status = await api.get("/status")
    scheduled = (await api.get("/tasks", status="scheduled"))["total"]
    running.system.target.release()
    await api.execution_is(execution_id)
    assert await follower.terminate() == 0

    assert_as_documented(status, "get_status", more=tuple(set(status) - _shown("get_status")))
    assert status["status"] == "healthy"
    assert status["scheduler"] == {
        "leader": "scheduler-1",
        "followers": ["scheduler-2"],
        "tasks_scheduled": scheduled,
        "tasks_pending": 0,
    }
    assert status["workers"] == {"total": 1, "active": 1, "inactive": 0, "total_capacity": 10, "current_load": 1}
    assert status["queue"] == {"high_priority": 0, "medium_priority": 0, "low_priority": 0}


async def test_get_task_statistics(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(max_retries=0, **running.target())
    ended = [await api.run_once(task_id) for _ in range(9)]
    await api.patch(f"/tasks/{task_id}", running.target("/status/500"))
    ended.append(await api.run_once(task_id))

    stats = await api.get(f"/tasks/{task_id}/stats")

    assert_as_documented(stats, "get_task_stats")
    durations = sorted(each["duration_ms"] for each in ended)
    assert stats["task_id"] == task_id
    assert (stats["total_executions"], stats["successful_executions"], stats["failed_executions"]) == (10, 9, 1)
    assert stats["success_rate"] == pytest.approx(0.9)
    assert stats["average_duration_ms"] == pytest.approx(sum(durations) / len(durations), abs=1)
    percentiles = [stats[f"p{number}_duration_ms"] for number in (50, 95, 99)]
    assert durations[0] <= percentiles[0] <= percentiles[1] <= percentiles[2] <= durations[-1]
    assert stats["last_7_days"] == {"executions": 10, "success_rate": pytest.approx(0.9)}


async def test_get_worker_status(api: Client, running: ApiSystem) -> None:
    execution_id = await api.trigger(await api.create(**running.target("/block")))
    await _blocked(running)

    async def busy() -> bool:
        return bool((await api.get("/workers"))["workers"][0]["current_load"] == 1)

    await eventually(busy)
    page = await api.get("/workers")
    running.system.target.release()
    await api.execution_is(execution_id)

    assert_as_documented(page, "get_workers")
    assert page["total"] == 1
    (worker,) = page["workers"]
    assert set(worker) == set(EXAMPLES["get_workers"]["response"]["workers"][0])
    assert (worker["worker_id"], worker["status"]) == ("worker-1", "active")
    assert (worker["capacity"], worker["current_load"]) == (10, 1)
    (started,) = running.worker.events("process_started")
    uptime = datetime.now(UTC) - parse_rfc3339(started["ts"])
    assert abs(timedelta(seconds=worker["uptime_seconds"]) - uptime) < SOON
    assert is_now(worker["last_heartbeat"])


async def _blocked(running: ApiSystem) -> None:
    """Return once the target holds a call back."""

    async def blocked() -> bool:
        await asyncio.sleep(0)
        return running.system.target.blocked > 0

    await eventually(blocked, 15)
