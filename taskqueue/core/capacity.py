"""Whether the jobs of task types can leave in time under the limits that apply, and if not, which number breaks.

The rule of thumb is users / window against the rate of each limit. `max_concurrency` and the limit of a host count
calls at a time; by Little's law (L = λW; J. D. C. Little, 1961) they let `calls / mean duration` start in a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.core.forecast import HORIZON, Backlog, Fire, Load
from taskqueue.core.instants import rfc3339

_SECOND = timedelta(seconds=1)

#: what is behind for no longer than this is not worth a word: limits let a second's worth out at once
_UNNOTICED = timedelta(seconds=10)


class Severity(StrEnum):
    """How bad a finding is. What is refused wants --force."""

    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not going to work as the file says.

    `task_id` is None for what concerns several tasks, `limit` the name of the one that breaks, empty for anything else.
    """

    severity: Severity
    task_id: str | None
    text: str
    limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A limit by its name: so many jobs start in a second, `burst` of them at once. A rate of 0 lets nothing start.

    `reason` tells where the rate comes from. What is `passing`, as a limit that is set for a while, only warns.
    """

    name: str
    rate: float
    burst: float = 1.0
    reason: str = ""
    passing: bool = False

    @property
    def said(self) -> str:
        """Name and rate, as in `rate_limit 10/s`."""
        return f"{self.name} {number(self.rate)}/s{f' ({self.reason})' if self.reason else ''}"

    def needs(self, jobs: float) -> timedelta | None:
        """Return how long it takes until so many jobs have started; None for ever."""
        return timedelta(seconds=jobs / self.rate) if self.rate > 0 else None


def of_calls(name: str, calls: int, mean: timedelta, *, passing: bool = False) -> RateLimit:
    """Return what a limit of `calls` at a time comes to where one of them takes `mean`, above zero."""
    return RateLimit(
        name=name,
        rate=calls * _SECOND / mean,
        burst=float(calls),
        reason=f"{calls} at a time, {number(mean / _SECOND)} s each",
        passing=passing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The `users` jobs of an occurrence, and the time that they have to start in.

    That is its window; where nothing is spread, what is over first: the time to the next one, or the jobs' `max_age`.
    """

    users: int
    fire: Fire
    max_age: timedelta

    @property
    def allowed(self) -> timedelta:
        """The time that they have."""
        return self.fire.window or min(self.fire.interval or timedelta.max, self.max_age)

    @property
    def per_second(self) -> float:
        """How many have to start in a second."""
        return self.users * _SECOND / self.allowed

    @property
    def said(self) -> str:
        """Users by time, as in `6,000 users / 600 s`."""
        return f"{self.users:,} users / {number(self.allowed / _SECOND)} s"

    def deadline(self) -> str:
        """Return in words what ends the time that they have."""
        if self.fire.window:
            return f"the window is {said(self.allowed)}"
        return f"{'the interval' if self.allowed == self.fire.interval else 'max_age'} is {said(self.allowed)}"

    def expires(self, limit: RateLimit) -> bool:
        """Return whether under `limit` some wait for longer than `max_age` from the instant they are due."""
        if limit.rate <= 0:
            return True
        return self.users - limit.burst > limit.rate * ((self.fire.window + self.max_age) / _SECOND)


def judge(task_id: str, demand: Demand, limit: RateLimit) -> Finding | None:
    """Return a finding where the jobs of an occurrence cannot leave in time under the limit."""
    users = demand.users
    if users == 0 or (limit.rate > 0 and users - limit.burst <= limit.rate * (demand.allowed / _SECOND)):
        return None
    text = (
        f"{demand.said} = {number(demand.per_second)}/s > {limit.said}: "
        f"{_needs(limit.needs(users))}, {demand.deadline()}"
    )
    if demand.expires(limit):
        text += _expired(demand.max_age)
    severity = Severity.WARNING if limit.passing else Severity.REFUSED
    return Finding(severity=severity, task_id=task_id, text=text, limit=limit.name)


def not_judged(task_id: str, demand: Demand, calls: int) -> Finding:
    """Return that nobody knows whether `calls` at a time suffice, and how long a call may take for it."""
    text = (
        f"max_concurrency {calls:,} is not judged, for no call was made yet: {demand.said} need calls of at most "
        f"{number(calls * 1000 / demand.per_second)} ms on the average"
    )
    return Finding(severity=Severity.WARNING, task_id=task_id, text=text, limit="max_concurrency")


def judge_together(
    task_id: str | None, load: Load, limit: RateLimit, whose: str, ages: Mapping[timedelta, Load]
) -> Finding | None:
    """Return a finding where calls that are each slow enough are too many together; `whose` names them.

    What catches up within the day is only a warning, unless calls wait for longer than their `max_age`; `ages` are the
    calls of `load` by that.
    """
    if limit.rate <= 0:
        return None  # told of each
    backlog = load.backlog(limit.rate)
    late = _late(backlog, limit)
    if late <= min([_UNNOTICED, *ages]):
        return None
    severity = Severity.WARNING if limit.passing else Severity.REFUSED
    expired = _first_expired(load, limit, ages) if late > min(ages) else None
    if backlog.left > limit.burst and load.calls > (day := limit.rate * (HORIZON / _SECOND)):
        text = f"{load.calls:,} calls in 24 h > {limit.said}, which lets {day:,.0f} start"
    else:
        severity = severity if expired else Severity.WARNING
        text = f"together more than {limit.said}: up to {said(late)} late, worst at {rfc3339(backlog.at)}"
    if expired is not None:
        max_age, at = expired
        text += f"{_expired(max_age)}, most from {rfc3339(at)} on"
    return Finding(severity=severity, task_id=task_id, text=f"{whose}: {text}", limit=limit.name)


def _first_expired(load: Load, limit: RateLimit, ages: Mapping[timedelta, Load]) -> tuple[timedelta, datetime] | None:
    """Return the shortest max_age that calls wait for too long for, and when they wait longest."""
    for max_age, calls in sorted(ages.items()):
        backlog = load.backlog(limit.rate, where=calls)
        if _late(backlog, limit) > max_age:
            return max_age, backlog.at
    return None


def _late(backlog: Backlog, limit: RateLimit) -> timedelta:
    return limit.needs(max(0.0, backlog.most - limit.burst)) or timedelta(0)


def _expired(max_age: timedelta) -> str:
    return f"; jobs that wait for longer than max_age, {said(max_age)}, fail as expired"


def _needs(needs: timedelta | None) -> str:
    return "never ends" if needs is None else f"needs {said(needs)}"


def number(value: float) -> str:
    """Return a number as people write it: 1,200, 20.0, 0.25."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.3g}"


def said(duration: timedelta) -> str:
    """Return a duration in words, rounded to what matters: `20 min`, `2 h 5 min`, `45 s`."""
    seconds = round(duration / _SECOND)
    if seconds < 60:
        return f"{number(duration / _SECOND)} s" if seconds < 10 else f"{seconds} s"
    days, hours, minutes, rest = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(place for place, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)
