"""What a rule on a wall clock should do, found the slow way: by looking at that clock every real minute.

Imports nothing of taskqueue, so that it shares no mistake with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
Matches = Callable[[datetime], bool]
Fold = Literal["first", "second", "both"]

#: zones of all continents and oceans, chosen for what their clocks have done since 1970; none with an offset in seconds
ZONES = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Johannesburg",
    "Africa/Juba",
    "Africa/Tripoli",
    "Africa/Windhoek",
    "America/Adak",
    "America/Anchorage",
    "America/Argentina/San_Luis",
    "America/Asuncion",
    "America/Caracas",
    "America/Chicago",
    "America/Godthab",
    "America/Havana",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Macquarie",
    "Antarctica/Troll",
    "Antarctica/Vostok",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Dhaka",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "UTC",
)

#: (zone, UTC day): a clock is put forward or back in the middle of the three days around it
CLOCK_CHANGES = (
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 4, 4)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 3)),
    ("Antarctica/Troll", date(2026, 3, 29)),  # two hours
    ("Antarctica/Troll", date(2026, 10, 25)),
    ("Antarctica/Casey", date(2019, 3, 16)),  # three hours
    ("Antarctica/Casey", date(2019, 10, 3)),
    ("Asia/Kathmandu", date(1985, 12, 31)),  # a quarter of an hour, at midnight
    ("America/Havana", date(2026, 3, 8)),  # midnight is skipped
    ("America/Havana", date(2026, 11, 1)),
    ("Africa/Cairo", date(2026, 4, 23)),
    ("Africa/Cairo", date(2026, 10, 29)),  # midnight is put back to 23:00
    ("America/St_Johns", date(2009, 3, 8)),  # at one minute past midnight
    ("America/St_Johns", date(2009, 11, 1)),
    ("Africa/Casablanca", date(2024, 3, 10)),  # back for Ramadan
    ("Africa/Casablanca", date(2024, 4, 14)),
    ("Pacific/Apia", date(2011, 12, 30)),  # a whole day is skipped
    ("UTC", date(2024, 2, 29)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealMinute:
    """A minute of real time, the wall time shown then, and the wall minutes that a gap skipped just before it."""

    instant: datetime
    wall: datetime
    skipped: tuple[datetime, ...]
    shown_before: bool
    shown_again: bool


@lru_cache(maxsize=64)
def clock_changes(zone_name: str) -> tuple[date, ...]:
    """Return the UTC days from 1970 to 2037 in which the zone's offset changes, whatever the reason."""
    zone = ZoneInfo(zone_name)
    midnight, offset = datetime(1970, 1, 1, tzinfo=UTC), None
    days: list[date] = []
    while midnight.year < 2038:
        before, offset = offset, midnight.astimezone(zone).utcoffset()
        if before not in {None, offset}:
            days.append((midnight - DAY).date())
        midnight += DAY
    return tuple(days)


@lru_cache(maxsize=64)
def real_minutes(zone_name: str, day: date) -> tuple[RealMinute, ...]:
    """Return every minute of the day before `day` (in UTC), of `day` and of the day after."""
    zone = ZoneInfo(zone_name)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    instants = [start + number * MINUTE for number in range(3 * 24 * 60)]
    walls = [instant.astimezone(zone).replace(tzinfo=None, fold=0) for instant in instants]
    last_number = {wall: number for number, wall in enumerate(walls)}
    minutes: list[RealMinute] = []
    shown: set[datetime] = set()
    for number, (instant, wall) in enumerate(zip(instants, walls, strict=True)):
        skipped: list[datetime] = []
        if minutes:
            missing = minutes[-1].wall + MINUTE
            while missing < wall:
                skipped.append(missing)
                missing += MINUTE
        minutes.append(
            RealMinute(
                instant=instant,
                wall=wall,
                skipped=tuple(skipped),
                shown_before=wall in shown,
                shown_again=last_number[wall] > number,
            )
        )
        shown.add(wall)
    return tuple(minutes)


def due_instants(minutes: tuple[RealMinute, ...], matches: Matches, *, after_a_gap: bool, fold: Fold) -> list[datetime]:
    """Return the instants of `minutes` but the first at which a rule is due whose wall times satisfy `matches`.

    `after_a_gap`: a skipped wall time runs when the gap ends. `fold`: which time a repeated one runs.
    """
    return [
        minute.instant
        for minute in minutes[1:]
        if (matches(minute.wall) and _right_pass(minute, fold)) or (after_a_gap and any(map(matches, minute.skipped)))
    ]


def _right_pass(minute: RealMinute, fold: Fold) -> bool:
    return fold == "both" or not (minute.shown_before if fold == "first" else minute.shown_again)
