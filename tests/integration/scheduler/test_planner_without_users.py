"""An occurrence whose users are still being imported, or written back after Redis lost everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from taskqueue.store.lease import Lease
from taskqueue.store.users import Switches
from taskqueue.telemetry.scheduler_events import OccurrencePlanned
from tests.support.plan_desk import DAY, HOUR, MINUTE, TEN, Desk, NewDesk, names, planned_instants
from tests.support.scheduling import TasksFile, task_type

SECOND = timedelta(seconds=1)

Lose = Callable[[Desk], Awaitable[None]]


@pytest.fixture
def lose_everything(new_lease: Callable[[str], Lease]) -> Lose:
    """Call it to empty Redis; another term of leadership begins once the index has followed."""

    async def lose_everything(desk: Desk) -> None:
        await desk.redis.flushdb()
        for user in names(20):
            desk.index.apply(Switches(user_id=user, exists=False))
        lease = new_lease("leader")
        assert await lease.acquire()
        desk.token = lease.token
        await desk.planner.resume(lease.token)

    return lose_everything


def told(desk: Desk, instant: datetime) -> list[tuple[int, bool]]:
    """Return users and `redis_was_empty` of each plan of the instant."""
    planned = desk.events.of(OccurrencePlanned)
    return [(event.users, event.redis_was_empty) for event in planned if event.scheduled_at == instant]


async def test_while_there_are_no_users_an_occurrence_waits_for_its_instant(desk: Desk) -> None:
    await desk.tick_at(TEN - HOUR / 2)
    await desk.tick_at(TEN - MINUTE)
    assert (await desk.occurrences(), await desk.planner.next_wake()) == ([], TEN)

    desk.enable(*names(10))
    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(names(10))
    assert await desk.due() == {"report": TEN + DAY}


async def test_an_occurrence_of_nobody_is_planned_ahead_where_there_are_users_of_others(desk: Desk) -> None:
    desk.enable("stranger", task_id="another")

    await desk.tick_at(TEN - 40 * SECOND)

    assert await desk.due() == {"report": TEN + DAY}


async def test_users_who_are_written_back_after_a_loss_are_called_at_the_next_instant(
    desk: Desk, lose_everything: Lose
) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - MINUTE)
    await lose_everything(desk)
    await desk.tick_at(TEN - 40 * SECOND)
    desk.enable(*names(5))
    await desk.tick_at(TEN - 30 * SECOND)
    assert await desk.occurrences() == []

    desk.enable(*names(20))
    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(names(20))
    assert await desk.due() == {"report": TEN + DAY}


async def test_a_loss_after_which_some_users_are_there_again_already_is_one(desk: Desk, lose_everything: Lose) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - MINUTE)
    await lose_everything(desk)
    desk.enable(*names(5))
    await desk.tick_at(TEN - 40 * SECOND)
    assert await desk.occurrences() == []


async def test_a_follower_that_leads_after_a_loss_plans_nothing_ahead_while_it_is_in_doubt_who_is_left(
    desk: Desk,
) -> None:
    desk.enable(*names(3))  # not read again yet
    desk.index.in_doubt = True
    await desk.tick_at(TEN - 40 * SECOND)
    desk.index.in_doubt = False
    await desk.tick_at(TEN - 30 * SECOND)
    assert await desk.occurrences() == []

    desk.enable(*names(20))
    await desk.tick_at(TEN)

    assert sorted(await desk.planned()) == sorted(names(20))


async def test_a_minute_after_a_loss_occurrences_are_planned_ahead_again(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report", {"cron": "* * * * *"}))
    desk = new_desk()
    await desk.tick_at(TEN - 30 * SECOND)
    desk.enable("ann")

    await desk.tick_at(TEN)
    assert await planned_instants(desk) == [TEN]
    await desk.tick_at(TEN + MINUTE)
    assert await planned_instants(desk) == [TEN, TEN + MINUTE, TEN + 2 * MINUTE]


async def test_a_system_that_begins_with_its_users_there_plans_ahead_at_once(desk: Desk) -> None:
    desk.enable(*names(4))

    await desk.tick_at(TEN - 40 * SECOND)

    assert sorted(await desk.planned()) == sorted(names(4))


async def test_a_plan_for_nobody_just_after_a_loss_is_told_as_such(desk: Desk, lose_everything: Lose) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR)
    await lose_everything(desk)

    await desk.tick_at(TEN - 40 * SECOND)
    await desk.tick_at(TEN)
    await desk.tick_at(TEN + DAY)

    assert (told(desk, TEN), told(desk, TEN + DAY)) == ([(0, True)], [(0, False)])
