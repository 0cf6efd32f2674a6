"""Whether the jobs of task types can leave in time under the limits that apply, and if not, which number breaks.

The rule of thumb is users / window against the rate of each limit. `max_concurrency` and the limit of a host count
calls at a time; by Little's law (L = λW; J. D. C. Little, 1961) they let `calls / mean duration` start in a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from taskqueue.core.forecast import HORIZON, Fire, Load
from taskqueue.core.instants import rfc3339

_SECOND = timedelta(seconds=1)

#: what is behind for no longer than this is not worth a word: limits let a second's worth out at once
_UNNOTICED_S = 10.0


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


def judge(task_id: str, users: int, fire: Fire, limits: Sequence[RateLimit], max_age: timedelta) -> Iterator[Finding]:
    """Yield a finding for each limit under which the `users` jobs of an occurrence cannot leave in time.

    That is within its window, or where nothing is spread before the next one.
    """
    allowed = fire.window or fire.interval
    if allowed is None or users == 0:
        return
    for limit in limits:
        needs = limit.needs(users)
        if needs is not None and users - limit.burst <= limit.rate * (allowed / _SECOND):
            continue
        what = "window" if fire.window else "interval"
        text = (
            f"{users:,} users / {number(allowed / _SECOND)} s = {number(users * _SECOND / allowed)}/s > {limit.said}: "
            f"{_needs(needs)}, the {what} is {said(allowed)}"
        )
        if needs is None or needs > max_age:
            text += f"; jobs that wait for longer than max_age, {said(max_age)}, fail as expired"
        severity = Severity.WARNING if limit.passing else Severity.REFUSED
        yield Finding(severity=severity, task_id=task_id, text=text, limit=limit.name)


def judge_together(task_id: str | None, load: Load, limit: RateLimit, whose: str) -> Finding | None:
    """Return a finding where calls that are each slow enough are too many together; `whose` names them.

    What catches up within the day is only a warning.
    """
    if limit.rate <= 0:
        return None  # told of each
    backlog = load.backlog(limit.rate)
    late = limit.needs(max(0.0, backlog.most - limit.burst)) or timedelta(0)
    if late / _SECOND <= _UNNOTICED_S:
        return None
    severity = Severity.WARNING
    if backlog.left > limit.burst and load.calls > (day := limit.rate * (HORIZON / _SECOND)):
        severity = severity if limit.passing else Severity.REFUSED
        text = f"{load.calls:,} calls in 24 h > {limit.said}, which lets {day:,.0f} start"
    else:
        text = f"together more than {limit.said}: up to {said(late)} late, worst at {rfc3339(backlog.at)}"
    return Finding(severity=severity, task_id=task_id, text=f"{whose}: {text}", limit=limit.name)


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
