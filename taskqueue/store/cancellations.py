"""Cancelling a job, wherever it is: one script marks it, and ends it at once where nobody runs it.

The mark is what counts. From then on no worker begins a call of the job; one that is under way is cut by its worker,
which asks for the marks of what it runs (worker/cancellations). Whoever comes to the job next writes down its end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from taskqueue.core.api_task import API_USER
from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.ids import check_task_id, check_user_id
from taskqueue.core.instants import from_unix_ms
from taskqueue.core.state import Status
from taskqueue.errors import MessageError
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.fleet import HEARTBEAT_TTL
from taskqueue.store.jobs import EXECUTION_KEPT, MARK_KEPT_BEYOND_END, run_end_arguments, run_end_keys
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)

#: A cancelled job may still lie in a queue or a slot list. Its task's `max_age` is 366 days at most, after which no
#: worker runs it anyway, and it may be due some weeks from now.
CANCELLED_KEPT = timedelta(days=400)


class CancelOutcome(StrEnum):
    """What cancelling a job came to."""

    #: it ends as cancelled: this call has ended it, and nobody calls it any more
    CANCELLED = "cancelled"
    #: a worker runs it and cuts the call within two seconds, unless it ends before; then its own end stands
    RUNNING = "running"
    #: nobody runs it and nobody will; nothing says whose job it is, so its record follows when its message comes
    MARKED = "marked"
    #: it had ended before, as long as anything says so; nothing was changed
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswer:
    """What became of a job. `word` is how it had ended (ENDED), or the incarnation of its worker (RUNNING)."""

    outcome: CancelOutcome
    word: str = ""


class Cancellations:
    """Cancels jobs, and says which are cancelled."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def cancel(self, job_id: str) -> CancelAnswer:
        """Cancel the job for good; harmless when asked again.

        Any id can be cancelled, also that of a job which is still to be planned: ids follow from task, user and
        instant. Raises StoreUnavailableError when no answer came: then the job may be cancelled or not, and asking
        again settles it. Raises DamagedKeyError, and changes nothing, where a key of the job holds another type.
        """
        reply = await self._ask(job_id)
        if reply[0] != b"marked":
            return _answer(reply)
        found = _whose(job_id, reply)
        if found is None:
            return CancelAnswer(outcome=CancelOutcome.MARKED)
        record, occurrence = found
        reply = await self._ask(job_id, record, occurrence)
        if reply[:2] == [b"ended", b"cancelled"]:
            # Our own end, told again after a lost answer, or that of a worker which found our mark.
            return CancelAnswer(outcome=CancelOutcome.CANCELLED)
        return _answer(reply)

    async def cancelled(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of `job_ids` that bear a mark; O(job_ids)."""
        if not job_ids:
            return set()
        marks = await self._store.command("MGET", *map(keys.cancelled, job_ids))
        return {job_id for job_id, mark in zip(job_ids, marks, strict=True) if mark is not None}

    async def _ask(self, job_id: str, record: ExecutionResult | None = None, occurrence: str = "") -> list[Any]:
        names = [
            keys.done(job_id),
            keys.claim(job_id),
            keys.cancelled(job_id),
            keys.delayed_job(job_id),
            keys.execution(job_id),
            keys.DELAYED,
            keys.WAITING,
            keys.FLEET_WATCHED,
        ]
        run_end: tuple[Argument, ...] = ()
        if record is not None and occurrence:
            names += [keys.occurrence(record.task_type_id, occurrence), keys.DUE_HELD, keys.DUE_HELD_INSTANTS]
        elif record is not None and record.user_id == API_USER:
            names += run_end_keys(record.task_type_id)
            prefix, day, attempt = run_end_arguments(record.completed_at, record.attempt)
            run_end = (prefix, record.task_type_id, day, attempt)
        reply = await self._scripts.call_again(
            "cancel",
            names,
            [
                job_id,
                keys.WORKER_PREFIX,
                CANCELLED_KEPT // _MILLISECOND,
                "" if record is None else record.to_json(),
                EXECUTION_KEPT // _MILLISECOND,
                MARK_KEPT_BEYOND_END // _MILLISECOND,
                HEARTBEAT_TTL // _MILLISECOND,
                *run_end,
            ],
        )
        return list(reply)


def _answer(reply: list[Any]) -> CancelAnswer:
    word = reply[1].decode(errors="replace") if len(reply) > 1 else ""
    return CancelAnswer(outcome=CancelOutcome(reply[0].decode()), word=word)


def _whose(job_id: str, reply: list[Any]) -> tuple[ExecutionResult, str] | None:
    """Return the record of the end, and the occurrence that it counts for; None where nothing tells whose job it is.

    The message of a waiting job says it, or the record of an earlier attempt.
    """
    _, milliseconds, attempt, message, execution = reply
    now = from_unix_ms(milliseconds)
    try:
        known = decode_message(message, MAX_STORED_BYTES)
    except MessageError:
        return _whose_record(job_id, execution, attempt, now)
    job = known.job
    return _record(job_id, job.task_type_id, job.user_id, attempt or job.attempt, now), known.occurrence or ""


def _whose_record(job_id: str, execution: bytes, attempt: int, now: datetime) -> tuple[ExecutionResult, str] | None:
    try:
        document = json.loads(execution)
        task_id, user_id = check_task_id(document["task_type_id"]), check_user_id(document["user_id"])
        occurrence = str(document.get("occurrence") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return _record(job_id, task_id, user_id, max(attempt, 1), now), occurrence


def _record(job_id: str, task_id: str, user_id: str, attempt: int, now: datetime) -> ExecutionResult:
    """Return the end of a job that no worker had in hand: of the attempt that was to come, and of no worker."""
    return ExecutionResult(
        job_id=job_id,
        status=Status.CANCELLED,
        started_at=now,
        completed_at=now,
        task_type_id=task_id,
        user_id=user_id,
        attempt=attempt,
        worker_id="",
    )
