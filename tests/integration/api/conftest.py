"""An API that asks for tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from tests.support.auth_desk import AuthDesk, auth_desk


@pytest.fixture
def settings(redis_server: Redis, redis_db: int) -> RedisSettings:
    """Where this test's own database is."""
    return RedisSettings(addresses=(redis_server.address,), password=SecretStr(redis_server.password), db=redis_db)


@pytest.fixture
async def desk(settings: RedisSettings) -> AsyncIterator[AuthDesk]:
    """Somebody who comes with tokens."""
    async with auth_desk(settings) as desk:
        yield desk
