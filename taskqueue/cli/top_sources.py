"""What `taskqueue top` shows, and the two services that it comes from, of which each may be away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Generic, NoReturn, TypeVar

from taskqueue.assets import asset_dir
from taskqueue.broker.connection import Session, connect_any
from taskqueue.broker.queue_counts import QueueCount, queue_counts
from taskqueue.config.sections import QueueSettings, RedisSettings
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.errors import TaskqueueError
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.fleet import Fleet, LeaseSeen, WorkerSeen
from taskqueue.store.plan import PlanStore
from taskqueue.store.pulse import Pulse, read_pulse
from taskqueue.store.scripts import Scripts

_T = TypeVar("_T")

#: seconds; a service that takes longer is away
_PATIENCE = 9.0

#: occurrences that are shown, those that are due next
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """What Redis says; `waiting` are the jobs that wait, by the name of the limit, `live` some of the occurrences."""

    pulse: Pulse
    lease: LeaseSeen
    workers: tuple[WorkerSeen, ...]
    waiting: Mapping[str, int]
    live: tuple[tuple[Occurrence, Progress], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """What RabbitMQ says at `at_s` of this host's monotonic clock."""

    at_s: float
    counts: Mapping[str, QueueCount | None]


class Watched(Generic[_T]):
    """The latest and the last but one of what `read` returns; `away` says why there is nothing after a look at it.

    `read_at` is when the latest was read, by this host's monotonic clock, `every_s` how often it is read: None for
    what is not read for ever.
    """

    def __init__(self, read: Callable[[], Awaitable[_T]]) -> None:
        self._read = read
        self.latest: _T | None = None
        self.before: _T | None = None
        self.away: str | None = None
        self.read_at = 0.0
        self.every_s: float | None = None

    def old_s(self) -> float | None:
        """Return how many seconds old the latest is, where the next should have been there by now; else None."""
        if self.every_s is None or self.latest is None:
            return None
        age_s = monotonic() - self.read_at
        return age_s if age_s > 2 * self.every_s else None

    async def look(self) -> None:
        """Read once; after an outage there is nothing before, for no rate goes over one."""
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._read()
        except TimeoutError:
            self._lose(f"no answer within {_PATIENCE:g} s")
        except TaskqueueError as error:
            self._lose(str(error))
        else:
            self.before, self.latest, self.away, self.read_at = self.latest, found, None, monotonic()

    async def keep_looking(self, every_s: float) -> NoReturn:
        """Read for ever."""
        self.every_s = every_s
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    def _lose(self, reason: str) -> None:
        self.latest, self.before, self.away = None, None, reason


class StoreReader:
    """Reads from Redis, which is connected to again by itself."""

    def __init__(self, settings: RedisSettings) -> None:
        self._store = RedisStore(settings, client_name="taskqueue-top")
        self._scripts = Scripts(self._store, asset_dir("lua"))

    async def read(self) -> StoreView:
        """Return what Redis says. Raises StoreError."""
        plan, fleet = PlanStore(self._store, self._scripts), Fleet(self._store)
        members = [member for member, _ in await plan.live(None, _SHOWN)]
        return StoreView(
            pulse=await read_pulse(self._store),
            lease=await fleet.lease(),
            workers=tuple(await fleet.workers()),
            waiting=await DelayedStore(self._store, self._scripts).waiting_counts(),
            live=tuple((await plan.read(members)).values()),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._store.close()


class QueueReader:
    """Reads from RabbitMQ; a connection that was lost is made again by the next reading."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._session: Session | None = None

    async def read(self) -> QueueView:
        """Return what RabbitMQ says. Raises BrokerUnavailableError."""
        if self._session is None or not self._session.alive:
            await self.close()
            self._session = await connect_any(self._settings.candidates, "taskqueue top")
        counts = await queue_counts(self._session)
        return QueueView(at_s=asyncio.get_running_loop().time(), counts=counts)

    async def close(self) -> None:
        """Close the connection, if there is one; takes at most 2 s."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
