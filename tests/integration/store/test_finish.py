from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.execution import ErrorDetail
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.store import jobs as jobs_module
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import FAILED, JobStore, Verdict
from taskqueue.store.limits import Limit
from tests.support.claims import FIRST, HEARTBEAT_TTL, KEPT, OTHER, due_job, terms
from tests.support.values import a_record

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]

UNAVAILABLE = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=False)


async def test_success_leaves_a_marker_a_record_and_a_count(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    record = a_record(job)
    await jobs.admit(job, FIRST, terms())
    assert await jobs.finish(job, FIRST, record, called=True, kept=KEPT)
    assert await store.command("GET", keys.done(job.id)) == b"success"
    assert await jobs.execution(job.id) == record.to_json().encode()
    assert await store.command("EXISTS", keys.claim(job.id)) == 0
    assert await store.command("HGET", "taskqueue:metrics:executions:2024-01-15", "daily_report") == b"1"
    assert await store.command("EXISTS", "taskqueue:metrics:failures:2024-01-15") == 0
    assert (await jobs.admit(job, OTHER, terms())).verdict is Verdict.DROP


async def test_a_metric_of_another_type_keeps_no_job_from_its_end(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await store.command("SET", "taskqueue:metrics:executions:2024-01-15", "spoilt")
    await store.command("SET", "taskqueue:metrics:duration:daily_report", "spoilt")
    await jobs.admit(job, FIRST, terms())

    assert await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)

    assert await store.command("GET", keys.done(job.id)) == b"success"


async def test_the_duration_stands_beside_the_job_at_the_instant_of_its_end(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    record = a_record(job)
    await jobs.finish(job, FIRST, record, called=True, kept=KEPT)
    found = await store.command("ZRANGE", "taskqueue:metrics:duration:daily_report", 0, -1, "WITHSCORES")
    assert found == [f"{job.id}:250".encode(), str(to_unix_ms(record.completed_at)).encode()]


async def test_a_failure_counts_as_a_failure_and_as_an_execution(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    record = a_record(job, status=Status.FAILED, error=UNAVAILABLE)
    assert await jobs.finish(job, FIRST, record, fail_reason="retries_exhausted", called=True, kept=KEPT)
    assert await store.command("HGET", "taskqueue:metrics:executions:2024-01-15", "daily_report") == b"1"
    assert await store.command("HGET", "taskqueue:metrics:failures:2024-01-15", "daily_report") == b"1"


async def test_a_failed_job_says_why_until_its_message_is_safe(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    record = a_record(job, status=Status.FAILED, error=UNAVAILABLE)
    await jobs.finish(job, FIRST, record, fail_reason="retries_exhausted", called=True, kept=KEPT)
    assert (await jobs.admit(job, OTHER, terms())).word == "failing:retries_exhausted"
    await jobs.mark_failed(job.id)
    assert (await jobs.admit(job, OTHER, terms())).word == FAILED
    assert await store.command("PTTL", keys.done(job.id)) > 0


async def test_a_marker_that_has_expired_is_not_set_anew(jobs: JobStore, store: RedisStore) -> None:
    await jobs.mark_failed("gone")
    assert await store.command("EXISTS", keys.done("gone")) == 0


async def test_a_job_that_was_never_called_is_no_execution(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    assert await jobs.finish(job, FIRST, a_record(job, status=Status.SKIPPED), called=False, kept=KEPT)
    assert await store.command("KEYS", "taskqueue:metrics:*") == []


async def test_the_first_end_wins(jobs: JobStore, snapshot: Snapshot) -> None:
    job = due_job()
    await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)
    before = await snapshot()
    failed = a_record(job, status=Status.FAILED, error=UNAVAILABLE)
    assert not await jobs.finish(job, FIRST, failed, fail_reason="expired", called=True, kept=KEPT)
    assert await snapshot() == before


async def test_an_end_told_again_after_a_lost_answer_counts_once(jobs: JobStore, snapshot: Snapshot) -> None:
    job = due_job()
    assert await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)
    before = await snapshot()
    assert await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)
    assert await snapshot() == before


async def test_the_durations_keep_the_latest_and_no_more(
    jobs: JobStore, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "DURATIONS_KEPT", 3)
    for number in range(5):
        job = due_job(id=f"job-{number}")
        ended = datetime(2024, 1, 15, 10, 0, number, tzinfo=UTC)
        await jobs.finish(job, FIRST, a_record(job, started_at=ended, completed_at=ended), called=True, kept=KEPT)
    found = await store.command("ZRANGE", keys.durations("daily_report"), 0, -1)
    assert found == [b"job-2:0", b"job-3:0", b"job-4:0"]


async def test_a_day_is_a_day_of_utc(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    midnight = datetime(2024, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC)
    await jobs.finish(job, FIRST, a_record(job, started_at=midnight, completed_at=midnight), called=True, kept=KEPT)
    assert await store.command("KEYS", "taskqueue:metrics:executions:*") == [b"taskqueue:metrics:executions:2024-01-15"]


async def test_no_key_of_a_jobs_life_is_left_without_an_end(jobs: JobStore, store: RedisStore) -> None:
    await jobs.beat(FIRST.incarnation, "{}", HEARTBEAT_TTL)
    await _called(jobs, due_job(id="claimed"))
    await _put_back(jobs, due_job(id="parked"), next_attempt=1)
    await _put_back(jobs, due_job(id="retried"), next_attempt=2)
    await _ended(jobs, due_job(id="succeeded"), Status.SUCCESS)
    await _ended(jobs, due_job(id="failed"), Status.FAILED)
    await jobs.mark_failed("failed")
    left = await store.command("KEYS", "*")
    endless = {key for key in left if await store.command("PTTL", key) < 0}
    # The index of waiting jobs: the leader takes out each entry, also one whose job has expired.
    assert endless <= {keys.DELAYED.encode()}
    assert len(left) > 8


async def _called(jobs: JobStore, job: Job) -> None:
    limits = terms(global_limit=Limit(rate=100, burst=100), task_limit=Limit(rate=10, burst=10))
    assert (await jobs.admit(job, FIRST, limits)).verdict is Verdict.RUN


async def _put_back(jobs: JobStore, job: Job, *, next_attempt: int) -> None:
    await _called(jobs, job)
    await jobs.postpone(
        job,
        FIRST,
        next_attempt=next_attempt,
        until=datetime.now(UTC) + timedelta(minutes=1),
        body=b"message",
        record=a_record(job, status=Status.RETRYING),
        kept=KEPT,
    )


async def _ended(jobs: JobStore, job: Job, status: Status) -> None:
    await _called(jobs, job)
    reason = "permanent" if status is Status.FAILED else ""
    await jobs.finish(job, FIRST, a_record(job, status=status), fail_reason=reason, called=True, kept=KEPT)
