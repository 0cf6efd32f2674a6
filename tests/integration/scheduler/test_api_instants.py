"""The leader's care for the next instants of API tasks: after an update of the time zones, and of a clock set right."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import LeaseLostError
from taskqueue.scheduler import api_instants
from taskqueue.scheduler.api_instants import ApiInstants
from taskqueue.scheduler.api_tasks import ApiTasks
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import ApiTasksSetBack
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.inbox import eventually
from tests.support.scheduling import Clock, EventLog
from tests.support.values import TEN_O_CLOCK

ONE, TWO = numbered_id(1), numbered_id(2)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(TEN_O_CLOCK)


@pytest.fixture
def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    return ApiTaskStore(store, scripts)


@pytest.fixture
def runs(store: RedisStore, scripts: Scripts) -> ApiRuns:
    return ApiRuns(store, scripts)


@pytest.fixture
def instants(runs: ApiRuns, lease: Lease, clock: Clock, events: EventLog) -> ApiInstants:
    return ApiInstants(runs, lease, now=clock, emit=events)


async def _make(tasks: ApiTaskStore, number: int, at: datetime) -> None:
    """Make the task that runs each noon, and have it due at `at` first."""
    task, state = a_new_task(number)
    assert await tasks.create(task, replace(state, next_at=at))


async def _due(tasks: ApiTaskStore, redis: Redis, task_id: str = ONE) -> datetime | None:
    """Return when the task is due, which its record and its entry agree about."""
    known = await tasks.get(task_id)
    assert known is not None
    at = known[1].next_at
    assert at is not None
    assert await redis.zscore(keys.API_DUE, task_id) == to_unix_ms(at)
    return at


async def test_what_an_older_database_of_time_zones_has_found_is_set_right_and_told(
    instants: ApiInstants, tasks: ApiTaskStore, redis: Redis, events: EventLog
) -> None:
    await _make(tasks, 1, NOON + HOUR)
    await _make(tasks, 2, NOON - HOUR)
    await _make(tasks, 3, NOON)

    assert await instants.check() == 2
    assert await instants.check() == 0

    assert [await _due(tasks, redis, numbered_id(number)) for number in (1, 2, 3)] == [NOON] * 3
    assert events.of(ApiTasksSetBack) == [ApiTasksSetBack(tasks=2)]


async def test_more_tasks_than_one_piece_are_all_looked_at(
    instants: ApiInstants, tasks: ApiTaskStore, redis: Redis
) -> None:
    rows = [a_new_task(number) for number in range(1, 501)]
    await tasks.create_many([(task, replace(state, next_at=NOON + HOUR)) for task, state in rows])
    assert await instants.check() == 500
    assert await redis.zcount(keys.API_DUE, to_unix_ms(NOON), to_unix_ms(NOON)) == 500


async def test_a_leader_whose_clock_is_set_back_sets_back_what_was_found_until_then(
    instants: ApiInstants, tasks: ApiTaskStore, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_instants, "_LOOK_AT_CLOCK_EVERY_S", 0.01)
    clock.time = NOON + 10 * DAY
    await _make(tasks, 1, NOON + 12 * DAY + HOUR)
    running = asyncio.create_task(instants.run())
    try:

        async def is_due_at(at: datetime) -> bool:
            known = await tasks.get(ONE)
            return known is not None and known[1].next_at == at

        await eventually(lambda: is_due_at(NOON + 11 * DAY))
        clock.time = TEN_O_CLOCK
        await eventually(lambda: is_due_at(NOON))
        assert await _due(tasks, redis) == NOON
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_ran_while_the_clock_was_ahead_does_not_run_again(
    instants: ApiInstants,
    tasks: ApiTaskStore,
    runs: ApiRuns,
    lease: Lease,
    redis: Redis,
    clock: Clock,
    events: EventLog,
) -> None:
    firing = ApiTasks(runs, lease, now=clock, emit=events)
    await _make(tasks, 1, NOON)
    for days in range(3):
        clock.time = NOON + days * DAY + SECOND
        await firing.round()
    assert await redis.zcard(keys.DELAYED) == 3

    clock.time = TEN_O_CLOCK
    assert await instants.check() == 1
    assert await _due(tasks, redis) == NOON
    for days in range(4):
        clock.time = NOON + days * DAY + SECOND
        await firing.round()
    assert await redis.zcard(keys.DELAYED) == 4


async def test_an_entry_that_somebody_put_behind_its_instant_is_brought_back(
    instants: ApiInstants, tasks: ApiTaskStore, redis: Redis
) -> None:
    await _make(tasks, 1, NOON)
    await redis.zadd(keys.API_DUE, {ONE: to_unix_ms(NOON + 400 * DAY)})
    assert await instants.check() == 1
    assert await _due(tasks, redis) == NOON


async def test_a_task_that_was_put_off_because_it_cannot_be_sent_stays_put_off(
    instants: ApiInstants,
    tasks: ApiTaskStore,
    runs: ApiRuns,
    lease: Lease,
    redis: Redis,
    clock: Clock,
    events: EventLog,
) -> None:
    await _make(tasks, 1, NOON)
    document = await redis.hget(keys.api_task(ONE), "doc") or ""
    await redis.hset(keys.api_task(ONE), "doc", document.partition(',"payload":')[0] + ',"payload":NaN}')
    clock.time = NOON + SECOND
    await ApiTasks(runs, lease, now=clock, emit=events).round()
    put_off_until = to_unix_ms(clock() + timedelta(minutes=1))

    assert await instants.check() == 0

    assert await redis.zscore(keys.API_DUE, ONE) == put_off_until


async def test_a_former_leader_sets_nothing_right(instants: ApiInstants, tasks: ApiTaskStore, redis: Redis) -> None:
    await _make(tasks, 1, NOON + HOUR)
    await redis.set(keys.LEASE, "other:1")
    with pytest.raises(LeaseLostError):
        await instants.check()
    assert await _due(tasks, redis) == NOON + HOUR
