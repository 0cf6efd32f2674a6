"""All processes, with an API before them: one system for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.api_system import ApiSystem, Client, api_system
from tests.support.system import System


@pytest.fixture(scope="module")
async def running(shared_system: System) -> AsyncIterator[ApiSystem]:
    """What runs for one module: a scheduler that leads, a worker, an API, and the endpoints."""
    async with api_system(shared_system) as running:
        yield running


@pytest.fixture
def api(running: ApiSystem) -> Client:
    """Somebody who may do everything."""
    return running.client
