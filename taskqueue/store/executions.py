"""What is kept about an execution, for people and the API: its record, its attempts, its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.execution_log import log_of, only_attempt
from taskqueue.core.log_line import LogLine
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What one execution has left. `record` is None before its first attempt ends, and once it is too old."""

    record: ExecutionResult | None
    attempts: tuple[AttemptRecord, ...]
    #: what the endpoint returned, in the order in which it was stored
    returned: tuple[LogLine, ...]

    @property
    def log(self) -> tuple[LogLine, ...]:
        """All lines, the worker's and the endpoint's, in the order of their time."""
        return log_of(self.record, self.attempts, self.returned)


class ExecutionStore:
    """Reads; what is read here is written by lua/finish.lua, lua/postpone.lua and lua/cancel.lua.

    Everything raises DamagedKeyError where a key holds another type. An entry of another hand, which cannot be read, is
    left out.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def traces(self, job_id: str) -> Traces:
        """Return all that is kept about the job."""
        record, attempts, lines = await self._store.read(
            ("GET", keys.execution(job_id)),
            ("LRANGE", keys.attempts(job_id), 0, -1),
            ("LRANGE", keys.execution_logs(job_id), 0, -1),
        )
        recorded = readable(ExecutionResult.from_json, [record] if record else [])
        return Traces(
            record=recorded[0] if recorded else None,
            attempts=attempts_from(recorded[0] if recorded else None, attempts),
            returned=readable(LogLine.from_json, lines),
        )

    async def attempts(self, job_id: str) -> tuple[AttemptRecord, ...]:
        """Return the latest attempts of the job, at most 50, the first one first."""
        record, attempts = await self._store.read(
            ("GET", keys.execution(job_id)), ("LRANGE", keys.attempts(job_id), 0, -1)
        )
        recorded = readable(ExecutionResult.from_json, [record] if record else [])
        return attempts_from(recorded[0] if recorded else None, attempts)

    async def logs(self, job_id: str) -> tuple[LogLine, ...]:
        """Return all lines about the job in the order of their time; none where nothing is known about it."""
        return (await self.traces(job_id)).log


def attempts_from(record: ExecutionResult | None, stored: Sequence[bytes]) -> tuple[AttemptRecord, ...]:
    """Return the attempts that `record` and the job's list of them, as it is `stored`, tell of."""
    found = readable(AttemptRecord.from_json, stored)
    only = None if record is None else only_attempt(record)
    # Where there are others, they are those of a job that had failed and was replayed.
    if only is not None and (not found or found[-1].completed_at <= only.started_at):
        return (*found, only)
    return found


def readable(read: Callable[[bytes], _T], texts: Sequence[bytes]) -> tuple[_T, ...]:
    """Return what `read` makes of the texts, without those of another hand, for which it raises InvalidValueError."""
    found = []
    for text in texts:
        try:
            found.append(read(text))
        except InvalidValueError:
            continue
    return tuple(found)
