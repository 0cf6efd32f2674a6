"""Failed jobs that wait for a new first attempt, on a real Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.codec import decode_message, encode_message
from taskqueue.core.failures import Failure, read_failure
from taskqueue.core.instants import rfc3339
from taskqueue.core.state import Status
from taskqueue.errors import MessageError
from taskqueue.store import keys
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.jobs import JobStore, Verdict
from taskqueue.store.replays import ReplayAnswer, ReplayOutcome, Replays
from taskqueue.store.scripts import Scripts
from tests.support.claims import FIRST, KEPT, due_job, terms
from tests.support.values import a_message, a_record

JOB = a_message().job


@pytest.fixture
def replays(scripts: Scripts) -> Replays:
    return Replays(scripts)


@pytest.fixture
def delayed(store: RedisStore, scripts: Scripts) -> DelayedStore:
    return DelayedStore(store, scripts)


def failure(at: datetime | None = None) -> Failure:
    headers = {"taskqueue-failed-at": rfc3339(at or datetime.now(UTC)), "taskqueue-attempts": 3}
    return read_failure(encode_message(a_message(attempt=3)), None, headers)


async def failed_job(jobs: JobStore) -> Failure:
    """Let the job fail for good, as its worker does."""
    job = due_job(attempt=3)
    await jobs.admit(job, FIRST, terms())
    record = a_record(job, status=Status.FAILED, completed_at=datetime.now(UTC))
    assert await jobs.finish(job, FIRST, record, fail_reason="permanent", called=True, kept=KEPT)
    await jobs.mark_failed(job.id)
    return failure()


async def test_a_replayed_job_is_admitted_as_if_it_had_never_run(
    jobs: JobStore, replays: Replays, delayed: DelayedStore
) -> None:
    failed, due = await failed_job(jobs), datetime.now(UTC)

    assert await replays.replay(failed, due) == ReplayAnswer(outcome=ReplayOutcome.REPLAYED)

    (waiting,) = await delayed.due_until(due, 10)
    job = decode_message(waiting.body or b"").job
    assert (job.id, job.attempt) == (JOB.id, 1)
    assert (await jobs.admit(job, FIRST, terms())).verdict is Verdict.RUN


async def test_the_same_failure_is_replayed_once_whatever_has_become_of_it(jobs: JobStore, replays: Replays) -> None:
    failed = await failed_job(jobs)
    await replays.replay(failed, datetime.now(UTC))
    again = await failed_job(jobs)

    assert (await replays.replay(failed, datetime.now(UTC))).outcome is ReplayOutcome.BEFORE
    assert (await replays.replay(again, datetime.now(UTC))).outcome is ReplayOutcome.REPLAYED


async def test_a_leader_that_still_has_the_last_retry_in_hand_does_not_remove_the_replay(
    jobs: JobStore, replays: Replays, delayed: DelayedStore, token: str
) -> None:
    job, now = due_job(attempt=2), datetime.now(UTC)
    await jobs.postpone(job, FIRST, next_attempt=3, until=now, body=b"retry", record=None, kept=KEPT)
    published = await delayed.due_until(now, 10)
    failed = await failed_job(jobs)
    due = now + timedelta(minutes=1)

    assert (await replays.replay(failed, due)).outcome is ReplayOutcome.REPLAYED
    assert await delayed.remove(token, published) == 0

    (waiting,) = await delayed.due_until(due, 10)
    assert decode_message(waiting.body or b"").job.attempt == 1


async def test_a_replayed_job_that_waits_can_be_cancelled(
    jobs: JobStore, replays: Replays, cancellations: Cancellations, delayed: DelayedStore
) -> None:
    await replays.replay(await failed_job(jobs), datetime.now(UTC) + timedelta(hours=1))

    assert (await cancellations.cancel(JOB.id)).outcome is CancelOutcome.CANCELLED
    assert await delayed.count() == 0
    assert (await replays.replay(failure(), datetime.now(UTC))).outcome is ReplayOutcome.CANCELLED


async def test_the_note_of_a_replay_and_the_waiting_job_do_not_stay_for_ever(
    jobs: JobStore, replays: Replays, store: RedisStore
) -> None:
    await replays.replay(await failed_job(jobs), datetime.now(UTC))

    for key in (keys.replayed(JOB.id), keys.delayed_job(JOB.id), keys.execution(JOB.id)):
        assert await store.command("PTTL", key) > 0


async def test_what_is_no_job_cannot_be_replayed(replays: Replays, store: RedisStore) -> None:
    with pytest.raises(MessageError):
        await replays.replay(read_failure(b"{}", "m", {}), datetime.now(UTC))
    assert await store.command("DBSIZE") == 0
