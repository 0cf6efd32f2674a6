from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from taskqueue.core.task import Removed
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.telemetry.scheduler_events import OccurrenceSkipped
from tests.support.plan_desk import HOUR, HOURLY, MINUTE, TEN, Desk, NewDesk, names
from tests.support.scheduling import EventLog, TasksFile, task_type

REPORT, STEADY = task_type("report", HOURLY), task_type("steady", HOURLY)

DeskOf = Callable[[Removed], tuple[Desk, CatalogWatch]]


@pytest.fixture
def desk_of(new_desk: NewDesk, tasks_file: TasksFile, events: EventLog) -> DeskOf:
    """Call it with what becomes of removed tasks, for a planner of two tasks and the watch of its tasks.yaml."""

    def desk_of(removed: Removed) -> tuple[Desk, CatalogWatch]:
        tasks_file.write(REPORT, STEADY)
        desk, watch = new_desk(), tasks_file.watch(events)
        desk.planner._catalog = watch
        desk.planner._defaults = replace(desk.planner._defaults, removed=removed)
        desk.enable(*names(5))
        return desk, watch

    return desk_of


async def planned_tasks(desk: Desk) -> list[str]:
    return sorted(occurrence.task_id for occurrence, _ in await desk.occurrences())


async def test_finish_leaves_the_planned_occurrences_of_a_removed_task(desk_of: DeskOf, tasks_file: TasksFile) -> None:
    desk, watch = desk_of(Removed.FINISH)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await tasks_file.change(watch, STEADY)
    await desk.tick_at(TEN + MINUTE)
    assert await planned_tasks(desk) == ["report", "steady"]


async def test_drain_closes_the_planned_occurrences_of_a_removed_task_and_no_other(
    desk_of: DeskOf, tasks_file: TasksFile, redis: Redis
) -> None:
    desk, watch = desk_of(Removed.DRAIN)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await tasks_file.change(watch, STEADY)
    await desk.tick_at(TEN + MINUTE)
    assert await planned_tasks(desk) == ["steady"]
    assert await redis.keys("taskqueue:distribution:report:*") == []
    assert await redis.keys("taskqueue:occurrence:report:*") == []
    events = desk.events.of(OccurrenceSkipped)
    assert [(event.task, event.scheduled_at, event.reason) for event in events] == [("report", TEN, "task_removed")]


async def test_a_new_leader_closes_what_the_one_before_left(desk_of: DeskOf, tasks_file: TasksFile) -> None:
    desk, watch = desk_of(Removed.DRAIN)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await tasks_file.change(watch, STEADY)
    await desk.planner.resume(desk.token)
    await desk.tick_at(TEN + MINUTE)
    assert await planned_tasks(desk) == ["steady"]


async def test_a_drained_task_that_comes_back_is_planned_at_its_next_instant_as_ever(
    desk_of: DeskOf, tasks_file: TasksFile
) -> None:
    desk, watch = desk_of(Removed.DRAIN)
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN)
    await tasks_file.change(watch, STEADY)
    await desk.tick_at(TEN + MINUTE)
    await tasks_file.change(watch, REPORT, STEADY)
    await desk.tick_at(TEN + 2 * MINUTE)
    await desk.tick_at(TEN + HOUR)
    report = [found for found in await desk.occurrences() if found[0].task_id == "report"]
    assert [occurrence.scheduled_at for occurrence, _ in report] == [TEN + HOUR]
    assert [sorted(await desk.users_of(*found)) for found in report] == [names(5)]
