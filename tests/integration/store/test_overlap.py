from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.job import Job
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.state import Status
from taskqueue.core.task import Overlap
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.jobs import JobStore
from taskqueue.store.plan import Begun, PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.claims import FIRST, KEPT, OTHER, due_job
from tests.support.values import TEN_O_CLOCK, a_record, an_occurrence

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ELEVEN, NOON = TEN_O_CLOCK + HOUR, TEN_O_CLOCK + 2 * HOUR
USERS = ["a", "b"]


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


def occurrence_of(hours: int) -> Occurrence:
    at = TEN_O_CLOCK + hours * HOUR
    return an_occurrence(id=f"{at:%H}", scheduled_at=at, starts_at=at, created_at=at, users=2, over_by=at + 12 * HOUR)


FIRST_ONE, SECOND_ONE, THIRD_ONE = (occurrence_of(hours) for hours in range(3))


async def make_due(plan: PlanStore, token: str, occurrence: Occurrence) -> DueEntry:
    entry = DueEntry(task_id=occurrence.task_id, cohort="", at=occurrence.scheduled_at)
    await plan.due.sync(token, remove=[entry.member], keep=[(entry.member, "rule", entry.at)])
    return entry


async def begin(plan: PlanStore, token: str, occurrence: Occurrence, overlap: Overlap) -> Begun:
    entry = await make_due(plan, token, occurrence)
    return await plan.begin(token, entry, entry.at + HOUR, occurrence, overlap)


async def planned(plan: PlanStore, token: str, users: list[str], overlap: Overlap = Overlap.QUEUE) -> None:
    """Plan the first occurrence, and let the second wait for it."""
    assert await begin(plan, token, FIRST_ONE, overlap) is Begun.OPENED
    assert await plan.append(token, FIRST_ONE, Progress(), users, "z", last=True)


async def end(jobs: JobStore, user: str, occurrence: Occurrence = FIRST_ONE, status: Status = Status.SUCCESS) -> None:
    job = job_of(user, occurrence)
    await jobs.finish(job, FIRST, a_record(job, status=status), called=False, kept=KEPT, occurrence=occurrence.id)


def job_of(user: str, occurrence: Occurrence = FIRST_ONE) -> Job:
    return due_job(id=scheduled_job_id(occurrence.task_id, user, occurrence.scheduled_at), user_id=user)


async def ended(store: RedisStore, occurrence: Occurrence = FIRST_ONE) -> int:
    return int(await store.command("HGET", keys.occurrence(occurrence.task_id, occurrence.id), "ended") or 0)


async def test_an_occurrence_is_over_when_each_job_has_ended_however(
    plan: PlanStore, jobs: JobStore, token: str
) -> None:
    statuses = [Status.SUCCESS, Status.FAILED, Status.SKIPPED, Status.CANCELLED]
    await planned(plan, token, ["a", "b", "c", "d"])
    for user, status in zip("abcd", statuses, strict=True):
        assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.SKIPPED
        await end(jobs, user, status=status)
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.OPENED


async def test_an_end_counts_once_however_often_and_by_whomever_it_is_told(
    plan: PlanStore, jobs: JobStore, store: RedisStore, token: str
) -> None:
    await planned(plan, token, USERS)
    job = job_of("a")
    await asyncio.gather(
        *(
            jobs.finish(job, claimant, a_record(job), called=True, kept=KEPT, occurrence=FIRST_ONE.id)
            for claimant in (FIRST, OTHER, FIRST)
        )
    )
    assert await ended(store) == 1


async def test_the_last_end_lets_what_waits_be_looked_at(plan: PlanStore, jobs: JobStore, token: str) -> None:
    await planned(plan, token, USERS)
    assert await begin(plan, token, SECOND_ONE, Overlap.QUEUE) is Begun.HELD
    assert await plan.due.next_held() == FIRST_ONE.over_by
    await end(jobs, "a")
    assert await plan.due.next_held() == FIRST_ONE.over_by
    await end(jobs, "b")
    (held,) = await plan.due.held_until(ELEVEN, 10)
    assert (held.at, held.waited) == (ELEVEN, True)
    assert await plan.begin(token, held, NOON, SECOND_ONE, Overlap.QUEUE) is Begun.OPENED
    assert (await plan.due.next(), await plan.due.next_held()) == (NOON, None)


async def test_what_waits_for_its_instant_is_not_looked_at_before(plan: PlanStore, jobs: JobStore, token: str) -> None:
    await planned(plan, token, USERS)
    await plan.due.hold(token, await make_due(plan, token, SECOND_ONE))
    for user in USERS:
        await end(jobs, user)
    assert await plan.due.next_held() == ELEVEN


async def test_jobs_that_end_before_all_are_planned_do_not_end_the_occurrence(
    plan: PlanStore, jobs: JobStore, token: str
) -> None:
    await begin(plan, token, FIRST_ONE, Overlap.QUEUE)
    await plan.append(token, FIRST_ONE, Progress(), ["a"], "a", last=False)
    assert await begin(plan, token, SECOND_ONE, Overlap.QUEUE) is Begun.HELD
    await end(jobs, "a")
    assert await plan.due.next_held() == FIRST_ONE.over_by
    await plan.append(token, FIRST_ONE, Progress(cursor="a", planned=1), [], "a", last=True)
    assert await plan.due.next_held() == ELEVEN


async def test_users_by_whom_the_audience_grew_while_it_was_planned_count(
    plan: PlanStore, jobs: JobStore, token: str
) -> None:
    await planned(plan, token, ["a", "b", "c"])  # the occurrence was opened for two
    for user in USERS:
        await end(jobs, user)
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.SKIPPED
    await end(jobs, "c")
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.OPENED


async def test_without_users_it_is_over_as_soon_as_it_is_planned(plan: PlanStore, token: str) -> None:
    await begin(plan, token, FIRST_ONE, Overlap.QUEUE)
    assert await begin(plan, token, SECOND_ONE, Overlap.QUEUE) is Begun.HELD
    await plan.append(token, FIRST_ONE, Progress(), [], "", last=True)
    assert await plan.due.next_held() == ELEVEN


async def test_users_who_are_passed_over_count_as_ended(plan: PlanStore, jobs: JobStore, token: str) -> None:
    await planned(plan, token, USERS)
    assert await begin(plan, token, SECOND_ONE, Overlap.QUEUE) is Begun.HELD
    await end(jobs, "b")
    progress = Progress(cursor="z", planned=2, complete=True)
    assert await plan.trim_slot(token, FIRST_ONE, progress, first_user="a", count=1, without_job=1)
    assert await plan.due.next_held() == ELEVEN


async def test_an_occurrence_counts_as_over_at_the_latest_when_its_record_says(plan: PlanStore, token: str) -> None:
    await planned(plan, token, USERS)
    late = replace(SECOND_ONE, created_at=FIRST_ONE.over_by)
    assert await begin(plan, token, replace(late, created_at=late.created_at - MINUTE), Overlap.SKIP) is Begun.SKIPPED
    assert await begin(plan, token, late, Overlap.SKIP) is Begun.OPENED_AFTER_BOUND


async def test_an_occurrence_whose_record_is_gone_is_over(plan: PlanStore, store: RedisStore, token: str) -> None:
    await planned(plan, token, USERS)
    await store.command("DEL", keys.occurrence(FIRST_ONE.task_id, FIRST_ONE.id))
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.OPENED


async def test_an_occurrence_that_may_overlap_is_not_counted_and_holds_nobody_up(
    plan: PlanStore, jobs: JobStore, store: RedisStore, token: str
) -> None:
    first = replace(FIRST_ONE, over_by=None)
    assert await begin(plan, token, first, Overlap.ALLOW) is Begun.OPENED
    await end(jobs, "a", first)
    assert await store.command("HEXISTS", keys.occurrence(first.task_id, first.id), "ended") == 0
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.OPENED


async def test_an_occurrence_that_was_opened_before_is_taken_up_and_not_judged_again(
    plan: PlanStore, token: str
) -> None:
    await planned(plan, token, USERS)
    assert await begin(plan, token, FIRST_ONE, Overlap.SKIP) is Begun.EXISTED


async def test_a_damaged_record_keeps_no_job_from_its_end(
    plan: PlanStore, jobs: JobStore, store: RedisStore, token: str
) -> None:
    await planned(plan, token, USERS)
    await begin(plan, token, SECOND_ONE, Overlap.QUEUE)
    await end(jobs, "a")
    for key in (keys.DUE_HELD, keys.DUE_HELD_INSTANTS, keys.occurrence(FIRST_ONE.task_id, FIRST_ONE.id)):
        await store.command("SET", key, "not ours")
        job = job_of(key)
        assert await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT, occurrence=FIRST_ONE.id)


async def test_what_waits_is_looked_at_again_when_told(plan: PlanStore, token: str) -> None:
    await planned(plan, token, USERS)
    await begin(plan, token, SECOND_ONE, Overlap.QUEUE)
    await plan.due.look_again(token)
    (held,) = await plan.due.held_until(ELEVEN, 10)
    assert await plan.begin(token, held, NOON, SECOND_ONE, Overlap.QUEUE) is Begun.HELD
    assert await plan.due.next_held() == FIRST_ONE.over_by


async def test_only_the_latest_occurrence_is_waited_for(plan: PlanStore, jobs: JobStore, token: str) -> None:
    await planned(plan, token, USERS)
    for user in USERS:
        await end(jobs, user)
    await begin(plan, token, SECOND_ONE, Overlap.QUEUE)
    await plan.append(token, SECOND_ONE, Progress(), USERS, "b", last=True)
    assert await begin(plan, token, THIRD_ONE, Overlap.QUEUE) is Begun.HELD
    for user in USERS:
        await end(jobs, user, SECOND_ONE)
    assert await plan.due.next_held() == NOON


async def test_an_abandoned_occurrence_leaves_nothing_and_holds_nobody_up(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    await planned(plan, token, USERS)
    _, progress = (await plan.read([FIRST_ONE.member]))[FIRST_ONE.member]
    await plan.abandon(token, FIRST_ONE, progress)
    assert await plan.live(None, 10) == []
    assert await store.command("KEYS", "taskqueue:distribution:daily_report:*") == []
    assert await store.command("EXISTS", keys.PLAIN_SLOT_OWNERS) == 0
    assert await begin(plan, token, SECOND_ONE, Overlap.SKIP) is Begun.OPENED


async def test_an_occurrence_of_thousands_of_slots_is_abandoned_in_pieces(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    users = [f"user-{number}" for number in range(2500)]
    wide = replace(FIRST_ONE, window=timedelta(seconds=25_000), users=len(users))
    await begin(plan, token, wide, Overlap.ALLOW)
    await plan.append(token, wide, Progress(), users, "z", last=True)
    await plan.abandon(token, wide, Progress(planned=len(users), complete=True))
    assert await store.command("KEYS", "taskqueue:distribution:daily_report:*") == []
    assert await plan.read([wide.member]) == {}
