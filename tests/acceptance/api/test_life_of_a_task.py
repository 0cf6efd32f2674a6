"""A task from its creation to what is told of its runs, each through RabbitMQ and a worker."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from taskqueue.core.instants import parse_rfc3339
from tests.support.api_system import ApiSystem, Client, in_seconds
from tests.support.system import new_users

pytestmark = pytest.mark.timeout(120)


async def test_a_cron_task_runs_at_its_minute_and_stays_scheduled(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(
        task_type="cron", schedule_expression="* * * * *", priority="high", payload={"n": 1}, **running.target()
    )
    due = parse_rfc3339((await api.task(task_id))["next_execution_time"])

    (execution,) = await api.executions_are(task_id, "success", within=75)
    task = await api.task(task_id)
    stats = await api.get(f"/tasks/{task_id}/stats")
    await api.delete(f"/tasks/{task_id}")

    (call,) = running.system.calls(task=task_id)
    assert json.loads(call.body) == {"n": 1}
    assert parse_rfc3339(call.headers["x-taskqueue-scheduled-at"]) == due
    assert timedelta() <= parse_rfc3339(execution["started_at"]) - due < timedelta(seconds=3)
    assert task["status"] == "scheduled"
    assert parse_rfc3339(task["next_execution_time"]) == due + timedelta(minutes=1)
    assert parse_rfc3339(task["last_execution_time"]) >= due
    assert (stats["total_executions"], stats["last_7_days"]) == (1, {"executions": 1, "success_rate": 1.0})


async def test_a_task_that_is_to_run_once_is_completed_when_it_has_run(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(task_type="one_time", next_execution_time=in_seconds(2), **running.target())

    task = await api.task_is(task_id, status="completed")
    (execution,) = await api.executions(task_id)

    assert execution["status"] == "success"
    assert (task["next_execution_time"], task["enabled"]) == (None, True)
    assert running.target_calls(task_id) == 1
    assert [row["task_id"] for row in (await api.get("/tasks", status="completed"))["tasks"]].count(task_id) == 1


async def test_a_task_that_is_to_run_once_is_failed_when_it_has_failed_for_good(
    api: Client, running: ApiSystem
) -> None:
    task_id = await api.create(
        task_type="one_time", next_execution_time=in_seconds(1), max_retries=2, **running.target("/status/500")
    )

    task = await api.task_is(task_id, status="failed")
    (row,) = await api.executions(task_id)
    execution = await api.execution(row["execution_id"])
    stats = await api.get(f"/tasks/{task_id}/stats")

    assert task["retry_count"] == 2
    assert (execution["status"], execution["retry_number"], execution["is_retry"]) == ("failed", 2, True)
    assert [attempt["http_status"] for attempt in execution["attempts"]] == [500, 500, 500]
    assert execution["error"]["code"] == "http_500"
    assert (stats["total_executions"], stats["failed_executions"], stats["success_rate"]) == (1, 1, 0.0)
    assert running.target_calls(task_id) == 3


async def test_an_execution_that_succeeds_after_retries_counts_as_one_from_its_first_attempt(
    api: Client, running: ApiSystem
) -> None:
    task_id = await api.create(max_retries=3, **running.target("/fail/2"))

    execution = await api.run_once(task_id)
    stats = await api.get(f"/tasks/{task_id}/stats")

    first, *_ = execution["attempts"]
    assert (execution["status"], execution["retry_number"], len(execution["attempts"])) == ("success", 2, 3)
    assert execution["started_at"] == first["started_at"]
    took = parse_rfc3339(execution["completed_at"]) - parse_rfc3339(execution["started_at"])
    assert abs(took / timedelta(milliseconds=1) - execution["duration_ms"]) <= 1
    assert (stats["total_executions"], stats["success_rate"]) == (1, 1.0)
    assert (await api.task(task_id))["retry_count"] == 2


async def test_a_call_ends_at_the_timeout_of_its_task(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(max_retries=0, timeout_seconds=1, **running.target("/slow/30000"))

    execution = await api.run_once(task_id)

    assert (execution["status"], execution["error"]["code"]) == ("failed", "timeout")
    assert 950 <= execution["duration_ms"] < 3000  # the clocks of call and record may differ by some milliseconds


async def test_a_change_counts_from_the_next_run_on(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(payload={"version": 1}, **running.target())
    await api.run_once(task_id)

    changed = await api.patch(f"/tasks/{task_id}", {"payload": {"version": 2}, "max_retries": 3})
    await api.run_once(task_id)

    assert changed["updated_fields"] == ["payload"]
    assert [json.loads(call.body) for call in running.system.calls(task=task_id)] == [{"version": 1}, {"version": 2}]


async def test_a_paused_task_is_not_run_and_makes_up_for_its_only_run_when_resumed(
    api: Client, running: ApiSystem
) -> None:
    paused = await api.create(task_type="one_time", next_execution_time=in_seconds(2), **running.target())
    other = await api.create(task_type="one_time", next_execution_time=in_seconds(3), **running.target())
    await api.post(f"/tasks/{paused}/pause")

    await api.task_is(other, status="completed")
    calls_while_paused = running.target_calls(paused)
    await api.post(f"/tasks/{paused}/resume")
    await api.task_is(paused, status="completed")

    assert (calls_while_paused, running.target_calls(paused)) == (0, 1)


async def test_a_deleted_task_is_not_run_and_what_ran_can_still_be_read(api: Client, running: ApiSystem) -> None:
    deleted = await api.create(task_type="one_time", next_execution_time=in_seconds(3), **running.target())
    ran = await api.run_once(deleted)
    other = await api.create(task_type="one_time", next_execution_time=in_seconds(4), **running.target())

    await api.delete(f"/tasks/{deleted}")
    await api.task_is(other, status="completed")

    assert running.target_calls(deleted) == 1
    assert (await api.execution(ran["execution_id"]))["status"] == "success"
    assert (await api.get(f"/tasks/{deleted}/executions"))["total"] == 1
    assert (await api.get(f"/tasks/{deleted}/stats"))["total_executions"] == 1
    await api.get(f"/tasks/{deleted}", 404)
    await api.get(f"/tasks/{deleted}/dependencies", 404)


async def test_a_task_waits_for_the_one_that_it_depends_on(api: Client, running: ApiSystem) -> None:
    parent = await api.create(max_retries=0, **running.target("/status/500"))
    child = await api.create(task_type="one_time", next_execution_time=in_seconds(2), **running.target())
    await api.post(f"/tasks/{child}/dependencies", {"depends_on_task_id": parent, "dependency_type": "success"}, 201)

    await api.task_is(child, status="waiting")
    failed = await api.run_once(parent)
    still_waiting = await api.task(child)
    await api.patch(f"/tasks/{parent}", running.target())
    await api.run_once(parent)
    await api.task_is(child, status="completed")

    assert failed["status"] == "failed"
    assert still_waiting["status"] == "waiting"
    assert running.target_calls(child) == 1


async def test_a_task_others_depend_on_stays_until_they_do_not(api: Client) -> None:
    parent, child = await api.create(task_name="parent"), await api.create(task_name="child")
    path = f"/tasks/{child}/dependencies"
    added = await api.post(path, {"depends_on_task_id": parent, "dependency_type": "any"}, 201)

    cycle = await api.post(f"/tasks/{parent}/dependencies", {"depends_on_task_id": child}, 409)
    refused = (await api.ask("DELETE", f"/tasks/{parent}", 409)).json()
    await api.delete(f"{path}/{added['dependency_id']}")
    await api.delete(f"/tasks/{parent}")

    assert parent in json.dumps(cycle)
    assert (refused["code"], refused["dependents"]) == ("has_dependents", [{"task_id": child, "task_name": "child"}])


async def test_a_waiting_retry_is_cancelled_and_no_other_call_follows(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(max_retries=9, **running.target("/status/500?retry_after=30"))
    execution_id = await api.trigger(task_id)
    await api.execution_is(execution_id, "retrying")

    await api.post(f"/executions/{execution_id}/cancel")
    again = await api.post(f"/executions/{execution_id}/cancel", status=409)

    assert (await api.execution(execution_id))["status"] == "cancelled"
    assert "cancelled" in again["detail"]
    assert running.target_calls(task_id) == 1


async def test_an_execution_that_has_ended_cannot_be_cancelled(api: Client) -> None:
    execution = await api.run_once(await api.create())

    await api.post(f"/executions/{execution['execution_id']}/cancel", status=409)

    assert (await api.execution(execution["execution_id"]))["status"] == "success"


async def test_a_request_with_the_same_key_is_done_once(api: Client, running: ApiSystem) -> None:
    task_id = await api.create(**running.target())
    path = f"/api/v1/tasks/{task_id}/trigger"

    answers = [await api.http.post(path, headers={"Idempotency-Key": "tonight"}) for _ in range(3)]
    await api.execution_is(answers[0].json()["execution_id"])

    assert [each.status_code for each in answers] == [202] * 3
    assert len({each.content for each in answers}) == 1
    assert [each.headers.get("idempotent-replayed") for each in answers] == [None, "true", "true"]
    assert (await api.get(f"/tasks/{task_id}/executions"))["total"] == 1
    assert running.target_calls(task_id) == 1


async def test_a_task_type_of_the_file_is_triggered_for_users_and_changed_in_the_file_alone(
    api: Client, running: ApiSystem
) -> None:
    users = new_users(2)
    await running.system.enable("nightly_cleanup", *users)

    listed = (await api.get("/tasks", name="Nightly cleanup"))["tasks"]
    triggered = await api.post("/tasks/nightly_cleanup/trigger", {"user_ids": users}, 202)
    ended = [await api.execution_is(execution_id) for execution_id in triggered["execution_ids"]]
    refused = await api.patch("/tasks/nightly_cleanup", {"priority": "low"}, 409)

    assert [(task["task_id"], task["source"]) for task in listed] == [("nightly_cleanup", "file")]
    assert [each["status"] for each in ended] == ["success", "success"]
    called = running.system.calls(task="nightly_cleanup")
    assert sorted(call.headers["x-taskqueue-user"] for call in called) == sorted(users)
    assert "tasks.yaml" in refused["detail"]


async def test_a_task_type_of_the_file_that_is_paused_is_not_triggered(api: Client, running: ApiSystem) -> None:
    (user,) = new_users(1)
    await running.system.enable("nightly_cleanup", user)
    body = {"user_ids": [user]}

    paused = await api.post("/tasks/nightly_cleanup/pause")
    refused = await api.post("/tasks/nightly_cleanup/trigger", body, 409)
    resumed = await api.post("/tasks/nightly_cleanup/resume")
    triggered = await api.post("/tasks/nightly_cleanup/trigger", body, 202)
    ended = await api.execution_is(triggered["execution_ids"][0])

    assert (paused["status"], refused["code"], resumed["status"]) == ("paused", "paused", "scheduled")
    assert ended["status"] == "success"
    assert len(running.system.calls(user=user)) == 1
