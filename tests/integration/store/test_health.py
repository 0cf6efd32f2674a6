from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import DamagedKeyError
from taskqueue.store.connection import RedisStore
from taskqueue.store.health import StoreHealth
from taskqueue.telemetry.events import ConnectionLost, ConnectionRestored, Event
from tests.support.own_redis import OwnRedis

_RIGHTS = ("--user", "default", "on", "nopass", "~*", "&*", "+@all")


@pytest.fixture
async def nowhere() -> AsyncIterator[RedisStore]:
    store = RedisStore(RedisSettings(addresses=("127.0.0.1:1",)), client_name="test")
    yield store
    await store.close()


async def test_a_loop_that_needs_redis_begins_again_and_the_outage_is_told_once(nowhere: RedisStore) -> None:
    events: list[Event] = []
    health = StoreHealth(nowhere, events.append)
    begun = 0
    twice = asyncio.Event()

    async def body() -> None:
        nonlocal begun
        begun += 1
        if begun == 2:
            twice.set()
        await nowhere.command("PING")

    loops = [asyncio.create_task(run()) for run in (health.run, health.outlasting(body))]
    async with asyncio.timeout(10):
        await twice.wait()
    for loop in loops:
        loop.cancel()
    await asyncio.wait(loops)

    assert [type(event) for event in events] == [ConnectionLost]
    assert not health.reachable


async def until_told(store: RedisStore) -> tuple[StoreHealth, list[Event]]:
    """Ask until something is told; return who asked, and what was told."""
    events: list[Event] = []
    told = asyncio.Event()

    def emit(event: Event) -> None:
        events.append(event)
        told.set()

    health = StoreHealth(store, emit)
    running = asyncio.create_task(health.run())
    async with asyncio.timeout(10):
        await told.wait()
    running.cancel()
    await asyncio.wait([running])
    return health, events


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rename-command", "EVALSHA", ""], "'EVALSHA'; this Redis has that command renamed or switched off"),
        (["--rename-command", "EVAL", "eval-of-ours"], "'EVAL'; this Redis has that command renamed or switched off"),
        ([*_RIGHTS, "-evalsha"], "the Redis user lacks a right"),
        ([*_RIGHTS, "-eval"], "the Redis user lacks a right"),
    ],
)
async def test_a_redis_that_runs_no_scripts_is_no_redis_for_us(
    own_redis: OwnRedis, options: list[str], said: str
) -> None:
    _, address = own_redis.start(*options)
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="test")
    health, events = await until_told(store)
    await store.close()

    (event,) = events
    assert isinstance(event, ConnectionLost)
    assert said in event.error
    assert not health.reachable


async def test_a_redis_that_answers_is_told_once(store: RedisStore) -> None:
    health, events = await until_told(store)

    assert health.reachable
    assert [type(event) for event in events] == [ConnectionRestored]


@pytest.mark.parametrize(
    ("outage", "said"),
    [
        (["CONFIG", "SET", "maxmemory", "1"], "raise maxmemory"),
        (["REPLICAOF", "127.0.0.1", "1"], "replica"),
    ],
)
async def test_a_refusal_that_is_the_first_sign_of_an_outage_is_told_as_one(
    own_redis: OwnRedis, outage: list[str], said: str
) -> None:
    _, address = own_redis.start()
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="test")
    health, events = await until_told(store)
    refused, again = 0, asyncio.Event()

    async def body() -> None:
        nonlocal refused
        refused += 1
        if refused == 2:
            again.set()
        await store.command("SET", "taskqueue:test", "x")

    await store.command(*outage)
    loop = asyncio.create_task(health.outlasting(body)())
    waiting = asyncio.create_task(again.wait())
    await asyncio.wait([loop, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    ended = loop.done()
    loop.cancel()
    await asyncio.wait([loop])
    await store.close()

    assert not ended
    assert refused >= 2
    (lost,) = events[1:]
    assert isinstance(lost, ConnectionLost)
    assert said in lost.error


async def test_a_refusal_of_a_redis_that_is_well_comes_out_of_the_loop(store: RedisStore) -> None:
    health, events = await until_told(store)

    async def body() -> None:
        await store.command("SET", "taskqueue:test", "x")
        await store.command("LPUSH", "taskqueue:test", "x")

    with pytest.raises(DamagedKeyError):
        await health.outlasting(body)()

    assert health.reachable
    assert len(events) == 1
