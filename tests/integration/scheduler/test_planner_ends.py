"""What is never due again is not taken for lost, and what is lost not for ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.errors import DamagedKeyError
from taskqueue.telemetry.scheduler_events import DueWorkRebuilt, OccurrencePlanned
from tests.support.plan_desk import HOUR, HOURLY, MINUTE, TEN, Desk, NewDesk, end_jobs, names, planned_instants, skipped
from tests.support.scheduling import TasksFile, task_type

SECOND = timedelta(seconds=1)

ENDS_AT_TEN = task_type("report", HOURLY, end_at=TEN.isoformat())
SKIPS = task_type("report", HOURLY, overlap="skip", end_at=(TEN + HOUR).isoformat())


def rebuilt(desk: Desk) -> list[int]:
    return [event.entries for event in desk.events.of(DueWorkRebuilt)]


async def leave_out_the_last(desk: Desk, *, cohort: bool) -> None:
    """Let the jobs of ten o'clock run until eleven, which is the end, is left out."""
    desk.enable(*names(2))
    if cohort:
        for user in names(2):
            desk.wants(user, {"cron": "0 * * * *"})
    for instant in (TEN - HOUR / 2, TEN, TEN + HOUR - 20 * SECOND, TEN + HOUR):
        await desk.tick_at(instant)
    assert (TEN + HOUR, "overlap") in skipped(desk)
    for occurrence, _ in await desk.occurrences():
        await end_jobs(desk, occurrence, names(2))


@pytest.mark.parametrize("cohort", [False, True])
@pytest.mark.parametrize("takeover", [False, True])
async def test_the_last_instant_that_skip_left_out_stays_left_out(
    new_desk: NewDesk, tasks_file: TasksFile, cohort: bool, takeover: bool
) -> None:
    tasks_file.write(SKIPS)
    desk = new_desk()
    await leave_out_the_last(desk, cohort=cohort)
    before = await planned_instants(desk)
    if takeover:
        desk = new_desk()
        await desk.planner.resume(desk.token)
    await desk.tick_at(TEN + HOUR + 41 * SECOND)
    assert (await planned_instants(desk), rebuilt(desk)) == (before, [])


@pytest.mark.parametrize("takeover", [False, True])
async def test_a_task_that_ends_is_not_told_as_lost(new_desk: NewDesk, tasks_file: TasksFile, takeover: bool) -> None:
    tasks_file.write(ENDS_AT_TEN)
    desk = new_desk()
    desk.enable(*names(2))
    for instant in (TEN - HOUR / 2, TEN - MINUTE):
        await desk.tick_at(instant)
    if takeover:
        desk = new_desk()
        await desk.planner.resume(desk.token)
    for instant in (TEN - 20 * SECOND, TEN + 41 * SECOND):
        await desk.tick_at(instant)
    assert (await planned_instants(desk), rebuilt(desk)) == ([TEN], [])


async def test_a_task_that_is_new_after_its_end_does_not_run(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("other"))
    desk = new_desk()
    desk.enable(*names(2))
    await desk.tick_at(TEN - MINUTE)
    await tasks_file.change(desk.planner._catalog, task_type("other"), ENDS_AT_TEN)
    for instant in (TEN + 10 * SECOND, TEN + 20 * SECOND):
        await desk.tick_at(instant)
    assert ([event.task for event in desk.events.of(OccurrencePlanned)], rebuilt(desk)) == (["other"], [])


async def test_a_last_instant_whose_entry_is_lost_still_runs(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(SKIPS)
    desk = new_desk()
    for instant in (TEN - HOUR / 2, TEN, TEN + HOUR / 2):
        await desk.tick_at(instant)
    await desk.redis.zrem("taskqueue:due", "report")
    await desk.tick_at(TEN + HOUR + 20 * SECOND)
    assert (await planned_instants(desk), rebuilt(desk)) == ([TEN, TEN + HOUR], [1])


async def test_a_later_end_lets_what_has_ended_go_on(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(ENDS_AT_TEN)
    desk = new_desk()
    for instant in (TEN - HOUR / 2, TEN):
        await desk.tick_at(instant)
    await tasks_file.change(desk.planner._catalog, task_type("report", HOURLY, end_at=(TEN + HOUR).isoformat()))
    await desk.tick_at(TEN + MINUTE)
    assert await desk.due() == {"report": TEN + HOUR}
    assert await desk.redis.scard("taskqueue:due:ended") == 0


@pytest.mark.parametrize("takeover", [False, True])
async def test_what_has_ended_under_a_clock_that_was_ahead_begins_anew(
    new_desk: NewDesk, tasks_file: TasksFile, takeover: bool
) -> None:
    tasks_file.write(SKIPS)
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN + 5 * HOUR)
    assert await desk.due() == {}
    if takeover:
        desk = new_desk()
        await desk.planner.resume(desk.token)
    for minutes in (-29, 0, 60, 61, 62):
        await desk.tick_at(TEN + minutes * MINUTE)
    assert await planned_instants(desk) == [TEN, TEN + HOUR]


async def test_that_nobody_knows_any_more_what_has_ended_is_no_loss(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(ENDS_AT_TEN, task_type("other"))
    desk = new_desk()
    for instant in (TEN - HOUR / 2, TEN):
        await desk.tick_at(instant)
    await desk.redis.delete("taskqueue:due:ended")
    await desk.tick_at(TEN + HOUR)
    assert await desk.redis.smembers("taskqueue:due:ended") == {"report"}
    assert rebuilt(desk) == []


async def test_a_key_of_another_type_in_its_place_is_named(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(ENDS_AT_TEN)
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    await desk.redis.set("taskqueue:due:ended", "not ours")
    with pytest.raises(DamagedKeyError, match="taskqueue:due:ended"):
        await desk.tick_at(TEN - HOUR / 4)
