"""Executions, their logs and statistics in the words of the API."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta

from taskqueue.api.schemas_executions import (
    AttemptView,
    ErrorView,
    ExecutionDetails,
    ExecutionLog,
    ExecutionRow,
    LastDays,
    LogLineView,
    TaskStatistics,
)
from taskqueue.config.strict_json import parse_strict_json
from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.log_line import LogLine
from taskqueue.core.state import Status
from taskqueue.errors import InvalidValueError
from taskqueue.store.api_executions import Execution
from taskqueue.store.task_stats import TaskStats

_MILLISECOND = timedelta(milliseconds=1)

#: JSON that is nested deeper is shown as text
_MAX_DEPTH = 64


def row_answer(execution: Execution) -> ExecutionRow:
    """Return the execution as it stands in a list."""
    return ExecutionRow(
        execution_id=execution.execution_id,
        task_id=execution.task_id,
        worker_id=execution.worker_id,
        started_at=execution.started_at,
        completed_at=execution.completed_at,
        duration_ms=_milliseconds(execution.duration),
        status=execution.status,
        retry_number=execution.retry_number,
        queued_at=execution.queued_at,
    )


def details_answer(execution: Execution) -> ExecutionDetails:
    """Return all about the execution."""
    record = execution.record
    error = None if record is None else record.error
    retries = execution.status is Status.RETRYING and record is not None
    return ExecutionDetails(
        **row_answer(execution).model_dump(),
        result=None if record is None else result_of(record),
        is_retry=execution.retry_number > 0,
        error=None if error is None else ErrorView(code=error.code, message=error.message, retry=error.retry),
        reason=None if record is None else record.reason,
        next_attempt_at=record.next_attempt if record is not None and retries else None,
        attempts=[_attempt(each) for each in execution.attempts],
    )


def log_answer(execution_id: str, lines: Sequence[LogLine]) -> ExecutionLog:
    """Return the lines as a log."""
    logs = [LogLineView(timestamp=line.timestamp, level=line.level, message=line.message) for line in lines]
    return ExecutionLog(execution_id=execution_id, logs=logs)


def stats_answer(task_id: str, stats: TaskStats) -> TaskStatistics:
    """Return the statistics of a task."""
    return TaskStatistics(
        task_id=task_id,
        total_executions=stats.ends.total,
        successful_executions=stats.ends.success,
        failed_executions=stats.ends.failed,
        success_rate=stats.ends.success_rate,
        average_duration_ms=stats.average_ms,
        p50_duration_ms=stats.quantile_ms(0.5),
        p95_duration_ms=stats.quantile_ms(0.95),
        p99_duration_ms=stats.quantile_ms(0.99),
        last_7_days=LastDays(executions=stats.last_days.total, success_rate=stats.last_days.success_rate),
    )


def result_of(record: ExecutionResult) -> object:
    """Return the answer that the record holds: its value where it is JSON, else an object with its body."""
    body = record.response
    if not body:
        return None
    cut = {"truncated": True} if record.response_truncated else {}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "encoding": "base64", **cut}
    try:
        # What has no one meaning for all readers is text.
        return {"body": text, **cut} if cut else parse_strict_json(text, max_depth=_MAX_DEPTH)
    except InvalidValueError:
        return {"body": text}


def _attempt(attempt: AttemptRecord) -> AttemptView:
    return AttemptView(
        attempt=attempt.attempt,
        worker_id=attempt.worker_id,
        started_at=attempt.started_at,
        completed_at=attempt.completed_at,
        duration_ms=attempt.duration // _MILLISECOND,
        outcome=attempt.outcome,
        http_status=attempt.http_status,
        error_code=attempt.code or None,
        error_message=attempt.message or None,
        next_attempt_at=attempt.next_attempt,
    )


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // _MILLISECOND
