"""Rules as tests of a wall time, read from their descriptions. Imports nothing of taskqueue, as minute_oracle.py."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Literal

from tests.support.minute_oracle import Matches

_MONDAY = date(1970, 1, 5)


def hourly(value: int) -> Matches:
    """Return the rule of every `value` wall hours, which divides 24."""
    return lambda wall: wall.minute == 0 and wall.hour % value == 0


def daily(value: int, at_time: time) -> Matches:
    """Return the rule of every `value` days."""
    return _on_days(lambda day: (day - _MONDAY).days % value == 0, at_time)


def weekly(value: int, at_time: time, weekday: int) -> Matches:
    """Return the rule of every `value` weeks on `weekday`; 0 is Monday."""
    return _on_days(lambda day: day.weekday() == weekday and (day - _MONDAY).days // 7 % value == 0, at_time)


def monthly(value: int, at_time: time, wanted: int | Literal["last"]) -> Matches:
    """Return the rule of every `value` months on the `wanted` day, or the last of a shorter month."""

    def on_day(day: date) -> bool:
        length = monthrange(day.year, day.month)[1]
        right_month = (day.year * 12 + day.month - (1970 * 12 + 1)) % value == 0
        return right_month and day.day == (length if wanted == "last" else min(wanted, length))

    return _on_days(on_day, at_time)


def cron(expression: str) -> Matches:
    """Return crontab(5)'s rule for `expression`: two restricted day fields are an or."""
    minute, hour, day_of_month, month, day_of_week = expression.split()
    minutes, hours = _values(minute, 0, 59), _values(hour, 0, 23)
    days, months = _values(day_of_month, 1, 31), _values(month, 1, 12)
    weekdays = {number % 7 for number in _values(day_of_week, 0, 7)}
    combine: Callable[[list[bool]], bool] = all if "*" in {day_of_month[0], day_of_week[0]} else any

    def matches(wall: datetime) -> bool:
        return (
            wall.minute in minutes
            and wall.hour in hours
            and wall.month in months
            and combine([wall.day in days, wall.isoweekday() % 7 in weekdays])
        )

    return matches


def _on_days(on_day: Callable[[date], bool], at_time: time) -> Matches:
    return lambda wall: wall.minute == at_time.minute and wall.hour == at_time.hour and on_day(wall.date())


def _values(field: str, low: int, high: int) -> set[int]:
    """Read lists, ranges and steps as crontab(5) describes them."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            bounds = (low, high)
        elif last:
            bounds = (int(first), int(last))
        else:
            bounds = (int(first), high if step else int(first))
        found.update(range(bounds[0], bounds[1] + 1, int(step or 1)))
    return found
