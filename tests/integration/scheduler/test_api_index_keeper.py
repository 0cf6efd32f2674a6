"""The leader's care for the lists of API tasks."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from taskqueue.scheduler.api_index_keeper import ApiIndexKeeper
from taskqueue.store import keys
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import ApiIndexesPutBack
from tests.support.api_values import a_new_task
from tests.support.inbox import eventually
from tests.support.scheduling import EventLog

TAG = keys.api_index("tag:team=a")


@pytest.fixture
async def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    tasks = ApiTaskStore(store, scripts)
    await tasks.create_many([a_new_task(number, tags={"team": "a"}) for number in range(3)])
    return tasks


@pytest.fixture
def keeper(store: RedisStore, scripts: Scripts, lease: Lease, events: EventLog) -> ApiIndexKeeper:
    return ApiIndexKeeper(ApiIndexes(store, scripts), lease, emit=events)


@pytest.mark.usefixtures("tasks")
async def test_whoever_begins_to_lead_puts_back_any_list_and_tells_it(
    keeper: ApiIndexKeeper, redis: Redis, events: EventLog
) -> None:
    await redis.delete(TAG)
    running = asyncio.create_task(keeper.run())
    try:

        async def told() -> bool:
            return bool(events.of(ApiIndexesPutBack))

        await eventually(told)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert events.of(ApiIndexesPutBack) == [ApiIndexesPutBack(entries=3)]
    assert await redis.zcard(TAG) == 3


async def test_only_what_a_search_has_not_left_is_a_reason_for_another_one(
    keeper: ApiIndexKeeper, tasks: ApiTaskStore, redis: Redis
) -> None:
    # An entry of no task is found in vain.
    await redis.zadd(keys.API_TASKS, {"nobody": 1})
    assert await keeper.look()
    assert await keeper.search() == 0
    assert not await keeper.look()

    await redis.delete(keys.API_NAMES)
    assert await keeper.look()
    assert await keeper.search() == 3
    await tasks.create(*a_new_task(9))
    assert not await keeper.look()
