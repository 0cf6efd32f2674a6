"""What Redis tells of single jobs, for an explanation: where they are, what they waited for, what holds them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.explanation import JobFacts, LimitFacts, Place, SlotFacts
from taskqueue.core.host_limit import host_of, over_all_workers
from taskqueue.core.instants import from_unix_ms, rfc3339
from taskqueue.core.job import NOT_DISTRIBUTED, JobMessage
from taskqueue.core.state import TERMINAL, Status
from taskqueue.core.task import Task
from taskqueue.core.wait import WaitRecord, waits_of
from taskqueue.core.waiting import GLOBAL, concurrency_limit, host_limit, queue_limit, task_limit
from taskqueue.errors import InvalidValueError, MessageError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import attempts_from, readable
from taskqueue.store.hosts import HostStore
from taskqueue.store.limit_overrides import LimitOverrides, overridden
from taskqueue.store.limits import Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.sightings import Sighting, see_jobs

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenJob:
    """A job, and its turn in the window where the message that waits for it says that."""

    facts: JobFacts
    slot: SlotFacts | None = None


async def seen_jobs(store: RedisStore, job_ids: Sequence[str]) -> list[SeenJob]:
    """Return what is known of each of the jobs: two or three questions for all. Raises StoreError, DamagedKeyError."""
    sightings = await see_jobs(store, job_ids, with_answers=False)
    replies = await store.read(*(question for job_id in job_ids for question in _questions(job_id)))
    rows = [replies[start : start + 4] for start in range(0, len(replies), 4)]
    return [_seen(sighting, *row) for sighting, row in zip(sightings, rows, strict=True)]


def _questions(job_id: str) -> Sequence[Sequence[str | int]]:
    return (
        ("HGET", keys.delayed_job(job_id), "message"),
        ("ZSCORE", keys.DELAYED, job_id),
        ("LRANGE", keys.attempts(job_id), 0, -1),
        ("LRANGE", keys.waits(job_id), 0, -1),
    )


def _seen(
    seen: Sighting,
    body: bytes | None,
    delayed_until: bytes | float | None,
    attempts: Sequence[bytes],
    waits: Sequence[bytes],
) -> SeenJob:
    record = _record(seen)
    history = attempts_from(record, attempts)
    place = _place(seen)
    ended = record is not None and record.status in TERMINAL and place is Place.ENDED
    claimed_at = seen.claimed_at if place is Place.WORKER else None
    status = seen.status
    facts = JobFacts(
        job_id=seen.job_id,
        status=Status.RUNNING if place is Place.WORKER else status,
        place=place,
        waits_for=_limit_of(seen.waits_in) if place is Place.WAITING_LIST else None,
        worker_id=_worker(seen, record, history),
        worker_lost=seen.worker is not None and not seen.worker_lives,
        attempt=seen.attempt or (record.attempt if record is not None else None),
        next_attempt_at=instant_of(delayed_until) if place is Place.DELAYED else None,
        started_at=_first_start(history) or claimed_at,
        completed_at=record.completed_at if record is not None and ended else None,
        reason=None if record is None else record.reason,
        cancelled=seen.cancelled or status is Status.CANCELLED,
        attempts=history,
        waits=waits_of(
            readable(WaitRecord.from_json, waits),
            history,
            claimed_at=claimed_at,
            ended_at=record.completed_at if record is not None and ended else None,
        ),
    )
    return SeenJob(facts=_with_error(facts, record), slot=_slot_of(body))


def _with_error(facts: JobFacts, record: ExecutionResult | None) -> JobFacts:
    error = None if record is None else record.error
    if error is not None:
        return replace(facts, error_code=error.code, error_message=error.message)
    latest = facts.attempts[-1] if facts.attempts and facts.status is Status.RETRYING else None
    if latest is None or not latest.code:
        return facts
    return replace(facts, error_code=latest.code, error_message=latest.message)


def _place(seen: Sighting) -> Place:
    if seen.ended is not None or (seen.status in TERMINAL and seen.waits_in is None and seen.worker is None):
        return Place.ENDED
    if seen.worker is not None and seen.worker_lives:
        return Place.WORKER
    if seen.waits_in is not None:
        return Place.DELAYED if seen.waits_in == keys.DELAYED else Place.WAITING_LIST
    return Place.QUEUE if seen.status is not None or seen.cancelled else Place.NOWHERE


def _worker(seen: Sighting, record: ExecutionResult | None, history: Sequence[AttemptRecord]) -> str | None:
    if seen.worker is not None:
        return seen.worker.rpartition(":")[0]
    latest = history[-1].worker_id if history else None
    return latest or (record.worker_id or None if record is not None else None)


def _first_start(history: Sequence[AttemptRecord]) -> datetime | None:
    # Of a job that was replayed there are several first attempts.
    firsts = [attempt.started_at for attempt in history if attempt.attempt == 1]
    return firsts[-1] if firsts else None


def _limit_of(list_key: str | None) -> str | None:
    return None if list_key is None else list_key.removeprefix(keys.WAITING_PREFIX)


def _record(seen: Sighting) -> ExecutionResult | None:
    try:
        return None if seen.execution is None else ExecutionResult.from_document(seen.execution)
    except InvalidValueError:
        return None


def _slot_of(body: bytes | None) -> SlotFacts | None:
    message = _message(body)
    if message is None or message.metadata.distribution_slot == NOT_DISTRIBUTED:
        return None
    return SlotFacts(number=message.metadata.distribution_slot, planned_at=message.job.execute_after)


def _message(body: bytes | None) -> JobMessage | None:
    try:
        return None if body is None else decode_message(body, MAX_STORED_BYTES)
    except MessageError:
        return None


def instant_of(score: bytes | float | None) -> datetime | None:
    """Return the instant that unix milliseconds say; None without any, and for what is no number."""
    try:
        return None if score is None else from_unix_ms(int(float(score)))
    except (ValueError, OverflowError):
        return None


# --- what it still has to pass ----------------------------------------------------------------------------------------


async def limits_before(store: RedisStore, scripts: Scripts, task: Task, now: datetime) -> tuple[LimitFacts, ...]:
    """Return the limits that a job of `task` has to pass: four questions. Raises StoreError."""
    limits = overridden(await LimitStore(store, scripts).read(), await LimitOverrides(store, scripts).read(now))
    host = host_of(task.target.endpoint)
    reports = (await HostStore(store).read(now)).get(host, {})
    names = (
        GLOBAL,
        task_limit(task.id),
        concurrency_limit(task.id),
        host_limit(host),
        queue_limit(task.priority),
    )
    counts: list[Any] = await store.read(*(("ZCARD", keys.waiting(name)) for name in names))
    words = (
        *_rates(limits, task.id),
        None if task.max_concurrency is None else f"{task.max_concurrency} at a time",
        _host_words(over_all_workers(reports.values()).closed_until) if reports else None,
        None,
    )
    return tuple(
        LimitFacts(name=name, in_force=in_force, waiting=int(count))
        for name, in_force, count in zip(names, words, counts, strict=True)
        if in_force is not None or int(count)
    )


def _rates(limits: Limits, task_id: str) -> tuple[str | None, str | None]:
    return _rate_words(limits.global_), _rate_words(limits.tasks.get(task_id))


def _rate_words(limit: Limit | None) -> str | None:
    return None if limit is None else f"{limit.rate:g} jobs per second, {limit.burst:g} at once"


def _host_words(closed_until: float | None) -> str:
    if closed_until is None:
        return "open for some calls at a time"
    return f"closed until {rfc3339(from_unix_ms(round(closed_until * 1000)))}"
