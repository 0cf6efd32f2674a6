"""The log: one line per event on stdout, JSON for machines and text for people, without secrets.

Lines of libraries that use the standard `logging` come out in the same form, as the event `library_message`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, TextIO

import structlog

from taskqueue.core.instants import rfc3339
from taskqueue.errors import ConfigError
from taskqueue.telemetry import api_events, events, scheduler_events, worker_events
from taskqueue.telemetry.events import Emit, Event

LogFormat = Literal["auto", "json", "text"]

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_LEVEL_NAMES: Mapping[int, str] = {**{number: name for name, number in LEVELS.items()}, logging.CRITICAL: "critical"}

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
_LIBRARIES = ("aio_pika", "aiormq", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "redis")

#: of these, the ones that report each try of a reconnect: ConnectionLost and ConnectionRestored say it once per outage
_SILENT = frozenset({"aio_pika", "aiormq"})

#: what comes with every job or request; a system call for each such line would cost more than the rest of it
_FREQUENT = frozenset(
    {worker_events.AttemptStarted, worker_events.AttemptEnded, worker_events.JobSettled, api_events.RequestAnswered}
)

#: they are written when the first of them has waited for so long, or so many of them wait
_SOON_S = 0.05
_MOST_HELD = 1000

#: the events that are not INFO: what needs a look is WARNING, what comes several times per job is DEBUG
_EVENT_LEVELS: Mapping[type[Event], int] = {
    worker_events.AttemptStarted: logging.DEBUG,
    worker_events.JobSettled: logging.DEBUG,
    worker_events.DuplicateDropped: logging.DEBUG,
    worker_events.LimitWaited: logging.DEBUG,
    events.DeliveryReturned: logging.DEBUG,
    scheduler_events.JobsReleased: logging.DEBUG,
    scheduler_events.ApiTasksFired: logging.DEBUG,
    scheduler_events.AudienceCounted: logging.DEBUG,
    scheduler_events.WaitingMeasured: logging.DEBUG,
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
    scheduler_events.CatalogSucceeded: logging.WARNING,
    scheduler_events.OccurrenceAssumedOver: logging.WARNING,
    scheduler_events.DueWorkRebuilt: logging.WARNING,
    scheduler_events.DueEntrySetBack: logging.WARNING,
    scheduler_events.OccurrenceSkipped: logging.WARNING,
    scheduler_events.PreferenceIgnored: logging.WARNING,
    scheduler_events.PreferencesIgnored: logging.WARNING,
    scheduler_events.SlotListGone: logging.WARNING,
    scheduler_events.LimitIgnored: logging.WARNING,
    scheduler_events.WaitingJobsLost: logging.WARNING,
    scheduler_events.SlotEntryIgnored: logging.WARNING,
    scheduler_events.LaneClosed: logging.WARNING,
    scheduler_events.DamagedKeySetAside: logging.ERROR,
    scheduler_events.ApiTaskUnreadable: logging.ERROR,
    scheduler_events.ApiTasksPutBack: logging.WARNING,
    scheduler_events.ApiTasksSetBack: logging.WARNING,
    scheduler_events.ApiIndexesPutBack: logging.WARNING,
    events.ClockDiffers: logging.WARNING,
    worker_events.LimitUnused: logging.WARNING,
    worker_events.HostClosed: logging.WARNING,
    worker_events.ConsumersRebuilt: logging.WARNING,
    api_events.RequestFailed: logging.ERROR,
    api_events.RequestRefusedByStore: logging.WARNING,
    api_events.TokenRefused: logging.DEBUG,
    api_events.NoTokens: logging.WARNING,
}

#: events that have another level, and when
_GRAVER: Mapping[type[Event], tuple[int, Callable[[Any], bool]]] = {
    events.CatalogReloaded: (logging.ERROR, lambda event: not event.ok),
    events.ProcessStopped: (logging.WARNING, lambda event: not event.clean),
    worker_events.JobSettled: (logging.WARNING, lambda event: event.decision == "fail"),
    scheduler_events.OccurrencePlanned: (logging.WARNING, lambda event: event.redis_was_empty and not event.users),
    # The others may come as fast as somebody can send them.
    api_events.TokenRefused: (logging.WARNING, lambda event: event.reason not in {"missing", "throttled"}),
    api_events.ChangeRecorded: (logging.WARNING, lambda event: not event.stored),
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
    lines = _Lines(out, _as_text(colors=out.isatty()) if text else _as_json)
    _route_libraries(_LibraryHandler(lines))
    return EventLog(lines, LEVELS[level.lower()])


class EventLog:
    """Writes each event as one line: its name, then its fields without those that are None or empty."""

    def __init__(self, lines: _Lines, threshold: int) -> None:
        self._lines = lines
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
        self._lines.write(level, name, values, soon=kind in _FREQUENT)


def level_of(event: Event) -> int:
    """Return the `logging` level of `event`."""
    kind = type(event)
    if kind in _GRAVER and _GRAVER[kind][1](event):
        return _GRAVER[kind][0]
    return _EVENT_LEVELS.get(kind, logging.INFO)


def _shape(kind: type[Event]) -> tuple[str, tuple[str, ...]]:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name, tuple(field.name for field in fields(kind))  # type: ignore[arg-type]  # every event is a dataclass


# --- lines ------------------------------------------------------------------------------------------------------------


class _Lines:
    """Writes lines to `out`, as `render` makes them; a line is out when `write` returns, unless it may come `soon`."""

    def __init__(self, out: TextIO, render: Callable[[dict[str, str], Mapping[str, object]], str]) -> None:
        self._out = out
        self._render = render
        self._unwritten: list[str] = []
        self._due = False
        self._broken: OSError | None = None

    def write(self, level: int, event: str, values: Mapping[str, object], *, soon: bool = False) -> None:
        """Write one line. With `soon` it is written with those of the next moments, or with any other line before."""
        name = _LEVEL_NAMES.get(level) or logging.getLevelName(level).lower()
        if self._broken is not None:
            error, self._broken = self._broken, None
            raise error
        head = {"ts": rfc3339(datetime.now(UTC)), "level": name, "event": event}
        self._unwritten.append(self._render(head, values))
        if not soon or len(self._unwritten) >= _MOST_HELD:
            self._flush()
        elif not self._due:
            self._flush_soon()

    def _flush_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_SOON_S, self._flush_late)
            self._due = True
        except RuntimeError:  # outside any event loop
            self._flush()

    def _flush_late(self) -> None:
        self._due = False
        try:
            self._flush()
        except OSError as error:
            # Nobody called that could be told now; whoever writes next is.
            self._broken = error

    def _flush(self) -> None:
        if self._unwritten:
            unwritten, self._unwritten = self._unwritten, []
            self._out.write("\n".join(unwritten) + "\n")
            self._out.flush()


def _as_json(head: Mapping[str, str], values: Mapping[str, object]) -> str:
    # Field by field: the library's encoder is made for nested values, and takes three times as long with flat ones.
    fields = ", ".join([f'"{key}": {_json_field(key, value)}' for key, value in values.items()])
    start = f'{{"ts": "{head["ts"]}", "level": "{head["level"]}", "event": "{head["event"]}"'
    return f"{start}, {fields}}}" if fields else f"{start}}}"


def _json_field(key: str, value: object) -> str:
    if _is_secret(key):
        return f'"{_REDACTED}"'
    if type(value) is str and _PLAIN.fullmatch(value):
        return f'"{value}"'
    if type(value) is int:
        return str(value)
    safe = safe_value(value)
    return encode_basestring_ascii(safe) if type(safe) is str else _ENCODER.encode(safe)


def _safe_field(key: str, value: object) -> object:
    if _is_secret(key):
        return _REDACTED
    # Most are plain, and nothing has to be looked for in them.
    return value if type(value) is int or (type(value) is str and _PLAIN.fullmatch(value)) else safe_value(value)


def _as_text(*, colors: bool) -> Callable[[dict[str, str], Mapping[str, object]], str]:
    console = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="ts", pad_event_to=24)

    def render(head: dict[str, str], values: Mapping[str, object]) -> str:
        line: dict[str, Any] = head | {key: _safe_field(key, value) for key, value in values.items()}
        # JSON escapes them by itself.
        for key, value in line.items():
            if isinstance(value, str):
                line[key] = value.translate(_VISIBLE_LINES if key == "exception" else _VISIBLE)
        return str(console(None, line["level"], line))

    return render


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


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


# --- libraries --------------------------------------------------------------------------------------------------------


class _LibraryHandler(logging.Handler):
    """Writes records of the standard `logging` to our log."""

    def __init__(self, lines: _Lines) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            values = {"logger": record.name, "msg": record.getMessage()}
            if record.exc_info:
                values["exception"] = logging.Formatter().formatException(record.exc_info)
            self._lines.write(record.levelno, "library_message", values)
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
