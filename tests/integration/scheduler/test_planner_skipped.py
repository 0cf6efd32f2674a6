"""What the planner leaves out or passes over is on record, for whoever asks why nothing ran."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.skipped import SkippedInstants
from taskqueue.scheduler import planner
from taskqueue.store import keys
from tests.support.plan_desk import DAY, HOUR, HOURLY, MINUTE, TEN, Desk, NewDesk, names
from tests.support.scheduling import TasksFile, task_type


async def on_record(desk: Desk, member: str = "report") -> list[tuple[object, ...]]:
    """Return first instant, end and reason of what the cohort has skipped."""
    texts = await desk.redis.lrange(keys.skipped(member), 0, -1)
    found = [SkippedInstants.from_json(text.encode()) for text in texts]
    return [(each.first, each.until, each.reason) for each in found]


async def test_missed_instants_are_on_record_up_to_the_one_that_is_made_up_for(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report", HOURLY))
    desk = new_desk()
    desk.enable(*names(1))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN + 2 * HOUR + MINUTE)

    assert await on_record(desk) == [(TEN, TEN + 2 * HOUR, "missed")]


async def test_an_occurrence_that_is_left_out_is_on_record(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY, overlap="skip"))
    desk = new_desk()
    desk.enable(*names(1))
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)

    await desk.tick_at(TEN + HOUR)

    assert await on_record(desk) == [(TEN + HOUR, TEN + 2 * HOUR, "overlap")]


async def test_an_instant_of_a_task_that_was_disabled_before_it_was_planned_is_on_record(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report", HOURLY, overlap="skip"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    await tasks_file.change(desk.planner._catalog, task_type("report", HOURLY, enabled=False))

    await desk.tick_at(TEN + MINUTE)

    assert await on_record(desk) == [(TEN, TEN + MINUTE, "task_disabled")]


async def test_of_more_cohorts_than_are_remembered_at_a_time_each_has_its_record(
    new_desk: NewDesk, tasks_file: TasksFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "_MOST_NOTES", 2)
    monkeypatch.setattr(planner, "_DUE_PER_TICK", 1)
    tasks_file.write(task_type("report", HOURLY))
    desk = new_desk()
    desk.enable(*names(5))
    for hour, user in enumerate(names(5)):
        desk.wants(user, {"type": "daily", "at_time": f"{hour + 11}:00"})
    await desk.tick_at(TEN)

    await desk.tick_at(TEN + 3 * DAY)

    # The sixth is that of the users without an interval of their own.
    assert len(await desk.redis.keys(keys.skipped("report") + "*")) == 6


async def test_the_record_lasts_for_some_days(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN + 2 * HOUR)

    assert 7 * DAY < await desk.redis.pttl(keys.skipped("report")) * timedelta(milliseconds=1) <= 8 * DAY
