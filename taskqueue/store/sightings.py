"""What Redis knows about jobs now: for people who look for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from taskqueue.core.instants import from_unix_ms
from taskqueue.core.state import Status
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore, checked
from taskqueue.store.jobs import FAILED, FAILING

#: a record up to the answer's body, which may be long, and of which many at once would be long to read
_HEAD_BYTES = 4096
_BODY_MARK = b',"response":"'


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
    claimed_at: datetime | None = None
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
    return (await see_jobs(store, [job_id]))[0]


async def see_jobs(store: RedisStore, job_ids: Sequence[str], *, with_answers: bool = True) -> list[Sighting]:
    """Return what is known about each of the jobs. Raises DamagedKeyError where a key of one holds another type.

    Without answers, an `execution` whose answer is long lacks it, and what stands behind it in the JSON.
    """
    questions = [question for job_id in job_ids for question in _questions(job_id, with_answers=with_answers)]
    replies = await store.read(*questions)
    size = len(questions) // max(1, len(job_ids))
    rows = [replies[start : start + size] for start in range(0, len(replies), size or 1)]
    alive = await _alive(store, {owner for _, _, (_, owner, _), _, _ in rows if owner})
    found = [_sighting(job_id, row, alive) for job_id, row in zip(job_ids, rows, strict=True)]
    if with_answers:
        return found
    # Where the head of a record ends before its answer begins, only the whole of it can be read.
    cut = [index for index, row in enumerate(rows) if len(row[-1]) == _HEAD_BYTES and found[index].execution is None]
    texts = await store.read(*(("GET", keys.execution(job_ids[index])) for index in cut))
    for index, text in zip(cut, texts, strict=True):
        found[index] = replace(found[index], execution=_record(text))
    return found


def _questions(job_id: str, *, with_answers: bool) -> tuple[tuple[Argument, ...], ...]:
    execution = keys.execution(job_id)
    return (
        ("GET", keys.done(job_id)),
        ("EXISTS", keys.cancelled(job_id)),
        ("HMGET", keys.claim(job_id), "attempt", "owner", "started"),
        ("HMGET", keys.delayed_job(job_id), "attempt", "list"),
        ("GET", execution) if with_answers else ("GETRANGE", execution, 0, _HEAD_BYTES - 1),
    )


async def _alive(store: RedisStore, workers: set[bytes]) -> set[bytes]:
    """Return those of the incarnations that have a heartbeat; that of one which has left is empty."""
    if not workers:
        return set()
    asked = sorted(workers)
    replies = await store.pipeline([("STRLEN", keys.WORKER_PREFIX.encode() + worker) for worker in asked])
    return {worker for worker, reply in zip(asked, replies, strict=True) if checked(reply)}


def _sighting(job_id: str, row: Sequence[Any], alive: set[bytes]) -> Sighting:
    ended, cancelled, (claimed, owner, started), (attempt, waits_in), execution = row
    number = _text(attempt) or _text(claimed) or ""
    return Sighting(
        job_id=job_id,
        ended=_text(ended),
        cancelled=bool(cancelled),
        attempt=int(number) if number.isdecimal() else None,
        worker=_text(owner) or None,
        worker_lives=owner in alive,
        claimed_at=_instant(started) if owner else None,
        waits_in=None if attempt is None else _text(waits_in) or keys.DELAYED,
        execution=_record(execution),
    )


def _status(word: str) -> Status | None:
    return next((status for status in Status if status.value == word), None)


def _text(reply: bytes | None) -> str | None:
    return None if reply is None else reply.decode(errors="replace")


def _instant(milliseconds: bytes | None) -> datetime | None:
    try:
        return from_unix_ms(int(milliseconds or b""))
    except (ValueError, OverflowError):
        return None


def _record(text: bytes | None) -> Mapping[str, object] | None:
    """Return the record, or as much of it as `text` is the head of; None where it cannot be read."""
    head, mark, _ = (text or b"").partition(_BODY_MARK)
    # The mark cannot stand in a value: a quote has a backslash before it there.
    for readable in (text or b"", head + b"}" if mark else b""):
        try:
            document = json.loads(readable)
        except (ValueError, RecursionError):
            continue
        return document if isinstance(document, dict) else None
    return None
