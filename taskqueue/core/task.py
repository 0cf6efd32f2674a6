"""A task: what to call, how often, for whom, with which limits.

An entry of tasks.yaml (spec: TaskType) and a task made through the API are both a `Task`; `source` tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Protocol

from taskqueue.core.ids import check_task_id
from taskqueue.core.instants import rfc3339
from taskqueue.core.zones import FIRST_INSTANT, LAST_INSTANT
from taskqueue.errors import InvalidValueError

#: more calls of one task at a time than any fleet of workers makes
MAX_CONCURRENCY = 100_000


class Priority(IntEnum):
    """The spec's Priority: the number that stands in messages."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


class TaskSource(StrEnum):
    """Where a task is edited."""

    FILE = "file"
    API = "api"


class CatchUp(StrEnum):
    """What happens to occurrences missed while no scheduler ran."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What an occurrence does whose predecessor, of the same task and cohort, is not over at its instant."""

    SKIP = "skip"
    ALLOW = "allow"
    QUEUE = "queue"


class Removed(StrEnum):
    """What becomes of the planned occurrences and jobs of a task that is gone from tasks.yaml."""

    FINISH = "finish"
    DRAIN = "drain"


class Interval(Protocol):
    """A rule for instants. All instants are aware UTC datetimes; the rule itself lives on a wall clock in its zone."""

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after `instant`, or None when there is none."""

    def as_dict(self) -> Mapping[str, object]:
        """Return the interval as it would stand in tasks.yaml; equal intervals give equal dicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The instants of `interval` from `start_at` to `end_at`, both included; None is no bound on that side."""

    interval: Interval
    start_at: datetime | None = None
    end_at: datetime | None = None

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after `instant`, in UTC, or None when there is none."""
        if self.start_at is not None:
            instant = max(instant, self.start_at - timedelta.resolution)
        due = self.interval.next_after(instant)
        return None if due is None or (self.end_at is not None and due > self.end_at) else due

    def as_dict(self) -> dict[str, object]:
        """Return the interval with its bounds, RFC 3339 in UTC, so that other bounds make another rule."""
        bounds = {"start_at": self.start_at, "end_at": self.end_at}
        return {**self.interval.as_dict(), **{key: rfc3339(at) for key, at in bounds.items() if at is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The HTTP call of a task (spec: TaskConfig). `endpoint` may hold `{user_id}`, `{task_id}` and references.

    References (core/reference) stand there, in values of headers and in `signing_secrets` for what only workers know.
    """

    endpoint: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    max_duration: timedelta | None = None
    #: references to the secrets that requests are signed with, the newest first; none: they are not signed
    signing_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. Durations left None are the worker's or scheduler's defaults.

    Raises InvalidValueError for an id that is not a task id, for bounds that check_bounds refuses, and for a
    `max_concurrency` out of range.
    """

    id: str
    name: str
    interval: Interval
    target: Target
    description: str = ""
    source: TaskSource = TaskSource.FILE
    #: one HTTP attempt may take this long; None: `execution.timeout` of the worker
    timeout: timedelta | None = None
    #: tries after the first; None: `execution.max_retries` of the worker
    retries: int | None = None
    #: base of the exponential backoff; None: `execution.retry_delay` of the worker
    retry_delay: timedelta | None = None
    #: whether an attempt that may have reached the endpoint is tried again
    retry_unknown: bool = True
    priority: Priority = Priority.NORMAL
    #: the users' jobs are spread over this long; None: `scheduler.distribution_window`
    distribution_window: timedelta | None = None
    enabled: bool = True
    #: whether a user whose preferences say nothing gets the task
    default_enabled: bool = False
    catch_up: CatchUp = CatchUp.LATEST
    overlap: Overlap = Overlap.ALLOW
    #: jobs of the task that may run at a time, over all workers, 1 to MAX_CONCURRENCY; None: any number
    max_concurrency: int | None = None
    #: a job older than this is not run any more but parked in `taskqueue.jobs.failed` as `expired`
    max_age: timedelta = timedelta(days=1)
    #: no occurrence is due before it
    start_at: datetime | None = None
    #: no occurrence is due after it
    end_at: datetime | None = None
    #: gone from tasks.yaml, and jobs of it that are on their way are to be drained
    removed: bool = False

    def __post_init__(self) -> None:
        check_task_id(self.id)
        check_bounds(self.start_at, self.end_at)
        if self.max_concurrency is not None and not 1 <= self.max_concurrency <= MAX_CONCURRENCY:
            raise InvalidValueError(f"max_concurrency {self.max_concurrency}: use 1 to {MAX_CONCURRENCY}, or null")

    def rule(self, interval: Interval | None = None) -> Interval:
        """Return when the task is due: its own interval or a cohort's, from `start_at` to `end_at`."""
        unbounded = self.interval if interval is None else interval
        if self.start_at is None and self.end_at is None:
            return unbounded
        return Bounded(interval=unbounded, start_at=self.start_at, end_at=self.end_at)


def check_bounds(start_at: datetime | None, end_at: datetime | None) -> None:
    """Raise InvalidValueError for a bound without zone or outside of the years 1970 to 9998, and for an end first."""
    for name, bound in (("start_at", start_at), ("end_at", end_at)):
        if bound is not None and (bound.tzinfo is None or not FIRST_INSTANT <= bound <= LAST_INSTANT):
            raise InvalidValueError(f"{name} {bound}: use an instant of the years 1970 to 9998, with its zone")
    if start_at is not None and end_at is not None and end_at < start_at:
        raise InvalidValueError(
            f"end_at {rfc3339(end_at)} lies before start_at {rfc3339(start_at)}; it would never run: exchange them"
        )
