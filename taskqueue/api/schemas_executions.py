"""The bodies of requests and answers about executions, their logs, and how a task's executions went."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from taskqueue.api.schemas import AnswerBody, GivenInstant, Instant, Optionally, RequestBody
from taskqueue.core.log_line import MAX_MESSAGE_BYTES, Level
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status

#: lines in one request
MOST_GIVEN_LINES = 100

_RESULT_SCHEMA = {
    "description": "The answer, where it is JSON; else an object with its text as `body`, or with `encoding`: base64. "
    "`truncated` tells of one that was longer than execution.max_response_bytes. null where there is none."
}


class _ExecutionHead(AnswerBody):
    """What rows of a list and the details of an execution begin with."""

    execution_id: str
    task_id: str | None
    """null in the first attempt of a job that was planned for a user: nothing says yet what it is for."""
    worker_id: str | None
    """The worker of the latest attempt; null before the first one."""
    started_at: Instant | None
    """Start of the first attempt; null before that."""
    completed_at: Instant | None
    """When it ended; null before that."""
    duration_ms: int | None
    """From started_at to completed_at, with all waiting between attempts."""
    status: Status
    """Where it stands now. success, failed, cancelled and skipped are ends."""


class ExecutionRow(_ExecutionHead):
    """An execution in a list."""

    retry_number: int
    """Of the latest attempt: 0 for the first try, 1 for the first retry."""
    queued_at: Instant | None
    """When it was queued, for a task made through the API."""


class ExecutionList(AnswerBody):
    """Some executions of a task, the latest first."""

    executions: list[ExecutionRow]
    total: int
    """How many are kept: of seven days, and at most the latest 1,000, or 10,000 of a task type of tasks.yaml."""
    limit: int
    offset: int


class ErrorView(AnswerBody):
    """Why it did not succeed."""

    code: str
    """A stable word: docs/errors.md lists them."""
    message: str
    retry: bool
    """Whether another attempt follows."""


class AttemptView(AnswerBody):
    """One attempt."""

    attempt: int
    """Counted from 1."""
    worker_id: str
    started_at: Instant
    completed_at: Instant
    duration_ms: int
    outcome: OutcomeClass
    http_status: int | None
    """Of the answer; null without one, and for an execution that succeeded at once."""
    error_code: str | None
    error_message: str | None
    next_attempt_at: Instant | None
    """When the attempt after it was due; null for the last."""


class ExecutionDetails(_ExecutionHead):
    """All about an execution."""

    result: Annotated[Any, WithJsonSchema(_RESULT_SCHEMA)]
    retry_number: int
    """Of the latest attempt: 0 for the first try, 1 for the first retry."""
    is_retry: bool
    """Whether the latest attempt is a retry."""
    queued_at: Instant | None
    """When it was queued, for a task made through the API."""
    error: ErrorView | None
    """Of the latest attempt that ended; null where that succeeded."""
    reason: str | None
    """Why it ended without a call."""
    next_attempt_at: Instant | None
    """When the next attempt is due, while it is retrying."""
    attempts: list[AttemptView]
    """The attempts that ended, the first one first; the latest fifty."""


class LogLineView(AnswerBody):
    """One line of a log."""

    timestamp: Instant
    level: Level
    message: str


class ExecutionLog(AnswerBody):
    """The log of an execution in the order of time: the worker's lines, and those of the endpoint."""

    execution_id: str
    logs: list[LogLineView]


class GivenLine(RequestBody):
    """One line for a log."""

    timestamp: Optionally[GivenInstant] = None
    """When it happened; now when left out."""
    level: Annotated[Level, Field(strict=False)] = Level.INFO
    """How much it matters."""
    message: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_BYTES)]
    """What is longer than 2048 bytes of UTF-8 is cut, and marked as cut."""


class AppendLines(RequestBody):
    """Lines for the log of an execution; of all its lines the latest 200 stay, and 64 KiB."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "logs": [
                        {
                            "timestamp": "2024-01-08T05:00:01Z",
                            "level": "INFO",
                            "message": "Starting report generation",
                        }
                    ]
                }
            ]
        }
    )

    logs: Annotated[list[GivenLine], Field(min_length=1, max_length=MOST_GIVEN_LINES)]
    """In the order in which they happened."""


class ExecutionCancelled(AnswerBody):
    """What cancelling came to."""

    execution_id: str
    status: Status
    """cancelled; or running, where its worker has not cut the call yet."""
    cancelled_at: Instant | None
    """When it ended; null while its call runs."""


class LastDays(AnswerBody):
    """The present UTC day, and the six before it."""

    executions: int
    """That ended."""
    success_rate: float | None
    """null without any that succeeded or failed."""


class TaskStatistics(AnswerBody):
    """How the executions of a task went. Durations are those of the latest attempt, of the latest 10,000 calls."""

    task_id: str
    total_executions: int
    """That ended; cancelled and skipped ones as well."""
    successful_executions: int
    failed_executions: int
    """That failed for good."""
    success_rate: float | None
    """Successes among those that succeeded or failed; null without any."""
    average_duration_ms: int | None
    """null without a call, as are the quantiles."""
    p50_duration_ms: int | None
    p95_duration_ms: int | None
    p99_duration_ms: int | None
    last_7_days: LastDays
