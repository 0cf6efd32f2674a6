"""Which schedulers and workers live: each shows itself every two seconds, by the clock of Redis.

This is for people and the API alone, but for one thing: that a worker lives, as far as claims go, is said by its
heartbeat (store/jobs), and that a missing one means something, by these beats having gone on for long enough.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn

from taskqueue.core.instants import from_unix_ms, parse_rfc3339
from taskqueue.errors import InvalidValueError, StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.lease import holder_of
from taskqueue.store.scripts import Scripts

_BEAT_EVERY_S = 2.0

#: three beats were missed: whoever crashes is missing from the status well within ten seconds
SILENT_AFTER = timedelta(seconds=7)

#: a crashed worker stands among the inactive ones for so long
FORGOTTEN_AFTER = timedelta(minutes=5)

_MILLISECOND = timedelta(milliseconds=1)

#: a worker that was silent for so long counts as dead, and its jobs are taken over
HEARTBEAT_TTL = timedelta(seconds=15)

#: A worker beats every quarter of that. So a heartbeat ends for want of Redis only where all processes were silent for
#: three quarters of it; after any silence longer than this, which is less, missing heartbeats say nothing for a while.
_PAUSE = HEARTBEAT_TTL * 2 / 5


class FleetKind(StrEnum):
    """What a process is."""

    SCHEDULER = "schedulers"
    WORKER = "workers"


class Presence:
    """Shows that this process lives. `process` is unique to it, `status` returns what it says of itself."""

    def __init__(
        self,
        store: RedisStore,
        scripts: Scripts,
        kind: FleetKind,
        process: str,
        status: Callable[[], Mapping[str, object]],
    ) -> None:
        self._store = store
        self._scripts = scripts
        self._kind = kind
        self._process = process
        self._status = status
        self._started_s = time.monotonic()

    async def run(self) -> NoReturn:
        """Beat for ever. Raises StoreError."""
        while True:
            await self.beat()
            await asyncio.sleep(_BEAT_EVERY_S)

    async def beat(self) -> None:
        """Show that this process lives now. Raises StoreError."""
        status = {**self._status(), "uptime": int(time.monotonic() - self._started_s)}
        await self._scripts.call_again(
            "fleet_beat",
            [keys.fleet(self._kind), keys.fleet_status(self._kind), keys.FLEET_WATCHED],
            [self._process, json.dumps(status), FORGOTTEN_AFTER // _MILLISECOND, _PAUSE // _MILLISECOND],
        )

    async def leave(self) -> None:
        """Show that this process has ended; where Redis cannot be told, that shows by its silence."""
        try:
            await self._store.pipeline(
                [
                    ("ZREM", keys.fleet(self._kind), self._process),
                    ("HDEL", keys.fleet_status(self._kind), self._process),
                ]
            )
        except StoreError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A worker at its latest beat. It is `active` unless it has been silent for SILENT_AFTER.

    `capacity` jobs can run at a time there, and `current_load` do; of one that is silent nothing is known to. `host` is
    the name of its host; None where it does not say, as older versions do not.
    """

    worker_id: str
    host: str | None = None
    active: bool
    capacity: int
    current_load: int
    uptime: timedelta
    last_heartbeat: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulersSeen:
    """Which schedulers live, by their instance ids; `leader` is None where none of them holds the lease."""

    leader: str | None
    followers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSeen:
    """Who holds the lease, if anybody does, and how long it runs unless it is renewed; None where it has no end.

    `leading_since` is None where the holder has not shown itself lately; `followers` are the other living schedulers.
    """

    leader: str | None
    leading_since: datetime | None
    remaining: timedelta | None
    followers: tuple[str, ...]


class Fleet:
    """Reads who lives. Raises StoreUnavailableError, DamagedKeyError where a key holds another type."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def workers(self) -> list[WorkerSeen]:
        """Return the workers of the last five minutes but for those that have said good-bye, by id.

        Of one that was started again under the same id after a crash, only the living incarnation is there.
        """
        found, _ = await self._seen(FleetKind.WORKER)
        workers = [worker for beat in found if (worker := _worker(beat)) is not None]
        alive = {worker.worker_id for worker in workers if worker.active}
        workers.sort(key=lambda worker: worker.last_heartbeat)
        silent = {worker.worker_id: worker for worker in workers if worker.worker_id not in alive}
        shown = [*(worker for worker in workers if worker.active), *silent.values()]
        return sorted(shown, key=lambda worker: worker.worker_id)

    async def schedulers(self) -> SchedulersSeen:
        """Return who leads and who stands by."""
        found, lease = await self._seen(FleetKind.SCHEDULER)
        alive = {name for beat in found if beat.active and isinstance(name := beat.status.get("instance_id"), str)}
        holder = None if lease is None else holder_of(lease)
        leader = holder if holder in alive else None
        return SchedulersSeen(leader=leader, followers=tuple(sorted(alive - {leader})))

    async def lease(self) -> LeaseSeen:
        """Return who holds the lease, also where it has fallen silent since, and who could take over."""
        found, lease = await self._seen(FleetKind.SCHEDULER)
        remaining_ms = await self._store.command("PTTL", keys.LEASE)
        leader = None if lease is None else holder_of(lease)
        alive = {str(name): beat.status for beat in found if beat.active and (name := beat.status.get("instance_id"))}
        return LeaseSeen(
            leader=leader,
            leading_since=_instant(alive.get(leader or "", {}).get("leading_since")),
            remaining=None if remaining_ms < 0 else timedelta(milliseconds=remaining_ms),
            followers=tuple(sorted(alive.keys() - {leader})),
        )

    async def _seen(self, kind: FleetKind) -> tuple[list[_Beat], bytes | None]:
        """Return the latest beats of the processes of that kind, and the lease as it stands."""
        index, status = keys.fleet(kind), keys.fleet_status(kind)
        lease, beats, statuses, (seconds, microseconds) = await self._store.read(
            ("GET", keys.LEASE), ("ZRANGE", index, 0, -1, "WITHSCORES"), ("HGETALL", status), ("TIME",)
        )
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        found = [
            _Beat(at_ms=int(float(score)), now_ms=now_ms, status=_status(statuses.get(process)))
            for process, score in zip(beats[::2], beats[1::2], strict=True)
            if now_ms - float(score) < FORGOTTEN_AFTER // _MILLISECOND
        ]
        return found, lease


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beat:
    at_ms: int
    now_ms: int
    status: Mapping[str, Any]

    @property
    def active(self) -> bool:
        return self.now_ms - self.at_ms < SILENT_AFTER // _MILLISECOND


def _status(text: bytes | None) -> Mapping[str, Any]:
    try:
        status = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) else {}


def _instant(text: object) -> datetime | None:
    try:
        return parse_rfc3339(text) if isinstance(text, str) else None
    except InvalidValueError:
        return None


def _worker(beat: _Beat) -> WorkerSeen | None:
    """Return the worker that this is a beat of; None where a stranger wrote it."""
    status = beat.status
    try:
        return WorkerSeen(
            worker_id=str(status["worker_id"]),
            host=host if isinstance(host := status.get("host"), str) else None,
            active=beat.active,
            capacity=int(status["capacity"]),
            current_load=int(status["current_load"]) if beat.active else 0,
            uptime=timedelta(seconds=int(status["uptime"])),
            last_heartbeat=from_unix_ms(beat.at_ms),
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
