"""Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`, `1d`, `2w`.

A number always has its unit, because a bare `5` is seconds to one reader and minutes to the next. The spelling is that
of Go's time.ParseDuration without fractions, signs and units below the millisecond, and with days and weeks.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from taskqueue.errors import InvalidValueError

#: largest first; a day has 24 hours and a week 7 days, whatever the wall clock does
_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_MILLISECOND = timedelta(milliseconds=1)

#: what the JSON Schemas demand; that no unit comes twice is beyond a pattern
PATTERN = r"^([0-9]{1,11}(ms|s|m|h|d|w))+$"
_WHOLE = re.compile(PATTERN, re.ASCII)
_PART = re.compile(r"([0-9]+)(ms|s|m|h|d|w)", re.ASCII)

#: the longest duration that is no accident: a leap year
MAX_DURATION = timedelta(days=366)


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` spells, 0 to 366 days.

    Raises InvalidValueError for anything but digits with ms, s, m, h, d or w, for a unit given twice, and above 366 d.
    """
    parts = _PART.findall(text) if _WHOLE.fullmatch(text) else []
    if not parts:
        raise InvalidValueError(f"duration {text[:40]!r}: use a number with its unit, such as 500ms, 30s, 5m or 1h30m")
    units = [unit for _, unit in parts]
    if len(set(units)) < len(units):
        raise InvalidValueError(f"duration {text[:40]!r}: a unit stands there twice; add the numbers up")
    milliseconds = sum(int(number) * _UNITS_MS[unit] for number, unit in parts)
    if milliseconds > MAX_DURATION / _MILLISECOND:
        raise InvalidValueError(f"duration {text[:40]!r}: use at most {format_duration(MAX_DURATION)}")
    return milliseconds * _MILLISECOND


def format_duration(duration: timedelta) -> str:
    """Return the shortest text of whole units that parses back to `duration`, rounded down to a millisecond.

    Weeks appear only where nothing else is left over: `30d`, not `4w2d`. Raises InvalidValueError below zero.
    """
    rest = duration // _MILLISECOND
    if rest < 0:
        raise InvalidValueError(f"duration {duration}: it lies below zero")
    text = ""
    for unit, size in _UNITS_MS.items():
        if unit == "w" and rest % size:
            continue
        number, rest = divmod(rest, size)
        if number:
            text += f"{number}{unit}"
    return text or "0s"


def at_least(limit: str, reason: str) -> AfterValidator:
    """Return a validator that refuses a duration below `limit`, saying why."""
    minimum = parse_duration(limit)

    def check(duration: timedelta) -> timedelta:
        if duration < minimum:
            raise InvalidValueError(f"duration {format_duration(duration)}: use at least {limit}; {reason}")
        return duration

    return AfterValidator(check)


def at_most(limit: str, reason: str) -> AfterValidator:
    """Return a validator that refuses a duration above `limit`, saying why."""
    maximum = parse_duration(limit)

    def check(duration: timedelta) -> timedelta:
        if duration > maximum:
            raise InvalidValueError(f"duration {format_duration(duration)}: use at most {limit}; {reason}")
        return duration

    return AfterValidator(check)


def _from_config(value: object) -> timedelta:
    # A Task or a default hands over what it already holds; a file can only hold text.
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise InvalidValueError("not a duration; use text with a unit, such as 30s, 5m or 1h30m")
    return parse_duration(value)


def _above_zero(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise InvalidValueError("duration 0s: use a duration above zero")
    return duration


#: a duration of 0 to 366 days; text in YAML, JSON and JSON Schema
DurationOrZero = Annotated[
    timedelta,
    BeforeValidator(_from_config),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "5m", "1h30m"]}),
]

#: a duration above zero, at most 366 days
Duration = Annotated[DurationOrZero, AfterValidator(_above_zero)]
