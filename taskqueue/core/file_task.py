"""A task type of tasks.yaml as it stands in the API's lists, beside the tasks that were made there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.api_task import (
    MAX_RETRIES,
    MAX_TIMEOUT_SECONDS,
    ApiPriority,
    ApiTask,
    TaskType,
)
from taskqueue.core.cron import Cron
from taskqueue.core.interval import Every, Once
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence
from taskqueue.core.slots import OrderKeys
from taskqueue.core.task import Task, TaskSource
from taskqueue.errors import InvalidValueError

_TYPES = {Cron: TaskType.CRON, Every: TaskType.INTERVAL, Once: TaskType.ONE_TIME}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTaskDefaults:
    """What holds for a task type that does not say it itself."""

    timeout: timedelta
    retries: int


def listed_task(task: Task, defaults: FileTaskDefaults, known: ApiTask | None, now: datetime) -> ApiTask:
    """Return what the lists say of `task`; `known` is what they say now: what has not changed stays of its revision.

    Raises InvalidValueError for an interval that no task of the API can have.
    """
    timeout = defaults.timeout if task.timeout is None else task.timeout
    rule = task.interval
    if not isinstance(rule, Cron | Every | Once):
        raise InvalidValueError(f"task {task.id}: its interval cannot be shown by the API")
    listed = ApiTask(
        task_id=task.id,
        task_name=task.name or task.id,
        task_type=_TYPES[type(rule)],
        schedule_expression=rule.expression if isinstance(rule, Cron) else None,
        run_at=rule.at if isinstance(rule, Once) else None,
        interval=rule if isinstance(rule, Every) else None,
        timezone="UTC" if isinstance(rule, Once) else rule.timezone,
        payload={},
        timeout_seconds=min(max(1, math.ceil(timeout.total_seconds())), MAX_TIMEOUT_SECONDS),
        max_retries=min(defaults.retries if task.retries is None else task.retries, MAX_RETRIES),
        priority=ApiPriority.of(task.priority),
        enabled=task.enabled,
        target=task.target,
        created_at=now if known is None else known.created_at,
        updated_at=now if known is None else known.updated_at,
        revision=1 if known is None else known.revision,
        source=TaskSource.FILE,
    )
    if known is None or listed == known:
        return listed
    return replace(listed, updated_at=now, revision=known.revision + 1)


def triggered_occurrence(
    task_id: str, trigger_id: str, users: int, now: datetime, *, correlation_id: str, window: timedelta | None = None
) -> Occurrence:
    """Return the occurrence of a manual trigger for `users` users at `now`, whole milliseconds; at once, or spread."""
    return Occurrence(
        id=trigger_id,
        task_id=task_id,
        cohort=DEFAULT_COHORT,
        source=JobSource.TRIGGER,
        scheduled_at=now,
        starts_at=now,
        created_at=now,
        window=timedelta(0) if window is None else window,
        users=users,
        correlation_id=correlation_id,
        distributed=window is not None,
    )


def in_slot_order(task_id: str, user_ids: Iterable[str]) -> list[str]:
    """Return users in the order in which the task's slots hold them."""
    key_of = OrderKeys(task_id)
    return sorted(user_ids, key=lambda user: (key_of(user), user))
