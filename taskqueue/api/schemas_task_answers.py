"""The bodies of answers about tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from taskqueue.api.schemas import AnswerBody, Instant
from taskqueue.api.schemas_tasks import INTERVAL_SCHEMA
from taskqueue.core.api_task import ApiPriority, TaskStatus, TaskType
from taskqueue.core.task import TaskSource

#: what stands in answers for the values of headers, which may be secrets
HIDDEN = "***"


class TaskCreated(AnswerBody):
    """A task that was made."""

    task_id: str
    task_name: str
    status: TaskStatus
    next_execution_time: Instant | None
    """When it runs next; null for a task that begins paused, unless it is a one_time task."""
    created_at: Instant


class ShownTarget(AnswerBody):
    """What a task calls. The values of headers are hidden."""

    endpoint: str
    method: str
    headers: dict[str, str]
    max_duration: str | None


class TaskRow(AnswerBody):
    """A task in a list."""

    task_id: str
    task_name: str
    status: TaskStatus
    next_execution_time: Instant | None
    """When it runs next; null where it does not: paused, or over."""
    last_execution_time: Instant | None
    """When its latest execution was queued."""
    task_type: TaskType
    schedule_expression: str | None
    timezone: str
    enabled: bool
    priority: ApiPriority
    tags: dict[str, str]
    source: TaskSource
    """`file` for a task type of tasks.yaml."""
    created_at: Instant
    updated_at: Instant


class TaskDetails(AnswerBody):
    """A task, whole."""

    task_id: str
    task_name: str
    task_type: TaskType
    schedule_expression: str | None
    timezone: str
    next_execution_time: Instant | None
    """When it runs next; null where it does not: paused, or over. A one_time task keeps its instant while paused."""
    last_execution_time: Instant | None
    """When its latest execution was queued."""
    status: TaskStatus
    enabled: bool
    payload: Any
    """Any JSON value."""
    timeout_seconds: int
    max_retries: int
    retry_count: int
    """Retries of its latest execution."""
    priority: ApiPriority
    created_at: Instant
    updated_at: Instant
    interval: Annotated[dict[str, object] | None, WithJsonSchema({"anyOf": [INTERVAL_SCHEMA, {"type": "null"}]})]
    tags: dict[str, str]
    config: ShownTarget
    source: TaskSource
    """`file` for a task type of tasks.yaml, which is changed there."""


class TaskPage(AnswerBody):
    """Some tasks of a list, the latest first; with a name in the order of names."""

    tasks: list[TaskRow]
    total: int
    """How many there are in all."""
    limit: int
    offset: int
    total_is_exact: Annotated[bool, Field(exclude_if=bool)] = True
    """Only there when false: of a rare combination of filters, only the latest 10,000 candidates were looked at."""


class TaskUpdated(AnswerBody):
    """A task after a change."""

    task_id: str
    updated_fields: list[str]
    """What has changed, in the order of the request."""
    next_execution_time: Instant | None
    updated_at: Instant


class TaskPaused(AnswerBody):
    """A task that is switched off."""

    task_id: str
    status: TaskStatus
    paused_at: Instant | None


class TaskResumed(AnswerBody):
    """A task that is switched on."""

    task_id: str
    status: TaskStatus
    next_execution_time: Instant | None
    resumed_at: Instant


class TaskTriggered(AnswerBody):
    """A run that was queued."""

    task_id: str
    execution_id: str
    """Of a task type of tasks.yaml: that of the first user."""
    status: Literal["queued"]
    """Its execution is `pending` until a worker starts it."""
    queued_at: Instant
    execution_ids: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Of a task type of tasks.yaml: those of all users, in the order of the request."""
