"""What a job passes on its way out: the paces of its task's and the global limit, and the depth of its ready queue.

Behind a gate that is shut jobs wait in Redis, where a million of them cost nobody anything: not in RabbitMQ, and not in
the hands of a worker that others need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskqueue.broker.names import queue_name
from taskqueue.core.pace import Pace
from taskqueue.core.task import Priority
from taskqueue.core.waiting import GLOBAL, concurrency_limit, queue_limit, task_limit
from taskqueue.store.limits import Limit, Limits

#: seconds between two looks at a task's free places; workers need about as long to take up what was released
PLACES_EVERY_S = 0.25

#: how many jobs at most are sent ahead of free places, as a multiple of `max_concurrency`
_MOST_AHEAD = 10


@dataclass(slots=True, kw_only=True)
class _Places:
    """What is known of a task's places: how many jobs run, and how many more were sent than places were free."""

    running: int
    maximum: int
    room: int = 0
    ahead: int = 0
    looked_at: float = 0.0

    def look(self, now: float) -> int:
        """Return how many waiting jobs may follow.

        Jobs that are over sooner than the next look leave places empty, so more are sent than places are free, twice as
        many each time; as soon as all places are taken nothing follows and half as many are sent ahead later.
        """
        if now - self.looked_at >= PLACES_EVERY_S or now < self.looked_at:
            self.looked_at = now
            free = self.maximum - self.running
            self.ahead = min(_MOST_AHEAD * self.maximum, max(1, self.ahead * 2)) if free > 0 else self.ahead // 2
            self.room = free + self.ahead if free > 0 else 0
        return self.room


class Gates:
    """The gates of one leader. `max_ready` jobs may stand ready in a queue. Times are unix seconds.

    `lane_stuck` says whether the delayed queue does not give up its messages.
    """

    def __init__(self, max_ready: int) -> None:
        self.lane_stuck = False
        self._max_ready = max_ready
        self._limits = Limits()
        self._paces: dict[str, Pace] = {}
        self._ready: dict[str, int] = {}
        self._places: dict[str, _Places] = {}

    def limits_are(self, limits: Limits) -> None:
        """Take over the limits that workers hold; one that did not change keeps its room."""
        if limits == self._limits:
            return
        self._limits = limits
        self._paces = {name: self._pace(name, limit) for name, limit in limits.by_name().items()}

    def depths_are(self, depths: Mapping[str, int]) -> None:
        """Take over how many messages are ready in each queue, by its name in RabbitMQ."""
        self._ready = {queue_limit(priority): depths.get(queue_name(priority), 0) for priority in Priority}

    def places_are(self, found: Mapping[str, tuple[int, int]]) -> None:
        """Take over how many jobs of each task with a `max_concurrency` run, and how many may."""
        known, self._places = self._places, {}
        for task_id, (running, maximum) in found.items():
            name = concurrency_limit(task_id)
            places = known.get(name) or _Places(running=running, maximum=maximum)
            places.running, places.maximum = running, maximum
            self._places[name] = places

    def room(self, limit: str, now: float) -> int | None:
        """Return how many of the jobs that wait for `limit` may go now; None where nothing holds them any more."""
        if places := self._places.get(limit):
            return places.look(now)
        if limit in self._ready:
            return max(0, self._max_ready - self._ready[limit])
        pace = self._paces.get(limit)
        return None if pace is None else pace.room(now)

    def room_for(self, task_id: str, priority: Priority, now: float) -> int | None:
        """Return how many jobs of a task may go out now; None for any number."""
        rooms = [self.room(limit, now) for limit in (task_limit(task_id), GLOBAL, queue_limit(priority))]
        return min((room for room in rooms if room is not None), default=None)

    def pass_through(self, task_id: str, priority: Priority, due: float | None, now: float) -> str | None:
        """Let a job out now, or into the delayed queue for `due`; return the limit whose gate is shut, else None."""
        queue = queue_limit(priority)
        if self._ready.get(queue, 0) >= self._max_ready:
            return queue
        paces = [(name, pace) for name in (task_limit(task_id), GLOBAL) if (pace := self._paces.get(name)) is not None]
        for name, pace in paces:
            if not (pace.room(now) > 0 if due is None else pace.may_reserve(due)):
                return name
        for _, pace in paces:
            if due is None:
                pace.take(now)
            else:
                pace.reserve(due)
        if due is None and queue in self._ready:
            self._ready[queue] += 1
        return None

    def followed(self, limit: str) -> None:
        """Note that a job that waited for `limit` went out; what matters are those that waited for a free place."""
        if places := self._places.get(limit):
            places.room -= 1

    def _pace(self, name: str, limit: Limit) -> Pace:
        known = self._paces.get(name)
        if known is not None and (known.rate, known.burst) == (limit.rate, limit.burst):
            return known
        return Pace(limit.rate, max(1.0, limit.burst))
