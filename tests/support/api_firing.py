"""How tests of API tasks in Redis fire them, look them up and end their runs."""

from __future__ import annotations

from datetime import datetime

from taskqueue.core.api_run import due_run
from taskqueue.core.api_task import API_USER, TaskStatus
from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.core.task import Priority
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_runs import ApiRuns, Fired, Firing, QueuedRun
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.jobs import JobStore
from tests.support.api_values import NOON, numbered_id
from tests.support.claims import FIRST, KEPT
from tests.support.values import TEN_O_CLOCK, a_record

ONE = numbered_id(1)


def firing(known: ApiTaskRow, now: datetime = NOON) -> Firing:
    task, state = known
    assert state.next_at is not None
    return Firing.of(due_run(task, state.next_at, now), waited=state.status is TaskStatus.WAITING, now=now)


async def fire(runs: ApiRuns, token: str, *known: ApiTaskRow, now: datetime = NOON) -> list[Fired]:
    return await runs.fire(token, [firing(row, now) for row in known])


async def known(tasks: ApiTaskStore, task_id: str = ONE) -> ApiTaskRow:
    found = await tasks.get(task_id)
    assert found is not None
    return found


async def in_status(tasks: ApiTaskStore) -> dict[TaskStatus, int]:
    return {status: count for status, count in (await tasks.counts()).items() if count}


async def depend(dependencies: DependencyStore, child: str, on: str, kind: DependencyType) -> None:
    dependency = Dependency(dependency_id=f"{child}:{on}", task_id=child, on=on, type=kind, created_at=TEN_O_CLOCK)
    assert await dependencies.add(dependency) is None


def job_of(run: QueuedRun | str, task_id: str = ONE, attempt: int = 1) -> Job:
    job_id = run if isinstance(run, str) else run.execution_id
    return Job(
        id=job_id,
        task_type_id=task_id,
        user_id=API_USER,
        scheduled_at=NOON,
        execute_after=NOON,
        attempt=attempt,
        priority=Priority.NORMAL,
        payload=b"",
        created_at=NOON,
    )


async def end(jobs: JobStore, job: Job, status: Status = Status.SUCCESS) -> None:
    assert await jobs.finish(job, FIRST, a_record(job, status=status), called=True, kept=KEPT)
