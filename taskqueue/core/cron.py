"""Cron expressions: five fields on a wall clock.

croniter walks naive wall times; what happens where a clock is put forward or back is decided here, by the rule of
Debian's cron. A *fixed-time* expression (neither minute nor hour starts with `*`) runs once for each wall time: at the
end of the gap that skips it, the first time in a fold, unless `dst` says otherwise. Any other expression follows real
time: it runs whenever the clock shows a matching minute, so twice in a fold and not in a gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

from taskqueue.core.dst import DEFAULT_DST, Dst, Gap, next_fixed_time
from taskqueue.core.zones import LAST_DAY, LAST_INSTANT, clamp, load_zone, offset_at, offset_change, wall_at
from taskqueue.errors import InvalidValueError

_MAX_LENGTH = 256
_MAX_ITEMS = 64

#: users may have tens of thousands of expressions: to parse one takes longer than to find its next instant, and one
#: that is kept takes 1.4 KB
_RULES_KEPT = 32_768

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

#: 29 February comes back to a weekday after 40 years at the latest (2072 to 2112): what is silent for longer is dead.
_HORIZON_YEARS = 41
#: Where the first run is looked for. Any day would do; a fixed one gives the same answer everywhere and always.
_TRIAL_START = datetime.combine(date(2000, 1, 1), time(0))
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression (minute, hour, day of month, month, day of week) on the wall clock of `timezone`.

    Lists, ranges, steps, names of months and days, `L`, `15W` (the weekday of that month, Monday to Friday, that is
    nearest to the 15th; a shorter month counts from its last day, so that `31W` is its last weekday), `5#2` (second
    Friday), `L5` (last Friday) and the aliases from @hourly to @yearly. Where both day fields are restricted a day need
    match only one, unless one of them starts with `*` (as in Debian's cron). Blanks are normalised.

    Raises InvalidValueError for whatever cron dialects read in different ways, for an expression that never fires, for
    an unknown zone and for a `dst` of an expression that follows real time.
    """

    expression: str
    timezone: str = "UTC"
    dst: Dst = DEFAULT_DST

    def __post_init__(self) -> None:
        load_zone(self.timezone)
        object.__setattr__(self, "expression", _normalised(self.expression))
        if _rule(self.expression).real_time and self.dst != DEFAULT_DST:
            raise InvalidValueError(
                f"dst: cron {self.expression!r} follows real time, for its minute or hour starts with *; "
                "leave dst out, or write fixed minutes and hours"
            )

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after `instant`, in UTC; None when that is after the year 9998."""
        after = clamp(instant)
        zone = load_zone(self.timezone)
        rule = _rule(self.expression)
        if rule.real_time:
            due = _next_in_real_time(rule, after, zone)
        elif self.dst.gap is Gap.SKIP and _is_over(self, after.year):
            due = None
        else:
            due = next_fixed_time(rule.walls_after, after, zone, self.dst)
        return due if due is not None and due <= LAST_INSTANT else None

    def walls_between(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the wall times from `first`, a whole minute, to before `end` that match."""
        for wall in _rule(self.expression).walls_after(first - _MINUTE):
            if wall >= end:
                return
            yield wall

    def as_dict(self) -> dict[str, object]:
        """Return the interval as it would stand in tasks.yaml; a default `dst` is left out."""
        entry: dict[str, object] = {"type": "cron", "cron": self.expression, "timezone": self.timezone}
        return entry if self.dst == DEFAULT_DST else entry | {"dst": self.dst.as_dict()}


@lru_cache(maxsize=4096)
def _is_over(cron: Cron, year: int) -> bool:
    """Return whether nothing is due any more from that year on.

    It takes a search through decades to find out that every wall time to come is skipped: once is enough.
    """
    start = clamp(datetime(year, 1, 1, tzinfo=UTC))
    return next_fixed_time(_rule(cron.expression).walls_after, start, load_zone(cron.timezone), cron.dst) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A parsed expression. `walker` is a template, copied for each walk and never moved itself."""

    walker: croniter[datetime]
    real_time: bool

    def wall_after(self, wall: datetime) -> datetime | None:
        """Return the first matching wall time after the minute of `wall`, or None at the calendar's end."""
        walker = copy(self.walker)
        walker.set_current(wall.replace(second=0, microsecond=0))
        try:
            found = walker.get_next()
        except (ValueError, OverflowError):
            # Nothing within the horizon or before year 10000: a checked expression fails in no other way.
            return None
        return found if found.date() <= LAST_DAY else None

    def walls_after(self, wall: datetime) -> Iterator[datetime]:
        """Yield the matching wall times after the minute of `wall`, in order."""
        found = self.wall_after(wall)
        while found is not None:
            yield found
            found = self.wall_after(found)


def _next_in_real_time(rule: _Rule, after: datetime, zone: ZoneInfo) -> datetime | None:
    """Search one stretch of constant offset after the other, for in each of them wall time runs like real time."""
    while True:
        offset = offset_at(after, zone)
        wall = rule.wall_after(wall_at(after, zone))
        if wall is None:
            return None
        due = wall.replace(tzinfo=after.tzinfo) - offset
        near = min(due, after + _DAY)
        jump = offset_change(after, near, zone)
        if jump is not None:
            shown = wall_at(jump, zone)
            if rule.wall_after(shown - _MINUTE) == shown:
                return jump
            after = jump
        elif due == near:
            return due
        else:
            # No fold leads back over a day, and two offsets differ by less than two: nothing matches in between.
            after = max(near, due - 2 * _DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What one of the five fields may hold; `special` matches its items that are neither numbers nor ranges."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    special: re.Pattern[str] | None = None
    #: items that match `special`, for error texts
    examples: str = ""

    def number(self, text: str) -> int:
        """Return the value that `text` stands for; raises InvalidValueError when the field has no such value."""
        value = int(text) if text.isdigit() else self.names.get(text)
        if value is None or not self.low <= value <= self.high:
            names = f" or {', '.join(self.names)}" if self.names else ""
            raise InvalidValueError(f"cron {self.name} {text!r}: use {self.low} to {self.high}{names}")
        return value


def _numbered(names: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_MONTHS = _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)
_WEEKDAYS = _numbered("sun mon tue wed thu fri sat", 0)
_FIELDS = (
    _Field(name="minute", low=0, high=59),
    _Field(name="hour", low=0, high=23),
    _Field(
        name="day of month",
        low=1,
        high=31,
        special=re.compile(r"(?:l|([0-9]{1,2})w)", re.ASCII),
        examples=", L for the last day, 15W for the weekday (Monday to Friday) nearest to the 15th",
    ),
    _Field(name="month", low=1, high=12, names=_MONTHS),
    _Field(
        name="day of week",
        low=0,
        high=7,
        names=_WEEKDAYS,
        special=re.compile(r"(?:([0-9]|[a-z]{3})#[1-5]|l([0-7]))", re.ASCII),
        examples=", 5#2 for the second Friday of the month, L5 for its last",
    ),
)
_ITEM = re.compile(r"(\*|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,2}))?", re.ASCII)
#: as other crons write the L5 of this one
_LAST_WEEKDAY = re.compile(r"([0-9]|[a-z]{3})l|l([a-z]{3})", re.ASCII)
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_RANDOM = re.compile(r"[hr](?![a-z])", re.ASCII)


def _normalised(expression: object) -> str:
    if not isinstance(expression, str):
        raise InvalidValueError("cron: use a text of five fields, such as '0 8 * * mon-fri'")
    if len(expression) > _MAX_LENGTH:
        raise InvalidValueError(f"cron: {len(expression)} characters; use at most {_MAX_LENGTH}")
    return " ".join(expression.split())


@lru_cache(maxsize=_RULES_KEPT)
def _rule(expression: str) -> _Rule:
    fields = _split(expression)
    for text, spec in zip(fields, _FIELDS, strict=True):
        _check_field(text, spec)
    _check_days(fields[2], fields[4])
    try:
        walker = croniter(
            " ".join(fields),
            _TRIAL_START,
            ret_type=datetime,
            implement_cron_bug=True,  # Debian's rule for two day fields
            max_years_between_matches=_HORIZON_YEARS,
        )
    except ValueError:
        # All else is checked above.
        raise InvalidValueError(f"cron {expression!r}: W, # and L with a day stand alone in their field") from None
    rule = _Rule(walker=walker, real_time=fields[0].startswith("*") or fields[1].startswith("*"))
    if rule.wall_after(_TRIAL_START) is None:
        raise InvalidValueError(f"cron {expression!r}: never fires; no year has such a day")
    return rule


def _split(expression: str) -> tuple[str, ...]:
    text = expression.lower()
    if text.startswith("@") and text not in _ALIASES:
        raise InvalidValueError(f"cron {expression!r}: unknown alias; use five fields or one of {', '.join(_ALIASES)}")
    fields = tuple(_ALIASES.get(text, text).split())
    if len(fields) != 5:
        seconds = " (seconds and years are not supported)" if len(fields) in {6, 7} else ""
        raise InvalidValueError(
            f"cron {expression!r}: {len(fields)} fields{seconds}; use minute, hour, day of month, month, day of week"
        )
    return fields


def _check_field(text: str, spec: _Field) -> None:
    if text == "*" or (text == "?" and spec.special is not None):
        return
    items = text.split(",")
    if len(items) > _MAX_ITEMS:
        raise InvalidValueError(f"cron {spec.name}: a list of {len(items)}; use at most {_MAX_ITEMS}")
    for item in items:
        if item == "*":
            raise InvalidValueError(f"cron {spec.name} {text!r}: * makes the rest of a list void; use one of them")
        if item.startswith("*") and not text.startswith("*"):
            # Whether a field starts with * decides what clock changes and two day fields mean.
            raise InvalidValueError(f"cron {spec.name} {text!r}: put {item} first in the list")
        _check_item(item, spec)


def _check_item(item: str, spec: _Field) -> None:
    if spec.special is not None and (special := spec.special.fullmatch(item)):
        for day in filter(None, special.groups()):
            spec.number(day)
        return
    if _RANDOM.match(item):
        raise InvalidValueError(f"cron {spec.name} {item!r}: H and R differ between machines; write the value")
    if not (plain := _ITEM.fullmatch(item)):
        raise InvalidValueError(f"cron {spec.name} {item!r}: {_remedy(item, spec)}")
    low, high, step = plain.groups()
    if step is not None and not 1 <= int(step) <= spec.high:
        raise InvalidValueError(f"cron {spec.name} {item!r}: use a step of 1 to {spec.high}")
    if high is not None:
        _check_range(low, high, spec)
    elif low != "*":
        _check_steps(item, spec.number(low), step, spec)


def _remedy(item: str, spec: _Field) -> str:
    """Return what to write instead of an `item` that has no form of the field's."""
    if spec.name == "day of month" and item in {"lw", "wl"}:
        return "write 31W for the last weekday (Monday to Friday) of each month"
    last = _LAST_WEEKDAY.fullmatch(item)
    if spec.names is _WEEKDAYS and last:
        # Quartz counts its days from 1, a Sunday: whoever brings its 6L from there means a Friday.
        day = last[1] or last[2]
        number = int(day) if day.isdigit() else _WEEKDAYS.get(day, 8)
        if number <= 7:
            return f"write L{number} for the last {_DAY_NAMES[number % 7]} of the month; days count from 0, a Sunday"
    return f"use *, a value, a range 1-5, a step */5{spec.examples}"


def _check_steps(item: str, first: int, step: str | None, spec: _Field) -> None:
    """Refuse steps without an end that lead nowhere, or to day 7: some crons go on to it, a Sunday, others do not."""
    if step is None:
        return
    if first == spec.high:
        raise InvalidValueError(f"cron {spec.name} {item!r}: no step leads on from the highest value; write {first}")
    if spec.names is _WEEKDAYS and first > 0 and (7 - first) % int(step) == 0:
        days = ",".join(map(str, range(first, 7, int(step))))
        raise InvalidValueError(f"cron {spec.name} {item!r}: some crons go on to day 7; write {days} or {days},7")


def _check_range(low: str, high: str, spec: _Field) -> None:
    first, last = spec.number(low), spec.number(high)
    if spec.names is _WEEKDAYS and high == "sun":
        last = 7
    if first == last:
        raise InvalidValueError(f"cron {spec.name} '{low}-{high}': some crons read it as every value; write {low}")
    if first > last:
        raise InvalidValueError(f"cron {spec.name} '{low}-{high}': runs backwards; write two ranges")


def _check_days(day_of_month: str, day_of_week: str) -> None:
    special = re.search(r"l|w", day_of_month) or re.search(r"#|l[0-7]", day_of_week)
    if special and not {day_of_month, day_of_week} & {"*", "?"}:
        raise InvalidValueError("cron: L, W and # restrict the day alone; use * for the other day field")
