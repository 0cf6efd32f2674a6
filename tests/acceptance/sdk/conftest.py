"""A running system for each module of SDK tests: `sdk_api` has its `url` and `token`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.sdk_system import SdkApi
from tests.support.sdk_system import sdk_api as started_api
from tests.support.system import System


@pytest.fixture(scope="module")
async def sdk_api(shared_system: System) -> AsyncIterator[SdkApi]:
    """A scheduler that leads, a worker, an API, and an endpoint that answers with a result and log lines."""
    async with started_api(shared_system) as api:
        yield api
