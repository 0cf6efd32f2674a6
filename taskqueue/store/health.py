"""Whether Redis answers, asked every second, told once per change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store.connection import RedisStore
from taskqueue.telemetry.events import ConnectionLost, ConnectionRestored, Emit

_ASK_EVERY_S = 1.0


class StoreHealth:
    """`reachable` says whether the last question got its answer."""

    def __init__(self, store: RedisStore, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self.reachable = False
        self._lost_at: float | None = None

    async def run(self) -> NoReturn:
        """Ask for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await self._store.command("PING")
            except StoreError as error:
                self._unreachable(str(error), clock())
            else:
                self._answered(clock())
            await asyncio.sleep(_ASK_EVERY_S)

    def outlasting(self, body: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return a loop that begins `body` again after each outage, which is told here once, not there at each try."""

        async def loop() -> NoReturn:
            while True:
                with suppress(StoreUnavailableError):
                    await body()
                await asyncio.sleep(_ASK_EVERY_S)

        return loop

    def _unreachable(self, error: str, now: float) -> None:
        self.reachable = False
        if self._lost_at is None:
            self._lost_at = now
            self._emit(ConnectionLost(service="redis", error=error))

    def _answered(self, now: float) -> None:
        if not self.reachable:
            outage_s = 0.0 if self._lost_at is None else now - self._lost_at
            self._emit(ConnectionRestored(service="redis", outage_s=round(outage_s, 3)))
        self.reachable, self._lost_at = True, None
