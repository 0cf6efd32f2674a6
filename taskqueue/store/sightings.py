"""What Redis knows about one job now: for people who look for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from taskqueue.core.state import Status
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, refused_for
from taskqueue.store.jobs import FAILED, FAILING


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A job as it was seen at one moment; what is None is not known, or does not hold.

    `ended` is the word of its end, `cancelled` whether it bears the mark, `worker` the incarnation that has it, alive
    or (`worker_lives` False) not, `waits_in` the key of the list it waits in, `attempt` the one that runs or is to
    come, `execution` the ExecutionResult of the latest attempt.
    """

    job_id: str
    ended: str | None = None
    cancelled: bool = False
    attempt: int | None = None
    worker: str | None = None
    worker_lives: bool = False
    waits_in: str | None = None
    execution: Mapping[str, object] | None = None

    @property
    def status(self) -> Status | None:
        """The status of its execution; None for a job of which nothing but a mark is known, or nothing at all."""
        if self.ended is not None:
            return Status.FAILED if self.ended == FAILED or self.ended.startswith(FAILING) else _status(self.ended)
        if self.worker is not None and self.worker_lives:
            return Status.RUNNING
        recorded = None if self.execution is None else _status(str(self.execution.get("status")))
        if recorded is None and (self.waits_in is not None or self.worker is not None):
            return Status.PENDING
        return recorded

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "job_id": self.job_id,
            "status": self.status,
            "cancelled": self.cancelled,
            "attempt": self.attempt,
            "worker": self.worker,
            "worker_lives": self.worker_lives if self.worker is not None else None,
            "waits_in": self.waits_in,
            "execution": self.execution,
        }


async def see_job(store: RedisStore, job_id: str) -> Sighting:
    """Return what is known about a job. Raises DamagedKeyError where a key of it holds another type."""
    questions = (
        ("GET", keys.done(job_id)),
        ("EXISTS", keys.cancelled(job_id)),
        ("HMGET", keys.claim(job_id), "attempt", "owner"),
        ("HMGET", keys.delayed_job(job_id), "attempt", "list"),
        ("GET", keys.execution(job_id)),
    )
    replies = await store.pipeline(questions)
    for question, reply in zip(questions, replies, strict=True):
        if isinstance(reply, Exception):
            raise refused_for(question[1], reply)
    ended, cancelled, (claimed, owner), (attempt, waits_in), execution = replies
    worker = _text(owner) or None
    lives = worker is not None and bool(await store.command("EXISTS", keys.worker(worker)))
    number = _text(attempt) or _text(claimed) or ""
    return Sighting(
        job_id=job_id,
        ended=_text(ended),
        cancelled=bool(cancelled),
        attempt=int(number) if number.isdecimal() else None,
        worker=worker,
        worker_lives=lives,
        waits_in=None if attempt is None else _text(waits_in) or keys.DELAYED,
        execution=_record(execution),
    )


def _status(word: str) -> Status | None:
    return next((status for status in Status if status.value == word), None)


def _text(reply: bytes | None) -> str | None:
    return None if reply is None else reply.decode(errors="replace")


def _record(text: bytes | None) -> Mapping[str, object] | None:
    try:
        document = json.loads(text or b"")
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
