"""The history and the log of an execution, written by the scripts that record it, and read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.attempt_record import AttemptRecord, Trail
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.job import Job
from taskqueue.core.log_line import Level, LogLine
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.jobs import EXECUTION_KEPT, JobStore
from tests.support.claims import FIRST, KEPT, due_job, terms
from tests.support.values import TEN_O_CLOCK, a_record, an_attempt

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]

UNAVAILABLE = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True)


@pytest.fixture
def executions(store: RedisStore) -> ExecutionStore:
    return ExecutionStore(store)


def a_line(message: str = "12 reports", **changes: datetime) -> LogLine:
    return LogLine(timestamp=changes.get("timestamp", TEN_O_CLOCK), level=Level.INFO, message=message)


def failed_attempt(job: Job, *lines: LogLine) -> ExecutionResult:
    started = TEN_O_CLOCK + timedelta(seconds=job.attempt)
    attempt = an_attempt(attempt=job.attempt, started_at=started, completed_at=started)
    return a_record(job, status=Status.RETRYING, error=UNAVAILABLE, trail=Trail(attempt=attempt, lines=lines))


async def retry(jobs: JobStore, job: Job, record: ExecutionResult) -> str:
    return await jobs.postpone(
        job, FIRST, next_attempt=job.attempt + 1, until=datetime.now(UTC), body=b"{}", record=record, kept=KEPT
    )


async def test_a_success_at_once_leaves_its_record_alone_and_its_attempt_is_told_from_that(
    jobs: JobStore, executions: ExecutionStore, store: RedisStore
) -> None:
    job = due_job()
    record = a_record(job)
    await jobs.admit(job, FIRST, terms())

    await jobs.finish(job, FIRST, record, called=True, kept=KEPT)

    assert await store.command("KEYS", "taskqueue:execution:*:*") == []
    assert await executions.attempts(job.id) == (
        AttemptRecord(
            attempt=1,
            started_at=record.started_at,
            completed_at=record.completed_at,
            outcome=OutcomeClass.SUCCESS,
            worker_id="worker-1",
        ),
    )


async def test_each_attempt_is_in_the_history_in_its_order(jobs: JobStore, executions: ExecutionStore) -> None:
    job = due_job()
    for attempt in (1, 2):
        record = failed_attempt(replace(job, attempt=attempt))
        assert await retry(jobs, replace(job, attempt=attempt), record) == "stored"
    last = replace(job, attempt=3)
    success = an_attempt(attempt=3, outcome=OutcomeClass.SUCCESS, http_status=200, code="", message="")
    await jobs.finish(last, FIRST, a_record(last, trail=Trail(attempt=success)), called=True, kept=KEPT)

    history = await executions.attempts(job.id)

    assert [(attempt.attempt, attempt.http_status) for attempt in history] == [(1, 503), (2, 503), (3, 200)]


async def test_an_attempt_told_again_after_a_lost_answer_is_kept_once(
    jobs: JobStore, executions: ExecutionStore, snapshot: Snapshot
) -> None:
    job = due_job()
    record = failed_attempt(job, a_line())
    await retry(jobs, job, record)
    assert await retry(jobs, job, record) == "stored"
    assert len(await executions.attempts(job.id)) == 1
    last = replace(job, attempt=2)
    await jobs.finish(last, FIRST, failed_attempt(last, a_line()), called=True, kept=KEPT)
    before = await snapshot()

    await jobs.finish(last, FIRST, failed_attempt(last, a_line()), called=True, kept=KEPT)

    assert await snapshot() == before


async def test_the_history_lives_as_long_as_the_record(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await retry(jobs, job, failed_attempt(job, a_line()))
    await jobs.finish(job, FIRST, failed_attempt(job, a_line()), called=True, kept=KEPT)

    for key in (keys.execution(job.id), keys.attempts(job.id), keys.execution_logs(job.id)):
        left = timedelta(milliseconds=await store.command("PTTL", key))
        assert EXECUTION_KEPT - timedelta(minutes=1) < left <= EXECUTION_KEPT


async def test_of_a_long_history_the_latest_fifty_attempts_are_kept(jobs: JobStore, executions: ExecutionStore) -> None:
    job = due_job()
    for number in range(1, 61):
        await retry(jobs, replace(job, attempt=number), failed_attempt(replace(job, attempt=number)))

    assert [attempt.attempt for attempt in await executions.attempts(job.id)] == list(range(11, 61))


@pytest.mark.parametrize("occurrence", [None, "20240115T100000Z"])
async def test_lines_that_the_endpoint_returned_stand_in_the_log_beside_the_workers_own(
    jobs: JobStore, executions: ExecutionStore, occurrence: str | None
) -> None:
    job = due_job()
    line = a_line(timestamp=TEN_O_CLOCK + timedelta(milliseconds=100))
    attempt = an_attempt(outcome=OutcomeClass.SUCCESS, http_status=200)
    record = a_record(job, trail=Trail(attempt=attempt, lines=(line,)))

    await jobs.finish(job, FIRST, record, called=True, kept=KEPT, occurrence=occurrence)

    assert [line.message for line in await executions.logs(job.id)] == [
        "attempt 1 began on worker-1",
        "12 reports",
        "answered 200 in 250 ms",
    ]


async def test_the_log_keeps_its_latest_lines_within_its_size(
    jobs: JobStore, executions: ExecutionStore, store: RedisStore
) -> None:
    job = due_job()
    for number in (1, 2, 3):
        lines = [a_line(f"{number}-{index}") for index in range(150)]
        await retry(jobs, replace(job, attempt=number), failed_attempt(replace(job, attempt=number), *lines))
    kept = (await executions.traces(job.id)).returned
    assert len(kept) == 200
    assert (kept[0].message, kept[-1].message) == ("2-100", "3-149")

    wide = [a_line(f"{index:04}" + "x" * 2000) for index in range(100)]
    await retry(jobs, replace(job, attempt=4), failed_attempt(replace(job, attempt=4), *wide))

    stored = await store.command("LRANGE", keys.execution_logs(job.id), 0, -1)
    assert 60_000 < sum(map(len, stored)) <= 65_536
    assert stored[-1] == wide[-1].to_json().encode()


async def test_a_job_that_was_replayed_shows_the_attempts_before_and_its_success(
    jobs: JobStore, executions: ExecutionStore
) -> None:
    job = due_job()
    await retry(jobs, job, failed_attempt(job))
    later = a_record(job, started_at=datetime.now(UTC), completed_at=datetime.now(UTC))

    await jobs.finish(job, FIRST, later, called=True, kept=KEPT)

    assert [attempt.outcome.value for attempt in await executions.attempts(job.id)] == ["retryable", "success"]


async def test_a_park_leaves_no_attempt(jobs: JobStore, executions: ExecutionStore) -> None:
    job = due_job()
    await jobs.postpone(job, FIRST, next_attempt=1, until=datetime.now(UTC), body=b"{}", record=None, kept=KEPT)

    assert await executions.attempts(job.id) == ()


async def test_of_a_job_that_nobody_knows_there_is_nothing(executions: ExecutionStore) -> None:
    traces = await executions.traces("unknown")

    assert (traces.record, traces.attempts, traces.returned, traces.log) == (None, (), (), ())


async def test_entries_of_another_hand_are_left_out(executions: ExecutionStore, store: RedisStore) -> None:
    await store.command("SET", keys.execution("a"), "spoilt")
    await store.command("RPUSH", keys.attempts("a"), "spoilt", an_attempt().to_json())
    await store.command("RPUSH", keys.execution_logs("a"), b"\xff", a_line().to_json())

    traces = await executions.traces("a")

    assert traces.record is None
    assert traces.attempts == (an_attempt(),)
    assert traces.returned == (a_line(),)


async def test_keys_of_another_type_keep_no_job_from_its_retry_and_its_end_and_are_named_to_who_reads(
    jobs: JobStore, executions: ExecutionStore, store: RedisStore
) -> None:
    job = due_job()
    await store.command("SET", keys.attempts(job.id), "spoilt")
    await store.command("HSET", keys.execution_logs(job.id), "spoilt", "1")

    assert await retry(jobs, job, failed_attempt(job, a_line())) == "stored"
    last = replace(job, attempt=2)
    assert await jobs.finish(last, FIRST, failed_attempt(last, a_line()), called=True, kept=KEPT)

    for question in (executions.attempts, executions.logs):
        with pytest.raises(DamagedKeyError, match="attempts"):
            await question(job.id)


async def test_an_attempt_that_nobody_may_follow_leaves_its_trail_with_the_end(
    jobs: JobStore, executions: ExecutionStore, store: RedisStore
) -> None:
    job = due_job()
    await store.command("SET", keys.cancelled(job.id), "1")
    assert await retry(jobs, job, failed_attempt(job)) == "cancelled"
    assert await executions.attempts(job.id) == ()

    await jobs.finish(job, FIRST, failed_attempt(job), called=True, kept=KEPT)

    assert len(await executions.attempts(job.id)) == 1
