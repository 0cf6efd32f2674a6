"""Where an execution stands, told from what the scripts of queueing, running, ending and cancelling have written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.api_task import API_USER
from taskqueue.core.attempt_record import Trail
from taskqueue.core.codec import encode_message
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_executions import ApiExecutions, Execution
from taskqueue.store.api_runs import QueuedRun
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import EXECUTION_KEPT, JobStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import a_new_task
from tests.support.claims import FIRST, KEPT, due_job, terms, worker_lives
from tests.support.queued_runs import queue
from tests.support.values import a_record, an_attempt

UNAVAILABLE = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True)
SECOND = timedelta(seconds=1)


@pytest.fixture
def executions(store: RedisStore, scripts: Scripts) -> ApiExecutions:
    return ApiExecutions(store, scripts)


@pytest.fixture
def now() -> datetime:
    return from_unix_ms(to_unix_ms(datetime.now(UTC)))


@pytest.fixture
async def task_id(store: RedisStore, scripts: Scripts) -> str:
    """An API task."""
    task, state = a_new_task(max_retries=3)
    assert await ApiTaskStore(store, scripts).create(task, state)
    return task.task_id


@pytest.fixture
async def queued(store: RedisStore, scripts: Scripts, task_id: str) -> QueuedRun:
    """A run of it that nobody has taken yet."""
    return await queue(store, scripts, task_id)


def job_of(run: QueuedRun, task_id: str, attempt: int = 1) -> Job:
    return due_job(id=run.execution_id, task_type_id=task_id, user_id=API_USER, attempt=attempt)


async def seen(executions: ApiExecutions, execution_id: str) -> Execution:
    found = await executions.get(execution_id)
    assert found is not None
    return found


def failed_at(job: Job, started_at: datetime) -> ExecutionResult:
    ended = started_at + SECOND
    attempt = an_attempt(attempt=job.attempt, started_at=started_at, completed_at=ended)
    return a_record(
        job,
        status=Status.RETRYING,
        started_at=started_at,
        completed_at=ended,
        error=UNAVAILABLE,
        trail=Trail(attempt=attempt),
    )


async def retry(jobs: JobStore, job: Job, started_at: datetime) -> None:
    stored = await jobs.postpone(
        job,
        FIRST,
        next_attempt=job.attempt + 1,
        until=started_at + SECOND,
        body=encode_message(JobMessage(job=job, metadata=Metadata(correlation_id="c", source="api"))),
        record=failed_at(job, started_at),
        kept=KEPT,
    )
    assert stored == "stored"


async def test_of_an_unknown_id_nothing_is_known(executions: ApiExecutions) -> None:
    assert await executions.get("550e8400-e29b-41d4-a716-446655440000") is None


@pytest.mark.parametrize("execution_id", ["*", "a:b", "{x}", "%", "ä\n", "x" * 5000, ":attempts"])
async def test_an_id_that_is_none_is_data_and_nothing_else(executions: ApiExecutions, execution_id: str) -> None:
    assert await executions.get(execution_id) is None


async def test_a_run_that_is_queued_is_pending_since_then(
    executions: ApiExecutions, queued: QueuedRun, task_id: str
) -> None:
    found = await seen(executions, queued.execution_id)

    assert found == Execution(
        execution_id=queued.execution_id, task_id=task_id, status=Status.PENDING, queued_at=queued.queued_at
    )


async def test_a_run_in_the_hands_of_a_worker_is_running_there_since_then(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str
) -> None:
    await worker_lives(jobs, FIRST)
    admission = await jobs.admit(job_of(queued, task_id), FIRST, terms())

    found = await seen(executions, queued.execution_id)

    assert (found.status, found.worker_id, found.retry_number) == (Status.RUNNING, "worker-1", 0)
    assert (found.started_at, found.completed_at) == (from_unix_ms(admission.milliseconds), None)


async def test_a_run_whose_worker_died_is_pending_again(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str
) -> None:
    await worker_lives(jobs, FIRST)
    await jobs.admit(job_of(queued, task_id), FIRST, terms())

    await jobs.last_beat(FIRST.incarnation)

    found = await seen(executions, queued.execution_id)
    assert (found.status, found.worker_id, found.started_at) == (Status.PENDING, None, None)


async def test_a_run_that_succeeded_at_once_took_as_long_as_its_attempt(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    job = job_of(queued, task_id)
    record = a_record(job, started_at=now, completed_at=now + SECOND, response=b"{}")

    await jobs.finish(job, FIRST, record, called=True, kept=KEPT)

    found = await seen(executions, queued.execution_id)
    assert (found.status, found.worker_id, found.retry_number) == (Status.SUCCESS, "worker-1", 0)
    assert (found.started_at, found.completed_at, found.duration) == (now, now + SECOND, SECOND)
    assert (found.record, len(found.attempts)) == (record, 1)


async def test_a_run_that_failed_is_retrying_until_the_next_attempt_begins(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    await retry(jobs, job_of(queued, task_id), now)

    found = await seen(executions, queued.execution_id)

    assert (found.status, found.retry_number, found.started_at) == (Status.RETRYING, 0, now)
    assert (found.completed_at, found.duration) == (None, None)
    assert found.record is not None
    assert found.record.error == UNAVAILABLE


async def test_a_retry_that_runs_began_with_the_first_attempt(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    await retry(jobs, job_of(queued, task_id), now)
    await worker_lives(jobs, FIRST)
    await jobs.admit(job_of(queued, task_id, attempt=2), FIRST, terms())

    found = await seen(executions, queued.execution_id)

    assert (found.status, found.retry_number, found.started_at) == (Status.RUNNING, 1, now)


async def test_a_run_that_succeeded_at_last_took_from_its_first_start_to_its_end(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    await retry(jobs, job_of(queued, task_id), now)
    last, started, ended = job_of(queued, task_id, attempt=2), now + 10 * SECOND, now + 12 * SECOND
    attempt = an_attempt(attempt=2, started_at=started, completed_at=ended, outcome=OutcomeClass.SUCCESS)
    record = a_record(last, started_at=started, completed_at=ended, trail=Trail(attempt=attempt))

    await jobs.finish(last, FIRST, record, called=True, kept=KEPT)

    found = await seen(executions, queued.execution_id)
    assert (found.status, found.retry_number, found.duration) == (Status.SUCCESS, 1, 12 * SECOND)
    assert [each.attempt for each in found.attempts] == [1, 2]


async def test_a_run_that_failed_for_good_has_failed(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    job = job_of(queued, task_id)
    record = replace(failed_at(job, now), status=Status.FAILED)

    await jobs.finish(job, FIRST, record, fail_reason="http_404", called=True, kept=KEPT)

    found = await seen(executions, queued.execution_id)
    assert (found.status, found.completed_at, found.duration) == (Status.FAILED, now + SECOND, SECOND)


async def test_a_run_that_was_skipped_never_began(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    job = job_of(queued, task_id)
    record = a_record(job, status=Status.SKIPPED, started_at=now, completed_at=now, reason="task_disabled")

    await jobs.finish(job, FIRST, record, called=False, kept=KEPT)

    found = await seen(executions, queued.execution_id)
    assert (found.status, found.started_at, found.completed_at) == (Status.SKIPPED, None, now)
    assert found.duration is None


async def test_a_run_that_was_cancelled_before_anybody_took_it_has_an_end_and_no_start(
    executions: ApiExecutions, cancellations: Cancellations, queued: QueuedRun
) -> None:
    answer = await cancellations.cancel(queued.execution_id)

    found = await seen(executions, queued.execution_id)
    assert answer.outcome is CancelOutcome.CANCELLED
    assert (found.status, found.started_at, found.worker_id) == (Status.CANCELLED, None, None)
    assert found.completed_at is not None


async def test_a_run_that_was_cancelled_during_its_call_runs_until_its_worker_cuts_it(
    executions: ApiExecutions, jobs: JobStore, cancellations: Cancellations, queued: QueuedRun, task_id: str
) -> None:
    await worker_lives(jobs, FIRST)
    await jobs.admit(job_of(queued, task_id), FIRST, terms())

    await cancellations.cancel(queued.execution_id)

    assert (await seen(executions, queued.execution_id)).status is Status.RUNNING


async def test_a_job_that_bears_the_mark_and_that_nobody_runs_is_cancelled(
    executions: ApiExecutions, cancellations: Cancellations
) -> None:
    assert (await cancellations.cancel("still-to-be-planned")).outcome is CancelOutcome.MARKED

    found = await seen(executions, "still-to-be-planned")

    assert (found.status, found.task_id, found.completed_at) == (Status.CANCELLED, None, None)


async def test_a_job_that_was_put_back_before_its_first_attempt_says_whose_it_is(
    executions: ApiExecutions, jobs: JobStore, now: datetime
) -> None:
    job = due_job()
    body = encode_message(JobMessage(job=job, metadata=Metadata(correlation_id="c", source="scheduler")))
    await jobs.postpone(job, FIRST, next_attempt=1, until=now, body=body, record=None, kept=KEPT)

    found = await seen(executions, job.id)

    assert (found.status, found.task_id) == (Status.PENDING, job.task_type_id)


async def test_nothing_says_whose_job_it_is_while_a_planned_job_makes_its_first_attempt(
    executions: ApiExecutions, jobs: JobStore
) -> None:
    job = due_job()
    await worker_lives(jobs, FIRST)
    await jobs.admit(job, FIRST, terms())

    found = await seen(executions, job.id)

    assert (found.status, found.task_id, found.worker_id) == (Status.RUNNING, None, "worker-1")


async def test_a_record_of_another_hand_is_no_record(
    executions: ApiExecutions, store: RedisStore, queued: QueuedRun, task_id: str
) -> None:
    await store.command("SET", keys.execution(queued.execution_id), '{"status": "success"}')

    found = await seen(executions, queued.execution_id)

    assert (found.status, found.record, found.completed_at) == (Status.SUCCESS, None, None)


async def test_a_key_of_another_type_is_told_by_its_name(
    executions: ApiExecutions, store: RedisStore, queued: QueuedRun, now: datetime, task_id: str
) -> None:
    await store.command("SET", keys.attempts(queued.execution_id), "text")
    with pytest.raises(DamagedKeyError, match="attempts"):
        await executions.get(queued.execution_id)

    await store.command("SET", keys.api_executions(task_id), "text")
    with pytest.raises(DamagedKeyError, match="api:executions"):
        await executions.queued(task_id, now=now, limit=1, offset=0)


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_the_latest_first_each_where_it_stands(
    executions: ApiExecutions, store: RedisStore, scripts: Scripts, jobs: JobStore, task_id: str, now: datetime
) -> None:
    runs = [await queue(store, scripts, task_id, f"run {number}") for number in range(3)]
    for number, run in enumerate(runs):
        await store.command("ZADD", keys.api_executions(task_id), to_unix_ms(now) + number, run.execution_id)
    done = job_of(runs[0], task_id)
    await jobs.finish(done, FIRST, a_record(done, completed_at=now), called=True, kept=KEPT)

    first = await executions.queued(task_id, now=now, limit=2, offset=0)
    second = await executions.queued(task_id, now=now, limit=2, offset=2)

    assert (first.total, second.total) == (3, 3)
    assert [each.execution_id for each in first.executions] == [runs[2].execution_id, runs[1].execution_id]
    assert [(each.execution_id, each.status) for each in second.executions] == [(runs[0].execution_id, Status.SUCCESS)]
    assert [each.queued_at for each in second.executions] == [now]


@pytest.mark.parametrize("reason", ["", "x" * 5000], ids=["a short head", "a head that is cut"])
async def test_a_long_answer_costs_a_list_nothing_but_itself(
    executions: ApiExecutions, jobs: JobStore, queued: QueuedRun, task_id: str, now: datetime, reason: str
) -> None:
    job = job_of(queued, task_id)
    answer = b'","response":"' * 5000
    error = ErrorDetail(code="http_404", message=f'an odd ","response":" {reason}', retry=False)
    record = replace(failed_at(job, now), status=Status.FAILED, error=error, response=answer)
    await jobs.finish(job, FIRST, record, fail_reason="http_404", called=True, kept=KEPT)

    (row,) = (await executions.queued(task_id, now=now, limit=10, offset=0)).executions

    whole = await seen(executions, queued.execution_id)
    assert whole.record == replace(record, trail=None)
    assert (row.status, row.task_id, row.completed_at) == (Status.FAILED, task_id, now + SECOND)
    assert row.record is not None
    assert row.record.error == error
    assert replace(row, record=None) == replace(whole, record=None)


async def test_beyond_the_last_page_there_is_nothing_and_the_total_is_told(
    executions: ApiExecutions, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    page = await executions.queued(task_id, now=now, limit=100, offset=2**31 - 1)

    assert (page.executions, page.total) == ((), 1)


async def test_what_is_older_than_records_are_kept_is_not_listed(
    executions: ApiExecutions, queued: QueuedRun, task_id: str, now: datetime
) -> None:
    page = await executions.queued(task_id, now=now + EXECUTION_KEPT + SECOND, limit=10, offset=0)

    assert (page.executions, page.total) == ((), 0)


async def test_of_a_file_task_the_calls_that_ended_are_listed_the_latest_first(
    executions: ApiExecutions, jobs: JobStore, now: datetime
) -> None:
    ended = [due_job(id=f"job:{number}") for number in range(3)]
    for number, job in enumerate(ended):
        record = a_record(job, started_at=now, completed_at=now + number * SECOND)
        await jobs.finish(job, FIRST, record, called=True, kept=KEPT)

    page = await executions.ended("daily_report", now=now, limit=2, offset=0)

    assert page.total == 3
    assert [each.execution_id for each in page.executions] == ["job:2", "job:1"]
    assert {(each.task_id, each.status) for each in page.executions} == {("daily_report", Status.SUCCESS)}
