"""Users with intervals of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import pytest

from taskqueue.errors import StoreUnavailableError
from taskqueue.store.due import DueChanges
from tests.support import wall_rules
from tests.support.minute_oracle import ZONES, due_instants, real_minutes
from tests.support.plan_desk import DAY, HOUR, HOURLY, MINUTE, TEN, Desk, NewDesk, names
from tests.support.scheduling import TasksFile, task_type

#: New York puts its clock forward, and Havana
CHANGE = date(2026, 3, 8)

_LISTS = "taskqueue:distribution:report:"


async def called(desk: Desk) -> dict[str, list[datetime]]:
    """Return for each user the instants at which they stand in a slot list, in order."""
    instants = {progress.suffix: occurrence.scheduled_at for occurrence, progress in await desk.occurrences()}
    found = defaultdict[str, list[datetime]](list)
    for key in await desk.redis.keys(f"{_LISTS}*"):
        suffix = key.removeprefix(_LISTS).lstrip("0123456789")
        for user in await desk.redis.lrange(key, 0, -1):
            found[user].append(instants[suffix])
    return {user: sorted(times) for user, times in found.items()}


@pytest.mark.parametrize("at", [time(8), time(2, 30)])
async def test_each_is_called_at_a_time_of_their_own_clock_also_where_it_is_put_forward(
    new_desk: NewDesk, tasks_file: TasksFile, at: time
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk()
    for zone in ZONES:
        desk.enable(zone)
        desk.wants(zone, {"type": "daily", "at_time": f"{at:%H:%M}", "timezone": zone})
    start = datetime.combine(CHANGE, time(0), tzinfo=UTC) - DAY

    await desk.tick_at(start)
    while (wake := await desk.planner.next_wake()) is not None and wake < start + 3 * DAY - MINUTE:
        await desk.tick_at(wake)

    oclock = wall_rules.daily(1, at)
    assert await called(desk) == {
        zone: due_instants(real_minutes(zone, CHANGE), oclock, after_a_gap=True, fold="first") for zone in ZONES
    }


async def test_another_interval_counts_from_the_next_plan_and_nobody_is_called_twice(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)
    desk.wants("ann", HOURLY)

    for instant in (TEN - MINUTE / 2, TEN, TEN + HOUR, TEN + DAY):
        await desk.tick_at(instant)

    jobs = {
        (occurrence.job_id(user), occurrence.scheduled_at)
        for occurrence, progress in await desk.occurrences()
        for user in await desk.users_of(occurrence, progress)
    }
    # What is planned stays, and its job has the same id in both cohorts; a day on, of the 23 missed hours the latest.
    assert sorted(at for _, at in jobs) == [TEN, TEN + HOUR, TEN + DAY]


@pytest.mark.parametrize(("catch_up", "hours"), [("none", [14]), ("latest", [13, 14]), ("all", [11, 12, 13, 14])])
async def test_what_users_with_their_own_interval_missed_is_made_up_for_as_the_task_says(
    new_desk: NewDesk, tasks_file: TasksFile, catch_up: str, hours: list[int]
) -> None:
    tasks_file.write(task_type("report", catch_up=catch_up, max_age="150m", start_at="2024-01-15T10:30:00Z"))
    desk = new_desk()
    desk.enable("ann")
    desk.wants("ann", HOURLY)
    await desk.tick_at(TEN - HOUR / 2)  # then nobody ticks until half past 13

    await desk.tick_at(TEN + 3.5 * HOUR)
    await desk.tick_at(TEN + 4 * HOUR - MINUTE)

    assert [at.hour for at in (await called(desk))["ann"]] == hours


async def test_a_cohort_that_comes_or_goes_costs_no_look_at_the_rules_of_all_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, rules = 0, desk.plan.due.rules

    async def counted() -> dict[str, str]:
        nonlocal looks
        looks += 1
        return await rules()

    monkeypatch.setattr(desk.plan.due, "rules", counted)
    for number, user in enumerate(names(5)):
        desk.wants(user, {"type": "daily", "at_time": f"{number + 11}:00"})
        await desk.tick_at(TEN - HOUR)
    for user in names(3):
        desk.wants(user, None)
        await desk.tick_at(TEN - HOUR)

    assert looks == 1
    assert sorted((await desk.due()).values()) == [TEN, TEN + 4 * HOUR, TEN + 5 * HOUR]


async def test_a_cohort_whose_end_was_written_without_an_answer_comes_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.wants("ann", HOURLY)
    await desk.tick_at(TEN - HOUR / 2)
    sync = desk.plan.due.sync

    async def unanswered(token: str, *, remove: Sequence[str], keep: Sequence[tuple[str, str, datetime]]) -> DueChanges:
        await sync(token, remove=remove, keep=keep)
        raise StoreUnavailableError("Redis: lost behind a write")

    desk.wants("ann", None)
    with monkeypatch.context() as patch:
        patch.setattr(desk.plan.due, "sync", unanswered)
        with pytest.raises(StoreUnavailableError):
            await desk.tick_at(TEN - HOUR / 2)

    desk.wants("ann", HOURLY)
    await desk.tick_at(TEN - HOUR / 2 + timedelta(seconds=1))

    assert list((await desk.due()).values()) == [TEN, TEN]
