"""The worker's own parts on a real RabbitMQ and a real Redis, in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.inbox import Consume
from tests.support.publishers import connected_publisher


@pytest.fixture
async def store(redis_server: Redis, redis_db: int) -> AsyncIterator[RedisStore]:
    """A store on this test's own database."""
    settings = RedisSettings(
        addresses=(redis_server.address,), db=redis_db, password=SecretStr(redis_server.password), pool_size=5
    )
    store = RedisStore(settings, client_name="test-worker")
    yield store
    await store.close()


@pytest.fixture
def scripts(store: RedisStore) -> Scripts:
    """Our Lua scripts on it."""
    return Scripts(store, asset_dir("lua"))


@pytest.fixture
async def publisher(amqp_url: str) -> AsyncIterator[Publisher]:
    """A publisher that is connected, on a declared topology."""
    async with connected_publisher(amqp_url, name="test publisher", within=10, prepare=declare) as publisher:
        yield publisher


@pytest.fixture
async def consume(amqp_url: str, publisher: Publisher) -> AsyncIterator[Consume]:
    """Call it with a prefetch per queue to get an Inbox."""
    consume = Consume(url=amqp_url)
    async with consume.stack:
        yield consume
