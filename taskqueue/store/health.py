"""Whether Redis answers, takes writes and runs scripts, asked every second, told once per change."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from taskqueue.errors import StoreError, StoreUnavailableError, UnknownScriptError
from taskqueue.store import keys
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.telemetry.events import ClockDiffers, ConnectionLost, ConnectionRestored, Emit

_ASK_EVERY_S = 1.0

#: a host whose clock is further off than this has no working time service, or Redis's has not
_CLOCKS_DIFFER_S = 5.0

#: A write of nothing, which changes nothing and leaves no key. It is refused where any write would be: by a replica, by
#: a Redis out of memory or one that cannot write its file. Such a one still answers PING.
_WRITE_NOTHING = ("SETRANGE", keys.PROBE, 0, "")

#: A script that does nothing, by its text and by its digest, as all scripts are sent. A Redis that refuses either, for
#: want of a right or because the command was renamed, can do nothing for us, whatever else it answers.
_DO_NOTHING = "return 1"
_BY_TEXT = ("EVAL", _DO_NOTHING, 0)
_BY_DIGEST = ("EVALSHA", hashlib.sha1(_DO_NOTHING.encode(), usedforsecurity=False).hexdigest(), 0)


class StoreHealth:
    """`reachable` says whether the last question got its answer, and Redis would have taken a write and a script."""

    def __init__(self, store: RedisStore, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self.reachable = False
        #: what all instants of this process are read from
        self.clock = ServerClock(store)
        self._lost_at: float | None = None
        self._differs = False
        #: an answer from before an outage must not come out after one from its midst
        self._asking = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Ask for ever."""
        while True:
            await self._ask()
            await asyncio.sleep(_ASK_EVERY_S)

    def outlasting(self, body: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return a loop that begins `body` again after each outage, which is told here once, not there at each try.

        An outage is also that Redis refuses writes or scripts; any other refusal comes out of the loop.
        """

        async def loop() -> NoReturn:
            while True:
                try:
                    await body()
                except StoreUnavailableError:
                    pass
                except StoreError:
                    if self.reachable:
                        await self._ask()  # perhaps an outage has begun since the last question
                    if self.reachable:
                        raise
                await asyncio.sleep(_ASK_EVERY_S)

        return loop

    async def _ask(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._asking:
            try:
                await self._store.command(*_WRITE_NOTHING)
                await self._run_nothing()
                await self.clock.sync()
            except StoreError as error:
                self._unreachable(str(error), clock())
            else:
                self._answered(clock())
                self._compare_clocks()

    async def _run_nothing(self) -> None:
        try:
            await self._store.ask(_BY_DIGEST)
        except UnknownScriptError:
            await self._store.ask(_BY_TEXT)

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

    def _compare_clocks(self) -> None:
        ahead_s = self.clock.ahead_s
        differs = abs(ahead_s) > _CLOCKS_DIFFER_S
        if differs and not self._differs:
            self._emit(ClockDiffers(ahead_s=round(ahead_s, 1)))
        self._differs = differs
