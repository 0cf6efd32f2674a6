"""The record of an execution: the spec's ExecutionResult as JSON, with a few fields of ours beside its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskqueue.core.attempt_record import Trail
from taskqueue.core.codec import quoted
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.state import Status
from taskqueue.core.value import value
from taskqueue.errors import InvalidValueError

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetail:
    """The spec's ErrorDetail. `retry` says whether another attempt follows."""

    code: str
    message: str
    retry: bool


@value
class ExecutionResult:
    """The spec's ExecutionResult of a job, and whose job it was.

    `started_at` is the start of the attempt that this record tells of, `response` the head of its answer's body and
    `response_truncated` whether there was more. `reason` says why a job ended without a call that could tell it.
    `trail` is what the attempt leaves beside the record, and no part of its JSON.
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
    response_truncated: bool = False
    reason: str | None = None
    trail: Trail | None = None
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
            f'"job_id":{quoted(self.job_id)},"status":{quoted(self.status)},'
            f'"started_at":"{rfc3339(self.started_at)}","completed_at":"{rfc3339(self.completed_at)}",'
            f'"duration":{self.duration // _MICROSECOND * 1000},"task_type_id":{quoted(self.task_type_id)},'
            f'"user_id":{quoted(self.user_id)},"attempt":{self.attempt},"worker_id":{quoted(self.worker_id)}'
        )
        if self.error is not None:
            code, message, retry = quoted(self.error.code), quoted(self.error.message), str(self.error.retry).lower()
            fields += f',"error":{{"code":{code},"message":{message},"retry":{retry}}}'
        if self.response is not None:
            fields += f',"response":"{base64.b64encode(self.response).decode()}"'
        if self.response_truncated:
            fields += ',"response_truncated":true'
        if self.next_attempt is not None:
            fields += f',"next_attempt":"{rfc3339(self.next_attempt)}"'
        if self.occurrence is not None:
            fields += f',"occurrence":{quoted(self.occurrence)}'
        if self.reason is not None:
            fields += f',"reason":{quoted(self.reason)}'
        return f"{{{fields}}}"

    @classmethod
    def from_json(cls, text: bytes) -> ExecutionResult:
        """Return the record that `to_json` has written. Raises InvalidValueError for anything else."""
        try:
            document = json.loads(text)
        except (RecursionError, ValueError):
            raise _unreadable() from None
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ExecutionResult:
        """Return the record of which `document` is the JSON. Raises InvalidValueError for anything else."""
        try:
            error, response = document.get("error"), document.get("response")
            next_attempt = document.get("next_attempt")
            return cls(
                job_id=str(document["job_id"]),
                status=Status(document["status"]),
                started_at=parse_rfc3339(document["started_at"]),
                completed_at=parse_rfc3339(document["completed_at"]),
                error=None if error is None else ErrorDetail(**error),
                response=None if response is None else base64.b64decode(response, validate=True),
                next_attempt=None if next_attempt is None else parse_rfc3339(next_attempt),
                occurrence=document.get("occurrence"),
                response_truncated=bool(document.get("response_truncated")),
                reason=document.get("reason"),
                task_type_id=str(document["task_type_id"]),
                user_id=str(document["user_id"]),
                attempt=int(document["attempt"]),
                worker_id=str(document["worker_id"]),
            )
        except (AttributeError, LookupError, TypeError, ValueError):
            raise _unreadable() from None


def _unreadable() -> InvalidValueError:
    return InvalidValueError("the record of this execution cannot be read: something else wrote it")
