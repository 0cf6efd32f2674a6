"""Keeping the gates of the release current: limits, depths of the ready queues, free places of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.errors import BrokerUnavailableError
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.gates import PLACES_EVERY_S, Gates
from taskqueue.store.limits import LimitStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import LimitIgnored

#: a changed limit or a full queue counts after this long
_LOOK_EVERY_S = 1.0

#: the release begins without knowing the limits after so long
_KNOWN_WITHIN_S = 2.0

#: depths that could not be looked at for so long say nothing any more
_DEPTHS_HOLD_S = 30.0


class GateWatch:
    """Asks Redis for limits and running jobs, and RabbitMQ (`depths`: ready messages by queue) for its queues.

    `lane` watches the delayed queue.
    """

    def __init__(
        self,
        gates: Gates,
        limits: LimitStore,
        running: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]],
        depths: Callable[[], Awaitable[Mapping[str, int]]],
        lane: LaneWatch,
        catalog: CatalogWatch,
        emit: Emit,
    ) -> None:
        self._emit = emit
        self._told: dict[str, str] = {}
        self._known = asyncio.Event()
        self._gates = gates
        self._limits = limits
        self._running = running
        self._depths = depths
        self._lane = lane
        self._catalog = catalog

    def loops(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return what is to run while this process leads, by name; each ends with an error or never."""
        return {"limits": self._watch_limits, "depths": self._watch_depths, "lane": self._lane.run}

    async def wait_known(self) -> None:
        """Wait until limits and places are known, but not for long: without them workers hold what is too much."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_KNOWN_WITHIN_S):
                await self._known.wait()

    async def _watch_limits(self) -> NoReturn:
        """Follow limits and places for ever. Raises StoreError when Redis does not answer."""
        clock = asyncio.get_running_loop().time
        limits_at = 0.0
        while True:
            if clock() >= limits_at:
                self._gates.limits_are(await self._limits.read())
                self._tell_unreadable()
                limits_at = clock() + _LOOK_EVERY_S
            self._gates.lane_stuck = self._lane.stuck
            await self._look_at_places()
            self._known.set()
            await asyncio.sleep(PLACES_EVERY_S)

    async def _watch_depths(self) -> NoReturn:
        """Follow the depths of the ready queues for ever; without RabbitMQ, whose loss is told elsewhere, they stay."""
        clock = asyncio.get_running_loop().time
        known_at = clock()
        while True:
            with suppress(BrokerUnavailableError):
                self._gates.depths_are(await self._depths())
                known_at = clock()
            if clock() - known_at > _DEPTHS_HOLD_S:
                self._gates.depths_are({})  # counted up from what was long ago they would shut a gate for good
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look_at_places(self) -> None:
        """Count the running jobs of every task that has a `max_concurrency`."""
        limited = {task.id: task.max_concurrency for task in self._catalog.tasks.values() if task.max_concurrency}
        running = await self._running(sorted(limited))
        self._gates.places_are({task_id: (running[task_id], maximum) for task_id, maximum in limited.items()})

    def _tell_unreadable(self) -> None:
        for limit, error in self._limits.unreadable.items():
            if self._told.get(limit) != error:
                self._emit(LimitIgnored(limit=limit, error=error))
        self._told = dict(self._limits.unreadable)
