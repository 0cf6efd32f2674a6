"""Leadership: one scheduler plans and releases, the others stand by with a warm index and the latest tasks.yaml."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from taskqueue.errors import (
    BrokerError,
    DamagedKeyError,
    LeaseLostError,
    PlanningError,
    StoreError,
    StoreUnavailableError,
)
from taskqueue.runtime import Now, loops_together
from taskqueue.scheduler.api_index_keeper import ApiIndexKeeper
from taskqueue.scheduler.api_instants import ApiInstants
from taskqueue.scheduler.api_tasks import ApiTasks
from taskqueue.scheduler.audience_sync import AudienceSync
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.file_tasks import FileTaskLoops
from taskqueue.scheduler.gate_watch import GateWatch
from taskqueue.scheduler.measures import LeaderMeasures
from taskqueue.scheduler.planner import Planner
from taskqueue.scheduler.release import Releaser
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import Emit, LoopFailed
from taskqueue.telemetry.scheduler_events import LeaderChanged, LeaseLost

#: how often a follower asks for the lease; a clean hand-over takes at most this long. What the new leader does first
#: may take longer: with a million users it orders them again before it plans on
_CONTEND_EVERY_S = 0.25

#: rest after a round that failed, for instance because RabbitMQ is away
_FAILED_REST_S = 1.0

#: a round that fails in the same words as the one before it is told again only after so long
_TOLD_AGAIN_S = 30.0

#: a leader without RabbitMQ for so long lets others try, and tries again itself after as long
BROKER_PATIENCE_S = 10.0

#: a scheduler without RabbitMQ, or whose index is not warm yet, leaves a free lease to the others for so long: perhaps
#: one of them could begin at once
YIELD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderWork:
    """What a leader does with the lease; `broker_connected` says whether it could publish now, as far as it knows."""

    broker_connected: Callable[[], bool]
    catalog: CatalogWatch
    catalog_store: CatalogStore
    audience: AudienceSync
    planner: Planner
    releaser: Releaser
    api_tasks: ApiTasks
    api_instants: ApiInstants
    api_indexes: ApiIndexKeeper
    file_tasks: FileTaskLoops
    gates: GateWatch
    damaged: DamagedKeys
    measures: LeaderMeasures


class Leader:
    """Contends for the lease and does the leader's work while it holds it."""

    def __init__(
        self, lease: Lease, work: LeaderWork, *, instance: str, check_interval: timedelta, now: Now, emit: Emit
    ) -> None:
        self._lease = lease
        self._work = work
        self._instance = instance
        self._check_s = check_interval.total_seconds()
        self._now = now
        self._emit = emit
        self._contend_from = 0.0
        #: since when the lease is free, as far as this scheduler has looked while it could not begin at once
        self._free_since: float | None = None
        self.leading = False
        #: by the clock of the schedulers; None while another one leads
        self.leading_since: datetime | None = None

    async def run(self) -> None:
        """Contend and lead for ever. When cancelled it gives the lease back first, so that a follower takes over."""
        self._changed(leading=False, reason="started")
        while True:
            if not await self._acquired():
                await asyncio.sleep(_CONTEND_EVERY_S)
                continue
            self._changed(leading=True, reason="lease acquired")
            reason = "stopping"
            try:
                await self._lead()
            except (LeaseLostError, StoreError) as error:
                reason = str(error)
                self._emit(LeaseLost(instance=self._instance, reason=reason))
            finally:
                self._changed(leading=False, reason=reason)
                await self._give_back()

    async def _acquired(self) -> bool:
        try:
            if not self._could_begin and not await self._left_over():
                return False
            self._free_since = None
            return await self._lease.acquire()
        except StoreError:
            return False  # told by whoever watches Redis; asked again as if somebody else led
        except asyncio.CancelledError:
            await self._give_back()  # Redis may have given it all the same
            raise

    @property
    def _could_begin(self) -> bool:
        # Reading a million users takes twenty seconds; a scheduler that has them could lead meanwhile.
        return self._work.broker_connected() and self._work.audience.ready.is_set()

    async def _left_over(self) -> bool:
        """Return whether nobody who could begin at once takes the lease, so that this scheduler may."""
        now = asyncio.get_running_loop().time()
        if now < self._contend_from or not await self._lease.is_free():
            self._free_since = None
            return False
        self._free_since = now if self._free_since is None else self._free_since
        return now - self._free_since >= YIELD_S

    async def _give_back(self) -> None:
        try:
            await self._lease.release()
        except StoreError:
            return  # Redis cannot be reached: the lease runs out by itself

    def _changed(self, *, leading: bool, reason: str) -> None:
        self.leading = leading
        self.leading_since = self._now() if leading else None
        self._emit(LeaderChanged(leading=leading, instance=self._instance, reason=reason))

    async def _lead(self) -> None:
        async with loops_together() as group:
            group.create_task(self._keep_lease(), name="lease")
            group.create_task(self._keep_broker(), name="broker")
            group.create_task(self._each("plan", self._plan_for_ever), name="plan")
            group.create_task(self._each("release", self._release_for_ever), name="release")
            group.create_task(self._each("api-tasks", self._work.api_tasks.run), name="api-tasks")
            group.create_task(self._each("api-instants", self._work.api_instants.run), name="api-instants")
            group.create_task(self._each("api-indexes", self._work.api_indexes.run), name="api-indexes")
            group.create_task(self._each("file-tasks", self._list_file_tasks), name="file-tasks")
            group.create_task(self._each("measures", self._work.measures.run), name="measures")
            for name, loop in self._work.gates.loops().items():
                group.create_task(self._each(name, loop), name=name)

    async def _keep_lease(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._lease.renew_every_s)
            try:
                await self._lease.renew()
            except StoreUnavailableError as error:
                if not self._lease.trusted:
                    raise LeaseLostError(f"the lease could not be renewed in time: {error}") from None

    async def _keep_broker(self) -> NoReturn:
        """Let others lead while RabbitMQ cannot be reached from here: perhaps they can reach it."""
        clock = asyncio.get_running_loop().time
        connected_at = clock()
        while True:
            await asyncio.sleep(_CONTEND_EVERY_S)
            if self._work.broker_connected():
                connected_at = clock()
            elif clock() - connected_at > BROKER_PATIENCE_S:
                # Where nobody can, this scheduler goes on planning after a while: what is due must not be missed.
                self._contend_from = clock() + BROKER_PATIENCE_S
                raise LeaseLostError(
                    f"RabbitMQ cannot be reached from here for {BROKER_PATIENCE_S:g} s; others may lead"
                )

    async def _each(self, loop: str, body: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run a leader's loop; what fails for a while is tried again for as long as the lease can be trusted."""
        clock, told, told_at = asyncio.get_running_loop().time, "", 0.0
        while True:
            failure: Exception | None = None
            try:
                await body()
            except LeaseLostError:
                raise
            except StoreUnavailableError:
                pass  # store/health tells once of an outage, not each loop
            except Exception as error:  # noqa: BLE001 - what one loop cannot do must not stop the others
                failure = error
            # Of many damaged entries a loop meets one at a time: what others wait for is not to wait for each of them.
            mended = isinstance(failure, DamagedKeyError) and await self._set_aside(failure)
            rest_s = 0.0 if mended else _FAILED_REST_S
            # What was set aside has been told by that, with its remedy.
            if failure and not mended and (str(failure) != told or clock() - told_at > _TOLD_AGAIN_S):
                told, told_at = str(failure), clock()
                self._emit(_loop_failed(loop, failure, rest_s))
            if not self._lease.trusted:
                raise LeaseLostError("the lease could not be renewed in time")
            await asyncio.sleep(rest_s)

    async def _set_aside(self, error: DamagedKeyError) -> bool:
        try:
            return await self._work.damaged.set_aside(self._lease.token, error)
        except LeaseLostError:
            raise
        except StoreError:
            return False  # the loop meets the key again, and so does this

    async def _plan_for_ever(self) -> None:
        work, token = self._work, self._lease.token
        await work.file_tasks.look()
        work.catalog.succeed(await work.catalog_store.standing())
        written = await self._write_catalog()
        await work.audience.ready.wait()
        await work.planner.resume(token)
        while True:
            await work.audience.ready.wait()
            # Just before the tick: a job of a task that workers do not know yet would fail.
            # What was written may be gone as well: somebody deleted it.
            catalog = work.catalog
            if written != catalog.revision or not await work.catalog_store.stands(catalog.tasks, written):
                written = await self._write_catalog()
            await work.planner.tick(token)
            await self._rest()

    async def _write_catalog(self) -> str:
        """Write the definitions in force; return their revision, which may not be the latest any more by then."""
        catalog = self._work.catalog
        revision = catalog.revision
        await self._work.catalog_store.write(self._lease.token, catalog.tasks, revision)
        return revision

    async def _list_file_tasks(self) -> None:
        await self._work.file_tasks.keep_lists(self._lease)

    async def _rest(self) -> None:
        """Sleep until the next occurrence is to be planned, a new tasks.yaml or check_interval, whichever is first."""
        wake = await self._work.planner.next_wake()
        rest_s = self._check_s if wake is None else min(self._check_s, (wake - self._now()).total_seconds())
        self._work.catalog.changed.clear()
        try:
            # A cohort may appear at any time, so the sleep ends early enough for its 5 s.
            async with asyncio.timeout(min(max(rest_s, 0.05), 2.0)):
                await self._work.catalog.changed.wait()
        except TimeoutError:
            return

    async def _release_for_ever(self) -> None:
        releaser = self._work.releaser
        await self._work.gates.wait_known()
        await releaser.begin()
        while True:
            rest = await releaser.round()
            await asyncio.sleep(rest.total_seconds())


def _loop_failed(loop: str, failure: Exception, rest_s: float) -> LoopFailed:
    # Of an outage the words say all; of anything else nobody but the traceback knows.
    reason = failure.__cause__ if isinstance(failure, PlanningError) else failure
    expected = isinstance(reason, StoreError | BrokerError)
    trace = "" if expected else "".join(traceback.format_exception(failure))
    error = str(failure) if expected else f"{type(failure).__name__}: {failure}"
    return LoopFailed(loop=loop, error=error, restart_in_s=rest_s, exception=trace)
