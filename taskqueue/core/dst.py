"""What a rule of fixed wall times does where a clock is put forward or back: the `dst` of an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from taskqueue.core.zones import first_instant, last_instant, offset_change, wall_at

_DAY = timedelta(days=1)

#: A rule whose wall times are all skipped for this long is over. None is rarer than 29 February on a given weekday.
_SKIPPED_YEARS = 41


class Gap(StrEnum):
    """What becomes of a wall time that the clock skips."""

    RUN_AFTER = "run_after"
    SKIP = "skip"


class Fold(StrEnum):
    """Which of the two instants of a wall time that the clock shows twice are due."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dst:
    """Both choices, as they stand under `dst`."""

    gap: Gap = Gap.RUN_AFTER
    fold: Fold = Fold.FIRST

    def as_dict(self) -> dict[str, str]:
        """Return both choices as they would stand in tasks.yaml."""
        return {"gap": self.gap.value, "fold": self.fold.value}


DEFAULT_DST = Dst()

#: gives, in order, the wall times of a rule that lie after the minute of the given one, perhaps with some before them
Walls = Callable[[datetime], Iterable[datetime]]


def next_fixed_time(walls: Walls, after: datetime, zone: ZoneInfo, dst: Dst) -> datetime | None:
    """Return the first instant strictly after `after` at which one of `walls` is due in `zone`, or None."""
    passes = {Fold.FIRST: (first_instant,), Fold.SECOND: (last_instant,), Fold.BOTH: (first_instant, last_instant)}
    found = [_next_in_pass(walls, after, zone, dst.gap, instant_of) for instant_of in passes[dst.fold]]
    return min((due for due in found if due is not None), default=None)


def _next_in_pass(
    walls: Walls, after: datetime, zone: ZoneInfo, gap: Gap, instant_of: Callable[[datetime, ZoneInfo], datetime]
) -> datetime | None:
    """Search with an `instant_of` that never decreases as the wall time grows: the first found is the earliest."""
    start = wall_at(after, zone) if instant_of is first_instant else _lowest_wall(after, zone)
    shown = start
    while True:
        wall = next((wall for wall in walls(start) if wall >= shown and instant_of(wall, zone) > after), None)
        if wall is None or wall.year - after.year > _SKIPPED_YEARS:
            return None
        due = instant_of(wall, zone)
        shown = wall_at(due, zone)
        if gap is Gap.RUN_AFTER or shown == wall:
            return due
        # Not one by one through a gap: it may be a day long, and the rule name each of its minutes.
        start = shown - timedelta.resolution


def _lowest_wall(after: datetime, zone: ZoneInfo) -> datetime:
    """Return a wall time such that all up to it are shown for the last time at `after` or before."""
    wall = wall_at(after, zone)
    jump = offset_change(after, after + _DAY, zone)
    return wall if jump is None else min(wall, wall_at(jump, zone) - timedelta.resolution)
