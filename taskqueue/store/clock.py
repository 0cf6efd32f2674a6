"""One clock for all processes: that of Redis, whatever the hosts' own clocks say.

Schedulers that take over from each other, and workers that hand a retry to the leader, must mean the same instant. So
each process asks Redis for its time every second or so and counts on from there by its monotonic clock, which no
operator and no time server can set.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from taskqueue.runtime import utc_now
from taskqueue.store.connection import RedisStore

#: smaller differences than this, beyond what the way of the answer explains, are not worth a step
_STEP_S = 0.005


class ServerClock:
    """A `Now` by the clock of Redis; before the first answer, that of this host.

    It steps when Redis's own clock does. Between two answers it goes on by itself, also while Redis is away.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._server = datetime.min.replace(tzinfo=UTC)
        self._read_at = 0.0
        #: set once Redis has answered
        self.known = asyncio.Event()

    def __call__(self) -> datetime:
        """Return the present instant."""
        return self._at(time.monotonic()) if self.known.is_set() else utc_now()

    @property
    def ahead_s(self) -> float:
        """How far this host's clock is ahead of Redis's, in seconds; negative when it is behind, 0 while unknown."""
        return (utc_now() - self()).total_seconds()

    async def sync(self) -> None:
        """Ask Redis for its time. Raises StoreError."""
        asked = time.monotonic()
        seconds, microseconds = await self._store.command("TIME")
        half_s = (time.monotonic() - asked) / 2
        server = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(microseconds))
        known = self._at(asked + half_s) if self.known.is_set() else None
        # When between question and answer Redis looked at its clock is unknown: a step needs more than that.
        if known is None or abs((server - known).total_seconds()) > half_s + _STEP_S:
            self._server, self._read_at = server, asked + half_s
        self.known.set()

    def _at(self, monotonic_s: float) -> datetime:
        return self._server + timedelta(seconds=monotonic_s - self._read_at)
