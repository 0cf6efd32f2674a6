"""A store on this test's own Redis database, the scripts, a leader's token, and a Redis to break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_runs import ApiRuns
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from tests.support.own_redis import OwnRedis, own_redis_servers

#: what the lease holds in tests that write as the leader
TOKEN = "scheduler-1:0123456789abcdef"


@pytest.fixture
def redis_settings(redis_server: Redis, redis_db: int) -> RedisSettings:
    """Settings of a connection to this test's own database."""
    return RedisSettings(addresses=(redis_server.address,), password=SecretStr(redis_server.password), db=redis_db)


@pytest.fixture
async def store(redis_settings: RedisSettings) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_settings, client_name="taskqueue-test")
    yield store
    await store.close()


@pytest.fixture
def scripts(store: RedisStore) -> Scripts:
    return Scripts(store, asset_dir("lua"))


@pytest.fixture
def jobs(store: RedisStore, scripts: Scripts) -> JobStore:
    return JobStore(store, scripts)


@pytest.fixture
def cancellations(store: RedisStore, scripts: Scripts) -> Cancellations:
    return Cancellations(store, scripts)


@pytest.fixture
async def token(store: RedisStore) -> str:
    """The token that the lease holds now."""
    await store.command("SET", keys.LEASE, TOKEN)
    return TOKEN


Snapshot = Callable[[], Awaitable[dict[bytes, bytes]]]


@pytest.fixture
def snapshot(store: RedisStore) -> Snapshot:
    """Call it for everything that stands in the database, by key, in Redis's own encoding."""

    async def take() -> dict[bytes, bytes]:
        found = sorted(await store.command("KEYS", "*"))
        return {key: await store.command("DUMP", key) for key in found}

    return take


@pytest.fixture
def own_redis(pytestconfig: pytest.Config) -> Iterator[OwnRedis]:
    """Starts servers for tests that do to a Redis what must not be done to one that others use."""
    with own_redis_servers() as own:
        yield own


@pytest.fixture
def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    """Tasks made through the API."""
    return ApiTaskStore(store, scripts)


@pytest.fixture
def runs(store: RedisStore, scripts: Scripts) -> ApiRuns:
    """Their runs."""
    return ApiRuns(store, scripts)


@pytest.fixture
def dependencies(store: RedisStore, scripts: Scripts) -> DependencyStore:
    """What they wait for."""
    return DependencyStore(store, scripts)
