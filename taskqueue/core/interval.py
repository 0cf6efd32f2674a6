"""Intervals: every N hours, days, weeks or months on a wall clock; and the interval of a task that runs once.

Everything is counted from Monday 1970-01-05 (months from January 1970), so that every replica, after every restart,
finds the same instants from nothing but the rule. Cron expressions are in cron.py.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from taskqueue.core.dst import DEFAULT_DST, Dst, next_fixed_time
from taskqueue.core.instants import rfc3339
from taskqueue.core.zones import (
    FIRST_INSTANT,
    LAST_DAY,
    LAST_INSTANT,
    clamp,
    first_instant,
    load_zone,
    offset_change,
    wall_at,
)
from taskqueue.errors import InvalidValueError

_ANCHOR_DAY = date(1970, 1, 5)
_ANCHOR = datetime(1970, 1, 5, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_MIDNIGHT = time(0)

#: by type of interval, and by key that only other types have: why it is refused there, and the remedy
FOREIGN_KEYS: Mapping[str, Mapping[str, str]] = {
    "hourly": {
        "at_time": "hourly runs at full hours; leave it out, or use cron for another minute",
        "dst": "hourly has no fixed time that a clock change could hit; leave it out, or use daily or cron",
        "weekday": "only weekly has one; leave it out of hourly, or use cron for the hours of some weekdays",
        "day": "only monthly has one; leave it out of hourly, or use cron for the hours of some days",
    },
    "daily": {
        "weekday": "only weekly has one; leave it out of daily, or make the type weekly",
        "day": "only monthly has one; leave it out of daily, or make the type monthly",
    },
    "weekly": {"day": "only monthly has one; leave it out of weekly, or name the day of the week with weekday"},
    "monthly": {
        "weekday": "only weekly has one; leave it out of monthly, or use cron for a weekday of the month, as 5#2 or L5"
    },
    "cron": {
        "value": "a cron expression counts by itself; leave it out, or use a step such as */2 in the expression",
        "at_time": "a cron expression has its own times; leave it out, and write minute and hour in the expression",
        "weekday": "a cron expression has its own days; leave it out, and write the weekday as the fifth field",
        "day": "a cron expression has its own days; leave it out, and write the day of the month as the third field",
    },
}

#: names of `weekday` 0 to 6
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class EveryKind(StrEnum):
    """The spec's IntervalType: the unit that `Every.value` counts."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


#: a year of hours, ten years of the others: a longer interval is a mistake, or should be counted in a larger unit
MAX_VALUES = {EveryKind.HOURLY: 8_760, EveryKind.DAILY: 3_650, EveryKind.WEEKLY: 520, EveryKind.MONTHLY: 120}


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every `value` hours, days, weeks or months, on the wall clock of `timezone`.

    - hourly: where `value` divides 24, at the wall hours 0, value, 2·value, …; else each `value` real hours from
      1970-01-05T00:00Z. Always at minute 0.
    - daily: each `value` calendar days from 1970-01-05, at `at_time`.
    - weekly: each `value` weeks from the week of 1970-01-05, on `weekday` (0 is Monday) at `at_time`.
    - monthly: each `value` months from January 1970, on `day` at `at_time`; a month without that day takes its last.

    `dst` says what becomes of an `at_time` that the clock skips or shows twice. Hourly has no such choice: a wall hour
    that is skipped runs at the end of the gap, one that is shown again runs the first time, but `value` 1 follows real
    time and runs both times.

    Raises InvalidValueError for a value out of range, an unknown zone, and a setting that its kind does not have.
    """

    kind: EveryKind
    value: int
    timezone: str = "UTC"
    at_time: time = _MIDNIGHT
    weekday: int = 0
    day: int | Literal["last"] = 1
    dst: Dst = DEFAULT_DST

    def __post_init__(self) -> None:
        load_zone(self.timezone)
        if not 1 <= self.value <= MAX_VALUES[self.kind]:
            raise InvalidValueError(f"{self.kind} value {self.value}: use 1 to {MAX_VALUES[self.kind]}")
        self._check_at_time()
        self._check_day()

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after `instant`, in UTC; None when that is after the year 9998."""
        after = clamp(instant)
        zone = load_zone(self.timezone)
        due: datetime | None
        if self.kind is EveryKind.HOURLY:
            due = self._hour_after(after, zone)
        else:
            due = next_fixed_time(self._walls_from, after, zone, self.dst)
        return due if due is not None and due <= LAST_INSTANT else None

    def walls_between(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the wall times from `first` to before `end` that the rule names; none where it follows real time."""
        for wall in self._hours_from(first) if self.kind is EveryKind.HOURLY else self._walls_from(first):
            if wall >= end:
                return
            if wall >= first:
                yield wall

    def as_dict(self) -> dict[str, object]:
        """Return the interval as it would stand in tasks.yaml; without a midnight `at_time`, a default `dst`."""
        entry: dict[str, object] = {"type": self.kind.value, "value": self.value, "timezone": self.timezone}
        if self.at_time != _MIDNIGHT:
            entry["at_time"] = self.at_time.isoformat("seconds" if self.at_time.second else "minutes")
        if self.kind is EveryKind.WEEKLY:
            entry["weekday"] = WEEKDAYS[self.weekday]
        if self.kind is EveryKind.MONTHLY:
            entry["day"] = self.day
        if self.dst != DEFAULT_DST:
            entry["dst"] = self.dst.as_dict()
        return entry

    def _check_at_time(self) -> None:
        if self.at_time.tzinfo is not None or self.at_time.microsecond:
            raise InvalidValueError(f"at_time {self.at_time}: use HH:MM or HH:MM:SS; the zone goes into timezone")
        if self.kind is EveryKind.HOURLY and self.at_time != _MIDNIGHT:
            raise self._foreign("at_time")
        if self.kind is EveryKind.HOURLY and self.dst != DEFAULT_DST:
            raise self._foreign("dst")

    def _check_day(self) -> None:
        if not 0 <= self.weekday <= 6:
            raise InvalidValueError(f"weekday {self.weekday}: use 0 (Monday) to 6 (Sunday)")
        if self.day != "last" and not 1 <= self.day <= 31:
            raise InvalidValueError(f"day {self.day}: use 1 to 31, or last")
        if self.kind is not EveryKind.WEEKLY and self.weekday != 0:
            raise self._foreign("weekday")
        if self.kind is not EveryKind.MONTHLY and self.day != 1:
            raise self._foreign("day")

    def _foreign(self, key: str) -> InvalidValueError:
        return InvalidValueError(f"{key}: {FOREIGN_KEYS[self.kind][key]}")

    def _hour_after(self, after: datetime, zone: ZoneInfo) -> datetime:
        if self.value == 1:
            return _full_hour_after(after, zone)
        step = self.value * _HOUR
        if 24 % self.value:
            return _ANCHOR + ((after - _ANCHOR) // step + 1) * step
        wall = wall_at(after, zone)
        wall = wall.replace(hour=wall.hour - wall.hour % self.value, minute=0, second=0, microsecond=0)
        # The next wall hours may all have been shown already, when `after` lies in a fold's second pass.
        while (due := first_instant(wall, zone)) <= after:
            wall += step
        return due

    def _hours_from(self, wall: datetime) -> Iterator[datetime]:
        if self.value > 1 and 24 % self.value == 0:
            hour = wall.replace(hour=wall.hour - wall.hour % self.value, minute=0, second=0, microsecond=0)
            while True:
                yield hour
                hour += self.value * _HOUR

    def _walls_from(self, wall: datetime) -> Iterator[datetime]:
        for day in self._days_from(wall.date()):
            yield datetime.combine(day, self.at_time)

    def _days_from(self, day: date) -> Iterator[date]:
        """Yield the rule's calendar days in order: all from `day` on, perhaps with one of the same month before it."""
        if self.kind is EveryKind.MONTHLY:
            yield from self._month_days_from(day)
            return
        weekly = self.kind is EveryKind.WEEKLY
        step = 7 * self.value if weekly else self.value
        first = _ANCHOR_DAY.toordinal() + (self.weekday if weekly else 0)
        number = first - (first - day.toordinal()) // step * step
        for ordinal in range(number, LAST_DAY.toordinal() + 1, step):
            yield date.fromordinal(ordinal)

    def _month_days_from(self, day: date) -> Iterator[date]:
        this_month = _months_since_1970(day)
        first = this_month + -this_month % self.value
        for month in range(first, _months_since_1970(LAST_DAY) + 1, self.value):
            year, month0 = 1970 + month // 12, month % 12
            length = monthrange(year, month0 + 1)[1]
            yield date(year, month0 + 1, length if self.day == "last" else min(self.day, length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One instant. Raises InvalidValueError for a naive one and for one outside of the years 1970 to 9998."""

    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise InvalidValueError(f"at {self.at}: the zone is missing; use an aware datetime")
        if not FIRST_INSTANT <= self.at <= LAST_INSTANT:
            raise InvalidValueError(f"at {self.at}: out of range; use the years 1970 to 9998")

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the instant, in UTC, while it is strictly after `instant`; then None."""
        return self.at.astimezone(UTC) if self.at > instant else None

    def as_dict(self) -> dict[str, object]:
        """Return type and instant, the latter as RFC 3339 in UTC."""
        return {"type": "once", "at": rfc3339(self.at)}


def _full_hour_after(after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant after `after` at which `zone` shows a full hour or ends a gap that skipped one."""
    wall = wall_at(after, zone)
    due = after + (_full_hour_from(wall + timedelta.resolution) - wall)
    jump = offset_change(after, due, zone)
    if jump is None:
        return due
    shown = wall_at(jump, zone)
    # Full hours count from the earlier of the two wall times that meet at the jump: what follows it was skipped by a
    # gap, or is about to be shown again by a fold.
    earlier = min(shown, wall + (jump - after))
    return max(jump, jump + (_full_hour_from(earlier) - shown))


def _full_hour_from(wall: datetime) -> datetime:
    floor = wall.replace(minute=0, second=0, microsecond=0)
    return floor if floor == wall else floor + _HOUR


def _months_since_1970(day: date) -> int:
    return (day.year - 1970) * 12 + day.month - 1
