"""The record of an execution: the spec's ExecutionResult as JSON, with a few fields of ours beside its own."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

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
    """

    job_id: str
    status: Status
    started_at: datetime
    completed_at: datetime
    error: ErrorDetail | None = None
    response: bytes | None = None
    next_attempt: datetime | None = None
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
        document: dict[str, object] = {
            "job_id": self.job_id,
            "status": self.status.value,
            "started_at": rfc3339(self.started_at),
            "completed_at": rfc3339(self.completed_at),
            "duration": self.duration // _MICROSECOND * 1000,
            "task_type_id": self.task_type_id,
            "user_id": self.user_id,
            "attempt": self.attempt,
            "worker_id": self.worker_id,
        }
        if self.error is not None:
            document["error"] = {
                "code": self.error.code,
                "message": self.error.message,
                "retry": self.error.retry,
            }
        if self.response is not None:
            document["response"] = base64.b64encode(self.response).decode()
        if self.next_attempt is not None:
            document["next_attempt"] = rfc3339(self.next_attempt)
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
