"""Cancelling: one script decides, and a job has one end, whoever else is at work on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.state import Status
from taskqueue.core.task import Overlap
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.cancellations import CANCELLED_KEPT, CancelAnswer, Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.jobs import JobStore, Places, Verdict
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.cancelling import (
    CANCELLED,
    MARKED,
    MINUTE,
    OCCURRENCE,
    RUNNING,
    admitted_word,
    ends_of,
    planned_job,
    put_back,
    record_of,
    released,
    run,
)
from tests.support.claims import FIRST, KEPT, due_job, terms, worker_lives
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


# --- nobody runs it ---------------------------------------------------------------------------------------------------


async def test_a_job_that_nobody_has_seen_yet_is_marked_and_skipped_when_it_comes(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore
) -> None:
    job = due_job()

    assert await cancellations.cancel(job.id) == MARKED

    assert await jobs.execution(job.id) is None
    assert await store.command("PTTL", keys.cancelled(job.id)) > (CANCELLED_KEPT - MINUTE) // timedelta(milliseconds=1)
    assert await admitted_word(jobs, job) == (Verdict.SKIP, "cancelled")


@pytest.mark.parametrize("waits_for", [None, "global", "task:daily_report", "queue:high"])
async def test_a_job_that_waits_in_a_list_ends_at_once_and_leaves_it(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, waits_for: str | None
) -> None:
    job = due_job()
    assert await put_back(jobs, job, waits_for=waits_for) == "stored"

    assert await cancellations.cancel(job.id) == CANCELLED

    assert (await record_of(jobs, job)).items() >= {
        "job_id": job.id,
        "status": "cancelled",
        "task_type_id": job.task_type_id,
        "user_id": job.user_id,
        "attempt": 1,
        "duration": 0,
        "worker_id": "",
    }.items()
    assert await store.command("KEYS", "taskqueue:delayed*") == []
    assert await store.command("KEYS", "taskqueue:waiting*") == []
    assert await admitted_word(jobs, job) == (Verdict.DROP, "cancelled")


async def test_other_jobs_stay_in_the_list_that_a_cancelled_one_leaves(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore
) -> None:
    for job_id in ("a", "b"):
        await put_back(jobs, due_job(id=job_id), waits_for="global")

    await cancellations.cancel("a")

    assert await store.command("ZRANGE", keys.waiting("global"), 0, -1) == [b"b"]
    assert await store.command("SMEMBERS", keys.WAITING) == {b"global"}


async def test_a_retry_that_waits_ends_as_the_attempt_that_was_to_come(
    cancellations: Cancellations, jobs: JobStore
) -> None:
    job = due_job()
    await run(jobs, job)
    await put_back(jobs, job, retry=True)

    assert await cancellations.cancel(job.id) == CANCELLED

    assert (await record_of(jobs, job)).items() >= {"status": "cancelled", "attempt": 2}.items()
    assert await admitted_word(jobs, replace(job, attempt=2)) == (Verdict.DROP, "cancelled")


async def test_a_retry_that_is_on_its_way_ends_at_once_as_its_record_says_whose_it_is(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, occurrence: Occurrence
) -> None:
    job = planned_job()
    await run(jobs, job)
    await put_back(jobs, job, retry=True, planned_in=occurrence)
    await released(store, job)

    assert await cancellations.cancel(job.id) == CANCELLED

    record = await record_of(jobs, job)
    assert (record["status"], record["user_id"], record["attempt"]) == ("cancelled", "a", 2)
    assert "next_attempt" not in record
    assert await ends_of(store, occurrence) == 1
    assert await admitted_word(jobs, replace(job, attempt=2)) == (Verdict.DROP, "cancelled")


async def test_an_end_by_cancelling_counts_once_for_its_occurrence(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, occurrence: Occurrence
) -> None:
    job = planned_job()
    await put_back(jobs, job, planned_in=occurrence)

    await asyncio.gather(*(cancellations.cancel(job.id) for _ in range(5)))
    await jobs.finish(
        job, FIRST, a_record(job, status=Status.CANCELLED), called=False, kept=KEPT, occurrence=occurrence.id
    )

    assert await ends_of(store, occurrence) == 1


@pytest.mark.parametrize("execution", ["", "[]", "{}", '{"task_type_id":1,"user_id":2}', "\\x00", "[" * 5000])
async def test_a_record_that_does_not_say_whose_job_it_is_leaves_a_mark(
    cancellations: Cancellations, store: RedisStore, execution: str
) -> None:
    await store.command("SET", keys.execution("j"), execution)

    assert await cancellations.cancel("j") == MARKED

    assert await store.command("EXISTS", keys.done("j")) == 0


async def test_a_key_of_another_type_is_named_and_nothing_is_changed(
    cancellations: Cancellations, store: RedisStore, snapshot: Snapshot
) -> None:
    await store.command("SET", keys.claim("j"), "spoilt")
    before = await snapshot()

    with pytest.raises(DamagedKeyError, match="taskqueue:claim:j"):
        await cancellations.cancel("j")

    assert await snapshot() == before


# --- somebody runs it -------------------------------------------------------------------------------------------------


async def test_a_running_job_is_marked_for_its_worker(cancellations: Cancellations, jobs: JobStore) -> None:
    job = due_job()
    await run(jobs, job)

    assert await cancellations.cancelled([job.id, "another"]) == set()
    assert await cancellations.cancel(job.id) == RUNNING

    assert await cancellations.cancelled([job.id, "another"]) == {job.id}
    assert await jobs.execution(job.id) is None


async def test_a_call_that_ends_before_it_is_cut_keeps_its_own_end(
    cancellations: Cancellations, jobs: JobStore
) -> None:
    job = due_job()
    await run(jobs, job)
    await cancellations.cancel(job.id)

    assert await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT)

    assert await cancellations.cancel(job.id) == CancelAnswer(outcome=CancelOutcome.ENDED, word="success")


async def test_no_retry_follows_a_cancel(cancellations: Cancellations, jobs: JobStore, snapshot: Snapshot) -> None:
    job = due_job()
    await run(jobs, job)
    await cancellations.cancel(job.id)
    before = await snapshot()

    assert await put_back(jobs, job, retry=True) == "cancelled"

    assert await snapshot() == before


async def test_a_worker_that_takes_over_a_cancelled_job_does_not_call_it(
    cancellations: Cancellations, jobs: JobStore
) -> None:
    job = due_job()
    await run(jobs, job)
    await cancellations.cancel(job.id)
    await jobs.last_beat(FIRST.incarnation)

    assert await admitted_word(jobs, job) == (Verdict.SKIP, "cancelled")


async def test_a_first_attempt_of_a_dead_worker_is_marked(cancellations: Cancellations, jobs: JobStore) -> None:
    job = due_job()
    await run(jobs, job)
    await jobs.last_beat(FIRST.incarnation)

    assert await cancellations.cancel(job.id) == MARKED

    assert await admitted_word(jobs, job) == (Verdict.SKIP, "cancelled")


async def test_a_later_attempt_of_a_dead_worker_ends_at_once_and_its_worker_cannot_change_that(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, occurrence: Occurrence
) -> None:
    job = planned_job()
    await run(jobs, job)
    await put_back(jobs, job, retry=True, planned_in=occurrence)
    await released(store, job)
    second = replace(job, attempt=2)
    await run(jobs, second)
    await jobs.last_beat(FIRST.incarnation)

    assert await cancellations.cancel(job.id) == CANCELLED

    # The worker was only taken for dead: it is told, too, and its own end comes too late.
    assert await cancellations.cancelled([job.id]) == {job.id}
    assert not await jobs.finish(second, FIRST, a_record(second), called=True, kept=KEPT, occurrence=occurrence.id)
    assert (await record_of(jobs, job))["status"] == "cancelled"
    assert await ends_of(store, occurrence) == 1


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_number", range(20))
async def test_a_cancel_and_an_end_at_the_same_moment_leave_one_end(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore, occurrence: Occurrence, round_number: int
) -> None:
    job = planned_job()
    await run(jobs, job)
    if round_number % 2:  # its worker is taken for dead, and it is a retry: cancelling may end it itself
        await put_back(jobs, job, retry=True, planned_in=occurrence)
        await released(store, job)
        job = replace(job, attempt=2)
        await run(jobs, job)
        await jobs.last_beat(FIRST.incarnation)

    async def finish() -> bool:
        for _ in range(round_number % 4):
            await asyncio.sleep(0)
        return await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT, occurrence=occurrence.id)

    answer, finished = await asyncio.gather(cancellations.cancel(job.id), finish())

    status = (await record_of(jobs, job))["status"]
    assert await store.command("GET", keys.done(job.id)) == status.encode()
    assert (status == "success") == finished
    assert (answer.outcome is CancelOutcome.CANCELLED) == (status == "cancelled")
    assert await ends_of(store, occurrence) == 1


async def test_a_place_of_a_job_that_was_cut_is_free_again(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore
) -> None:
    job = due_job()
    await worker_lives(jobs, FIRST)
    await jobs.admit(job, FIRST, terms(places=Places(most=1, kept=MINUTE)))
    await cancellations.cancel(job.id)

    await jobs.finish(job, FIRST, a_record(job, status=Status.CANCELLED), called=True, kept=KEPT)

    assert await store.command("EXISTS", keys.running(job.task_type_id)) == 0


async def test_no_key_of_a_cancelled_job_is_left_without_an_end(
    cancellations: Cancellations, jobs: JobStore, store: RedisStore
) -> None:
    await cancellations.cancel("never-seen")
    await put_back(jobs, due_job(id="waiting"))
    await cancellations.cancel("waiting")

    left = await store.command("KEYS", "*")

    assert [key for key in left if await store.command("PTTL", key) < 0] == []
    assert len(left) == 4
