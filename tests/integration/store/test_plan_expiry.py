"""How long what is planned is kept: until its last job would be too old to run, and not much longer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.task import Overlap
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.values import TEN_O_CLOCK, an_occurrence

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SLACK = timedelta(minutes=1)
USERS = [f"user-{number}" for number in range(6)]
ENTRY = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
TOMORROW = TEN_O_CLOCK + DAY


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


async def planned(
    plan: PlanStore, token: str, occurrence: Occurrence, max_age: timedelta, overlap: Overlap = Overlap.ALLOW
) -> Progress:
    """Plan the occurrence to its end, with a leader that has found its record before the last piece."""
    await plan._store.command("ZADD", keys.DUE, int(TEN_O_CLOCK.timestamp() * 1000), ENTRY.member)
    assert await plan.begin(token, ENTRY, TOMORROW, occurrence, overlap, max_age=max_age)
    assert await plan.append(token, occurrence, await progress_of(plan, occurrence), USERS[:3], "c", last=False)
    (found, progress), *_ = (await plan.read([occurrence.member])).values()
    assert await plan.append(token, found, progress, USERS[3:], "f", last=True)
    return await progress_of(plan, occurrence)


async def progress_of(plan: PlanStore, occurrence: Occurrence) -> Progress:
    return (await plan.read([occurrence.member]))[occurrence.member][1]


async def kept(store: RedisStore, pattern: str) -> set[timedelta]:
    """Return for how long keys are kept, to the hour."""
    found = await store.command("KEYS", pattern)
    left = [timedelta(milliseconds=await store.command("PTTL", key)) for key in found]
    return {round((each + SLACK) // HOUR) * HOUR for each in left}


@pytest.mark.parametrize(("max_age", "expected"), [(DAY, 7 * DAY + HOUR), (30 * DAY, 30 * DAY + 2 * HOUR)])
async def test_slot_lists_and_record_are_kept_until_the_last_job_is_too_old_to_run(
    plan: PlanStore, store: RedisStore, token: str, max_age: timedelta, expected: timedelta
) -> None:
    await planned(plan, token, an_occurrence(users=6, window=HOUR), max_age)
    assert await kept(store, "taskqueue:distribution:daily_report:*") == {expected}
    assert await kept(store, "taskqueue:occurrence:*") == {expected}


@pytest.mark.parametrize(("max_age", "expected"), [(DAY, 7 * DAY), (30 * DAY, 30 * DAY + HOUR)])
async def test_a_triggers_slot_lists_and_record_are_kept_as_long(
    plan: PlanStore, store: RedisStore, max_age: timedelta, expected: timedelta
) -> None:
    trigger = an_occurrence(id="3f0c", source=JobSource.TRIGGER, users=6, window=timedelta(0))
    await plan.add_trigger(trigger, USERS, batch_size=4, max_age=max_age)
    assert await kept(store, "taskqueue:distribution:daily_report:*") == {expected}
    assert await kept(store, "taskqueue:occurrence:*") == {expected}


async def test_the_record_of_an_occurrence_that_is_over_goes_a_week_later(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    occurrence = an_occurrence(users=6, window=timedelta(0))
    progress = await planned(plan, token, occurrence, 366 * DAY)
    assert await plan.trim_slot(token, occurrence, progress, first_user=USERS[0], count=6)
    assert await plan.close(token, occurrence.member)
    assert await kept(store, "taskqueue:occurrence:*") == {7 * DAY}


async def test_an_occurrence_that_the_next_one_yields_to_is_known_until_its_jobs_are_too_old(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    max_age = 30 * DAY
    occurrence = an_occurrence(users=6, window=timedelta(0), over_by=TEN_O_CLOCK + max_age)
    progress = await planned(plan, token, occurrence, max_age, Overlap.SKIP)
    assert await plan.trim_slot(token, occurrence, progress, first_user=USERS[0], count=6)
    assert await plan.close(token, occurrence.member)
    assert await kept(store, "taskqueue:occurrence:*") == {max_age + HOUR}
    assert await kept(store, "taskqueue:due:latest:*") == {max_age + HOUR}
