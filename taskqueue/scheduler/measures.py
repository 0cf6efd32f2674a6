"""What only a leader can tell of what waits, measured from time to time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from taskqueue.store.delayed import DelayedStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import WaitingMeasured


class LeaderMeasures:
    """Counts the jobs that wait in Redis, and asks `lane_lag` how late jobs come out of the delayed queue."""

    def __init__(
        self, delayed: DelayedStore, lane_lag: Callable[[], timedelta | None], *, interval: timedelta, emit: Emit
    ) -> None:
        self._delayed = delayed
        self._lane_lag = lane_lag
        self._interval_s = interval.total_seconds()
        self._emit = emit

    async def run(self) -> NoReturn:
        """Measure for ever. Raises StoreError."""
        while True:
            lag = self._lane_lag()
            self._emit(
                WaitingMeasured(
                    delayed=await self._delayed.count(),
                    by_limit=await self._delayed.waiting_counts(),
                    lane_lag_s=None if lag is None else lag.total_seconds(),
                )
            )
            await asyncio.sleep(self._interval_s)
