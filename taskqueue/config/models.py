"""The shape of tasks.yaml: pydantic models, one for each mapping in it, that turn into the values of core/.

The docstrings under the fields are what editors show; they get there through the JSON Schema (schema.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from taskqueue.config.duration import Duration, DurationOrZero, at_most
from taskqueue.config.http_fields import Endpoint, Headers, SigningSecrets
from taskqueue.config.problems import in_pieces
from taskqueue.core.cron import Cron
from taskqueue.core.dst import DEFAULT_DST, Dst, Fold, Gap
from taskqueue.core.ids import check_task_id
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.interval import FOREIGN_KEYS, MAX_VALUES, WEEKDAYS, Every, EveryKind, Once
from taskqueue.core.task import (
    MAX_CONCURRENCY,
    CatchUp,
    Interval,
    Overlap,
    Priority,
    Target,
    Task,
    TaskSource,
    check_bounds,
)
from taskqueue.core.zones import load_zone
from taskqueue.errors import InvalidValueError

_AT_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?", re.ASCII)
#: the spec's Go struct holds a time.Time, whose JSON has a date and a zone around the clock time that is meant
_GO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([0-9:]{8})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _check_zone(name: str) -> str:
    load_zone(name)
    return name


def _check_cron(expression: str) -> str:
    Cron(expression=expression)
    return expression


def _check_line(text: str) -> str:
    if _CONTROL.search(text):
        raise InvalidValueError("has a control character; use one line of text")
    return text


def _parse_at_time(value: object) -> time:
    if isinstance(value, time):
        return value
    text = value if isinstance(value, str) else ""
    go_time = _GO_TIME.fullmatch(text)
    text = go_time[1] if go_time else text
    if not _AT_TIME.fullmatch(text):
        raise InvalidValueError('not a time of day; use "HH:MM" or "HH:MM:SS", from 00:00 to 23:59:59')
    return time.fromisoformat(text)


def format_at_time(at_time: time) -> str:
    """Return `at_time` as HH:MM, with :SS where there are seconds."""
    return at_time.isoformat("seconds" if at_time.second else "minutes")


def _parse_instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise InvalidValueError("not an instant; use RFC 3339 text, such as 2024-01-15T10:00:00Z")
    return parse_rfc3339(value)


def _check_day(value: object) -> object:
    if value == "last" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 31):
        return value
    raise InvalidValueError("not a day of the month; use 1 to 31 without quotes, or last")


_TIMEOUT_REASON = "RabbitMQ closes a consumer that holds a message for 30 minutes"

#: how long one HTTP attempt may take
CallTimeout = Annotated[Duration, at_most("15m", _TIMEOUT_REASON)]
#: how long the jobs of one occurrence may be spread
Window = Annotated[DurationOrZero, at_most("31d", "no occurrence is spread over more than a month")]
TaskId = Annotated[
    str, AfterValidator(check_task_id), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"})
]
RetryCount = Annotated[int, Field(ge=0, le=100)]

_IntervalT = TypeVar(
    "_IntervalT", bound="HourlyEntry | DailyEntry | WeeklyEntry | MonthlyEntry | CronEntry | OnceEntry"
)
_Line = Annotated[str, Field(max_length=200), AfterValidator(_check_line)]
_Zone = Annotated[str, AfterValidator(_check_zone)]
_AtTime = Annotated[
    time,
    BeforeValidator(_parse_at_time),
    PlainSerializer(format_at_time),
    WithJsonSchema({"type": "string", "pattern": f"^{_AT_TIME.pattern}$", "examples": ["08:00", "23:59:30"]}),
]
_Instant = Annotated[datetime, BeforeValidator(_parse_instant)]
_Day = Annotated[
    int | Literal["last"],
    BeforeValidator(_check_day),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 31}, {"const": "last"}]}),
]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


class DstEntry(_Strict):
    """What becomes of a wall time that a clock change skips or repeats."""

    gap: Literal["run_after", "skip"] = "run_after"
    """A skipped wall time runs at the end of the gap, or not at all."""
    fold: Literal["first", "second", "both"] = "first"
    """Which time a wall time runs that comes twice."""

    def dst(self) -> Dst:
        """Return the value of core/."""
        return Dst(gap=Gap(self.gap), fold=Fold(self.fold))


class _EveryEntry(_Strict):
    timezone: _Zone = "UTC"
    """IANA name of the zone whose wall clock counts."""


class HourlyEntry(_EveryEntry):
    """Every `value` hours, at minute 0."""

    foreign_keys: ClassVar = FOREIGN_KEYS["hourly"]
    type: Literal["hourly"]
    value: Annotated[int, Field(ge=1, le=MAX_VALUES[EveryKind.HOURLY])] = 1
    """How many hours lie between two runs."""


class _AtTimeEntry(_EveryEntry):
    at_time: _AtTime = time(0)
    """Wall-clock time of the run."""
    dst: DstEntry = DstEntry()
    """What becomes of a wall time that a clock change skips or repeats."""


class DailyEntry(_AtTimeEntry):
    """Every `value` days."""

    foreign_keys: ClassVar = FOREIGN_KEYS["daily"]
    type: Literal["daily"]
    value: Annotated[int, Field(ge=1, le=MAX_VALUES[EveryKind.DAILY])] = 1
    """How many days lie between two runs."""


class WeeklyEntry(_AtTimeEntry):
    """Every `value` weeks."""

    foreign_keys: ClassVar = FOREIGN_KEYS["weekly"]
    type: Literal["weekly"]
    value: Annotated[int, Field(ge=1, le=MAX_VALUES[EveryKind.WEEKLY])] = 1
    """How many weeks lie between two runs."""
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    """Day of the run."""


class MonthlyEntry(_AtTimeEntry):
    """Every `value` months."""

    foreign_keys: ClassVar = FOREIGN_KEYS["monthly"]
    type: Literal["monthly"]
    value: Annotated[int, Field(ge=1, le=MAX_VALUES[EveryKind.MONTHLY])] = 1
    """How many months lie between two runs."""
    day: _Day = 1
    """Day of the run; in a shorter month its last day."""


class CronEntry(_Strict):
    """A cron expression of five fields, or an alias such as @daily."""

    foreign_keys: ClassVar = FOREIGN_KEYS["cron"]
    type: Literal["cron"] = "cron"
    cron: Annotated[str, AfterValidator(_check_cron)]
    """Minute, hour, day of month, month, day of week. Quote it."""
    timezone: _Zone = "UTC"
    """IANA name of the zone whose wall clock counts."""
    dst: DstEntry = DstEntry()
    """As in the other types, where neither minute nor hour starts with `*`."""


class OnceEntry(_Strict):
    """One instant; only tasks made through the API have it."""

    type: Literal["once"]
    at: _Instant


#: Tags become parts of pydantic's error locations; plain `cron` would read there as the key of that name.
_CRON = "cron expression"

_Recurring = (
    Annotated[HourlyEntry, Tag("hourly")]
    | Annotated[DailyEntry, Tag("daily")]
    | Annotated[WeeklyEntry, Tag("weekly")]
    | Annotated[MonthlyEntry, Tag("monthly")]
    | Annotated[CronEntry, Tag(_CRON)]
)


def interval_of(entry: HourlyEntry | DailyEntry | WeeklyEntry | MonthlyEntry | CronEntry | OnceEntry) -> Interval:
    """Return the rule that `entry` spells. Raises InvalidValueError where it is out of range."""
    if isinstance(entry, CronEntry):
        return Cron(expression=entry.cron, timezone=entry.timezone, dst=entry.dst.dst())
    if isinstance(entry, OnceEntry):
        return Once(at=entry.at)
    return Every(
        kind=EveryKind(entry.type),
        value=entry.value,
        timezone=entry.timezone,
        at_time=time(0) if isinstance(entry, HourlyEntry) else entry.at_time,
        weekday=WEEKDAYS.index(entry.weekday) if isinstance(entry, WeeklyEntry) else 0,
        day=entry.day if isinstance(entry, MonthlyEntry) else 1,
        dst=DEFAULT_DST if isinstance(entry, HourlyEntry) else entry.dst.dst(),
    )


def _check_interval(entry: _IntervalT) -> _IntervalT:
    interval_of(entry)
    return entry


def _interval_type(value: object) -> str | None:
    """Return the tag of the entry that `value` is meant to be: its `type`; one with a `cron` needs none."""
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    if kind == "cron" or (isinstance(value, Mapping) and "cron" in value):
        return _CRON
    return None if kind is None else str(kind)


#: an interval as it stands in tasks.yaml or in a user's `custom_interval`
IntervalEntry = Annotated[_Recurring, Discriminator(_interval_type), AfterValidator(_check_interval)]
_StoredIntervalEntry = Annotated[
    _Recurring | Annotated[OnceEntry, Tag("once")], Discriminator(_interval_type), AfterValidator(_check_interval)
]


class TargetEntry(_Strict):
    """The HTTP call."""

    endpoint: Endpoint
    """http or https URL; {user_id} and {task_id} in path and query are filled in, and references at the call."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """HTTP method. POST, PUT and PATCH send the payload as body, GET and DELETE as query parameters."""
    headers: Headers = Field(default_factory=dict)
    """Headers to send. Take secrets from ${env:NAME} or ${file:/path}, filled in by the worker at the call."""
    max_duration: CallTimeout | None = None
    """A second limit on one attempt; the smaller one of this and timeout holds."""
    signing_secrets: SigningSecrets = Field(default_factory=list)
    """One or two references to secrets of Standard Webhooks; requests are signed with each, the newest first."""

    def target(self) -> Target:
        """Return the value of core/."""
        return Target(
            endpoint=self.endpoint,
            method=self.method,
            headers=self.headers,
            max_duration=self.max_duration,
            signing_secrets=tuple(self.signing_secrets),
        )


class _TaskFields(_Strict):
    id: TaskId
    """1 to 64 of A-Z a-z 0-9 . _ - and unique; Redis keys and metrics carry it."""
    name: _Line = ""
    """What people call it; the id when left out."""
    description: Annotated[str, Field(max_length=2000)] = ""
    """What it is for."""
    config: TargetEntry
    """What it calls."""
    timeout: CallTimeout | None = None
    """How long one HTTP attempt may take; else execution.timeout of the worker."""
    retries: RetryCount | None = None
    """Tries after the first; else execution.max_retries of the worker."""
    retry_delay: Duration | None = None
    """Base of the exponential backoff; else execution.retry_delay of the worker."""
    retry_unknown: bool = True
    """Whether to try again when the endpoint may have seen the request."""
    priority: Literal["high", "normal", "medium", "low"] = "normal"
    """Which queue; medium is another word for normal."""
    distribution_window: Window | None = None
    """Over how long the users' jobs are spread; else scheduler.distribution_window. 0s: all at once."""
    enabled: bool = True
    """Whether it runs at all."""
    default_enabled: bool = False
    """Whether it runs for users whose preferences say nothing."""
    catch_up: Literal["none", "latest", "all"] = "latest"
    """Which of the occurrences missed while no scheduler ran are made up for."""
    overlap: Literal["skip", "allow", "queue"] = "allow"
    """What an occurrence does while jobs of the one before it are not done: not run, run beside it, or wait for it."""
    max_concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    """How many jobs of it may run at a time, over all workers; any number when left out."""
    max_age: Duration = timedelta(days=1)
    """A job older than this is not run any more but put into taskqueue.jobs.failed."""
    start_at: _Instant | None = None
    """RFC 3339 instant before which no occurrence is due."""
    end_at: _Instant | None = None
    """RFC 3339 instant after which no occurrence is due."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        check_bounds(self.start_at, self.end_at)
        return self

    def _task(self, interval: Interval, source: TaskSource) -> Task:
        return Task(
            id=self.id,
            name=self.name or self.id,
            description=self.description,
            source=source,
            interval=interval,
            target=self.config.target(),
            timeout=self.timeout,
            retries=self.retries,
            retry_delay=self.retry_delay,
            retry_unknown=self.retry_unknown,
            priority=Priority.NORMAL if self.priority == "medium" else Priority[self.priority.upper()],
            distribution_window=self.distribution_window,
            enabled=self.enabled,
            default_enabled=self.default_enabled,
            catch_up=CatchUp(self.catch_up),
            overlap=Overlap(self.overlap),
            max_concurrency=self.max_concurrency,
            max_age=self.max_age,
            start_at=self.start_at,
            end_at=self.end_at,
        )


class TaskEntry(_TaskFields):
    """One task type."""

    interval: IntervalEntry
    """When it runs."""

    def task(self) -> Task:
        """Return the value of core/."""
        return self._task(interval_of(self.interval), TaskSource.FILE)


class TasksFile(_Strict):
    """The file tasks.yaml."""

    tasks: Annotated[list[TaskEntry], WrapValidator(in_pieces)]
    """The task types; [] for none."""


class StoredTask(_TaskFields):
    """A task as the leader hands it to workers."""

    interval: _StoredIntervalEntry
    source: Literal["file", "api"]
    removed: bool = False

    def task(self) -> Task:
        """Return the value of core/."""
        return replace(self._task(interval_of(self.interval), TaskSource(self.source)), removed=self.removed)


class CustomInterval(_Strict):
    """Holds a user's interval, so that errors are worded as for a task's."""

    interval: IntervalEntry
