"""The leader's loop that lets API tasks run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from taskqueue.core.api_task import TaskType
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import DamagedKeyError, LeaseLostError
from taskqueue.scheduler.api_tasks import ApiTasks
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import ApiTasksFired, ApiTasksPutBack, ApiTaskUnreadable
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.inbox import eventually
from tests.support.scheduling import Clock, EventLog

ONE, TWO = numbered_id(1), numbered_id(2)


@pytest.fixture
def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    return ApiTaskStore(store, scripts)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON + timedelta(seconds=1))


@pytest.fixture
def loop(store: RedisStore, scripts: Scripts, lease: Lease, clock: Clock, events: EventLog) -> ApiTasks:
    return ApiTasks(ApiRuns(store, scripts), lease, now=clock, emit=events)


async def test_a_round_queues_what_is_due_and_tells_of_it(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2), a_new_task(3, schedule_expression="0 13 * * *")])
    assert await loop.round() is False
    assert await redis.zcard(keys.DELAYED) == 2
    assert events.of(ApiTasksFired) == [ApiTasksFired(queued=2, waiting=0)]


async def test_a_round_takes_a_bounded_number_and_says_that_there_may_be_more(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis
) -> None:
    await tasks.create_many([a_new_task(number) for number in range(1, 601)])
    assert [await loop.round(), await loop.round(), await loop.round()] == [True, False, False]
    assert await redis.zcard(keys.DELAYED) == 600


async def test_a_task_that_cannot_be_read_keeps_out_no_other_and_is_told(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog, clock: Clock
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await redis.hset(keys.api_task(ONE), "doc", "{}")
    await loop.round()
    assert [event.task for event in events.of(ApiTaskUnreadable)] == [ONE]
    assert await redis.zcard(keys.DELAYED) == 1
    assert await redis.zscore(keys.API_DUE, ONE) == to_unix_ms(clock() + timedelta(minutes=1))


async def test_a_task_of_two_revisions_keeps_out_no_other_and_is_told_with_the_remedy(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog, clock: Clock
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await redis.hset(keys.api_task(ONE), "rev", 7)
    await loop.round()
    (told,) = events.of(ApiTaskUnreadable)
    assert told.task == ONE
    assert told.error.endswith(f"redis-cli HSET {keys.api_task(ONE)} rev 1")
    assert await redis.zcard(keys.DELAYED) == 1

    await redis.hset(keys.api_task(ONE), "rev", 1)
    clock.time += timedelta(minutes=1)
    await loop.round()
    assert await redis.zcard(keys.DELAYED) == 2


@pytest.mark.parametrize("payload", ["NaN", '"\\ud800"', '"' + "y" * 70_000 + '"'])
async def test_a_payload_that_cannot_be_sent_keeps_out_no_other_and_is_told(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog, payload: str
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    document = await redis.hget(keys.api_task(ONE), "doc") or ""
    await redis.hset(keys.api_task(ONE), "doc", document.partition(',"payload":')[0] + f',"payload":{payload}}}')
    await loop.round()
    assert [event.task for event in events.of(ApiTaskUnreadable)] == [ONE]
    assert await redis.zcard(keys.DELAYED) == 1


async def test_an_entry_before_its_time_is_moved_to_it(loop: ApiTasks, tasks: ApiTaskStore, redis: Redis) -> None:
    at = NOON + timedelta(days=1)
    task, state = a_new_task(now=NOON)
    await tasks.create(task, state)
    assert state.next_at == at
    await redis.zadd(keys.API_DUE, {ONE: 0})
    await loop.round()
    assert await redis.zcard(keys.DELAYED) == 0
    assert await redis.zscore(keys.API_DUE, ONE) == to_unix_ms(at)


async def test_an_entry_before_its_time_moves_to_where_its_rule_says_after_the_clock_was_set_back(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis
) -> None:
    task, state = a_new_task(now=NOON)
    await tasks.create(task, replace(state, next_at=NOON + timedelta(days=400)))
    await redis.zadd(keys.API_DUE, {ONE: 0})
    await loop.round()
    assert await redis.zscore(keys.API_DUE, ONE) == to_unix_ms(NOON + timedelta(days=1))


async def test_a_leader_that_has_lost_its_lease_moves_no_entry(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis
) -> None:
    await tasks.create_many([a_new_task(1, now=NOON), a_new_task(2)])
    await redis.hset(keys.api_task(TWO), "doc", "{}")
    before = {ONE: 0.0, TWO: 1.0}
    await redis.zadd(keys.API_DUE, before)
    await redis.set(keys.LEASE, "other:1")
    with pytest.raises(LeaseLostError):
        await loop.round()
    assert dict(await redis.zrange(keys.API_DUE, 0, -1, withscores=True)) == before


async def test_a_key_of_another_type_is_named_for_the_leader_to_set_aside(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await redis.delete(keys.api_task(ONE))
    await redis.set(keys.api_task(ONE), "not ours")
    with pytest.raises(DamagedKeyError, match=keys.api_task(ONE)):
        await loop.round()


async def test_a_task_that_comes_due_while_the_loop_rests_runs_at_its_instant(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, clock: Clock
) -> None:
    running = asyncio.create_task(loop.run())
    try:
        await tasks.create(*a_new_task(now=NOON))

        async def is_queued() -> bool:
            return int(await redis.zcard(keys.DELAYED)) == 1

        clock.time = datetime(2024, 1, 16, 12, tzinfo=NOON.tzinfo)
        await eventually(is_queued)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_whoever_begins_to_lead_puts_back_what_was_lost_and_tells_it(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await redis.delete(keys.API_DUE)
    running = asyncio.create_task(loop.run())
    try:

        async def are_queued() -> bool:
            return int(await redis.zcard(keys.DELAYED)) == 2

        await eventually(are_queued)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert events.of(ApiTasksPutBack) == [ApiTasksPutBack(tasks=2)]


async def test_a_leader_notices_what_is_lost_while_it_leads(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog
) -> None:
    await tasks.create(*a_new_task(1, task_type=TaskType.ONE_TIME, run_at=NOON))
    await loop.round()
    await tasks.create(*a_new_task(2))
    await loop.look()
    # The task whose only run is on its way is looked for no more.
    await loop.look()
    assert events.of(ApiTasksPutBack) == []
    await redis.delete(keys.API_DUE)
    await loop.look()
    assert events.of(ApiTasksPutBack) == [ApiTasksPutBack(tasks=1)]


@pytest.mark.parametrize("key", [keys.API_DUE, keys.API_WAITING])
async def test_a_list_of_another_type_is_named_and_what_stood_in_it_comes_back(
    loop: ApiTasks, tasks: ApiTaskStore, redis: Redis, events: EventLog, key: str
) -> None:
    await tasks.create(*a_new_task(1))
    await loop.look()
    await redis.delete(key)
    await redis.set(key, "not ours")
    with pytest.raises(DamagedKeyError, match=key):
        await loop.look()
    await redis.delete(key)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await loop.run()
    assert await redis.zcard(keys.DELAYED) == 1
