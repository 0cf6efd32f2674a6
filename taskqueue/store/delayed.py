"""Jobs that wait in Redis for their time: retries and parked jobs. Workers put them here, the leader releases them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, checked
from taskqueue.store.scripts import Scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedJob:
    """A waiting job: its encoded message, when it is due, and the generation that was read.

    `body` is None when the job's hash has expired: nothing is left to publish.
    """

    job_id: str
    due: datetime
    body: bytes | None
    generation: int


class DelayedStore:
    """The ZSET of waiting jobs and the hash of each."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def due_until(self, instant: datetime, limit: int) -> list[DelayedJob]:
        """Return up to `limit` jobs due until `instant`, the earliest first."""
        reply = await self._store.command(
            "ZRANGEBYSCORE", keys.DELAYED, "-inf", to_unix_ms(instant), "WITHSCORES", "LIMIT", 0, limit
        )
        found = [(job.decode(), int(float(score))) for job, score in zip(reply[::2], reply[1::2], strict=True)]
        hashes = await self._store.pipeline(
            [("HMGET", keys.delayed_job(job_id), "message", "generation") for job_id, _ in found]
        )
        return [
            DelayedJob(job_id=job_id, due=from_unix_ms(score), body=message, generation=int(generation or 0))
            for (job_id, score), (message, generation) in zip(found, map(checked, hashes), strict=True)
        ]

    async def remove(self, token: str, jobs: Sequence[DelayedJob]) -> int:
        """Remove published jobs that were not put back since; return how many. Raises LeaseLostError."""
        if not jobs:
            return 0
        removed = await self._scripts.call(
            "delayed_remove",
            [keys.LEASE, keys.DELAYED, *(keys.delayed_job(job.job_id) for job in jobs)],
            [token, *(text for job in jobs for text in (job.job_id, job.generation))],
        )
        return int(removed)

    async def count(self) -> int:
        """Return how many jobs wait."""
        return int(await self._store.command("ZCARD", keys.DELAYED))

    async def lane_tail(self) -> datetime | None:
        """Return the due instant of the last job put into the delayed queue, None when it was long ago."""
        reply = await self._store.command("GET", keys.LANE_TAIL)
        return None if reply is None else from_unix_ms(int(reply))

    async def raise_lane_tail(self, token: str, tail: datetime, kept_ms: int) -> None:
        """Note that jobs up to `tail` are about to be put into the delayed queue. Raises LeaseLostError."""
        await self._scripts.call("lane_tail", [keys.LEASE, keys.LANE_TAIL], [token, to_unix_ms(tail), kept_ms])
