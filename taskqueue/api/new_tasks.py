"""From a request to a new task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.api.problems import ProblemError, invalid_field, unprocessable
from taskqueue.api.schemas_tasks import CreateTask, UpdateTask
from taskqueue.api.targets import check_payload, given_target, target_by_name, target_of_type
from taskqueue.api.task_types import KnownTypes
from taskqueue.core.api_task import ApiTask, TaskStatus, TaskType, new_state
from taskqueue.core.interval import Every
from taskqueue.core.task import Target
from taskqueue.errors import InvalidValueError
from taskqueue.store.api_task_record import payload_body
from taskqueue.store.api_tasks import ApiTaskRow

#: a one_time task may be late by so much: clocks differ, and requests take their time
LATENESS = timedelta(seconds=60)

_FIELDS = frozenset(CreateTask.model_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a request is judged by, beside itself."""

    task_types: KnownTypes
    default_target: str
    now: datetime


def new_task(body: CreateTask, task_id: str, around: Surroundings) -> ApiTaskRow:
    """Return the task that `body` asks for, and the state in which it begins. Raises ProblemError 422."""
    check_not_past(body.next_execution_time, around.now)
    target = _target(body, around)
    check_payload(target, body.payload)
    zone, interval = zoned(body, "UTC")
    try:
        task = ApiTask(
            task_id=task_id,
            task_name=body.task_name,
            task_type=body.task_type,
            schedule_expression=body.schedule_expression,
            run_at=body.next_execution_time,
            interval=interval,
            timezone=zone,
            payload=body.payload,
            timeout_seconds=body.timeout_seconds,
            max_retries=body.max_retries,
            priority=body.priority,
            tags=body.tags,
            enabled=body.enabled,
            target=target,
            created_at=around.now,
            updated_at=around.now,
        )
        payload_body(task)
        return task, new_state(task, around.now)
    except InvalidValueError as error:
        raise refused(error) from None


def chosen_target(body: CreateTask | UpdateTask, task_types: KnownTypes) -> Target | None:
    """Return the target that `body` names; None where it names none. Raises ProblemError 422."""
    if body.config is not None:
        return given_target(body.config)
    return None if body.task_type_id is None else target_of_type(body.task_type_id, task_types)


def zoned(body: CreateTask | UpdateTask, zone: str) -> tuple[str, Every | None]:
    """Return the zone and the interval of `body`; the zone is `zone` where neither names one.

    Raises ProblemError 422 where they name two.
    """
    if body.interval is None:
        return body.timezone or zone, None
    interval, names_zone = body.interval
    if names_zone and body.timezone not in {None, interval.timezone}:
        raise invalid_field("/interval", "its timezone is another one than that of the task; name it once")
    zone = interval.timezone if names_zone else body.timezone or zone
    return zone, replace(interval, timezone=zone)


def check_not_past(run_at: datetime | None, now: datetime) -> None:
    """Raise ProblemError 422 for a `next_execution_time` that was before `now`, by more than LATENESS."""
    if run_at is not None and run_at < now - LATENESS:
        raise invalid_field("/next_execution_time", "lies in the past; use a time to come, or trigger the task")


def refused(error: InvalidValueError) -> ProblemError:
    """Return the problem that `error` is; the field that its text begins with is named."""
    field, colon, detail = str(error).partition(": ")
    return invalid_field(f"/{field}", detail) if colon and field in _FIELDS else unprocessable(str(error))


def shown_next(task: ApiTask, status: TaskStatus, next_at: datetime | None) -> datetime | None:
    """Return what answers give as the next instant: none for a task that is paused, unless it has just this one."""
    return None if status is TaskStatus.PAUSED and task.task_type is not TaskType.ONE_TIME else next_at


def _target(body: CreateTask, around: Surroundings) -> Target:
    chosen = chosen_target(body, around.task_types)
    return chosen or target_by_name(body.task_name, around.task_types, around.default_target)
