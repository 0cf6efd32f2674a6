"""The log of an execution: lines that its endpoint returned, and the worker's own, which follow from what is recorded.

The worker's lines are worked out when somebody asks, so a job that goes well costs nothing for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.instants import rfc3339
from taskqueue.core.log_line import Level, LogLine, fitting
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status

_MILLISECOND = timedelta(milliseconds=1)


def log_of(
    record: ExecutionResult | None, attempts: Sequence[AttemptRecord], returned: Iterable[LogLine]
) -> tuple[LogLine, ...]:
    """Return all lines about an execution in the order of their time.

    Of one instant, what an endpoint returned stands before what followed from its answer.
    """
    lines = [*map(_began, attempts), *returned, *map(_answered, attempts)]
    if record is not None and (end := _end(record)) is not None:
        lines.append(end)
    return tuple(sorted(lines, key=lambda line: line.timestamp))


def _began(attempt: AttemptRecord) -> LogLine:
    text = f"attempt {attempt.attempt} began on {attempt.worker_id}"
    return LogLine(timestamp=attempt.started_at, level=Level.INFO, message=fitting(text))


def _answered(attempt: AttemptRecord) -> LogLine:
    took = f"in {attempt.duration // _MILLISECOND} ms"
    if attempt.http_status is not None:
        text = f"answered {attempt.http_status} {took}"
    elif attempt.outcome is OutcomeClass.SUCCESS:
        text = f"answered 2xx {took}"
    else:
        text = f"{attempt.code} {took}: {attempt.message}"
    if attempt.next_attempt is not None:
        text += f"; attempt {attempt.attempt + 1} is due at {rfc3339(attempt.next_attempt)}"
    level = Level.INFO if attempt.outcome is OutcomeClass.SUCCESS else Level.WARNING
    return LogLine(timestamp=attempt.completed_at, level=level, message=fitting(text))


def _end(record: ExecutionResult) -> LogLine | None:
    """Return what the end came to; None for a success, which its answer tells, and where there is no end yet."""
    said = record.reason if record.error is None else f"{record.error.code}: {record.error.message}"
    match record.status:
        case Status.FAILED:
            level, text = Level.ERROR, f"failed for good: {said}"
        case Status.CANCELLED:
            level, text = Level.WARNING, "cancelled" if record.error is None else f"cancelled: {record.error.message}"
        case Status.SKIPPED:
            level, text = Level.INFO, "skipped" if said is None else f"skipped: {said}"
        case _:
            return None
    return LogLine(timestamp=record.completed_at, level=level, message=fitting(text))


def only_attempt(record: ExecutionResult) -> AttemptRecord | None:
    """Return the one attempt of a job that succeeded at once, of which nothing but its record is kept; else None."""
    if record.status is not Status.SUCCESS or record.attempt != 1:
        return None
    return AttemptRecord(
        attempt=1,
        started_at=record.started_at,
        completed_at=record.completed_at,
        outcome=OutcomeClass.SUCCESS,
        worker_id=record.worker_id,
    )
