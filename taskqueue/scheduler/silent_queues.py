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

    def is_silent(self, queue: str) -> bool:
        """Return whether `queue` confirmed nothing when it was tried last."""
        return queue in self._resting

    def may_try(self, queue: str, now: datetime) -> bool:
        """Return whether a job may go out to `queue`: to one that answers always, to a silent one after its rest."""
        if queue not in self._resting:
            return True
        _, next_try = self._resting[queue]
        # A clock that went back must not make the rest longer.
        return not now < next_try <= now + _LONGEST_REST

    def tried(self, queue: str, now: datetime) -> None:
        """Note that a job goes out to `queue`: to one that does not answer the next one goes after a longer rest."""
        if queue in self._resting:
            rest, _ = self._resting[queue]
            self._resting[queue] = min(2 * rest, _LONGEST_REST), now + rest

    def answered(self, queue: str) -> None:
        """Note that the queue confirmed or refused something."""
        self._resting.pop(queue, None)

    def was_silent(self, queue: str, now: datetime) -> None:
        """Note that nothing of what was published to the queue was answered in time."""
        if queue not in self._resting:
            self._resting[queue] = 2 * _FIRST_REST, now + _FIRST_REST
