"""Keeping the gates of the release current: limits, hosts in trouble, depths of the ready queues, places of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Self

from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.core.host_limit import host_of, over_all_workers
from taskqueue.core.task import Task
from taskqueue.core.waiting import host_limit
from taskqueue.errors import BrokerUnavailableError, DamagedKeyError
from taskqueue.runtime import Now
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.gates import PLACES_EVERY_S, Gates
from taskqueue.store.connection import RedisStore
from taskqueue.store.hosts import HostStore
from taskqueue.store.limit_overrides import LimitOverrides, Override, overridden
from taskqueue.store.limits import Limits, LimitStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import LimitIgnored

#: a changed limit or a full queue counts after this long
_LOOK_EVERY_S = 1.0

#: the release begins without knowing the limits after so long
_KNOWN_WITHIN_S = 2.0

#: depths that could not be looked at for so long say nothing any more
_DEPTHS_HOLD_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStores:
    """Where limits are told: those of worker.yaml, those that hold for a while, those of hosts in trouble."""

    limits: LimitStore
    overrides: LimitOverrides
    hosts: HostStore

    @classmethod
    def of(cls, store: RedisStore, scripts: Scripts) -> Self:
        """Return those of one Redis."""
        return cls(limits=LimitStore(store, scripts), overrides=LimitOverrides(store, scripts), hosts=HostStore(store))


class GateWatch:
    """Asks Redis for limits and running jobs, and RabbitMQ (`depths`: ready messages by queue) for its queues.

    `lane` watches the delayed queue.
    """

    def __init__(
        self,
        gates: Gates,
        stores: GateStores,
        running: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]],
        depths: Callable[[], Awaitable[Mapping[str, int]]],
        lane: LaneWatch,
        catalog: CatalogWatch,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        self._now = now
        self._emit = emit
        self._told: dict[str, str] = {}
        self._known = asyncio.Event()
        self._gates = gates
        self._stores = stores
        self._limits = Limits()
        self._overrides: Mapping[str, Override] = {}
        self._limits_at = 0.0
        self._targets_of: Mapping[str, Task] | None = None
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
        """Follow limits, hosts and places for ever.

        Raises StoreError when Redis does not answer, and DamagedKeyError, once everything else was looked at.
        """
        clock = asyncio.get_running_loop().time
        while True:
            self._gates.lane_stuck = self._lane.stuck
            damaged: DamagedKeyError | None = None
            looks = [self._look_at_hosts, self._look_at_places]
            if clock() >= self._limits_at:
                self._limits_at = clock() + _LOOK_EVERY_S
                looks = [self._look_at_limits, self._look_at_overrides, *looks]
            for look in looks:
                try:
                    await look()
                except DamagedKeyError as error:
                    damaged = error  # what else there is to follow must not stand still because of it
            self._known.set()
            if damaged is not None:
                raise damaged
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
        limited = {task.id: task.max_concurrency for task in self._catalog.definitions.values() if task.max_concurrency}
        running = await self._running(sorted(limited))
        self._gates.places_are({task_id: (running[task_id], maximum) for task_id, maximum in limited.items()})

    async def _look_at_limits(self) -> None:
        """Read the limits of worker.yaml."""
        self._limits = await self._stores.limits.read()
        self._follow_limits()

    async def _look_at_overrides(self) -> None:
        """Read the limits that an operator has set over them."""
        self._overrides = await self._stores.overrides.read(self._now())
        self._follow_limits()

    def _follow_limits(self) -> None:
        self._gates.limits_are(overridden(self._limits, self._overrides))
        unreadable = {**self._stores.limits.unreadable, **self._stores.overrides.unreadable}
        for limit, error in unreadable.items():
            if self._told.get(limit) != error:
                self._emit(LimitIgnored(limit=limit, error=error))
        self._told = unreadable

    async def _look_at_hosts(self) -> None:
        """Read what workers know about hosts in trouble; which task calls which host is in its definition."""
        definitions = self._catalog.definitions
        if definitions is not self._targets_of:
            self._targets_of = definitions
            targets = {task.id: host_limit(host_of(task.target.endpoint)) for task in definitions.values()}
            self._gates.targets_are(targets)
        reports = await self._stores.hosts.read(self._now(), prune=True)
        self._gates.hosts_are({host_limit(host): over_all_workers(said.values()) for host, said in reports.items()})
