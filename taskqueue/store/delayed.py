"""Jobs that wait in Redis: for their time (retries and parked jobs), or for a limit that is used up.

Workers put them here, the leader releases them. A job waits in one list at a time; its hash names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.ids import MAX_JOB_ID_BYTES
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.task import Priority
from taskqueue.core.waiting import LAST_PLACE, due_at_place, waiting_place
from taskqueue.core.zones import LAST_INSTANT
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore, checked, refused_for
from taskqueue.store.fleet import HEARTBEAT_TTL
from taskqueue.store.scripts import Scripts

_LAST_MS = to_unix_ms(LAST_INSTANT)
_MILLISECOND = timedelta(milliseconds=1)

#: the least that a waiting job's message is kept: only a leader can tell that nobody needs it any more
WAITING_KEPT = timedelta(days=30)

#: what a job has waited for is kept this long after its last wait began: a few hundred bytes for each job that waits
WAITS_KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedJob:
    """A waiting job: its encoded message, when it is due, its place among others of a limit, the generation read.

    `body` is None when nothing is left to publish: it waits in another list now, or (`lost`) its hash is gone.
    """

    job_id: str
    due: datetime
    body: bytes | None
    generation: int
    place: int
    lost: bool = False


class DelayedStore:
    """The lists of waiting jobs and the hash of each.

    Reading raises DamagedKeyError where a key or an entry is none of ours.
    """

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    # --- look ---------------------------------------------------------------------------------------------------------

    async def due_until(self, instant: datetime, limit: int) -> list[DelayedJob]:
        """Return up to `limit` jobs due until `instant`, the earliest first."""
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.DELAYED, "-inf", to_unix_ms(instant), "WITHSCORES", "LIMIT", 0, limit
        )
        found = [(job_id, from_unix_ms(score)) for job_id, score in _scored(keys.DELAYED, reply, _LAST_MS)]
        return await self._with_messages(keys.DELAYED, found)

    async def head(self, limit: str, count: int) -> list[DelayedJob]:
        """Return up to `count` of the jobs that wait for `limit`, in the order in which they are to be released."""
        key = keys.waiting(limit)
        reply = await self._store.command("ZRANGE", key, 0, count - 1, "WITHSCORES") if count > 0 else []
        found = [(job_id, due_at_place(place)) for job_id, place in _scored(key, reply, LAST_PLACE)]
        return await self._with_messages(key, found)

    async def limits(self) -> list[str]:
        """Return the names of the limits that jobs wait for (core/waiting)."""
        return sorted(name.decode(errors="replace") for name in await self._store.command("SMEMBERS", keys.WAITING))

    async def name_again(self, limits: Sequence[str]) -> None:
        """Name those of `limits` again that have a list: their names may have been deleted, and the jobs would stay."""
        found = await self._store.pipeline([("EXISTS", keys.waiting(limit)) for limit in limits])
        named = [limit for limit, exists in zip(limits, found, strict=True) if checked(exists)]
        if named:
            await self._store.command("SADD", keys.WAITING, *named)

    async def count(self) -> int:
        """Return how many jobs wait for their time."""
        return int(await self._store.command("ZCARD", keys.DELAYED))

    async def waiting_counts(self) -> dict[str, int]:
        """Return how many jobs wait for each limit that any wait for."""
        limits = await self.limits()
        counts = await self._store.pipeline([("ZCARD", keys.waiting(limit)) for limit in limits])
        return {limit: int(checked(count)) for limit, count in zip(limits, counts, strict=True)}

    async def running(self, task_ids: Sequence[str]) -> dict[str, int]:
        """Return how many jobs of each task with a `max_concurrency` run now; places of lost workers become free."""
        if not task_ids:
            return {}
        counts = await self._scripts.call_again(
            "places",
            [keys.FLEET_WATCHED, *(keys.running(task_id) for task_id in task_ids)],
            [keys.WORKER_PREFIX, HEARTBEAT_TTL // _MILLISECOND],
        )
        return dict(zip(task_ids, map(int, counts), strict=True))

    async def _with_messages(self, key: str, found: Sequence[tuple[str, datetime]]) -> list[DelayedJob]:
        hashes = await self._store.ask_each(
            [("HMGET", keys.delayed_job(job_id), "message", "generation", "list", "place") for job_id, _ in found]
        )
        return [_delayed_job(key, job_id, due, fields) for (job_id, due), fields in zip(found, hashes, strict=True)]

    # --- change, as the leader ----------------------------------------------------------------------------------------

    async def move(self, token: str, jobs: Sequence[DelayedJob], limit: str, read_from: str | None = None) -> int:
        """Let jobs wait for `limit`, but those that were put back since; return how many do now.

        `read_from` is the limit whose list they were read from, None for those of `due_until`. Raises LeaseLostError.
        """
        if not jobs:
            return 0
        moved = await self._scripts.call(
            "delayed_move",
            [
                keys.LEASE,
                keys.WAITING,
                keys.DELAYED if read_from is None else keys.waiting(read_from),
                keys.waiting(limit),
                *(key for job in jobs for key in (keys.delayed_job(job.job_id), keys.waits(job.job_id))),
            ],
            [
                token,
                WAITING_KEPT // timedelta(milliseconds=1),
                WAITS_KEPT // timedelta(milliseconds=1),
                *(part for job in jobs for part in (job.job_id, job.generation, job.place)),
            ],
        )
        return int(moved)

    async def remove(self, token: str, jobs: Sequence[DelayedJob], limit: str | None = None) -> int:
        """Remove published jobs that were not put back since; return how many. Raises LeaseLostError.

        `limit` is the one whose list they were read from, None for those of `due_until`.
        """
        if not jobs:
            return 0
        read_from = keys.DELAYED if limit is None else keys.waiting(limit)
        removed = await self._scripts.call(
            "delayed_remove",
            [keys.LEASE, keys.WAITING, keys.DELAYED, read_from, *_hashes(jobs)],
            [token, *(part for job in jobs for part in (job.job_id, job.generation))],
        )
        return int(removed)

    # --- the lane -----------------------------------------------------------------------------------------------------

    async def lane_tail(self) -> datetime | None:
        """Return the due instant of the last job put into the delayed queue, None when it was long ago."""
        reply = await self._store.command("GET", keys.LANE_TAIL)
        try:
            return None if reply is None else from_unix_ms(int(reply))
        except (ValueError, OverflowError):
            raise DamagedKeyError(keys.LANE_TAIL, "is no instant", unreadable=True) from None

    async def raise_lane_tail(self, token: str, tail: datetime, kept_ms: int) -> None:
        """Note that jobs up to `tail` are about to be put into the delayed queue. Raises LeaseLostError."""
        await self._scripts.call("lane_tail", [keys.LEASE, keys.LANE_TAIL], [token, to_unix_ms(tail), kept_ms])


def _scored(key: str, reply: Sequence[bytes], highest: int) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for member, score in zip(reply[::2], reply[1::2], strict=True):
        if not 0 <= float(score) <= highest:
            raise DamagedKeyError(key, "has an entry at a score that is none of ours", member=member)
        if not 1 <= len(member) <= MAX_JOB_ID_BYTES:
            # RabbitMQ would not take it, and nothing else would go out beside it.
            raise DamagedKeyError(key, f"has an entry of {len(member)} bytes, as no job id has", member=member)
        try:
            found.append((member.decode(), int(float(score))))
        except UnicodeDecodeError:
            raise DamagedKeyError(key, "has an entry that is no text", member=member) from None
    return found


def _hashes(jobs: Sequence[DelayedJob]) -> list[Argument]:
    return [keys.delayed_job(job.job_id) for job in jobs]


def _delayed_job(key: str, job_id: str, due: datetime, fields: Sequence[bytes | None] | Exception) -> DelayedJob:
    hash_key = keys.delayed_job(job_id)
    if isinstance(fields, Exception):
        raise refused_for(hash_key, fields)
    message, generation, waits_in, place = fields
    elsewhere = waits_in is not None and waits_in != key.encode()
    try:
        return DelayedJob(
            job_id=job_id,
            due=due,
            body=None if elsewhere else message,
            generation=int(generation or 0),
            place=waiting_place(Priority.NORMAL, due) if place is None else int(place),
            lost=message is None and waits_in is None,
        )
    except ValueError:
        raise DamagedKeyError(hash_key, "has a number that is none", unreadable=True) from None
