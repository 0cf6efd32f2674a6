"""Log lines that an endpoint returns: `logs` in the top-level object of a JSON answer (docs/http-contract.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.log_line import Level, LogLine, fitting
from taskqueue.errors import InvalidValueError
from taskqueue.worker.redaction import Redactor

#: of one answer; lua/finish.lua keeps as many of an execution
_MOST_LINES = 200

#: RFC 6839: `+json` marks every other type that is JSON
_JSON = re.compile(r"\s*(?:application/|[^/;\s]+/[^;\s]*\+)json\s*(?:;|$)", re.IGNORECASE)

#: the names of the usual logging libraries
_LEVELS = {
    **dict.fromkeys(("TRACE", "DEBUG", "INFO", "NOTICE"), Level.INFO),
    **dict.fromkeys(("WARN", "WARNING"), Level.WARNING),
    **dict.fromkeys(("ERROR", "CRITICAL", "FATAL"), Level.ERROR),
}


def may_hold_lines(body: bytes) -> bool:
    """Say whether `returned_lines` is worth a call; quick, for nearly no answer does."""
    return b'"logs"' in body


def returned_lines(
    body: bytes, content_type: str | None, *, cut: bool, at: datetime, redactor: Redactor | None
) -> tuple[LogLine, ...]:
    """Return the lines in an answer that came at `at`; what does not name its own time bears that one.

    Entries that cannot be read are left out, and a last line says so. No line holds a secret that `redactor` knows.
    """
    if content_type is None or _JSON.match(content_type) is None:
        return ()
    if cut:
        return (_note("the answer was not read to its end, so its log lines are not known", at),)
    try:
        document = json.loads(body)
    except (RecursionError, ValueError):
        return ()
    entries = document.get("logs") if isinstance(document, dict) else None
    return _lines(entries, at, redactor) if isinstance(entries, list) else ()


def _lines(entries: Sequence[object], at: datetime, redactor: Redactor | None) -> tuple[LogLine, ...]:
    found: list[LogLine] = []
    unread = 0
    for entry in entries[-_MOST_LINES + 2 :]:
        line = _line(entry, at, redactor)
        if line is None:
            unread += 1
        else:
            found.append(line)
    if len(entries) > _MOST_LINES - 2:
        found.insert(0, _note(f"the first {len(entries) - _MOST_LINES + 2} log lines of the answer are not kept", at))
    if unread:
        found.append(_note(f"log lines of the answer that could not be read: {unread}", at))
    return tuple(found)


def _line(entry: object, at: datetime, redactor: Redactor | None) -> LogLine | None:
    """Return the line that `entry` is, a text or an object, or None."""
    fields = {"message": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict):
        return None
    message, timestamp = fields.get("message"), fields.get("timestamp")
    level = _LEVELS.get(str(fields.get("level", "INFO")).upper())
    if not isinstance(message, str) or level is None:
        return None
    try:
        instant = at if timestamp is None else parse_rfc3339(str(timestamp))
    except InvalidValueError:
        return None
    return LogLine(timestamp=instant, level=level, message=fitting(redactor.text(message) if redactor else message))


def _note(text: str, at: datetime) -> LogLine:
    return LogLine(timestamp=at, level=Level.WARNING, message=text)
