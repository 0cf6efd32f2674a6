"""From what is stored about tasks to what answers say about them."""

from __future__ import annotations

from typing import Any

from taskqueue.api.new_tasks import shown_next
from taskqueue.api.schemas_task_answers import HIDDEN, ShownTarget, TaskCreated, TaskDetails, TaskRow
from taskqueue.config.duration import format_duration
from taskqueue.core.api_task import ApiTask, ApiTaskState
from taskqueue.core.task import Target


def etag(task: ApiTask) -> str:
    """Return the entity tag of the task: its revision. It tells definitions apart, not what has become of them."""
    return f'"{task.revision}"'


def created_answer(task: ApiTask, state: ApiTaskState) -> TaskCreated:
    """Return what a request that made the task is told."""
    return TaskCreated(
        task_id=task.task_id,
        task_name=task.task_name,
        status=state.status,
        next_execution_time=shown_next(task, state.status, state.next_at),
        created_at=task.created_at,
    )


def row_answer(task: ApiTask, state: ApiTaskState) -> TaskRow:
    """Return the task as it stands in lists."""
    return TaskRow(**_common(task, state))


def details_answer(task: ApiTask, state: ApiTaskState) -> TaskDetails:
    """Return all that is known about the task."""
    return TaskDetails(
        **_common(task, state),
        payload=task.payload,
        timeout_seconds=task.timeout_seconds,
        max_retries=task.max_retries,
        retry_count=state.retry_count,
        interval=None if task.interval is None else task.interval.as_dict(),
        config=_shown_target(task.target),
    )


def _common(task: ApiTask, state: ApiTaskState) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "task_name": task.task_name,
        "status": state.status,
        "next_execution_time": shown_next(task, state.status, state.next_at),
        "last_execution_time": state.last_at,
        "task_type": task.task_type,
        "schedule_expression": task.schedule_expression,
        "timezone": task.timezone,
        "enabled": task.enabled,
        "priority": task.priority,
        "tags": dict(task.tags),
        "source": task.source,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }


def _shown_target(target: Target) -> ShownTarget:
    return ShownTarget(
        endpoint=target.endpoint,
        method=target.method,
        headers=dict.fromkeys(target.headers, HIDDEN),
        max_duration=None if target.max_duration is None else format_duration(target.max_duration),
    )
