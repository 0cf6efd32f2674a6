"""One line of an execution's log, as the REST API shows it and Redis keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.errors import InvalidValueError

#: UTF-8 bytes of a line's message that are kept
MAX_MESSAGE_BYTES = 2048

_CUT_MARK = " [cut]"


class Level(StrEnum):
    """How much a line matters (REST API: execution logs)."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of an execution's log."""

    timestamp: datetime
    level: Level
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return it as the JSON object of the REST API."""
        return {"timestamp": rfc3339(self.timestamp), "level": self.level.value, "message": self.message}

    def to_json(self) -> str:
        """Return it as JSON in ASCII."""
        return json.dumps(self.as_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: bytes) -> LogLine:
        """Return the line that `to_json` has written. Raises InvalidValueError for anything else."""
        try:
            document = json.loads(text)
            timestamp = parse_rfc3339(document["timestamp"])
            return cls(timestamp=timestamp, level=Level(document["level"]), message=str(document["message"]))
        except (LookupError, RecursionError, TypeError, ValueError):
            raise InvalidValueError("this line of the log cannot be read: something else wrote it") from None


def fitting(message: str) -> str:
    """Return `message` cut to MAX_MESSAGE_BYTES of UTF-8, and marked as cut; lone surrogates become `?`."""
    text = message.encode(errors="replace")
    if len(text) > MAX_MESSAGE_BYTES:
        text = text[: MAX_MESSAGE_BYTES - len(_CUT_MARK)].decode(errors="ignore").encode() + _CUT_MARK.encode()
    return text.decode()
