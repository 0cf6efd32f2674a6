"""What a scheduler is going to do: the occurrences of a rule, and how many calls of many of them are due when.

It is worked out by what the scheduler plans with: the same rules, windows and spread. Nothing here knows the time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import inf

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.occurrence import window_until_next
from taskqueue.core.slots import SLOT_LENGTH, Spread
from taskqueue.core.task import Interval
from taskqueue.core.zones import LAST_INSTANT

#: how far a forecast looks
HORIZON = timedelta(hours=24)

_MICROSECOND = timedelta.resolution
_SECOND = timedelta(seconds=1)
_SLOT_S = SLOT_LENGTH // _SECOND
_SLOT_MS = SLOT_LENGTH // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """An occurrence to come: its instant, the window over which its users are spread, and how long until the next."""

    at: datetime
    window: timedelta
    #: None where nothing follows
    interval: timedelta | None

    def spread(self, users: int) -> Spread:
        """Return how `users` users are spread over it."""
        return Spread(window=self.window, users=users)


def fires(rule: Interval, *, after: datetime, until: datetime, window: timedelta) -> Iterator[Fire]:
    """Yield the occurrences in (`after`, `until`], planned on time; `window` is what the task asks for."""
    instant = rule.next_after(after)
    while instant is not None and instant <= until:
        following = rule.next_after(instant)
        yield Fire(
            at=instant,
            window=window_until_next(window, instant, following),
            interval=None if following is None else following - instant,
        )
        instant = following


def next_instants(rule: Interval, after: datetime, count: int) -> list[datetime]:
    """Return up to `count` instants strictly after `after`, in UTC."""
    return list(islice(_instants(rule, after), count))


def _instants(rule: Interval, after: datetime) -> Iterator[datetime]:
    instant = rule.next_after(after)
    while instant is not None:
        yield instant
        instant = rule.next_after(instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cohort of a task: its rule, and how many users it has."""

    cohort: str
    rule: Interval
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What comes of a schedule within the horizon: `count` occurrences, and the `first` few of them.

    Where there are none `first` holds the next one behind it. `tightest` is, of all of them, the one with the shortest
    window, or with the shortest time to the next where nothing is spread; None where the rule is over.
    """

    count: int
    first: tuple[Fire, ...]
    tightest: Fire | None


def outlook(schedule: Schedule, window: timedelta, *, at: datetime, shown: int, load: Load) -> Outlook:
    """Return what comes of `schedule` in the HORIZON after `at`; add it to `load`. `shown` occurrences are kept."""
    count, first, tightest = 0, list[Fire](), None
    for fire in fires(schedule.rule, after=at, until=at + HORIZON, window=window):
        count += 1
        if len(first) < shown:
            first.append(fire)
        if tightest is None or _room(fire) < _room(tightest):
            tightest = fire
        load.add(fire.at, fire.spread(schedule.users))
    if tightest is None:
        first = list(islice(fires(schedule.rule, after=at, until=LAST_INSTANT, window=window), 1))
        tightest = next(iter(first), None)
    return Outlook(count=count, first=tuple(first), tightest=tightest)


def _room(fire: Fire) -> timedelta:
    return fire.window or fire.interval or timedelta.max


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most calls that are due in one second, on the average of the slot of 10 s that begins at `at`.

    With `at_once` calls that are not spread they are those of the very second at `at`.
    """

    at: datetime
    per_second: float
    at_once: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The most calls that are behind at a time under a limit, when that is, and how many are at the end."""

    most: float
    at: datetime
    left: float


@dataclass(slots=True, kw_only=True)
class Load:
    """How many calls are due in each slot of 10 s of the HORIZON from `begins` on. Several occurrences add up.

    Slots begin at full ten seconds of the hour, the first at `begins` or just before, so that those of an occurrence at
    a full minute are its own. What is spread over less than a slot is counted by the second.
    """

    begins: datetime
    calls: int = 0
    _first_ms: int = field(init=False)
    _slots: array[int] = field(init=False)
    _seconds: Counter[int] = field(init=False)

    def __post_init__(self) -> None:
        self._first_ms = to_unix_ms(self.begins) // _SLOT_MS * _SLOT_MS
        self._slots = array("Q", bytes(8 * (HORIZON // SLOT_LENGTH)))
        self._seconds = Counter()

    def add(self, starts_at: datetime, spread: Spread) -> None:
        """Add an occurrence; what is due behind the horizon is left out."""
        if spread.users == 0:
            return
        if spread.window < SLOT_LENGTH:
            self._add_by_seconds(starts_at, spread)
        elif spread.users < spread.slots:
            self._add_by_users(starts_at, spread)
        else:
            self._add_by_slots(starts_at, spread)

    def merge(self, other: Load) -> None:
        """Add all of another load that begins at the same time."""
        if not other.calls:
            return
        self.calls += other.calls
        self._slots = array("Q", map(int.__add__, self._slots, other._slots))
        self._seconds.update(other._seconds)

    def peak(self) -> Peak | None:
        """Return the busiest second, the first of equal ones; None where nothing is due."""
        if not self.calls:
            return None
        slots = self._slots
        number = max(range(len(slots)), key=slots.__getitem__)
        found = Peak(at=self._slot_at(number), per_second=slots[number] / _SLOT_S)
        for second, count in sorted(self._seconds.items()):
            per_second = count + slots[second // _SLOT_S] / _SLOT_S
            if per_second > found.per_second:
                at = self._slot_at(0) + second * _SECOND
                found = Peak(at=at, per_second=per_second, at_once=count)
        return found

    def by_slot(self) -> Mapping[datetime, int]:
        """Return the calls of each slot that has any, by its beginning."""
        totals = Counter({number: count for number, count in enumerate(self._slots) if count})
        for second, count in self._seconds.items():
            totals[second // _SLOT_S] += count
        return {self._slot_at(number): totals[number] for number in sorted(totals)}

    def backlog(self, rate: float, *, where: Load | None = None) -> Backlog:
        """Return how far the calls fall behind where `rate` of them start in a second.

        `where`: the most is looked for only in slots in which that load, one that begins at the same time, has calls.
        """
        behind, most, at, previous = 0.0, -inf, self.begins, 0
        looked_at = None if where is None else where.by_slot().keys()
        for second, count, length in self._arrivals():
            behind = max(0.0, behind - (second - previous) * rate) + count
            previous = second
            left = max(0.0, behind - length * rate)
            if left > most and (looked_at is None or self._slot_at(second // _SLOT_S) in looked_at):
                most, at = left, self._slot_at(0) + second * _SECOND
        end = len(self._slots) * _SLOT_S
        return Backlog(most=max(0.0, most), at=at, left=max(0.0, behind - (end - previous) * rate))

    def _arrivals(self) -> Iterator[tuple[int, float, int]]:
        """Yield the calls of each slot that has any, of one with calls that are not spread those of its seconds.

        Each is the second at which it begins, counted from the first slot, how many calls, and over how many seconds.
        """
        bursts = {second // _SLOT_S for second in self._seconds}
        for number, count in enumerate(self._slots):
            first = number * _SLOT_S
            if number in bursts:
                for second in range(first, first + _SLOT_S):
                    yield second, count / _SLOT_S + self._seconds[second], 1
            elif count:
                yield first, count, _SLOT_S

    def _add_by_seconds(self, starts_at: datetime, spread: Spread) -> None:
        first = self._since_first(starts_at) // _SECOND
        before, past = 0, self._since_first(starts_at) % _SECOND
        for number in range(-(-(past + spread.window) // _SECOND) or 1):
            count = spread.started((number + 1) * _SECOND - past - _MICROSECOND)
            if count > before and (first + number) // _SLOT_S < len(self._slots):
                self._seconds[first + number] += count - before
                self.calls += count - before
            before = count

    def _add_by_users(self, starts_at: datetime, spread: Spread) -> None:
        first = self._since_first(starts_at)
        for index in range(spread.users):
            number = (first + spread.offset(index)) // SLOT_LENGTH
            if number >= len(self._slots):
                return
            self._slots[number] += 1
            self.calls += 1

    def _add_by_slots(self, starts_at: datetime, spread: Spread) -> None:
        first, past = divmod(self._since_first(starts_at), SLOT_LENGTH)
        slots = self._slots
        for number, count in zip(range(first, len(slots)), _counts(spread, past), strict=False):
            slots[number] += count
            self.calls += count

    def _since_first(self, instant: datetime) -> timedelta:
        return instant - self._slot_at(0)

    def _slot_at(self, number: int) -> datetime:
        return from_unix_ms(self._first_ms + number * _SLOT_MS)


@lru_cache(maxsize=64)
def _counts(spread: Spread, past: timedelta) -> array[int]:
    """Return how many users start in each slot of a day, the first of which begins `past` before the occurrence.

    It is the same for most occurrences of a task.
    """
    counts, before, elapsed = array("Q"), 0, SLOT_LENGTH - past - _MICROSECOND
    while before < spread.users and len(counts) < HORIZON // SLOT_LENGTH:
        started = spread.started(elapsed)
        counts.append(started - before)
        before, elapsed = started, elapsed + SLOT_LENGTH
    return counts
