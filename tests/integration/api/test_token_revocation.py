"""Revocation by the clock on the wall: two API processes that see a token all the time let it go within 5 s."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import Scope
from taskqueue.dev.services import Redis
from taskqueue.runtime import utc_now
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import TokenStore
from tests.support.api_app import NOWHERE
from tests.support.inbox import eventually
from tests.support.processes import Process, Processes

#: what is promised
HOLDS_WITHIN_S = 5.0


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with Processes(tmp_path) as processes:
        yield processes


@pytest.fixture
async def tokens(redis_server: Redis, redis_db: int) -> AsyncIterator[TokenStore]:
    password = SecretStr(redis_server.password)
    store = RedisStore(
        RedisSettings(addresses=(redis_server.address,), password=password, db=redis_db), client_name="taskqueue-test"
    )
    yield TokenStore(store, Scripts(store, asset_dir("lua")))
    await store.close()


async def status(process: Process, token: str) -> int:
    answer = await process.http.get("/api/v1/tasks", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def test_a_revoked_token_that_is_in_use_gets_in_nowhere_after_five_seconds(
    processes: Processes, tokens: TokenStore, redis_server: Redis, redis_db: int
) -> None:
    settings = {
        "redis": {"addresses": [redis_server.address], "db": redis_db, "password": redis_server.password},
        "queue": {"url": f"amqp://guest:guest@{NOWHERE}/"},
        "server": {"host": "127.0.0.1", "port": 0},
        "monitoring": {"log_format": "json"},
    }
    apis = [await processes.start("api", settings) for _ in range(2)]
    for api in apis:
        await api.wait_ready()
    made = await tokens.create(name="ci", scope=Scope.READ, now=utc_now())
    assert [await status(api, made.text) for api in apis] == [200, 200]

    await tokens.revoke(made.token.token_id, utc_now())

    async def over() -> bool:
        return [await status(api, made.text) for api in apis] == [401, 401]

    await eventually(over, within=HOLDS_WITHIN_S)
