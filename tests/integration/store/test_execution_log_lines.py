"""Log lines that somebody appends to an execution."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.log_line import Level, LogLine
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_executions import ApiExecutions
from taskqueue.store.api_runs import QueuedRun
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.jobs import EXECUTION_KEPT, JobStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import a_new_task
from tests.support.claims import FIRST, due_job, terms
from tests.support.queued_runs import queue


@pytest.fixture
def executions(store: RedisStore, scripts: Scripts) -> ApiExecutions:
    return ApiExecutions(store, scripts)


@pytest.fixture
def now() -> datetime:
    return from_unix_ms(to_unix_ms(datetime.now(UTC)))


@pytest.fixture
async def queued(store: RedisStore, scripts: Scripts) -> QueuedRun:
    """A run of an API task that nobody has taken yet."""
    task, state = a_new_task()
    assert await ApiTaskStore(store, scripts).create(task, state)
    return await queue(store, scripts, task.task_id)


def lines(*messages: str, at: datetime) -> list[LogLine]:
    return [LogLine(timestamp=at, level=Level.INFO, message=message) for message in messages]


async def test_lines_are_appended_to_the_log_of_a_run_that_is_known(
    executions: ApiExecutions, store: RedisStore, queued: QueuedRun, now: datetime
) -> None:
    assert await executions.append(queued.execution_id, lines("one", "two", at=now))
    assert await executions.append(queued.execution_id, lines("three", at=now))

    log = await ExecutionStore(store).logs(queued.execution_id)
    assert [line.message for line in log] == ["one", "two", "three"]
    left = timedelta(milliseconds=await store.command("PTTL", keys.execution_logs(queued.execution_id)))
    assert EXECUTION_KEPT - timedelta(minutes=1) < left <= EXECUTION_KEPT


async def test_lines_are_appended_while_a_planned_job_makes_its_first_attempt(
    executions: ApiExecutions, jobs: JobStore, now: datetime
) -> None:
    job = due_job()
    await jobs.admit(job, FIRST, terms())

    assert await executions.append(job.id, lines("from within", at=now))


async def test_nothing_is_written_for_an_execution_that_nobody_knows(
    executions: ApiExecutions, store: RedisStore, now: datetime
) -> None:
    assert not await executions.append("unknown", lines("one", at=now))
    assert await store.command("KEYS", "*") == []


async def test_of_a_long_log_the_latest_lines_are_kept(
    executions: ApiExecutions, store: RedisStore, queued: QueuedRun, now: datetime
) -> None:
    for start in range(0, 300, 100):
        await executions.append(queued.execution_id, lines(*map(str, range(start, start + 100)), at=now))
    log = await ExecutionStore(store).logs(queued.execution_id)
    assert [line.message for line in log] == [str(number) for number in range(100, 300)]

    await executions.append(queued.execution_id, lines(*("x" * 2000 for _ in range(100)), at=now))
    kept = await store.command("LRANGE", keys.execution_logs(queued.execution_id), 0, -1)
    assert 60_000 < sum(map(len, kept)) <= 65_536


async def test_a_log_of_another_type_is_told_by_its_name(
    executions: ApiExecutions, store: RedisStore, queued: QueuedRun, now: datetime
) -> None:
    await store.command("SET", keys.execution_logs(queued.execution_id), "text")

    with pytest.raises(DamagedKeyError, match="logs"):
        await executions.append(queued.execution_id, lines("one", at=now))
