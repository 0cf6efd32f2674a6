"""A task made through the API: when it runs, what it sends, and what has become of it.

Its audience is one, `API_USER`; its id is the `task_type_id` of its jobs, whose ids follow from it as for any task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from taskqueue.core.cron import Cron
from taskqueue.core.ids import check_task_id
from taskqueue.core.interval import Every, Once
from taskqueue.core.task import Interval, Priority, Target, Task, TaskSource
from taskqueue.core.zones import load_zone
from taskqueue.errors import InvalidValueError

#: stands as the user in the jobs of API tasks
API_USER = "api"

MAX_NAME = 200
MAX_TAGS = 50
MAX_TAG_KEY = 64
MAX_TAG_VALUE = 256
#: RabbitMQ closes a consumer that holds a message for 30 minutes
MAX_TIMEOUT_SECONDS = 900
MAX_RETRIES = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class TaskType(StrEnum):
    """What says when a task runs."""

    CRON = "cron"
    ONE_TIME = "one_time"
    INTERVAL = "interval"


class TaskStatus(StrEnum):
    """How it stands with a task."""

    SCHEDULED = "scheduled"
    PAUSED = "paused"
    #: due, but a task that it depends on has not ended as it should
    WAITING = "waiting"
    #: it was to run once, and has succeeded
    COMPLETED = "completed"
    #: it was to run once, and has failed for good
    FAILED = "failed"


#: such a task runs no more unless its schedule is changed
OVER = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})


class ApiPriority(StrEnum):
    """The priorities of the REST API; `medium` is what the queues call normal."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def of_jobs(self) -> Priority:
        """The priority of the task's jobs."""
        return Priority.NORMAL if self is ApiPriority.MEDIUM else Priority[self.name]

    @classmethod
    def of(cls, priority: Priority) -> ApiPriority:
        """Return what the API calls `priority`."""
        return cls.MEDIUM if priority is Priority.NORMAL else cls[priority.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTask:
    """The definition of a task, as its owner gave it. All instants are aware UTC.

    `schedule_expression` belongs to cron, `run_at` to one_time, `interval` to interval; each is None in the others.
    `payload` is a JSON value. `revision` counts the changes, from 1. `source` is `file` for a task type of tasks.yaml
    that stands in the lists beside the others; such a one is changed in the file alone.

    Raises InvalidValueError, which begins with the field's name, for a value out of range and for a schedule that does
    not fit `task_type`. A cron expression is judged by `rule`, for that takes longer than the rest.
    """

    task_id: str
    task_name: str
    task_type: TaskType
    schedule_expression: str | None = None
    run_at: datetime | None = None
    interval: Every | None = None
    timezone: str = "UTC"
    payload: object = None
    timeout_seconds: int = 300
    max_retries: int = 3
    priority: ApiPriority = ApiPriority.MEDIUM
    tags: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    target: Target
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    source: TaskSource = TaskSource.API

    def __post_init__(self) -> None:
        check_task_id(self.task_id)
        _check_text("task_name", self.task_name, 1, MAX_NAME)
        _check_schedule(self)
        _check_range("timeout_seconds", self.timeout_seconds, 1, MAX_TIMEOUT_SECONDS)
        _check_range("max_retries", self.max_retries, 0, MAX_RETRIES)
        _check_tags(self.tags)

    def rule(self) -> Interval:
        """Return when the task is due. Raises InvalidValueError, which names the field, for a bad expression."""
        if self.schedule_expression is not None:
            try:
                return Cron(expression=self.schedule_expression, timezone=self.timezone)
            except InvalidValueError as error:
                raise InvalidValueError(f"schedule_expression: {error}") from None
        if self.interval is not None:
            return self.interval
        if self.run_at is not None:
            return Once(at=self.run_at)
        raise InvalidValueError(f"task_type: {self.task_type} without a schedule")  # __post_init__ lets none through


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTaskState:
    """What has become of a task so far.

    `next_at` is when it is due next, while it waits when it was due; a paused task keeps it, and is due no more.
    `last_at` is when its latest execution was queued, `retry_count` counts the retries of that one.
    """

    status: TaskStatus
    next_at: datetime | None = None
    last_at: datetime | None = None
    retry_count: int = 0
    last_execution_id: str | None = None
    paused_at: datetime | None = None


def next_instant(task: ApiTask, after: datetime) -> datetime | None:
    """Return the first instant strictly after `after` at which `task` is due, in UTC, or None when there is none.

    Raises InvalidValueError for a cron expression that is none.
    """
    rule = task.rule()
    return _next_of_cron(rule, after) if isinstance(rule, Cron) else rule.next_after(after)


@lru_cache(maxsize=256)
def _next_of_cron(rule: Cron, after: datetime) -> datetime | None:
    # Of all schedules it takes the longest, and tasks that are made together often have the same one.
    return rule.next_after(after)


def new_state(task: ApiTask, now: datetime) -> ApiTaskState:
    """Return the state of a task that begins at `now`; its one instant may lie in the past, and is then due at once.

    Raises InvalidValueError for a schedule that has no instant left.
    """
    first = task.run_at if task.task_type is TaskType.ONE_TIME else next_instant(task, now)
    if first is None:
        raise InvalidValueError("schedule_expression: not due any more before the year 9999")
    if not task.enabled:
        return ApiTaskState(status=TaskStatus.PAUSED, next_at=first, paused_at=now)
    return ApiTaskState(status=TaskStatus.SCHEDULED, next_at=first)


def paused(task: ApiTask, state: ApiTaskState, now: datetime) -> tuple[ApiTask, ApiTaskState]:
    """Return `task` switched off at `now`, and its state."""
    return (
        replace(task, enabled=False, updated_at=now, revision=task.revision + 1),
        replace(state, status=TaskStatus.PAUSED, paused_at=now),
    )


def resumed(task: ApiTask, state: ApiTaskState, now: datetime) -> tuple[ApiTask, ApiTaskState]:
    """Return `task` switched on at `now`, and its state: what it missed is left out, but its only instant is made up.

    A task that is to run once and was paused behind its instant has no other: its run is on its way.
    """
    following = state.next_at if task.task_type is TaskType.ONE_TIME else next_instant(task, now)
    return (
        replace(task, enabled=True, updated_at=now, revision=task.revision + 1),
        replace(state, status=TaskStatus.SCHEDULED, next_at=following, paused_at=None),
    )


def to_task(task: ApiTask) -> Task:
    """Return `task` as workers know tasks. Raises InvalidValueError for a cron expression that is none."""
    return Task(
        id=task.task_id,
        name=task.task_name,
        source=task.source,
        interval=task.rule(),
        target=task.target,
        timeout=timedelta(seconds=task.timeout_seconds),
        retries=task.max_retries,
        priority=task.priority.of_jobs,
        enabled=task.enabled,
    )


def _check_schedule(task: ApiTask) -> None:
    try:
        load_zone(task.timezone)
    except InvalidValueError as error:
        raise InvalidValueError(str(error).replace("timezone ", "timezone: ", 1)) from None
    _check_given(task, TaskType.CRON, "schedule_expression", task.schedule_expression)
    _check_given(task, TaskType.ONE_TIME, "next_execution_time", task.run_at)
    _check_given(task, TaskType.INTERVAL, "interval", task.interval)
    if task.run_at is not None:
        try:
            Once(at=task.run_at)
        except InvalidValueError as error:
            raise InvalidValueError(f"next_execution_time: {error}") from None
    if task.interval is not None and task.interval.timezone != task.timezone:
        raise InvalidValueError(f"interval: its timezone is not the task's, {task.timezone}; name it once")


def _check_given(task: ApiTask, kind: TaskType, name: str, given: object) -> None:
    if (given is not None) is (kind is task.task_type):
        return
    remedy = "needs it" if given is None else "has none; leave it out"
    raise InvalidValueError(f"{name}: a task of type {task.task_type} {remedy}")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidValueError(f"tags: {len(tags)} of them; use at most {MAX_TAGS}")
    for key, text in tags.items():
        _check_text("tags: a key", key, 1, MAX_TAG_KEY)
        _check_text("tags: a value", text, 0, MAX_TAG_VALUE)


def _check_text(name: str, text: str, shortest: int, longest: int) -> None:
    if not shortest <= len(text) <= longest:
        raise InvalidValueError(f"{name}: {len(text)} characters; use {shortest} to {longest}")
    if text.isascii() and text.isprintable():
        return
    if _CONTROL.search(text):
        raise InvalidValueError(f"{name}: has a control character; use one line of text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(f"{name}: has a lone surrogate; write the whole character") from None


def _check_range(name: str, number: int, lowest: int, highest: int) -> None:
    if not lowest <= number <= highest:
        raise InvalidValueError(f"{name}: {number}; use {lowest} to {highest}")
