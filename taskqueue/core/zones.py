"""Wall clocks: named zones, and which instant a wall time means where a clock is put forward or back.

An instant is an aware UTC datetime; a wall time is a naive datetime, read in a zone that stands beside it.
A *gap* is wall time that a clock skips, a *fold* wall time that it shows twice (PEP 495).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from taskqueue.errors import InvalidValueError

#: Rules count from here, and nothing is due earlier.
FIRST_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
#: Nothing is due later. A year below datetime's end, so that no zone's wall clock runs off the calendar.
LAST_INSTANT = datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
#: The last day that any zone's calendar shows at LAST_INSTANT.
LAST_DAY = date(9999, 1, 1)

_SECOND = timedelta(seconds=1)

#: These mean another zone on another machine, or count leap seconds.
_UNPORTABLE = ("localtime", "posixrules", "posix/", "right/")
#: The database's own name for "no zone is set".
_UNSET = "Factory"
_ABBREVIATION = re.compile(r"[A-Z]{1,5}", re.ASCII)
#: an offset such as +02:00 or UTC+2
_OFFSET = re.compile(r"(UTC|GMT)?[+-][0-9]{1,2}(:?[0-9]{2})?", re.ASCII | re.IGNORECASE)


@lru_cache(maxsize=1024)
def load_zone(name: str) -> ZoneInfo:
    """Return the zone of the IANA database called `name`.

    Raises InvalidValueError, with the nearest names there are. Names that mean no zone, or not the same one on each
    machine, count as unknown.
    """
    try:
        if not name.startswith(_UNPORTABLE) and name != _UNSET:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # An empty name, a path, a directory of the database: each fails in its own way.
        pass
    raise InvalidValueError(f"timezone {name[:64]!r}: {_why_unknown(name[:64])}")


def _why_unknown(name: str) -> str:
    usual = "use an IANA name, such as UTC or America/New_York"
    if name == _UNSET:
        return f"unknown, for it says that no zone is set; {usual}"
    if name.startswith(("localtime", "posixrules")):
        return f"unknown, for it is not the same zone on each machine; {usual}"
    bare = name.strip().removeprefix("posix/").removeprefix("right/").replace(" ", "_").lower()
    exact = [zone for zone in _zone_names() if zone.lower() == bare]
    if not exact and _OFFSET.fullmatch(name):
        return f"unknown, for an offset is no zone; {usual}; UTC+2 all year is Etc/GMT-2, its sign turned round"
    if not exact and _ABBREVIATION.fullmatch(name):
        # The nearest names would be other abbreviations, of other zones.
        return f"unknown, for an abbreviation may mean several zones; {usual}"
    near = exact or get_close_matches(name, _zone_names(), n=3)
    return f"unknown; did you mean {' or '.join(near)}?" if near else f"unknown; {usual}"


@lru_cache(maxsize=1)
def _zone_names() -> tuple[str, ...]:
    return tuple(sorted(zone for zone in available_timezones() if not zone.startswith((*_UNPORTABLE, _UNSET))))


def clamp(instant: datetime) -> datetime:
    """Return `instant` in UTC, moved to just before FIRST_INSTANT or to LAST_INSTANT where it lies outside."""
    just_before = FIRST_INSTANT - timedelta.resolution
    return min(max(instant, just_before), LAST_INSTANT).astimezone(UTC)


def wall_at(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall time that `zone` shows at `instant`."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return wall time minus UTC in `zone` at `instant`."""
    return wall_at(instant, zone) - instant.replace(tzinfo=None)


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which `zone` shows `wall`; for a wall time in a gap, the gap's end.

    Never decreases as `wall` grows, and grows with it outside of gaps.
    """
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_at(instant, zone) == wall:
        return instant
    # In a gap fold=0 reckons with the offset before the jump, which lands after it, and fold=1 the other way round.
    return _jump_between(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, zone)


def last_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the last instant at which `zone` shows `wall`; for a wall time in a gap, the gap's end.

    Never decreases as `wall` grows, and grows with it outside of gaps.
    """
    instant = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return instant if wall_at(instant, zone) == wall else first_instant(wall, zone)


def offset_change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the instant in (`after`, `until`], at most some days apart, at which `zone` changes its offset, or None.

    No zone has changed its offset twice within six days since 1970.
    """
    if offset_at(after, zone) == offset_at(until, zone):
        return None
    return _jump_between(after, until, zone)


def _jump_between(unchanged: datetime, changed: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, a whole second, at which the offset of `unchanged` ends."""
    offset = offset_at(unchanged, zone)
    low, high = unchanged.replace(microsecond=0), changed.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        low, high = (middle, high) if offset_at(middle, zone) == offset else (low, middle)
    return high
