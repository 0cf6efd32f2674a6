from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from taskqueue.core.occurrence import Occurrence
from taskqueue.telemetry.scheduler_events import OccurrenceAssumedOver, OccurrenceSkipped
from tests.support.plan_desk import (
    DAY,
    HOUR,
    HOURLY,
    MINUTE,
    TEN,
    Desk,
    NewDesk,
    end_jobs,
    names,
    planned_instants,
    skipped,
)
from tests.support.scheduling import EventLog, TasksFile, task_type

SECOND = timedelta(seconds=1)
EACH_MINUTE = {"cron": "* * * * *"}


async def occurrence_at(desk: Desk, instant: datetime, cohort: str | None = None) -> Occurrence:
    return next(
        occurrence
        for occurrence, _ in await desk.occurrences()
        if occurrence.scheduled_at == instant and cohort in {None, occurrence.cohort}
    )


@pytest.fixture
def desk_for(new_desk: NewDesk, tasks_file: TasksFile) -> NewDesk:
    """Call it with keys of the task for a planner of an hourly task with two users."""

    def desk_for(interval: Mapping[str, object] = HOURLY, **fields: object) -> Desk:
        tasks_file.write(task_type("report", interval, **fields))
        desk = new_desk()
        desk.enable(*names(2))
        return desk

    return desk_for


@pytest.mark.parametrize("overlap", ["skip", "queue"])
async def test_what_must_not_overlap_is_planned_at_its_instant_and_not_before(desk_for: NewDesk, overlap: str) -> None:
    desk = desk_for(overlap=overlap)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)
    assert (await desk.occurrences(), await desk.planner.next_wake()) == ([], TEN)
    await desk.tick_at(TEN - timedelta(milliseconds=1))
    assert await desk.occurrences() == []
    await desk.tick_at(TEN)
    assert await planned_instants(desk) == [TEN]
    assert await desk.planner.next_wake() == TEN + HOUR - MINUTE


async def test_skip_leaves_out_what_comes_while_a_job_runs(desk_for: NewDesk) -> None:
    desk = desk_for(overlap="skip")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await end_jobs(desk, await occurrence_at(desk, TEN), names(1))
    await desk.tick_at(TEN + HOUR)
    assert await planned_instants(desk) == [TEN]
    assert skipped(desk) == [(TEN + HOUR, "overlap")]
    await end_jobs(desk, await occurrence_at(desk, TEN), names(2))
    await desk.tick_at(TEN + 2 * HOUR)
    assert await planned_instants(desk) == [TEN, TEN + 2 * HOUR]


async def test_allow_runs_beside_what_still_runs(desk_for: NewDesk) -> None:
    desk = desk_for()
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    assert await planned_instants(desk) == [TEN, TEN + HOUR]
    assert await desk.redis.keys("taskqueue:due:latest:*") == []


@pytest.mark.parametrize(
    ("catch_up", "starts", "left_out"),
    [
        ("none", [2], [(TEN + HOUR, "overlap")]),
        ("latest", [2], [(TEN + HOUR, "overlap")]),
        ("all", [1], []),
    ],
)
async def test_queue_starts_what_waits_once_the_jobs_before_have_ended(
    desk_for: NewDesk, catch_up: str, starts: list[int], left_out: list[tuple[datetime, str]]
) -> None:
    desk = desk_for(overlap="queue", catch_up=catch_up)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    await desk.tick_at(TEN + 2.5 * HOUR)
    assert await planned_instants(desk) == [TEN]
    await end_jobs(desk, await occurrence_at(desk, TEN), names(2))
    assert await desk.planner.next_wake() == TEN + HOUR
    await desk.tick_at(TEN + 2.5 * HOUR + SECOND)
    assert await planned_instants(desk) == [TEN, *(TEN + hours * HOUR for hours in starts)]
    waited = await occurrence_at(desk, TEN + starts[0] * HOUR)
    assert waited.starts_at == TEN + 2.5 * HOUR + SECOND
    assert skipped(desk) == left_out


async def test_with_all_the_waiting_follow_one_another_in_order(desk_for: NewDesk) -> None:
    desk = desk_for(overlap="queue", catch_up="all")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    for hours in range(1, 4):
        await desk.tick_at(TEN + 2.5 * HOUR)
        assert await planned_instants(desk) == [TEN + earlier * HOUR for earlier in range(hours)]
        await end_jobs(desk, await occurrence_at(desk, TEN + (hours - 1) * HOUR), names(2))
    await desk.tick_at(TEN + 3 * HOUR)
    assert len(await planned_instants(desk)) == 4


async def test_what_waits_is_found_by_another_leader(desk_for: NewDesk, new_desk: NewDesk) -> None:
    desk = desk_for(overlap="queue")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    await end_jobs(desk, await occurrence_at(desk, TEN), names(2))
    another = new_desk()
    await another.planner.resume(another.token)
    await another.tick_at(TEN + 1.5 * HOUR)
    assert await planned_instants(another) == [TEN, TEN + HOUR]


async def test_an_end_that_was_never_told_blocks_no_longer_than_max_age(desk_for: NewDesk) -> None:
    desk = desk_for(overlap="queue", max_age="3h", distribution_window="10m")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    assert await desk.planner.next_wake() == TEN + 3 * HOUR + 10 * MINUTE
    await desk.tick_at(TEN + 3 * HOUR + 9 * MINUTE)
    assert await planned_instants(desk) == [TEN]
    await desk.tick_at(TEN + 3 * HOUR + 10 * MINUTE)
    assert await planned_instants(desk) == [TEN, TEN + 3 * HOUR]
    (assumed,) = desk.events.of(OccurrenceAssumedOver)
    assert (assumed.task, assumed.followed_at) == ("report", TEN + 3 * HOUR)


async def test_a_job_that_two_cohorts_share_counts_once_and_holds_the_other_up_until_its_time_is_up(
    desk_for: NewDesk,
) -> None:
    desk = desk_for(overlap="skip", max_age="90m", distribution_window="10m")
    desk.wants("user-0", {"cron": "0 * * * *"})
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    cohort = next(occurrence for occurrence, _ in await desk.occurrences() if occurrence.cohort)
    # Between the two plans of ten o'clock the user left the cohort: their job stands in both occurrences.
    await desk.redis.hincrby(f"taskqueue:occurrence:report:{TEN:%Y%m%dT%H%M%SZ}", "planned", 1)
    await end_jobs(desk, cohort, ["user-0"])
    await end_jobs(desk, await occurrence_at(desk, TEN, cohort=""), ["user-0", "user-1"])
    await desk.tick_at(TEN + HOUR)
    await desk.tick_at(TEN + 2 * HOUR)
    left_out = [event.scheduled_at for event in desk.events.of(OccurrenceSkipped) if event.cohort == ""]
    assert left_out == [TEN + HOUR]
    assert [event.cohort for event in desk.events.of(OccurrenceAssumedOver)] == [""]


async def test_what_ended_in_time_is_not_assumed_to_be_over(desk_for: NewDesk) -> None:
    desk = desk_for(overlap="queue")
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await end_jobs(desk, await occurrence_at(desk, TEN), names(2))
    await desk.tick_at(TEN + 30 * HOUR)
    assert desk.events.of(OccurrenceAssumedOver) == []


async def test_an_occurrence_without_users_is_over_at_once(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report", HOURLY, overlap="skip"))
    desk = new_desk()
    await desk.tick_at(TEN - HOUR / 2)
    for hours in range(3):
        await desk.tick_at(TEN + hours * HOUR)
    assert skipped(desk) == []
    assert len(await planned_instants(desk)) == 3


async def test_a_cohort_waits_only_for_itself(desk_for: NewDesk) -> None:
    desk = desk_for({"type": "daily", "at_time": "11:00"}, overlap="skip")
    desk.wants("user-0", HOURLY)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    assert [(each.cohort == "", each.scheduled_at) for each, _ in await desk.occurrences()] == [
        (False, TEN),
        (True, TEN + HOUR),
    ]


async def test_hundreds_that_wait_keep_no_other_from_its_instant(new_desk: NewDesk, tasks_file: TasksFile) -> None:
    waiting = [task_type(f"slow-{number}", EACH_MINUTE, overlap="queue") for number in range(250)]
    tasks_file.write(*waiting, task_type("steady"))
    desk = new_desk()
    for entry in waiting:
        desk.enable(f"of-{entry['id']}", task_id=str(entry["id"]))
    desk.enable("ann", task_id="steady")
    await desk.tick_at(TEN - 2.5 * MINUTE)
    await desk.tick_at(TEN - 2 * MINUTE)
    await desk.tick_at(TEN - MINUTE)
    found = [occurrence.task_id for occurrence, _ in await desk.occurrences()]
    assert (len(found), found.count("steady")) == (251, 1)
    assert await desk.redis.zcard("taskqueue:due:held") == 250
    assert await desk.planner.next_wake() == TEN + DAY - MINUTE


async def test_a_change_to_allow_starts_what_waits(desk_for: NewDesk, tasks_file: TasksFile, events: EventLog) -> None:
    desk = desk_for(overlap="queue")
    watch = tasks_file.watch(events)
    desk.planner._catalog = watch
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    await tasks_file.change(watch, task_type("report", HOURLY, overlap="allow"))
    await desk.tick_at(TEN + HOUR + MINUTE)
    assert await planned_instants(desk) == [TEN, TEN + HOUR]


async def test_another_interval_drops_what_waits(desk_for: NewDesk, tasks_file: TasksFile, events: EventLog) -> None:
    desk = desk_for(overlap="queue")
    watch = tasks_file.watch(events)
    desk.planner._catalog = watch
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + HOUR)
    await tasks_file.change(watch, task_type("report", {"type": "daily", "at_time": "15:00"}, overlap="queue"))
    await desk.tick_at(TEN + HOUR + MINUTE)
    assert await desk.due() == {"report": TEN + 5 * HOUR}
    assert await desk.redis.exists("taskqueue:due:held", "taskqueue:due:held:instants") == 0
    assert skipped(desk) == [(TEN + HOUR, "rule_changed")]
