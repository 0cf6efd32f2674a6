"""What becomes of a rule's wall times where a clock is put forward or back, by asking the rule itself.

A clock change is a *gap*, in which wall times are skipped, or a *fold*, in which they are shown twice (core/zones).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from taskqueue.core.cron import Cron
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Bounded, Interval
from taskqueue.core.zones import clamp, first_instant, last_instant, load_zone, offset_at, offset_change, wall_at

#: clock changes are looked for so far ahead
YEAR = timedelta(days=366)

_DAY = timedelta(days=1)
_SOME_DAY = datetime.combine(date(2000, 1, 1), time(0))
_MINUTE = timedelta(minutes=1)
_MOMENT = timedelta.resolution
_HHMM = "%H:%M"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """A change of a zone's offset at `at`, in UTC: from `before` to `after`, each wall time minus UTC."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def kind(self) -> str:
        """`gap` where wall times are skipped, `fold` where they are shown twice."""
        return "gap" if self.after > self.before else "fold"

    @property
    def walls(self) -> tuple[datetime, datetime]:
        """The first wall time that is skipped or shown twice, and the first one after them that is not."""
        naive = self.at.replace(tzinfo=None)
        return naive + min(self.before, self.after), naive + max(self.before, self.after)


class Effect(StrEnum):
    """What becomes of one wall time of a rule."""

    RUNS_AFTER = "runs_after"
    #: it runs neither after the gap nor at another time
    SKIPPED = "skipped"
    #: skipped, and where the gap ends the rule is due anyway
    ABSORBED = "absorbed"
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A wall time of a rule that a clock change touches."""

    wall: datetime
    effect: Effect

    def said(self, change: ClockChange) -> str:
        """Return it in words."""
        wall, resumes = f"{self.wall:{_HHMM}}", f"{change.walls[1]:{_HHMM}}"
        return {
            Effect.RUNS_AFTER: f"{wall} is skipped and runs at {resumes}",
            Effect.SKIPPED: f"{wall} is skipped and does not run",
            Effect.ABSORBED: f"{wall} is skipped, and {resumes} runs as always",
            Effect.FIRST: f"{wall} comes twice and runs the first time",
            Effect.SECOND: f"{wall} comes twice and runs the second time",
            Effect.BOTH: f"{wall} comes twice and runs both times",
        }[self.effect]


def zone_of(rule: Interval) -> str:
    """Return the zone on whose clock the rule lives; UTC for one instant."""
    inner = rule.interval if isinstance(rule, Bounded) else rule
    return inner.timezone if isinstance(inner, Every | Cron) else "UTC"


def follows_real_time(rule: Interval) -> bool:
    """Return whether the rule is hourly and names no wall times: neither gap nor fold changes when it runs."""
    inner = rule.interval if isinstance(rule, Bounded) else rule
    if not isinstance(inner, Every) or inner.kind is not EveryKind.HOURLY:
        return False
    return next(inner.walls_between(_SOME_DAY, _SOME_DAY + _DAY), None) is None


@lru_cache(maxsize=1024)
def clock_changes(zone_name: str, after: datetime, until: datetime) -> tuple[ClockChange, ...]:
    """Return the changes of the zone's offset in (`after`, `until`]. Raises InvalidValueError for an unknown zone."""
    zone, found = load_zone(zone_name), list[ClockChange]()
    after, until = clamp(after), clamp(until)
    while after < until:
        following = min(after + _DAY, until)
        at = offset_change(after, following, zone)
        if at is not None:
            found.append(ClockChange(at=at, before=offset_at(after, zone), after=offset_at(following, zone)))
        after = following
    return tuple(found)


def touched(rule: Interval, change: ClockChange) -> Iterator[Touched]:
    """Yield what becomes of each wall time of the rule that `change`, one of its zone, skips or shows twice."""
    inner = rule.interval if isinstance(rule, Bounded) else rule
    if not isinstance(inner, Every | Cron):
        return
    first, end = change.walls
    zone = load_zone(inner.timezone)
    for wall in inner.walls_between(first, end):
        effect = _in_gap(rule, inner, change) if change.kind == "gap" else _in_fold(rule, wall, zone)
        if effect is not None:
            yield Touched(wall=wall, effect=effect)


def _in_gap(rule: Interval, inner: Every | Cron, change: ClockChange) -> Effect:
    resumes = change.walls[1]
    if not _is_due(rule, change.at):
        return Effect.SKIPPED
    named = next(iter(inner.walls_between(resumes, resumes + _MINUTE)), None) == resumes
    return Effect.ABSORBED if named else Effect.RUNS_AFTER


def _in_fold(rule: Interval, wall: datetime, zone: ZoneInfo) -> Effect | None:
    passes = _is_due(rule, first_instant(wall, zone)), _is_due(rule, last_instant(wall, zone))
    # Neither: it lies before start_at or after end_at.
    return {(True, True): Effect.BOTH, (True, False): Effect.FIRST, (False, True): Effect.SECOND}.get(passes)


def _is_due(rule: Interval, instant: datetime) -> bool:
    return rule.next_after(instant - _MOMENT) == instant


def marks(rule: Interval, instants: list[datetime], after: datetime) -> list[tuple[str, ...]]:
    """Return what the clock does to each of the rule's `instants`, in order and following on `after`, in words.

    It tells what was skipped since the instant before, which of two passes an instant is in, and a change of offset.
    """
    name = zone_of(rule)
    return [_marks(rule, before, at, name) for before, at in pairwise([after, *instants])]


def _marks(rule: Interval, before: datetime, at: datetime, zone_name: str) -> tuple[str, ...]:
    found, zone = list[str](), load_zone(zone_name)
    for change in _changes_between(zone_name, before, at):
        skipped = [each.said(change) for each in touched(rule, change) if change.kind == "gap"]
        found += skipped[:1]
        if len(skipped) > 1:
            found.append(f"{len(skipped) - 1} more are skipped")
    found += offset_marks(before, at, zone)
    wall = wall_at(at, zone)
    if (last := last_instant(wall, zone)) != (first := first_instant(wall, zone)):
        which = "first" if at == first else "second" if at == last else ""
        found.append(f"{wall:{_HHMM}} comes twice: the {which} time")
    return tuple(found)


def _changes_between(zone_name: str, before: datetime, at: datetime) -> tuple[ClockChange, ...]:
    # Instants may lie a hundred years apart; what was skipped in the last year of them is enough.
    return clock_changes(zone_name, max(before, at - YEAR), at)


def offset_marks(before: datetime, at: datetime, zone: ZoneInfo) -> list[str]:
    """Return that the zone's offset is not what it was at the instant before, if so."""
    was, offset = offset_at(before, zone), offset_at(at, zone)
    return [] if was == offset else [f"offset {offset_text(was)} to {offset_text(offset)}"]


def offset_text(offset: timedelta) -> str:
    """Return an offset from UTC as `+01:00`; seconds only where there are any."""
    sign, seconds = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    total = seconds // timedelta(seconds=1)
    text = f"{sign}{total // 3600:02}:{total // 60 % 60:02}"
    return f"{text}:{total % 60:02}" if total % 60 else text
