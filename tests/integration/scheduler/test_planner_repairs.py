from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from taskqueue.core.task import Task
from taskqueue.errors import LeaseLostError, PlanningError, StoreUnavailableError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.telemetry.scheduler_events import (
    DamagedKeySetAside,
    DueEntrySetBack,
    DueWorkRebuilt,
    OccurrencePlanned,
    OccurrenceSkipped,
)
from tests.support.plan_desk import DAY, HOUR, HOURLY, MINUTE, TEN, Desk, NewDesk, names
from tests.support.scheduling import EventLog, TasksFile, task_type


async def test_lost_due_work_is_rebuilt_from_its_rules_within_check_interval(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.delete("taskqueue:due")
    await desk.tick_at(TEN - HOUR + MINUTE / 2)
    assert await desk.due() == {}
    await desk.tick_at(TEN - HOUR + MINUTE)
    assert await desk.due() == {"report": TEN}
    assert [event.entries for event in desk.events.of(DueWorkRebuilt)] == [1]


async def test_due_work_that_is_lost_with_its_rules_is_written_anew_within_check_interval(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.delete("taskqueue:due", "taskqueue:due:rules")
    await desk.tick_at(TEN - HOUR + MINUTE)
    await desk.tick_at(TEN - HOUR + MINUTE)
    assert await desk.due() == {"report": TEN}


async def test_a_new_leader_rebuilds_lost_due_work_at_once(desk: Desk, new_desk: NewDesk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.delete("taskqueue:due")
    another = new_desk()
    await another.tick_at(TEN - HOUR)
    assert await another.due() == {"report": TEN}


async def test_what_was_due_while_its_entry_was_lost_is_planned(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - MINUTE - timedelta(seconds=30))
    await desk.redis.zrem("taskqueue:due", "report")
    await desk.tick_at(TEN - timedelta(seconds=30))
    assert await desk.planned() == ["ann"]
    assert await desk.due() == {"report": TEN + DAY}


async def test_what_was_planned_before_its_entry_was_lost_is_not_planned_again(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN - MINUTE)
    await desk.redis.delete("taskqueue:due")
    await desk.tick_at(TEN + MINUTE / 2)
    assert await desk.planned() == ["ann"]
    assert len(desk.events.of(OccurrencePlanned)) == 1
    assert await desk.due() == {"report": TEN + DAY}


async def test_a_rule_that_is_never_due_again_is_not_taken_for_lost(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("over", end_at="2020-01-01T00:00:00Z"), task_type("report"))
    desk = new_desk()
    for minutes in range(3):
        await desk.tick_at(TEN - HOUR + minutes * MINUTE)
    assert await desk.due() == {"report": TEN}
    assert desk.events.of(DueWorkRebuilt) == []


@pytest.mark.parametrize("lost", ["taskqueue:due:held", "taskqueue:due:held:instants"])
async def test_held_due_work_survives_the_loss_of_either_of_its_keys(
    new_desk: NewDesk, tasks_file: TasksFile, lost: str
) -> None:
    tasks_file.write(task_type("report", overlap="queue"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN - MINUTE)
    await desk.redis.delete(lost)
    if lost.endswith("instants"):  # as the leader sets aside an entry that it cannot read
        await desk.redis.zrem("taskqueue:due:held", "report")
    await desk.tick_at(TEN + timedelta(seconds=1))
    assert [occurrence.scheduled_at for occurrence, _ in await desk.occurrences()] == [TEN]


async def test_due_work_without_a_rule_is_removed_and_holds_up_nothing(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {f"stranger-{number}": 1_000_000 for number in range(150)})
    await desk.tick_at(TEN)
    assert await desk.due() == {"report": TEN + DAY}
    assert [occurrence.task_id for occurrence, _ in await desk.occurrences()] == ["report"]


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
async def test_a_clock_that_jumps_ahead_and_back_plans_each_instant_once(
    new_desk: NewDesk, tasks_file: TasksFile, overlap: str
) -> None:
    tasks_file.write(task_type("report", {"cron": "*/10 * * * *"}, catch_up="all", overlap=overlap))
    desk = new_desk()
    await desk.tick_at(TEN - 5 * MINUTE)
    await desk.tick_at(TEN + HOUR)
    for minutes in range(0, 130, 5):
        await desk.tick_at(TEN + minutes * MINUTE)
    planned = [event.scheduled_at for event in desk.events.of(OccurrencePlanned)]
    assert planned == [TEN + minutes * MINUTE for minutes in range(0, 130, 10)]
    assert desk.events.of(OccurrenceSkipped) == []


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
async def test_a_clock_that_jumps_back_and_ahead_plans_nothing_twice_and_skips_nothing(
    new_desk: NewDesk, tasks_file: TasksFile, catch_up: str
) -> None:
    tasks_file.write(task_type("report", HOURLY, catch_up=catch_up))
    desk = new_desk()
    desk.enable(*names(3))
    await desk.tick_at(TEN - HOUR / 2)
    for minutes in (-1, 0, -61, -60, -30, 1, 59, 60, -1, 119):
        await desk.tick_at(TEN + minutes * MINUTE)
    planned = [event.scheduled_at for event in desk.events.of(OccurrencePlanned)]
    assert planned == [TEN, TEN + HOUR, TEN + 2 * HOUR]
    assert sorted(await desk.planned()) == sorted(3 * names(3))
    assert desk.events.of(OccurrenceSkipped) == []


async def test_a_restart_under_a_clock_that_went_back_plans_nothing_twice(
    new_desk: NewDesk, tasks_file: TasksFile, events: EventLog
) -> None:
    tasks_file.write(task_type("report", HOURLY))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    another = new_desk()
    await another.planner.resume(another.token)
    await another.redis.delete("taskqueue:due")
    await another.tick_at(TEN - HOUR / 2)
    await another.tick_at(TEN)
    assert await another.planned() == ["ann"]
    assert len(events.of(OccurrencePlanned)) == 1


@pytest.mark.parametrize("overlap", ["allow", "queue"])
async def test_a_task_is_not_silent_for_the_days_by_which_the_clock_was_ahead(
    new_desk: NewDesk, tasks_file: TasksFile, overlap: str
) -> None:
    tasks_file.write(task_type("report", overlap=overlap))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN + 30 * DAY - MINUTE / 2)
    await desk.tick_at(TEN - HOUR / 2)
    assert await desk.due() == {"report": TEN}
    for second in range(0, 2 * 24 * 60, 10):
        await desk.tick_at(TEN - HOUR / 2 + second * MINUTE)
    planned = {event.scheduled_at for event in desk.events.of(OccurrencePlanned)}
    assert {TEN, TEN + DAY} <= planned
    (set_back,) = desk.events.of(DueEntrySetBack)
    assert (set_back.task, set_back.set_to) == ("report", TEN)


async def test_an_entry_that_somebody_wrote_far_ahead_is_set_back(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {"report": (TEN + 400 * DAY).timestamp() * 1000})
    await desk.tick_at(TEN - HOUR / 2)
    assert await desk.due() == {"report": TEN}


async def test_an_entry_up_to_one_interval_ahead_stays_where_it_is(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {"report": (TEN + DAY).timestamp() * 1000})
    await desk.tick_at(TEN - HOUR / 2)
    assert await desk.due() == {"report": TEN + DAY}


@pytest.mark.parametrize("overlap", ["allow", "queue"])
async def test_an_entry_at_an_instant_that_its_rule_does_not_have_is_set_right(
    new_desk: NewDesk, tasks_file: TasksFile, overlap: str
) -> None:
    # As an update of the time zones leaves those of a clock that is now to be changed on another day.
    tasks_file.write(task_type("report", overlap=overlap))
    desk = new_desk()
    await desk.tick_at(TEN - 2 * HOUR)
    await desk.redis.zadd("taskqueue:due", {"report": (TEN - HOUR).timestamp() * 1000})
    for minutes in range(-119, 2):
        await desk.tick_at(TEN + minutes * MINUTE)
    assert [event.scheduled_at for event in desk.events.of(OccurrencePlanned)] == [TEN]
    assert [event.set_to for event in desk.events.of(DueEntrySetBack)] == [TEN]


async def test_a_last_instant_that_is_displaced_is_set_back(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", end_at=(TEN + MINUTE).isoformat()))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {"report": (TEN + 3 * DAY).timestamp() * 1000})
    await desk.tick_at(TEN - HOUR / 2)
    assert await desk.due() == {"report": TEN}


async def test_an_entry_behind_the_end_of_its_task_is_removed(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", end_at=(TEN + MINUTE).isoformat()))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN)
    await desk.redis.zadd("taskqueue:due", {"report": (TEN + 3 * DAY).timestamp() * 1000})
    await desk.tick_at(TEN + HOUR)
    assert await desk.due() == {}
    assert [event.set_to for event in desk.events.of(DueEntrySetBack)] == [None]


@pytest.mark.parametrize("stranger", ["stranger", "stranger:", "report:0123456789abcdef"])
async def test_an_entry_without_a_rule_hides_no_lost_one(desk: Desk, stranger: str) -> None:
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {stranger: (TEN + 300 * DAY).timestamp() * 1000})
    await desk.redis.zrem("taskqueue:due", "report")
    for minutes in range(4):
        await desk.tick_at(TEN - HOUR + minutes * MINUTE)
    assert await desk.due() == {"report": TEN}


@pytest.mark.parametrize("instant", ["123abc", "123:waited long", "9" * 18, "9" * 5000])
async def test_a_held_entry_whose_instant_is_none_is_rebuilt(
    new_desk: NewDesk, tasks_file: TasksFile, instant: str
) -> None:
    tasks_file.write(task_type("report", overlap="queue"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zrem("taskqueue:due", "report")
    await desk.redis.hset("taskqueue:due:held:instants", "report", instant)
    await desk.redis.zadd("taskqueue:due:held", {"report": 123})
    for minutes in range(3):
        await desk.tick_at(TEN - HOUR / 2 + minutes * MINUTE)
    assert await desk.due() == {"report": TEN}
    assert await desk.redis.hlen("taskqueue:due:held:instants") == 0


async def test_hundreds_of_entries_that_are_none_delay_no_task(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {f"none-{number}": "-inf" for number in range(250)})
    await desk.redis.zadd("taskqueue:due:held", {f"none-{number}": 1 for number in range(250)})
    await desk.tick_at(TEN)
    assert await desk.planned() == ["ann"]
    assert await desk.redis.zcard("taskqueue:due:held") == 0
    assert await desk.due() == {"report": TEN + DAY}
    assert len(desk.events.of(DamagedKeySetAside)) == 500


async def test_an_instant_with_a_fraction_of_a_millisecond_is_planned(desk: Desk) -> None:
    desk.enable("ann")
    await desk.tick_at(TEN - HOUR)
    await desk.redis.zadd("taskqueue:due", {"report": TEN.timestamp() * 1000 + 0.25})
    await desk.tick_at(TEN)
    assert await desk.planned() == ["ann"]
    assert await desk.due() == {"report": TEN + DAY}


async def test_a_damaged_key_of_one_task_holds_up_no_other(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("broken"), task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.redis.hset("taskqueue:schedule:lock:broken", "of another", "type")
    await desk.tick_at(TEN)
    assert sorted(occurrence.task_id for occurrence, _ in await desk.occurrences()) == ["broken", "report"]
    assert [event.key for event in desk.events.of(DamagedKeySetAside)] == ["taskqueue:schedule:lock:broken"]


@pytest.mark.parametrize("field", ["over_by", "planned", "ended", "starts_at"])
async def test_a_record_that_cannot_be_read_holds_up_no_other_task_nor_its_own_for_long(
    new_desk: NewDesk, tasks_file: TasksFile, field: str
) -> None:
    tasks_file.write(task_type("broken", overlap="skip"), task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN)
    await desk.redis.delete("taskqueue:occurrences")
    await desk.redis.hset("taskqueue:occurrence:broken:20240115T100000Z", field, "junk")
    for _ in range(2):
        await desk.tick_at(TEN + DAY)
    assert await desk.due() == {"broken": TEN + 2 * DAY, "report": TEN + 2 * DAY}
    assert [event.key for event in desk.events.of(DamagedKeySetAside)] == [
        "taskqueue:occurrence:broken:20240115T100000Z"
    ]


@pytest.fixture
def _broken_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled_users = AudienceIndex.enabled_users

    def fail_for_one(index: AudienceIndex, task: Task, cohort: str) -> Any:
        if task.id == "broken":
            raise RuntimeError("the users cannot be ordered")
        return enabled_users(index, task, cohort)

    monkeypatch.setattr(AudienceIndex, "enabled_users", fail_for_one)


@pytest.mark.usefixtures("_broken_audience")
async def test_an_entry_that_cannot_be_planned_keeps_no_other_from_it_and_is_told(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("broken"), task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    with pytest.raises(PlanningError, match="broken cannot be planned: RuntimeError: the users cannot"):
        await desk.tick_at(TEN)
    assert [occurrence.task_id for occurrence, _ in await desk.occurrences()] == ["report"]
    assert await desk.due() == {"broken": TEN, "report": TEN + DAY}


async def test_an_occurrence_that_cannot_be_planned_to_the_end_keeps_no_other_from_it_and_is_told(
    new_desk: NewDesk, tasks_file: TasksFile, request: pytest.FixtureRequest
) -> None:
    tasks_file.write(task_type("broken", overlap="skip"), task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR)
    await desk.tick_at(TEN)
    record = "taskqueue:occurrence:broken:20240115T100000Z"
    await desk.redis.hset(record, "state", "planning")
    request.getfixturevalue("_broken_audience")
    await desk.planner.resume(desk.token)
    with pytest.raises(PlanningError, match="broken:20240115T100000Z cannot be planned: RuntimeError"):
        await desk.tick_at(TEN + DAY)
    assert (await desk.due())["report"] == TEN + 2 * DAY


@pytest.mark.parametrize("error", [LeaseLostError("it went"), StoreUnavailableError("Redis: away")])
async def test_losing_the_lease_or_redis_ends_the_tick_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await desk.tick_at(TEN - HOUR)

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(desk.plan, "begin", fail)
    with pytest.raises(type(error), match=str(error)):
        await desk.tick_at(TEN)


@pytest.mark.parametrize(("lead", "told"), [(HOUR, [("report", TEN, "rule_changed")]), (-HOUR, [])])
async def test_an_instant_that_a_changed_rule_drops_is_told_when_it_had_come(
    new_desk: NewDesk, tasks_file: TasksFile, lead: timedelta, told: list[tuple[str, datetime, str]]
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - 2 * HOUR)
    tasks_file.write(task_type("report", {"type": "daily", "at_time": "15:00"}))
    another = new_desk()
    await another.tick_at(TEN + lead)
    skipped = another.events.of(OccurrenceSkipped)
    assert [(event.task, event.scheduled_at, event.reason) for event in skipped] == told
    assert await another.due() == {"report": TEN + 5 * HOUR}


@pytest.mark.parametrize(
    ("entries", "reason"), [([task_type("report", enabled=False)], "task_disabled"), ([], "task_removed")]
)
async def test_an_overdue_instant_of_a_task_that_went_is_told(
    new_desk: NewDesk, tasks_file: TasksFile, entries: list[dict[str, object]], reason: str
) -> None:
    tasks_file.write(task_type("report"))
    await new_desk().tick_at(TEN - HOUR)
    tasks_file.write(*entries)
    another = new_desk()
    await another.tick_at(TEN + HOUR)
    assert [event.reason for event in another.events.of(OccurrenceSkipped)] == [reason]
