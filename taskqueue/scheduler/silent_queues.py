"""Ready queues that confirm nothing, such as one without a quorum, although RabbitMQ is connected.

What was published to one may stand in it all the same, and comes out when it is well again: to publish the same jobs
each round would fill it with copies. So it is tried with one job, after a rest that grows twice as long each time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

_FIRST_REST = timedelta(seconds=1)
_LONGEST_REST = timedelta(seconds=30)


class SilentQueues:
    """Which queues rest, by the name of their limit (core/waiting)."""

    def __init__(self) -> None:
        #: how long the queue rests after the next try, and when that is due
        self._resting: dict[str, tuple[timedelta, datetime]] = {}

    def begin(self) -> None:
        """Forget an earlier leadership."""
        self._resting.clear()

    def pass_through(self, queue: str, now: datetime) -> bool:
        """Let a job out to `queue`: any to one that answers, one at a time to one that does not."""
        if queue not in self._resting:
            return True
        rest, next_try = self._resting[queue]
        # A clock that went back must not make the rest longer.
        if now < next_try <= now + _LONGEST_REST:
            return False
        self._resting[queue] = min(2 * rest, _LONGEST_REST), now + rest
        return True

    def answered(self, queue: str) -> None:
        """Note that the queue confirmed or refused something."""
        self._resting.pop(queue, None)

    def was_silent(self, queue: str, now: datetime) -> None:
        """Note that nothing of what was published to the queue was answered in time."""
        if queue not in self._resting:
            self._resting[queue] = 2 * _FIRST_REST, now + _FIRST_REST
