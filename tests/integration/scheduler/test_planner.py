from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from taskqueue.core.instants import to_unix_ms
from taskqueue.store.users import Switches
from taskqueue.telemetry.scheduler_events import OccurrencePlanned, OccurrenceSkipped
from tests.support.plan_desk import (
    DAY,
    HOUR,
    HOURLY,
    MINUTE,
    TEN,
    Desk,
    NewDesk,
    in_order,
    names,
)
from tests.support.scheduling import EventLog, TasksFile, task_type


async def test_each_enabled_user_stands_once_in_the_slots_of_the_occurrence(desk: Desk) -> None:
    desk.enable(*names(400))
    desk.enable("stranger", task_id="another")
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN - MINUTE)

    assert sorted(await desk.planned()) == sorted(names(400))


async def test_the_slots_are_even_and_their_keys_are_those_of_the_spec(desk: Desk) -> None:
    desk.enable(*names(400))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN - MINUTE)

    ((occurrence, progress),) = await desk.occurrences()
    slots = await desk.slots(occurrence, progress)
    assert list(slots) == list(range(180))
    assert {len(users) for users in slots.values()} == {2, 3}
    assert [user for users in slots.values() for user in users] == in_order(names(400))
    assert await desk.redis.exists("taskqueue:distribution:report:0", "taskqueue:distribution:report:179") == 2


async def test_what_was_decided_stands_in_the_record(desk: Desk) -> None:
    desk.enable(*names(3))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN - MINUTE + timedelta(microseconds=1500))

    ((occurrence, progress),) = await desk.occurrences()
    assert (occurrence.scheduled_at, occurrence.starts_at) == (TEN, TEN)
    assert occurrence.created_at == TEN - MINUTE + timedelta(milliseconds=1)
    assert (occurrence.window, occurrence.users) == (timedelta(minutes=30), 3)
    assert (progress.complete, progress.planned, progress.released) == (True, 3, 0)
    assert not await desk.redis.exists("taskqueue:schedule:lock:report")
    assert [(event.users, event.scheduled_at) for event in desk.events.of(OccurrencePlanned)] == [(3, TEN)]


async def test_an_occurrence_is_planned_a_minute_ahead_and_not_before(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR / 2)
    assert await desk.planner.next_wake() == TEN - MINUTE

    await desk.tick_at(TEN - MINUTE - timedelta(milliseconds=1))
    assert await desk.occurrences() == []

    await desk.tick_at(TEN - MINUTE)
    assert len(await desk.occurrences()) == 1


async def test_an_occurrence_is_planned_once_however_often_it_ticks(desk: Desk) -> None:
    desk.enable(*names(10))
    await desk.tick_at(TEN - HOUR / 2)

    for seconds in (-60, -60, -30, 0, 90):
        await desk.tick_at(TEN + timedelta(seconds=seconds))

    assert sorted(await desk.planned()) == sorted(names(10))
    assert await desk.due() == {"report": TEN + DAY}


async def test_an_occurrence_without_users_is_one(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN)

    ((_, progress),) = await desk.occurrences()
    assert progress.finished


async def test_nothing_is_ever_due_without_tasks(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write()
    desk = new_desk()

    await desk.tick_at(TEN)

    assert (await desk.planner.next_wake(), await desk.due()) == (None, {})


async def test_a_window_ends_where_the_next_occurrence_begins(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", {"cron": "*/10 * * * *"}))
    desk = new_desk()
    desk.enable(*names(60))
    await desk.tick_at(TEN - 5 * MINUTE)

    await desk.tick_at(TEN - MINUTE)

    ((occurrence, progress),) = await desk.occurrences()
    assert occurrence.window == timedelta(minutes=10)
    assert list(await desk.slots(occurrence, progress)) == list(range(60))


async def test_a_task_may_have_its_own_window_or_none(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", distribution_window="20s"), task_type("blast", distribution_window="0s"))
    desk = new_desk()
    for user in names(4):
        desk.index.apply(Switches(user_id=user, on=frozenset({"report", "blast"})))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN)

    slots = {occurrence.task_id: await desk.slots(occurrence, at) for occurrence, at in await desk.occurrences()}
    assert {task_id: list(map(len, lists.values())) for task_id, lists in slots.items()} == {
        "report": [2, 2],
        "blast": [4],
    }


async def test_what_is_planned_late_is_spread_from_then_on(desk: Desk) -> None:
    desk.enable(*names(6))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN + 5 * MINUTE)

    ((occurrence, _),) = await desk.occurrences()
    assert (occurrence.scheduled_at, occurrence.starts_at) == (TEN, TEN + 5 * MINUTE)
    assert occurrence.execute_after(0) == TEN + 5 * MINUTE


async def test_users_with_an_interval_of_their_own_have_occurrences_of_their_own(desk: Desk) -> None:
    desk.enable(*names(6))
    for user in names(2):
        desk.wants(user, HOURLY)
    await desk.tick_at(TEN - HOUR / 2)
    for instant in (TEN, TEN + HOUR):
        await desk.tick_at(instant)

    found = [
        (occurrence.scheduled_at, occurrence.cohort != "", sorted(await desk.users_of(occurrence, at)))
        for occurrence, at in await desk.occurrences()
    ]
    assert sorted(found) == [
        (TEN, False, names(6)[2:]),
        (TEN, True, names(2)),
        (TEN + HOUR, True, names(2)),
    ]


async def test_a_new_cohort_is_due_from_the_next_tick_and_a_left_one_no_more(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR / 2)
    desk.wants("ann", HOURLY)
    await desk.planner.tick(desk.token)
    (cohort,) = desk.index.cohorts("report")
    assert await desk.due() == {"report": TEN, f"report:{cohort}": TEN}

    desk.wants("ann", None)
    await desk.planner.tick(desk.token)

    assert await desk.due() == {"report": TEN}


async def test_a_user_who_opts_in_after_the_plan_is_called_from_the_next_occurrence(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)
    desk.enable("bob")
    await desk.tick_at(TEN)
    assert await desk.planned() == ["ann"]

    await desk.tick_at(TEN + DAY)

    assert sorted(await desk.planned()) == ["ann", "ann", "bob"]


async def test_a_default_that_is_switched_on_counts_from_the_next_occurrence_that_is_planned(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report", HOURLY))
    desk = new_desk()
    desk.enable("ann")
    desk.enable("bob", task_id="another")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)

    await tasks_file.change(desk.planner._catalog, task_type("report", HOURLY, default_enabled=True))
    await desk.tick_at(TEN)
    assert await desk.planned() == ["ann"]

    await desk.tick_at(TEN + HOUR)
    assert sorted(await desk.planned()) == ["ann", "ann", "bob"]


async def test_two_occurrences_that_overlap_do_not_mix_their_lists(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY, catch_up="all"))
    desk = new_desk()
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN + HOUR + MINUTE)

    found = await desk.occurrences()
    assert sorted(progress.suffix for _, progress in found) == ["", ":20240115T110000Z"]
    for occurrence, progress in found:
        assert sorted(await desk.users_of(occurrence, progress)) == sorted(names(20))


@pytest.mark.parametrize(
    ("catch_up", "hours"),
    [("none", [14]), ("latest", [13, 14]), ("all", [11, 12, 13, 14])],
)
async def test_missed_occurrences_are_made_up_for_as_the_task_says(
    new_desk: NewDesk, tasks_file: TasksFile, catch_up: str, hours: list[int]
) -> None:
    tasks_file.write(task_type("report", HOURLY, catch_up=catch_up, max_age="150m"))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR / 2)  # then nobody ticks from 10 until half past 13

    await desk.tick_at(TEN + 3.5 * HOUR)
    await desk.tick_at(TEN + 4 * HOUR - MINUTE)

    assert sorted(occurrence.scheduled_at.hour for occurrence, _ in await desk.occurrences()) == hours
    assert [event.reason for event in desk.events.of(OccurrenceSkipped)] == ["missed"]
    assert await desk.due() == {"report": TEN + 5 * HOUR}


async def test_nothing_is_planned_before_start_at_nor_after_end_at_for_cohorts_either(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    bounds = {"start_at": "2024-01-15T11:00:00Z", "end_at": "2024-01-15T13:00:00Z"}
    tasks_file.write(task_type("report", HOURLY, catch_up="all", **bounds))
    desk = new_desk()
    desk.enable("ann", "bea")
    desk.wants("bea", {"type": "hourly", "value": 2})

    for hour in range(-1, 6):
        await desk.tick_at(TEN + hour * HOUR)

    planned = [(bool(each.cohort), each.scheduled_at.hour) for each, _ in await desk.occurrences()]
    assert sorted(planned) == [(False, 11), (False, 12), (False, 13), (True, 12)]
    assert await desk.due() == {}


async def test_a_new_end_at_takes_effect_on_what_is_due(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY))
    await new_desk().tick_at(TEN - HOUR / 2)

    tasks_file.write(task_type("report", HOURLY, end_at="2024-01-15T09:59:59Z"))
    ended = new_desk()
    await ended.tick_at(TEN - HOUR / 2)
    assert await ended.due() == {}

    tasks_file.write(task_type("report", HOURLY, end_at="2024-01-15T10:00:00Z"))
    prolonged = new_desk()
    await prolonged.tick_at(TEN - HOUR / 2)
    assert await prolonged.due() == {"report": TEN}


async def test_a_fail_over_of_half_a_minute_misses_nothing(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY, catch_up="none"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN + MINUTE / 2)

    assert [occurrence.scheduled_at for occurrence, _ in await desk.occurrences()] == [TEN]
    assert desk.events.of(OccurrenceSkipped) == []


async def test_a_long_outage_is_made_up_for_in_one_tick(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", {"cron": "* * * * *"}, catch_up="all", max_age="1d"))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - MINUTE / 2)

    await desk.tick_at(TEN + 4 * HOUR)

    assert len({occurrence.scheduled_at for occurrence, _ in await desk.occurrences()}) == 4 * 60 + 2


async def test_a_new_rule_moves_what_is_due(new_desk: NewDesk, tasks_file: TasksFile, events: EventLog) -> None:
    tasks_file.write(task_type("report"), task_type("steady"))
    watch = tasks_file.watch(events)
    desk = new_desk()
    desk.planner._catalog = watch
    await desk.tick_at(TEN - HOUR / 2)

    await tasks_file.change(watch, task_type("report", {"type": "daily", "at_time": "12:15"}), task_type("steady"))
    await desk.planner.tick(desk.token)

    assert await desk.due() == {"report": TEN + 2.25 * HOUR, "steady": TEN}


async def test_a_new_rule_plans_no_instant_a_second_time(
    new_desk: NewDesk, tasks_file: TasksFile, events: EventLog
) -> None:
    tasks_file.write(task_type("report"))
    watch = tasks_file.watch(events)
    desk = new_desk()
    desk.planner._catalog = watch
    desk.enable(*names(5))
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)

    await tasks_file.change(watch, task_type("report", HOURLY))
    await desk.tick_at(TEN - MINUTE / 2)

    assert sorted(await desk.planned()) == names(5)
    assert await desk.due() == {"report": TEN + HOUR}


@pytest.mark.parametrize("rest", [[], [task_type("report", enabled=False)]])
async def test_a_task_that_is_removed_or_disabled_is_due_no_more(
    new_desk: NewDesk, tasks_file: TasksFile, events: EventLog, rest: list[Mapping[str, object]]
) -> None:
    tasks_file.write(task_type("report"), task_type("steady"))
    watch = tasks_file.watch(events)
    desk = new_desk()
    desk.planner._catalog = watch
    desk.wants("ann", HOURLY)
    await desk.tick_at(TEN - HOUR / 2)

    await tasks_file.change(watch, *rest, task_type("steady"))
    await desk.tick_at(TEN)

    assert await desk.due() == {"steady": TEN + DAY}
    assert [occurrence.task_id for occurrence, _ in await desk.occurrences()] == ["steady"]


async def test_a_task_that_comes_back_is_due_from_then_on(
    new_desk: NewDesk, tasks_file: TasksFile, events: EventLog
) -> None:
    tasks_file.write(task_type("report", HOURLY))
    watch = tasks_file.watch(events)
    desk = new_desk()
    desk.planner._catalog = watch
    await desk.tick_at(TEN - HOUR / 2)
    await tasks_file.change(watch, task_type("report", HOURLY, enabled=False))
    await desk.tick_at(TEN - HOUR / 2)

    await tasks_file.change(watch, task_type("report", HOURLY))
    await desk.tick_at(TEN + 2.5 * HOUR)

    assert await desk.due() == {"report": TEN + 3 * HOUR}
    assert await desk.occurrences() == []


async def test_due_work_of_thousands_of_tasks_is_brought_in_line_in_pieces(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(*(task_type(f"task-{number}", HOURLY) for number in range(1200)))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    assert len(await desk.due()) == 1200

    await desk.tick_at(TEN)

    assert set((await desk.due()).values()) == {TEN + HOUR}
    assert await desk.redis.zcard("taskqueue:occurrences") == 1200


async def test_an_occurrence_is_looked_at_when_its_first_user_is_due(desk: Desk) -> None:
    desk.enable(*names(3))
    await desk.tick_at(TEN - HOUR / 2)

    await desk.tick_at(TEN - MINUTE)

    assert await desk.redis.zscore("taskqueue:occurrences", "report:20240115T100000Z") == to_unix_ms(TEN)
