from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.dev.services import Redis as RedisService
from taskqueue.store.connection import RedisStore
from tests.support.scheduling import redis_store


@pytest.fixture
async def store(redis_server: RedisService, redis_db: int) -> AsyncIterator[RedisStore]:
    store = redis_store(redis_server, redis_db)
    yield store
    await store.close()


async def test_a_loop_of_commands_ends_at_the_first_cancellation_whenever_it_comes(store: RedisStore) -> None:
    async def work() -> None:
        while True:
            await store.command("PING")

    await store.command("PING")
    for steps in range(60):
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=10)

        assert task.cancelled()
