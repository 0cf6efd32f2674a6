"""Tasks made through the API, run by a real scheduler and a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskqueue.core.api_task import ApiTask, TaskStatus, TaskType
from taskqueue.core.dependency import DependencyType
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Target as TaskTarget
from taskqueue.dev.target import Call, Target
from taskqueue.store import keys
from taskqueue.store.api_runs import QueuedRun
from taskqueue.store.cancellations import CancelOutcome
from tests.support.api_desk import WITHIN_S, ApiDesk, in_seconds, now_ms
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A desk beside a scheduler and a worker."""

    desk: ApiDesk
    system: System
    scheduler: Process
    worker: Process

    def calls(self, task: ApiTask) -> list[Call]:
        """Return the calls of a task so far."""
        return self.system.calls(task=task.task_id)

    async def called(self, task: ApiTask) -> None:
        """Wait until the task is called for the first time."""

        async def has_call() -> bool:
            return len(self.calls(task)) > 0

        await eventually(has_call, WITHIN_S)


@pytest.fixture(scope="module")
async def api(shared_system: System) -> AsyncIterator[Api]:
    async with ApiDesk(shared_system) as desk:
        shared_system.write_tasks()
        execution = {"execution": {"retry_delay": "100ms", "max_retry_delay": "100ms"}}
        scheduler, worker = await shared_system.scheduler_and_worker({**desk.guard(), **execution}, watch_failed=False)
        yield Api(desk=desk, system=shared_system, scheduler=scheduler, worker=worker)


async def queued(api: Api, task: ApiTask) -> str:
    """Trigger the task by hand; return the id of its execution."""
    run = await api.desk.runs.trigger(task, f"by hand {now_ms()}", now_ms())
    assert isinstance(run, QueuedRun)
    return run.execution_id


async def settled(api: Api, task: ApiTask) -> None:
    """Wait until nothing of the task is left in Redis that could still be released."""

    async def nothing_waits() -> bool:
        return not await api.system.redis.zcard("taskqueue:delayed")

    await eventually(nothing_waits, WITHIN_S)


# --- schedules --------------------------------------------------------------------------------------------------------


async def test_a_cron_task_that_is_due_runs_once_and_is_due_again_at_its_following_instant(api: Api) -> None:
    due = now_ms()
    task = await api.desk.make(due=due)

    record = await api.desk.ended(task)
    state = await api.desk.state(task)

    assert record["job_id"] == scheduled_job_id(task.task_id, "api", due)
    assert (record["task_type_id"], record["user_id"], record["attempt"]) == (task.task_id, "api", 1)
    assert await api.desk.executions(task) == [record["job_id"]] == [state.last_execution_id]
    assert await api.desk.counts(task) == {"total": 1, "success": 1, **today(n=1, s=1)}
    assert state.status is TaskStatus.SCHEDULED
    assert state.next_at == task.rule().next_after(due)
    assert state.last_at is not None
    assert state.last_at >= due
    assert len(api.calls(task)) == 1
    assert await api.system.redis.zcard(keys.durations(task.task_id)) == 1


def today(**counts: int) -> Mapping[str, int]:
    return {f"{datetime.now(UTC):%Y-%m-%d}:{mark}": count for mark, count in counts.items()}


async def test_the_call_carries_the_payload_as_it_was_given(api: Api) -> None:
    task = await api.desk.make(payload={"report": "täglich", "parts": [1, 2.5, None]})
    await api.desk.ended(task)
    (call,) = api.calls(task)
    assert call.body.decode() == '{"report":"täglich","parts":[1,2.5,null]}'
    assert (call.method, call.headers["content-type"]) == ("POST", "application/json")
    assert call.headers["x-taskqueue-user"] == "api"


async def test_a_task_that_was_to_run_once_does_so_however_late_and_is_completed(api: Api) -> None:
    task = await api.desk.once(at=now_ms() - timedelta(days=30))
    await api.desk.ended(task)
    state = await api.desk.reaches(task, TaskStatus.COMPLETED)
    assert state.next_at is None
    assert await api.system.redis.zscore(keys.API_DUE, task.task_id) is None


async def test_a_task_that_was_to_run_once_and_fails_for_good_is_failed_with_its_retries_counted(api: Api) -> None:
    task = await api.desk.once("/status/500", max_retries=2)
    record = await api.desk.ended(task, status="failed")
    state = await api.desk.reaches(task, TaskStatus.FAILED)
    assert (state.retry_count, record["attempt"]) == (2, 3)
    assert await api.desk.counts(task) == {"total": 1, "failed": 1, **today(n=1, f=1)}


async def test_a_task_that_runs_often_stays_scheduled_when_a_run_fails(api: Api) -> None:
    task = await api.desk.make("/status/400")
    await api.desk.ended(task, status="failed")
    assert (await api.desk.state(task)).status is TaskStatus.SCHEDULED


async def test_an_interval_is_due_again_after_its_value(api: Api) -> None:
    every = Every(kind=EveryKind.DAILY, value=1)
    due = now_ms()
    task = await api.desk.make(due=due, task_type=TaskType.INTERVAL, interval=every)
    await api.desk.ended(task)
    assert (await api.desk.state(task)).next_at == every.next_after(due)


async def test_of_several_missed_instants_the_latest_alone_is_made_up_for(api: Api) -> None:
    task = await api.desk.make(due=now_ms() - timedelta(hours=5), schedule_expression="0 * * * *")
    record = await api.desk.ended(task)
    latest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert record["job_id"] == scheduled_job_id(task.task_id, "api", latest)
    assert len(api.calls(task)) == 1


async def test_a_task_is_not_run_before_its_instant(api: Api) -> None:
    at = in_seconds(1.5)
    task = await api.desk.once(at=at)
    await api.desk.ended(task)
    (call,) = api.calls(task)
    assert at.timestamp() <= call.at <= at.timestamp() + 2


async def test_a_run_is_pending_until_a_worker_begins_it(api: Api) -> None:
    task = await api.desk.make("/block")
    await api.called(task)
    (job_id,) = await api.desk.executions(task)
    assert (await api.system.execution(job_id))["status"] == "pending"
    api.system.target.release()
    await api.desk.ended(task)


# --- triggers ---------------------------------------------------------------------------------------------------------


async def test_a_triggered_task_runs_at_once_and_stays_due_as_it_was(api: Api) -> None:
    due = in_seconds(3600)
    task = await api.desk.once(at=due)
    await queued(api, task)
    await api.desk.ended(task)
    state = await api.desk.state(task)
    assert (state.status, state.next_at) == (TaskStatus.SCHEDULED, due)


async def test_a_trigger_that_is_asked_for_again_is_the_same_run(api: Api) -> None:
    task = await api.desk.make(due=in_seconds(3600))
    runs = [await api.desk.runs.trigger(task, "the same", now_ms()) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
    await api.desk.ended(task)
    await settled(api, task)
    assert len(api.calls(task)) == 1


# --- pause and delete -------------------------------------------------------------------------------------------------


async def test_a_paused_task_does_not_run_and_leaves_out_what_it_missed_when_it_is_resumed(api: Api) -> None:
    task = await api.desk.make(due=in_seconds(1))
    await api.desk.tasks.set_paused(task.task_id, now_ms())
    other = await api.desk.once(at=in_seconds(2))
    await api.desk.ended(other)
    now = now_ms()
    await api.desk.tasks.resume(task.task_id, now)
    state = await api.desk.state(task)
    assert api.calls(task) == []
    assert (state.status, state.next_at) == (TaskStatus.SCHEDULED, task.rule().next_after(now))


async def test_a_job_that_was_queued_before_its_task_was_paused_is_skipped(api: Api) -> None:
    task = await api.desk.make(due=in_seconds(3600))
    assert isinstance(await api.desk.runs.trigger(task, "later", in_seconds(1.5)), QueuedRun)
    await api.desk.tasks.set_paused(task.task_id, now_ms())
    record = await api.desk.ended(task, status="skipped")
    assert record["reason"] == "task_disabled"
    assert api.calls(task) == []


async def test_a_task_that_is_to_run_once_and_was_paused_too_late_runs_when_it_is_resumed(api: Api) -> None:
    task = await api.desk.once()

    async def is_queued() -> bool:
        return (await api.desk.state(task)).next_at is None

    await eventually(is_queued, WITHIN_S)
    paused = await api.desk.tasks.set_paused(task.task_id, now_ms())
    if not isinstance(paused, str) and not (await api.desk.counts(task)).get("success"):
        await api.desk.ended(task, status="skipped")
        await api.desk.tasks.resume(task.task_id, now_ms())
    await api.desk.reaches(task, TaskStatus.COMPLETED)
    assert len(api.calls(task)) == 1


async def test_a_job_of_a_task_that_was_deleted_is_skipped(api: Api) -> None:
    task = await api.desk.make(due=in_seconds(3600))
    run = await api.desk.runs.trigger(task, "later", in_seconds(1.5))
    assert isinstance(run, QueuedRun)
    await api.desk.tasks.delete(task.task_id)
    await api.worker.wait_for("job_skipped", job_id=run.execution_id, reason="task_removed")
    assert (await api.system.execution(run.execution_id))["status"] == "skipped"
    assert api.calls(task) == []


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_queued_run_is_cancelled_and_its_task_is_over(api: Api) -> None:
    task = await api.desk.once(at=in_seconds(3600))
    run = await api.desk.runs.trigger(task, "later", in_seconds(30))
    assert isinstance(run, QueuedRun)
    answer = await api.desk.cancellations.cancel(run.execution_id)
    assert answer.outcome is CancelOutcome.CANCELLED
    await api.desk.ended(task, status="cancelled")
    state = await api.desk.state(task)
    # Its own instant is still to come.
    assert state.status is TaskStatus.SCHEDULED
    assert api.calls(task) == []


async def test_a_running_run_is_cut_and_counts_as_cancelled(api: Api) -> None:
    task = await api.desk.once("/hang")
    await api.called(task)
    (job_id,) = await api.desk.executions(task)
    answer = await api.desk.cancellations.cancel(job_id)
    assert answer.outcome is CancelOutcome.RUNNING
    await api.desk.ended(task, status="cancelled")
    assert (await api.desk.reaches(task, TaskStatus.FAILED)).next_at is None
    assert await api.desk.counts(task) == {"total": 1, "cancelled": 1, **today(n=1)}


async def test_a_run_that_waits_for_its_next_attempt_is_cancelled_at_once(api: Api) -> None:
    # A host of its own: what asks for patience is left alone for as long.
    async with Target() as target:
        endpoint = f"{target.url}/status/503?retry_after=60"
        task = await api.desk.once(max_retries=3, target=TaskTarget(endpoint=endpoint))

        async def retries() -> bool:
            return (await api.desk.state(task)).retry_count == 1

        await eventually(retries, WITHIN_S)
        (job_id,) = await api.desk.executions(task)
        answer = await api.desk.cancellations.cancel(job_id)
        assert answer.outcome is CancelOutcome.CANCELLED
        await api.desk.ended(task, status="cancelled")
        assert len(target.calls) == 1


# --- dependencies -----------------------------------------------------------------------------------------------------


async def pair(api: Api, kind: DependencyType, **parent: Any) -> tuple[ApiTask, ApiTask]:
    """Return a task, due in an hour, and one that is due now and waits for it."""
    first = await api.desk.make(due=in_seconds(3600), **parent)
    then = await api.desk.make(due=in_seconds(0.5))
    await api.desk.depend(then, first, kind)
    await api.desk.reaches(then, TaskStatus.WAITING)
    return first, then


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (DependencyType.SUCCESS, "/ok"),
        (DependencyType.COMPLETION, "/ok"),
        (DependencyType.COMPLETION, "/status/400"),
        (DependencyType.ANY, "/status/400"),
    ],
)
async def test_a_task_waits_until_the_one_that_it_depends_on_has_ended_so(
    api: Api, kind: DependencyType, path: str
) -> None:
    first, then = await pair(api, kind, path=path)
    assert api.calls(then) == []
    await queued(api, first)
    await api.desk.ended(then)
    assert (await api.desk.state(then)).status is TaskStatus.SCHEDULED
    assert api.calls(first)[0].at <= api.calls(then)[0].at


async def test_a_task_goes_on_waiting_for_a_success_after_a_failure(api: Api) -> None:
    first, then = await pair(api, DependencyType.SUCCESS, path="/status/400")
    await queued(api, first)
    await api.desk.ended(first, status="failed")

    async def looked_at_again() -> bool:
        return await api.system.redis.zscore(keys.API_WAITING, then.task_id) is not None

    await eventually(looked_at_again, WITHIN_S)
    assert (await api.desk.state(then)).status is TaskStatus.WAITING
    assert api.calls(then) == []


async def test_any_end_will_do_for_any_and_a_cancelled_run_is_one(api: Api) -> None:
    first, then = await pair(api, DependencyType.ANY)
    run = await api.desk.runs.trigger(first, "later", in_seconds(30))
    assert isinstance(run, QueuedRun)
    await api.desk.cancellations.cancel(run.execution_id)
    await api.desk.ended(then)


async def test_a_task_runs_once_its_last_dependency_is_removed(api: Api) -> None:
    first = await api.desk.make(due=in_seconds(3600))
    then = await api.desk.make(due=in_seconds(0.5))
    dependency = await api.desk.depend(then, first, DependencyType.SUCCESS)
    await api.desk.reaches(then, TaskStatus.WAITING)
    await api.desk.dependencies.remove(then.task_id, dependency, now_ms())
    await api.desk.ended(then)


async def test_a_task_waits_for_an_end_that_came_after_its_own_previous_run(api: Api) -> None:
    first, then = await pair(api, DependencyType.SUCCESS)
    await queued(api, first)
    await api.desk.ended(then)
    # It is due again, and the other one has not run since.
    known = await api.desk.tasks.get(then.task_id)
    assert known is not None
    await api.system.redis.hset(keys.api_task(then.task_id), "next_at", to_unix_ms(now_ms()))
    await api.system.redis.zadd(keys.API_DUE, {then.task_id: to_unix_ms(now_ms())})
    await api.desk.reaches(then, TaskStatus.WAITING)
    await queued(api, first)
    await api.desk.ended(then, 2)


async def test_a_task_that_is_paused_while_it_waits_waits_no_more(api: Api) -> None:
    first, then = await pair(api, DependencyType.SUCCESS)
    await api.desk.tasks.set_paused(then.task_id, now_ms())
    await queued(api, first)
    await api.desk.ended(first)
    assert (await api.desk.state(then)).status is TaskStatus.PAUSED
    assert api.calls(then) == []


# --- many -------------------------------------------------------------------------------------------------------------


async def test_many_tasks_that_are_due_in_the_same_second_all_run_once(api: Api) -> None:
    at = in_seconds(1)
    tasks = await asyncio.gather(*(api.desk.once(at=at) for _ in range(100)))

    async def all_over() -> bool:
        return all([(await api.desk.state(task)).status is TaskStatus.COMPLETED for task in tasks])

    await eventually(all_over, WITHIN_S)
    assert {len(api.calls(task)) for task in tasks} == {1}


async def test_no_loop_of_the_scheduler_has_failed(api: Api) -> None:
    assert api.scheduler.events("loop_failed") == []
