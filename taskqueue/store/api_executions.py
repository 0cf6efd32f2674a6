"""The executions of a task, as the API shows them: where each stands now, and what has come of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.log_line import LogLine
from taskqueue.core.state import TERMINAL, Status
from taskqueue.errors import InvalidValueError, MessageError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import attempts_from
from taskqueue.store.jobs import EXECUTION_KEPT
from taskqueue.store.scripts import Scripts
from taskqueue.store.sightings import Sighting, see_jobs

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution; what is None is not known, or not yet.

    `started_at` is the start of its first attempt, `completed_at` its end. `retry_number` is that of the latest attempt
    that began, from 0. `record` is the record of the attempt that ended last, also while another is to come. `task_id`
    is None in the first attempt of a job that was not queued by the API: nothing says yet whose job it is.
    """

    execution_id: str
    task_id: str | None
    status: Status
    worker_id: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    retry_number: int = 0
    record: ExecutionResult | None = None
    attempts: tuple[AttemptRecord, ...] = ()

    @property
    def duration(self) -> timedelta | None:
        """From the start of the first attempt to the end, with all waiting between them."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(timedelta(0), self.completed_at - self.started_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPage:
    """Some executions of a task, the latest first, and how many there are; long answers are left out."""

    executions: tuple[Execution, ...]
    total: int


class ApiExecutions:
    """Raises StoreUnavailableError when no answer came, DamagedKeyError where a key holds another type."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def get(self, execution_id: str) -> Execution | None:
        """Return what is known about an execution, or None where that is nothing."""
        found = (await self._read([execution_id], [None], with_answers=True))[0]
        if found is None:
            return None
        task_id = found.task_id or await self._task_of_waiting(execution_id)
        queued = (
            None if task_id is None else await self._store.command("ZSCORE", keys.api_executions(task_id), execution_id)
        )
        return replace(found, task_id=task_id, queued_at=None if queued is None else _instant(queued))

    async def queued(self, task_id: str, *, now: datetime, limit: int, offset: int) -> ExecutionPage:
        """Return executions of an API task, by when they were queued."""
        total, found = await self._range(keys.api_executions(task_id), now, limit, offset)
        ids = [member.decode(errors="replace") for member, _ in found]
        executions = await self._read(ids, [at for _, at in found])
        return ExecutionPage(executions=tuple(each for each in executions if each is not None), total=total)

    async def ended(self, task_id: str, *, now: datetime, limit: int, offset: int) -> ExecutionPage:
        """Return executions of a task type of tasks.yaml that have called its endpoint and ended, by their end."""
        total, found = await self._range(keys.durations(task_id), now, limit, offset)
        ids = [member.decode(errors="replace").rpartition(":")[0] for member, _ in found]
        executions = await self._read(ids, [None] * len(ids))
        return ExecutionPage(executions=tuple(each for each in executions if each is not None), total=total)

    async def append(self, execution_id: str, lines: Sequence[LogLine]) -> bool:
        """Append lines to the log of an execution; return False where nothing is known about it.

        Of a log the latest 200 lines are kept, and 64 KiB.
        """
        known = await self._scripts.call(
            "log_append",
            [
                keys.execution(execution_id),
                keys.claim(execution_id),
                keys.delayed_job(execution_id),
                keys.done(execution_id),
                keys.execution_logs(execution_id),
            ],
            [EXECUTION_KEPT // _MILLISECOND, *(line.to_json() for line in lines)],
        )
        return bool(known)

    async def _range(
        self, key: str, now: datetime, limit: int, offset: int
    ) -> tuple[int, list[tuple[bytes, datetime]]]:
        # What is older has no record any more.
        oldest = to_unix_ms(now - EXECUTION_KEPT)
        total, flat = await self._store.read(
            ("ZCOUNT", key, oldest, "+inf"),
            ("ZREVRANGEBYSCORE", key, "+inf", oldest, "WITHSCORES", "LIMIT", offset, limit),
        )
        return int(total), [(member, _instant(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]

    async def _task_of_waiting(self, job_id: str) -> str | None:
        message = await self._store.command("HGET", keys.delayed_job(job_id), "message")
        try:
            return decode_message(message or b"", MAX_STORED_BYTES).job.task_type_id
        except MessageError:
            return None

    async def _read(
        self, job_ids: Sequence[str], queued: Sequence[datetime | None], *, with_answers: bool = False
    ) -> list[Execution | None]:
        sightings = await see_jobs(self._store, job_ids, with_answers=with_answers)
        attempts = await self._store.read(*(("LRANGE", keys.attempts(job_id), 0, -1) for job_id in job_ids))
        return [_execution(*each) for each in zip(sightings, attempts, queued, strict=True)]


def _execution(seen: Sighting, stored: Sequence[bytes], queued_at: datetime | None) -> Execution | None:
    status = _status(seen)
    if status is None:
        return None
    record = _record(seen)
    attempts = attempts_from(record, stored)
    latest = attempts[-1].attempt if attempts else 1
    worker_id, started_at = (attempts[-1].worker_id, _first_start(attempts)) if attempts else (None, None)
    if status is Status.RUNNING and seen.worker is not None:
        latest = seen.attempt or latest
        worker_id = seen.worker.rpartition(":")[0]
        started_at = seen.claimed_at if latest == 1 else started_at or seen.claimed_at
    ended = record is not None and status in TERMINAL and record.status in TERMINAL
    return Execution(
        execution_id=seen.job_id,
        task_id=None if record is None else record.task_type_id,
        status=status,
        worker_id=worker_id,
        queued_at=queued_at,
        started_at=started_at,
        completed_at=record.completed_at if record is not None and ended else None,
        retry_number=max(0, latest - 1),
        record=None if record is None or record.status is Status.PENDING else record,
        attempts=attempts,
    )


def _status(seen: Sighting) -> Status | None:
    runs = seen.worker is not None and seen.worker_lives
    # Nobody calls a job any more that bears the mark, unless a worker is at it; its end is written down by whoever
    # comes to it next.
    return Status.CANCELLED if seen.cancelled and seen.ended is None and not runs else seen.status


def _record(seen: Sighting) -> ExecutionResult | None:
    try:
        return None if seen.execution is None else ExecutionResult.from_document(seen.execution)
    except InvalidValueError:
        return None


def _first_start(attempts: Sequence[AttemptRecord]) -> datetime:
    # Of a job that was replayed there are several first attempts; only the latest fifty of all are kept.
    firsts = [attempt for attempt in attempts if attempt.attempt == 1]
    return (firsts[-1] if firsts else attempts[0]).started_at


def _instant(score: bytes | float | str) -> datetime:
    """Return the instant that a score stands for; one of another hand may stand for none."""
    try:
        return from_unix_ms(int(float(score)))
    except (ValueError, OverflowError):
        return from_unix_ms(0)
