"""Cancelling jobs that have ended, and what is left of marks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.state import Status
from taskqueue.core.task import Overlap
from taskqueue.store import keys
from taskqueue.store.cancellations import CancelAnswer, Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.jobs import JobStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.cancelling import MINUTE, OCCURRENCE, RUNNING, ends_of, planned_job, run
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.values import a_record

Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]


@pytest.fixture
async def occurrence(store: RedisStore, scripts: Scripts, token: str) -> Occurrence:
    """An occurrence of two users, whose ends are counted."""
    plan = PlanStore(store, scripts)
    entry = DueEntry(task_id=OCCURRENCE.task_id, cohort="", at=OCCURRENCE.scheduled_at)
    await plan.due.sync(token, remove=[], keep=[(entry.member, "rule", entry.at)])
    await plan.begin(token, entry, entry.at + timedelta(days=1), OCCURRENCE, Overlap.QUEUE)
    await plan.append(token, OCCURRENCE, Progress(), ["a", "b"], "z", last=True)
    return OCCURRENCE


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.SKIPPED, Status.CANCELLED])
async def test_what_has_ended_says_how_and_is_left_alone(
    cancellations: Cancellations, jobs: JobStore, snapshot: Snapshot, status: Status
) -> None:
    job = due_job()
    await jobs.finish(job, FIRST, a_record(job, status=status), called=True, kept=KEPT)
    before = await snapshot()

    assert await cancellations.cancel(job.id) == CancelAnswer(outcome=CancelOutcome.ENDED, word=status.value)

    assert await snapshot() == before


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.SKIPPED, Status.CANCELLED])
async def test_a_job_whose_done_marker_has_lapsed_keeps_its_record_and_gets_no_mark(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, snapshot: Snapshot, status: Status
) -> None:
    job = due_job()
    await jobs.finish(job, FIRST, a_record(job, status=status), called=True, kept=KEPT)
    await store.command("DEL", keys.done(job.id))
    before = await snapshot()

    assert await cancellations.cancel(job.id) == CancelAnswer(outcome=CancelOutcome.ENDED, word=status.value)

    assert await snapshot() == before


async def test_a_failed_job_that_runs_again_is_cancelled_whatever_its_old_record_says(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore
) -> None:
    job = due_job()
    await jobs.finish(job, FIRST, a_record(job, status=Status.FAILED), called=True, kept=KEPT)
    await store.command("DEL", keys.done(job.id))
    await run(jobs, job)

    assert await cancellations.cancel(job.id) == RUNNING


@pytest.mark.parametrize("planned", [True, False])
async def test_the_mark_of_a_job_that_its_worker_ended_is_kept_for_an_hour(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, occurrence: Occurrence, planned: bool
) -> None:
    job = planned_job() if planned else due_job()
    await run(jobs, job)
    await cancellations.cancel(job.id)

    record = a_record(job, status=Status.CANCELLED)
    await jobs.finish(job, FIRST, record, called=True, kept=KEPT, occurrence=occurrence.id if planned else None)

    assert 0 < await store.command("PTTL", keys.cancelled(job.id)) <= 60 * MINUTE // timedelta(milliseconds=1)
    assert await ends_of(store, occurrence) == int(planned)


async def test_an_end_leaves_no_mark_where_none_was(jobs: JobStore, store: RedisStore) -> None:
    job = due_job()
    await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)
    assert await store.command("EXISTS", keys.cancelled(job.id)) == 0


async def test_a_failed_job_says_so_before_and_after_its_message_is_safe(
    cancellations: Cancellations, jobs: JobStore
) -> None:
    job = due_job()
    failed = a_record(job, status=Status.FAILED)
    await jobs.finish(job, FIRST, failed, fail_reason="permanent", called=True, kept=KEPT)
    words = [(await cancellations.cancel(job.id)).word]
    await jobs.mark_failed(job.id)
    words.append((await cancellations.cancel(job.id)).word)

    assert words == ["failing:permanent", "failed"]


async def test_asking_about_no_jobs_asks_nobody(cancellations: Cancellations) -> None:
    assert await cancellations.cancelled([]) == set()
