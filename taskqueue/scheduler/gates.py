"""What a job passes on its way out: its task's and the global limit, its host's, and the depth of its ready queue.

Behind a gate that is shut jobs wait in Redis, where a million of them cost nobody anything: not in RabbitMQ, and not in
the hands of a worker that others need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskqueue.broker.names import queue_name
from taskqueue.core.host_limit import LONGEST_RAMP_S, MOST_LOOKS, HostReport
from taskqueue.core.pace import Pace
from taskqueue.core.task import Priority
from taskqueue.core.waiting import GLOBAL, concurrency_limit, queue_limit, task_limit
from taskqueue.store.limits import Limit, Limits

#: seconds between two looks at a task's free places; workers need about as long to take up what was released
PLACES_EVERY_S = 0.25

#: jobs sent to a closed host of which no worker has told within this were lost on their way, or put back
_PROBE_AGAIN_S = 2.0

#: how many jobs at most are sent ahead of free places, as a multiple of `max_concurrency`
_MOST_AHEAD = 10

#: and of the places at a host that has just opened: they grow slowly, and what comes too soon goes all the way back
_MOST_AHEAD_OF_A_RAMP = 1


@dataclass(slots=True, kw_only=True)
class _Places:
    """What is known of a task's places: how many jobs run, and how many more were sent than places were free."""

    running: int
    maximum: int
    room: int = 0
    ahead: int = 0
    looked_at: float = 0.0
    most_ahead: int = _MOST_AHEAD

    def look(self, now: float) -> int:
        """Return how many waiting jobs may follow.

        Jobs that are over sooner than the next look leave places empty, so more are sent than places are free, twice as
        many each time; as soon as all places are taken nothing follows and half as many are sent ahead later.
        """
        if now - self.looked_at >= PLACES_EVERY_S or now < self.looked_at:
            self.looked_at = now
            free = self.maximum - self.running
            self.ahead = min(self.most_ahead * self.maximum, max(1, self.ahead * 2)) if free > 0 else self.ahead // 2
            self.room = free + self.ahead if free > 0 else 0
        return self.room


@dataclass(slots=True, kw_only=True)
class _Host:
    """What workers together know about a host that at least one of them limits.

    `sent` jobs went to the closed host as its probes, the last one at `probed_at`, and no worker has told of them yet.
    `since` is that of the report, or when the clock was seen before it.
    """

    known: HostReport
    places: _Places
    sent: int = 0
    probed_at: float = 0.0
    since: float = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.known.since

    def update(self, report: HostReport) -> None:
        answered = report.empty_looks - self.known.empty_looks
        self.sent = max(0, self.sent - answered) if answered >= 0 and report.since == self.known.since else 0
        if report.since != self.known.since:
            self.since = report.since
        self.known = report
        self.places.running, self.places.maximum = report.in_flight, report.limit

    def look(self, now: float) -> int:
        """Return how many jobs may follow: none while closed, then one as a probe, then what is free.

        Jobs that ended without a call were no probe: as many again and one more may look next. Workers let one of them
        call at a time, and put back what is too much.
        """
        if self.known.closed_until is None:
            # A clock that has stepped back must not make the ramp last until it is there again.
            self.since = min(self.since, now)
            ramps = now - self.since < LONGEST_RAMP_S
            self.places.most_ahead = _MOST_AHEAD_OF_A_RAMP if ramps else _MOST_AHEAD
            return self.places.look(now)
        self.places.ahead = self.places.room = 0
        if not 0 <= now - self.probed_at < _PROBE_AGAIN_S:
            self.sent = 0
        if now < self.known.closed_until or self.known.probing:
            return 0
        return max(0, min(MOST_LOOKS, 1 + self.known.empty_looks) - self.sent)

    def take(self, now: float) -> None:
        """Let one job follow."""
        if self.known.closed_until is None:
            self.places.room -= 1
        else:
            self.sent += 1
            self.probed_at = now


class Gates:
    """The gates of one leader. `max_ready` jobs may stand ready in a queue. Times are unix seconds.

    `lane_stuck` says whether the delayed queue does not give up its messages.
    """

    def __init__(self, max_ready: int) -> None:
        self.lane_stuck = False
        self._max_ready = max_ready
        self._limits = Limits()
        self._paces: dict[str, Pace] = {}
        #: limits of 0 jobs per second
        self._stopped: set[str] = set()
        self._ready: dict[str, int] = {}
        self._places: dict[str, _Places] = {}
        #: by the names of their limits (core/waiting), and the limit of each task's host
        self._hosts: dict[str, _Host] = {}
        self._host_limits: Mapping[str, str] = {}

    def limits_are(self, limits: Limits) -> None:
        """Take over the limits that workers hold; one that did not change keeps its room."""
        if limits == self._limits:
            return
        self._limits = limits
        named = limits.by_name()
        self._stopped = {name for name, limit in named.items() if limit.rate == 0}
        self._paces = {name: self._pace(name, limit) for name, limit in named.items() if limit.rate > 0}

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

    def hosts_are(self, reports: Mapping[str, HostReport]) -> None:
        """Take over what workers know about hosts, by the name of the host's limit (core/waiting)."""
        known, self._hosts = self._hosts, {}
        for name, report in reports.items():
            places = _Places(running=report.in_flight, maximum=report.limit)
            host = known.get(name) or _Host(known=report, places=places)
            host.update(report)
            self._hosts[name] = host

    def targets_are(self, host_limits: Mapping[str, str]) -> None:
        """Take over which host each task calls: by task id, the name of the host's limit."""
        self._host_limits = host_limits

    def room(self, limit: str, now: float) -> int | None:
        """Return how many of the jobs that wait for `limit` may go now; None where nothing holds them any more."""
        if places := self._places.get(limit):
            return places.look(now)
        if host := self._hosts.get(limit):
            return host.look(now)
        if limit in self._stopped:
            return 0
        if limit in self._ready:
            return max(0, self._max_ready - self._ready[limit])
        pace = self._paces.get(limit)
        return None if pace is None else pace.room(now)

    def room_for(self, task_id: str, priority: Priority, now: float) -> int | None:
        """Return how many jobs of a task may go out now; None for any number."""
        names = [task_limit(task_id), GLOBAL, queue_limit(priority), *self._host_limit_of(task_id)]
        rooms = [self.room(limit, now) for limit in names]
        return min((room for room in rooms if room is not None), default=None)

    def pass_through(self, task_id: str, priority: Priority, due: float | None, now: float) -> str | None:
        """Let a job out now, or into the delayed queue for `due`; return the limit whose gate is shut, else None."""
        shut = self._shut_before_paces(task_id, priority, due, now)
        if shut is not None:
            return shut
        paces = [(name, pace) for name in (task_limit(task_id), GLOBAL) if (pace := self._paces.get(name)) is not None]
        for name, pace in paces:
            if not (pace.room(now) > 0 if due is None else pace.may_reserve(due)):
                return name
        for _, pace in paces:
            if due is None:
                pace.take(now)
            else:
                pace.reserve(due)
        for name in self._host_limit_of(task_id):
            self._hosts[name].take(now)
        queue = queue_limit(priority)
        if due is None and queue in self._ready:
            self._ready[queue] += 1
        return None

    def give_back(self, task_id: str, due: float | None) -> None:
        """Note that a job that passed through, now or for `due`, did not go out: its limits have the room again."""
        for name in (task_limit(task_id), GLOBAL):
            if (pace := self._paces.get(name)) is not None:
                pace.give_back(due)

    def _shut_before_paces(self, task_id: str, priority: Priority, due: float | None, now: float) -> str | None:
        for name in (task_limit(task_id), GLOBAL):
            if name in self._stopped:
                return name
        for name in self._host_limit_of(task_id):
            # What a host in trouble will take in a minute, nobody knows: its jobs go when they are due.
            if due is not None or self._hosts[name].look(now) <= 0:
                return name
        queue = queue_limit(priority)
        return queue if self._ready.get(queue, 0) >= self._max_ready else None

    def _host_limit_of(self, task_id: str) -> tuple[str, ...]:
        """Return the name of the limit of the task's host, if any worker has one."""
        name = self._host_limits.get(task_id) if self._hosts else None
        return (name,) if name is not None and name in self._hosts else ()

    def followed(self, limit: str, task_id: str, now: float) -> None:
        """Note that a job that waited for `limit` went out; of places and hosts that `pass_through` did not count."""
        if places := self._places.get(limit):
            places.room -= 1
        elif (host := self._hosts.get(limit)) and limit not in self._host_limit_of(task_id):
            host.take(now)

    def _pace(self, name: str, limit: Limit) -> Pace:
        known = self._paces.get(name)
        if known is not None and (known.rate, known.burst) == (limit.rate, limit.burst):
            return known
        return Pace(limit.rate, max(1.0, limit.burst))
