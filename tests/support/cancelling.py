"""Jobs to be cancelled, wherever they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from taskqueue.core.codec import encode_message
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.state import Status
from taskqueue.store import keys
from taskqueue.store.cancellations import CancelAnswer, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import Claimant, JobStore, Verdict
from tests.support.claims import FIRST, KEPT, OTHER, due_job, terms, worker_lives
from tests.support.values import TEN_O_CLOCK, a_record, a_wait, an_occurrence

MINUTE = timedelta(minutes=1)
OCCURRENCE = an_occurrence(users=2, over_by=TEN_O_CLOCK + timedelta(hours=12))

CANCELLED = CancelAnswer(outcome=CancelOutcome.CANCELLED)
MARKED = CancelAnswer(outcome=CancelOutcome.MARKED)
RUNNING = CancelAnswer(outcome=CancelOutcome.RUNNING, word=FIRST.incarnation)


def planned_job(user: str = "a", **changes: Any) -> Job:
    """Return a job of OCCURRENCE that is due."""
    job_id = scheduled_job_id(OCCURRENCE.task_id, user, OCCURRENCE.scheduled_at)
    return due_job(id=job_id, user_id=user, **changes)


async def run(jobs: JobStore, job: Job, claimant: Claimant = FIRST) -> None:
    """Let the worker of `claimant` live and call `job`."""
    await worker_lives(jobs, claimant)
    assert (await jobs.admit(job, claimant, terms())).verdict is Verdict.RUN


async def put_back(
    jobs: JobStore,
    job: Job,
    *,
    retry: bool = False,
    waits_for: str | None = None,
    planned_in: Occurrence | None = None,
) -> str:
    """Let the job wait for another attempt, or for its turn; return what the script says."""
    following = job.attempt + int(retry)
    correlation = "" if planned_in is None else planned_in.member
    message = JobMessage(job=job, metadata=Metadata(correlation_id=correlation, source="scheduler"))
    return await jobs.postpone(
        job,
        FIRST,
        next_attempt=following,
        until=datetime.now(UTC) + MINUTE,
        body=encode_message(message.for_attempt(following)),
        record=a_record(job, status=Status.RETRYING, occurrence=message.occurrence) if retry else None,
        kept=KEPT,
        wait=None if waits_for is None else a_wait(waits_for),
    )


async def released(store: RedisStore, job: Job) -> None:
    """Take the job out of the lists, as the leader does when it has published it."""
    await store.command("ZREM", keys.DELAYED, job.id)
    await store.command("DEL", keys.delayed_job(job.id))


async def record_of(jobs: JobStore, job: Job) -> dict[str, Any]:
    """Return the execution's record, empty where there is none."""
    return dict(json.loads(await jobs.execution(job.id) or b"{}"))


async def ends_of(store: RedisStore, occurrence: Occurrence) -> int:
    """Return how many ends were counted for the occurrence."""
    return int(await store.command("HGET", keys.occurrence(occurrence.task_id, occurrence.id), "ended") or 0)


async def admitted_word(jobs: JobStore, job: Job, claimant: Claimant = OTHER) -> tuple[Verdict, str]:
    """Return what the next delivery of the job is told."""
    admission = await jobs.admit(job, claimant, terms())
    return admission.verdict, admission.word
