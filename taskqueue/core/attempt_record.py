"""What became of one attempt, as it is kept beside the execution's record once there is more than one to tell of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.log_line import LogLine
from taskqueue.core.outcome import OutcomeClass
from taskqueue.errors import InvalidValueError

#: a history is for people: what is longer stands in the record of the latest attempt
_MOST_MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt. `http_status` is None without an answer, or where only the record is left, which does not hold it.

    `code` and `message` are those of the spec's ErrorDetail, empty on success. `next_attempt` is when the attempt after
    this one was due, None for the last.
    """

    attempt: int
    started_at: datetime
    completed_at: datetime
    outcome: OutcomeClass
    http_status: int | None = None
    code: str = ""
    message: str = ""
    next_attempt: datetime | None = None
    worker_id: str

    @property
    def duration(self) -> timedelta:
        """How long the attempt took."""
        return self.completed_at - self.started_at

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object; what there is not is left out."""
        fields: dict[str, object] = {
            "attempt": self.attempt,
            "started_at": rfc3339(self.started_at),
            "completed_at": rfc3339(self.completed_at),
            "outcome": self.outcome.value,
            "http_status": self.http_status,
            "code": self.code or None,
            "message": self.message[:_MOST_MESSAGE_CHARS] or None,
            "next_attempt": None if self.next_attempt is None else rfc3339(self.next_attempt),
            "worker_id": self.worker_id,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def to_json(self) -> str:
        """Return it as JSON in ASCII."""
        return json.dumps(self.as_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes) -> AttemptRecord:
        """Return the attempt that `to_json` has written. Raises InvalidValueError for anything else."""
        try:
            document = json.loads(text)
            status, next_attempt = document.get("http_status"), document.get("next_attempt")
            return cls(
                attempt=int(document["attempt"]),
                started_at=parse_rfc3339(document["started_at"]),
                completed_at=parse_rfc3339(document["completed_at"]),
                outcome=OutcomeClass(document["outcome"]),
                http_status=None if status is None else int(status),
                code=str(document.get("code", "")),
                message=str(document.get("message", "")),
                next_attempt=None if next_attempt is None else parse_rfc3339(next_attempt),
                worker_id=str(document["worker_id"]),
            )
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise InvalidValueError("the record of this attempt cannot be read: something else wrote it") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """What an attempt leaves beside the execution's record: its place in the history, and the endpoint's lines."""

    attempt: AttemptRecord
    lines: tuple[LogLine, ...] = ()
