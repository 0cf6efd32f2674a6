"""The record of an execution: the spec's ExecutionResult as JSON, with a few fields of ours beside its own."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.codec import quoted
from taskqueue.core.instants import rfc3339
from taskqueue.core.state import Status

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetail:
    """The spec's ErrorDetail. `retry` says whether another attempt follows."""

    code: str
    message: str
    retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """The spec's ExecutionResult of a job, and whose job it was.

    `started_at` is the start of the first attempt this record covers, `response` the head of the answer's body.
    `occurrence` is there while another attempt is to come: what the job's end will count for, whoever ends it.
    """

    job_id: str
    status: Status
    started_at: datetime
    completed_at: datetime
    error: ErrorDetail | None = None
    response: bytes | None = None
    next_attempt: datetime | None = None
    occurrence: str | None = None
    task_type_id: str
    user_id: str
    attempt: int
    worker_id: str

    @property
    def duration(self) -> timedelta:
        """How long the attempt took."""
        return self.completed_at - self.started_at

    def to_json(self) -> str:
        """Return the record as JSON that Go's encoding/json reads into the spec's structs.

        `duration` is an integer of nanoseconds and `response` base64, as Go writes time.Duration and []byte.
        """
        # Written out: one encoder for each record would take longer than the record.
        fields = (
            f'"job_id":{quoted(self.job_id)},"status":{quoted(self.status.value)},'
            f'"started_at":"{rfc3339(self.started_at)}","completed_at":"{rfc3339(self.completed_at)}",'
            f'"duration":{self.duration // _MICROSECOND * 1000},"task_type_id":{quoted(self.task_type_id)},'
            f'"user_id":{quoted(self.user_id)},"attempt":{self.attempt},"worker_id":{quoted(self.worker_id)}'
        )
        if self.error is not None:
            code, message, retry = quoted(self.error.code), quoted(self.error.message), str(self.error.retry).lower()
            fields += f',"error":{{"code":{code},"message":{message},"retry":{retry}}}'
        if self.response is not None:
            fields += f',"response":"{base64.b64encode(self.response).decode()}"'
        if self.next_attempt is not None:
            fields += f',"next_attempt":"{rfc3339(self.next_attempt)}"'
        if self.occurrence is not None:
            fields += f',"occurrence":{quoted(self.occurrence)}'
        return f"{{{fields}}}"
