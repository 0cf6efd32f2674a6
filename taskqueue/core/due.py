"""Which instants of an interval are to be planned now, and which were missed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.task import CatchUp, Interval

_MICROSECOND = timedelta(microseconds=1)

#: with `catch_up: none` an instant still runs this late, where `max_age` is no less: a failover is no missed run
GRACE = timedelta(minutes=1)

#: instants handed out at a time; `catch_up: all` after a long outage goes on at the next tick
MAX_INSTANTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """`instants` are to be planned, in order; `following` is the first instant after them, None when there is none.

    `missed` is True when instants before now were passed over.
    """

    instants: tuple[datetime, ...]
    following: datetime | None
    missed: bool = False


def due_instants(
    interval: Interval, first: datetime, *, now: datetime, ahead: timedelta, catch_up: CatchUp, max_age: timedelta
) -> Due:
    """Return what is due, given that `first` is the earliest instant not yet planned.

    Instants up to `now + ahead` are planned. Those that are past were missed, while no scheduler ran: `catch_up` says
    whether none of them, the latest or all are made up for, and those older than `max_age` never are.
    """
    start = first if first > now else max(first, _oldest(interval, now, catch_up, max_age))
    instant = first if start == first else interval.next_after(start - _MICROSECOND)
    instants: list[datetime] = []
    while instant is not None and instant <= now + ahead and len(instants) < MAX_INSTANTS:
        instants.append(instant)
        instant = interval.next_after(instant)
    return Due(instants=tuple(instants), following=instant, missed=start > first)


def _oldest(interval: Interval, now: datetime, catch_up: CatchUp, max_age: timedelta) -> datetime:
    match catch_up:
        case CatchUp.NONE:
            return now - min(GRACE, max_age)
        case CatchUp.ALL:
            return now - max_age
        case CatchUp.LATEST:
            latest = latest_until(interval, now, max_age)
            return now if latest is None else latest


def latest_until(interval: Interval, now: datetime, max_age: timedelta) -> datetime | None:
    """Return the interval's last instant in [now - max_age, now], or None.

    Looks back twice as far each time, so that it walks few instants whether they lie minutes or months apart.
    """
    look_back = timedelta(minutes=1)
    while True:
        look_back = min(look_back, max_age)
        instant = interval.next_after(now - look_back - _MICROSECOND)
        if instant is not None and instant <= now:
            break
        if look_back == max_age:
            return None
        look_back *= 2
    while (following := interval.next_after(instant)) is not None and following <= now:
        instant = following
    return instant
