"""The order rule of the delayed queue.

Its messages expire only at the head, so a message behind a later one would be late. Jobs are therefore put into it in
due order; one that is due before the last of them waits in Redis and goes straight to its ready queue when due.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

#: a job may be this much earlier than the lane's tail: the most that the rule itself makes a job late
TOLERANCE = timedelta(milliseconds=500)


class Route(StrEnum):
    """Where a job goes now."""

    #: to its ready queue: it is due
    DIRECT = "direct"
    #: into the delayed queue, which hands it on when it is due
    LANE = "lane"
    #: nowhere yet
    HOLD = "hold"


def route(due: datetime, *, now: datetime, lane_tail: datetime) -> Route:
    """Return where a job due at `due` goes, given the due instant of the last job in the lane."""
    if due <= now:
        return Route.DIRECT
    return Route.LANE if due >= lane_tail - TOLERANCE else Route.HOLD
