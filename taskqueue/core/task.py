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


class Interval(Protocol):
    """A rule for instants. All instants are aware UTC datetimes; the rule itself lives on a wall clock in its zone."""

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after `instant`, or None when there is none."""

    def as_dict(self) -> dict[str, str | int]:
        """Return the interval as it would stand in tasks.yaml; equal intervals give equal dicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The HTTP call of a task (spec: TaskConfig). `endpoint` may hold `{user_id}` and `{task_id}`."""

    endpoint: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    max_duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. Durations left None are the worker's or scheduler's defaults.

    Raises InvalidValueError for an id that is not a task id.
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
    #: a job older than this is not run any more but parked in `taskqueue.jobs.failed` as `expired`
    max_age: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        check_task_id(self.id)
