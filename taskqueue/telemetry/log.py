"""The log: one line per event on stdout, JSON for machines and text for people, without secrets.

Lines of libraries that use the standard `logging` come out in the same form, as the event `library_message`.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

import structlog

from taskqueue.core.instants import rfc3339
from taskqueue.errors import ConfigError
from taskqueue.telemetry import events, scheduler_events, worker_events
from taskqueue.telemetry.events import Emit, Event

LogFormat = Literal["auto", "json", "text"]

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

#: a longer string is cut: a log line is for reading, and its shippers drop lines above 16 to 256 KiB
MAX_FIELD_CHARS = 8 * 1024

#: how much of a string is searched for secrets before the cut; bounds the work that one field can cause
_SEARCHED_CHARS = 64 * 1024

_REDACTED = "[redacted]"
_SECRET_KEY = re.compile(r"authorization|cookie|passw(or)?d|secret|token|api[-_]?key|credential", re.IGNORECASE)
_SCHEME_SECRET = re.compile(r"\b(bearer|basic)\s+[^\s\"',]+", re.IGNORECASE)
_ASSIGNED_SECRET = re.compile(r"((?:passw(?:or)?d|secret|token|api[-_]?key)=)[^\s&,;\"']+", re.IGNORECASE)
_WORD = re.compile(r"\S+")

#: ids and codes, most of what a line holds: without these marks there is nothing to redact
_PLAIN = re.compile(r"[A-Za-z0-9._-]{0,200}")

#: one for all lines: json.dumps would build an encoder for each
_ENCODER = json.JSONEncoder()

#: what may stand on a terminal instead of each character that would forge lines, move the cursor or reorder the text:
#: a control picture for C0 and DEL, U+FFFD for C1, separators, bidirectional marks and lone surrogates
_VISIBLE = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029, 0x200E, 0x200F), 0xFFFD)
    | dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)), 0xFFFD)
)
_VISIBLE_LINES = {code: visible for code, visible in _VISIBLE.items() if code != ord("\n")}

#: libraries that speak through the standard `logging`; below WARNING they report their inner life
_LIBRARIES = ("aio_pika", "aiormq", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "aiohttp", "redis")

#: of these, the ones that report each try of a reconnect: ConnectionLost and ConnectionRestored say it once per outage
_SILENT = frozenset({"aio_pika", "aiormq"})

#: the events that are not INFO: what needs a look is WARNING, what comes several times per job is DEBUG
_EVENT_LEVELS: Mapping[type[Event], int] = {
    worker_events.AttemptStarted: logging.DEBUG,
    worker_events.JobSettled: logging.DEBUG,
    worker_events.DuplicateDropped: logging.DEBUG,
    worker_events.LimitWaited: logging.DEBUG,
    events.DeliveryReturned: logging.DEBUG,
    scheduler_events.JobsReleased: logging.DEBUG,
    scheduler_events.AudienceCounted: logging.DEBUG,
    events.LoopFailed: logging.ERROR,
    events.SubscriberFailed: logging.ERROR,
    events.PortBusy: logging.WARNING,
    events.ConnectionLost: logging.WARNING,
    events.PublishingBlocked: logging.WARNING,
    events.LaneStuck: logging.WARNING,
    events.LaneUnwatched: logging.WARNING,
    events.DeliveryFailed: logging.ERROR,
    scheduler_events.LeaseLost: logging.WARNING,
    worker_events.MessageRejected: logging.WARNING,
    scheduler_events.DueWorkRebuilt: logging.WARNING,
    scheduler_events.OccurrenceSkipped: logging.WARNING,
    scheduler_events.PreferenceIgnored: logging.WARNING,
    scheduler_events.SlotListGone: logging.WARNING,
    scheduler_events.LimitIgnored: logging.WARNING,
    scheduler_events.SlotEntryIgnored: logging.WARNING,
    scheduler_events.LaneClosed: logging.WARNING,
    scheduler_events.DamagedKeySetAside: logging.ERROR,
    events.ClockDiffers: logging.WARNING,
    worker_events.LimitUnused: logging.WARNING,
}


def configure_logging(*, level: str = "info", log_format: LogFormat = "auto", stream: TextIO | None = None) -> Emit:
    """Route the log of this process to `stream` (stdout) and return the subscriber that writes events to it.

    `auto` is text on a terminal and JSON elsewhere. Raises ConfigError for a level that is not one of LEVELS.
    Replaces the handlers of the root logger and of the libraries in use.
    """
    if level.lower() not in LEVELS:
        raise ConfigError(f"log level {level[:40]!r}: use one of {', '.join(LEVELS)}")
    out = stream or sys.stdout
    text = log_format == "text" or (log_format == "auto" and out.isatty())
    logger = _build_logger(LEVELS[level.lower()], out, text=text)
    _route_libraries(_LibraryHandler(logger))
    return EventLog(logger, LEVELS[level.lower()])


class EventLog:
    """Writes each event as one line: its name, then its fields without those that are None or empty."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger, threshold: int) -> None:
        self._logger = logger
        self._threshold = threshold
        self._shapes: dict[type[Event], tuple[str, tuple[str, ...]]] = {}

    def __call__(self, event: Event) -> None:
        """Write `event` unless its level is below the threshold. Raises OSError when the stream cannot be written."""
        level = level_of(event)
        if level < self._threshold:
            return
        kind = type(event)
        if kind not in self._shapes:
            self._shapes[kind] = _shape(kind)
        name, field_names = self._shapes[kind]
        values = {field: value for field in field_names if (value := getattr(event, field)) not in (None, "", ())}
        self._logger.log(level, name, **values)


def level_of(event: Event) -> int:
    """Return the `logging` level of `event`."""
    match event:
        case events.CatalogReloaded(ok=False):
            return logging.ERROR
        case events.ProcessStopped(clean=False) | worker_events.JobSettled(decision="fail"):
            return logging.WARNING
        case _:
            return _EVENT_LEVELS.get(type(event), logging.INFO)


def _shape(kind: type[Event]) -> tuple[str, tuple[str, ...]]:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name, tuple(field.name for field in fields(kind))


# --- lines ------------------------------------------------------------------------------------------------------------


def _build_logger(threshold: int, out: TextIO, *, text: bool) -> structlog.typing.FilteringBoundLogger:
    render: list[structlog.typing.Processor] = [_as_json]
    if text:
        console = structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="ts", pad_event_to=24)
        render = [_show_controls, console]
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(out),
        processors=[_head_and_safe_fields, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def _head_and_safe_fields(_logger: Any, level: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    head = {"ts": rfc3339(datetime.now(UTC)), "level": level, "event": line.pop("event")}
    for key, value in line.items():
        head[key] = _REDACTED if _is_secret(key) else safe_value(value)
    return head


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _as_json(_logger: Any, _level: str, line: MutableMapping[str, Any]) -> str:
    return _ENCODER.encode(line)


def safe_value(value: object) -> object:
    """Return `value` as it may stand in a log: no secrets, no endless strings, nothing that JSON cannot hold."""
    match value:
        case None | bool() | int():
            return value
        case float():
            # Microseconds are as fine as any clock here, and NaN and infinity are no JSON.
            return round(value, 6) if math.isfinite(value) else str(value)
        case str():
            return _safe_text(value)
        case Mapping():
            return {str(k): _REDACTED if _is_secret(str(k)) else safe_value(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [safe_value(item) for item in value]
        case _:
            return rfc3339(value) if isinstance(value, datetime) else _safe_text(str(value))


def _safe_text(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    # Redact first: a cut in the middle of a secret would hide its mark and show its head.
    searched = text[:_SEARCHED_CHARS]
    if "://" in searched and "@" in searched:
        searched = _WORD.sub(_without_userinfo, searched)
    searched = _SCHEME_SECRET.sub(rf"\1 {_REDACTED}", searched)
    if "=" in searched:
        searched = _ASSIGNED_SECRET.sub(rf"\1{_REDACTED}", searched)
    if len(searched) <= MAX_FIELD_CHARS and len(text) <= _SEARCHED_CHARS:
        return searched
    return f"{searched[:MAX_FIELD_CHARS]}... [{len(text)} characters]"


def _without_userinfo(word: re.Match[str]) -> str:
    scheme, separator, rest = word[0].partition("://")
    _userinfo, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{_REDACTED}@{host}" if at else word[0]


def _show_controls(_logger: Any, _level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # JSON escapes them by itself.
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = value.translate(_VISIBLE_LINES if key == "exception" else _VISIBLE)
    return line


# --- libraries --------------------------------------------------------------------------------------------------------


class _LibraryHandler(logging.Handler):
    """Writes records of the standard `logging` to our log."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            values = {"logger": record.name, "msg": record.getMessage()}
            if record.exc_info:
                values["exception"] = logging.Formatter().formatException(record.exc_info)
            self._logger.log(record.levelno, "library_message", **values)
        except Exception:  # noqa: BLE001 - the contract of logging.Handler.emit: a log line never breaks its caller
            self.handleError(record)


def _route_libraries(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.CRITICAL if name in _SILENT else logging.WARNING)
