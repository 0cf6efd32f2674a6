"""Publishers of the project itself, for tests that want one which is connected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskqueue.broker.publisher import Publisher


@asynccontextmanager
async def connected_publisher(url: str, *, name: str, within: float = 15, **options: Any) -> AsyncIterator[Publisher]:
    """Run a publisher during the block, which begins once it is connected; `options` are those of Publisher."""
    publisher = Publisher([url], name=name, **options)
    await publisher.start()
    try:
        await publisher.wait_ready(within)
        yield publisher
    finally:
        await publisher.stop(5)
