"""API tasks for tests: complete and plain, and what a test names of them is what it is about."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from taskqueue.core.api_task import ApiTask, ApiTaskState, TaskType, new_state
from taskqueue.core.task import Target
from tests.support.values import TEN_O_CLOCK

NOON = TEN_O_CLOCK + timedelta(hours=2)


def numbered_id(number: int) -> str:
    """Return a version 4 UUID that says which one it is."""
    return str(uuid.UUID(int=number, version=4))


def an_api_task(number: int = 1, **changes: Any) -> ApiTask:
    """Return a task that runs at noon of every day, made `number` milliseconds after ten, with `changes`."""
    made = TEN_O_CLOCK + timedelta(milliseconds=number)
    fields: dict[str, Any] = {
        "task_id": numbered_id(number),
        "task_name": "daily_report_generation",
        "task_type": TaskType.CRON,
        "schedule_expression": "0 12 * * *",
        "payload": {"report_type": "daily", "recipients": ["admin@example.com"]},
        "target": Target(endpoint="https://api.example.com/reports"),
        "created_at": made,
        "updated_at": made,
    }
    if "task_type" in changes:
        del fields["schedule_expression"]
    return ApiTask(**fields | changes)


def a_new_task(number: int = 1, *, now: datetime = TEN_O_CLOCK, **changes: Any) -> tuple[ApiTask, ApiTaskState]:
    """Return such a task and the state that it begins with."""
    task = an_api_task(number, **changes)
    return task, new_state(task, now)
