"""The leader's care for the lists of API tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from taskqueue.scheduler.api_index_keeper import ApiIndexKeeper
from taskqueue.store import keys
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import ApiIndexesPutBack
from tests.support.api_values import a_new_task, numbered_id
from tests.support.inbox import eventually
from tests.support.scheduling import EventLog

TAG = keys.api_index("tag:team=a")


async def _lists(redis: Redis) -> list[str]:
    return [keys.API_TASKS, keys.API_NAMES, *await redis.keys(keys.API_INDEX_PREFIX + "*")]


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


@pytest.mark.parametrize("last_pieces", [2, 0])
async def test_what_is_lost_during_a_search_is_a_reason_for_another_one(
    keeper: ApiIndexKeeper,
    scripts: Scripts,
    tasks: ApiTaskStore,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    last_pieces: int,
) -> None:
    await tasks.create_many([a_new_task(number) for number in range(3, 250)])
    # One list, of which the last pieces put something back; or all of them once everything was passed.
    lost = [keys.API_NAMES] if last_pieces else await _lists(redis)
    pieces, call = 3, scripts.call

    async def call_and_lose(script: str, names: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        nonlocal pieces
        reply = await call(script, names, arguments)
        pieces -= script == "api_relist"
        if pieces == last_pieces:
            await redis.delete(*lost)
        return reply

    monkeypatch.setattr(scripts, "call", call_and_lose)
    await keeper.search()
    monkeypatch.undo()
    assert pieces == 0
    assert await redis.zcard(keys.API_NAMES) < 250

    assert await keeper.look()
    await keeper.search()
    assert await redis.zcard(keys.API_NAMES) == 250


async def test_lists_that_were_lost_all_together_are_a_reason_for_a_search(
    keeper: ApiIndexKeeper, tasks: ApiTaskStore, redis: Redis
) -> None:
    await keeper.search()
    assert not await keeper.look()
    await redis.delete(*await _lists(redis))

    assert await keeper.look()
    assert not await keeper.look()
    await keeper.search()

    assert sum((await tasks.counts()).values()) == 3


@pytest.mark.usefixtures("tasks")
async def test_a_task_that_is_deleted_is_no_reason_for_a_search(keeper: ApiIndexKeeper, tasks: ApiTaskStore) -> None:
    await keeper.search()
    await tasks.delete(numbered_id(0))
    assert not await keeper.look()


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
