"""Connections to Redis that are reset under uvloop, as a network does that loses its state."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from taskqueue.config.sections import RedisSettings
from taskqueue.errors import StoreUnavailableError
from taskqueue.runtime import run
from taskqueue.store.connection import RedisStore
from tests.support.tcp_proxy import TcpProxy

#: each cut meets some commands just before they are written
CUTS = 30

CALLERS = 8


async def test_a_connection_that_is_reset_before_a_write_is_lost_and_nothing_else(redis_address: str) -> None:
    host, _, port = redis_address.rpartition(":")
    over = threading.Event()
    async with TcpProxy(host, int(port)) as proxy:
        asking = asyncio.create_task(asyncio.to_thread(run, lambda: ask_until(over, f"127.0.0.1:{proxy.port}")))
        for _ in range(CUTS):
            await asyncio.sleep(0.05)
            await proxy.cut()
        over.set()
        seen = await asking

    assert seen.keys() == {"answered", StoreUnavailableError}


async def ask_until(over: threading.Event, address: str) -> Counter[object]:
    """Ask Redis things all the time, on this loop; return what came of it how often."""
    store = RedisStore(RedisSettings(addresses=(address,)), client_name="taskqueue-test")
    seen = Counter[object]()

    async def ask() -> None:
        while not over.is_set():
            try:
                await store.command("PING")
                seen["answered"] += 1
            except Exception as error:  # noqa: BLE001 - what else there may be is what is asked
                seen[type(error)] += 1
            await asyncio.sleep(0.003)

    await asyncio.gather(*(ask() for _ in range(CALLERS)))
    await store.close()
    return seen
