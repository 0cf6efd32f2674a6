"""Every operation of the API, as a function from arguments to a request. The clients have a method for each.

Instants are datetimes with a time zone. What makes or does something takes an `idempotency_key`, and makes one where
none is given: within 24 hours the API does what has the same key once, and gives the first answer again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack

from task_scheduler._exchange import Request, delete, get, instant_text, patch, path_of, post
from task_scheduler.api import explain_models, models, system_models


class TargetConfig(TypedDict, total=False):
    """What a task calls: `method` is POST unless given, `max_duration` such as `5m`."""

    endpoint: Required[str]
    method: str
    headers: Mapping[str, str]
    max_duration: str


class _TaskFields(TypedDict, total=False):
    schedule_expression: str | None
    next_execution_time: datetime | None
    interval: Mapping[str, Any] | None
    timezone: str | None
    payload: Any
    timeout_seconds: int | None
    max_retries: int | None
    priority: models.Priority | None
    tags: Mapping[str, str] | None
    enabled: bool | None
    config: TargetConfig | None
    task_type_id: str | None


class NewTask(_TaskFields):
    """A task to be made. It needs what goes with its type: schedule_expression, next_execution_time or interval.

    The API's documents describe each field. None is as if the field were not there.
    """

    task_name: str
    task_type: models.TaskType


class TaskFields(_TaskFields, total=False):
    """What is to change of a task; what is left out, or None, stays."""

    task_name: str | None
    task_type: models.TaskType | None


class TaskFilters(TypedDict, total=False):
    """Which tasks to list: all that is given must be true. `tag` is `key:value`; a `name` may end in `*`."""

    status: models.TaskStatus | None
    priority: models.Priority | None
    task_type: models.TaskType | None
    tag: str | Sequence[str] | None
    name: str | None


class NewLogLine(TypedDict, total=False):
    """A line for the log of an execution: of now and of level INFO unless it says otherwise."""

    message: Required[str]
    level: models.Level
    timestamp: datetime


# --- tasks ------------------------------------------------------------------------------------------------------------


def create_task(*, idempotency_key: str | None = None, **task: Unpack[NewTask]) -> Request[models.Task]:
    """Make a task; the fields are those of NewTask."""
    return post("/api/v1/tasks", models.Task, _task("create_task", task), idempotency_key=idempotency_key)


def get_task(task_id: str) -> Request[models.TaskDetails]:
    """Return a task with all that is known of it."""
    return get(path_of("tasks", task_id), models.TaskDetails)


def list_tasks(*, limit: int = 20, offset: int = 0, **filters: Unpack[TaskFilters]) -> Request[models.TaskPage]:
    """Return a page of tasks, the latest first; the filters are those of TaskFilters, `limit` is 100 at most."""
    _known("list_tasks", filters, TaskFilters.__annotations__)
    return get("/api/v1/tasks", models.TaskPage, {**filters, "limit": limit, "offset": offset})


def update_task(
    task_id: str, *, if_match: str | None = None, **changes: Unpack[TaskFields]
) -> Request[models.TaskUpdated]:
    """Change fields of a task; `if_match` is the `etag` of the only version that the change is for."""
    return patch(path_of("tasks", task_id), models.TaskUpdated, _task("update_task", changes), if_match=if_match)


def delete_task(task_id: str) -> Request[None]:
    """Delete a task: what is queued of it is dropped, what runs ends."""
    return delete(path_of("tasks", task_id))


def pause_task(task_id: str, *, idempotency_key: str | None = None) -> Request[models.TaskPaused]:
    """Let a task run no more until it is resumed."""
    return post(path_of("tasks", task_id, "pause"), models.TaskPaused, idempotency_key=idempotency_key)


def resume_task(task_id: str, *, idempotency_key: str | None = None) -> Request[models.TaskResumed]:
    """Let a paused task run again."""
    return post(path_of("tasks", task_id, "resume"), models.TaskResumed, idempotency_key=idempotency_key)


def trigger_task(
    task_id: str, *, user_ids: Sequence[str] | None = None, idempotency_key: str | None = None
) -> Request[models.TaskTriggered]:
    """Run a task now, beside its schedule; a task type of tasks.yaml needs the `user_ids` that it is to run for."""
    body = None if user_ids is None else {"user_ids": _texts("user_ids", user_ids)}
    return post(path_of("tasks", task_id, "trigger"), models.TaskTriggered, body, idempotency_key=idempotency_key)


def create_tasks(tasks: Iterable[NewTask], *, idempotency_key: str | None = None) -> Request[models.BulkCreated]:
    """Make up to a thousand tasks. Each is judged on its own: look at `failed` and `errors`."""
    body = {"tasks": [_task(f"create_tasks: tasks[{index}]", task) for index, task in enumerate(tasks)]}
    return post("/api/v1/tasks/bulk", models.BulkCreated, body, idempotency_key=idempotency_key)


def delete_tasks(task_ids: Iterable[str], *, idempotency_key: str | None = None) -> Request[models.BulkDeleted]:
    """Delete up to a thousand tasks. Each is judged on its own: look at `failed` and `errors`."""
    body = {"task_ids": _texts("task_ids", task_ids)}
    return post("/api/v1/tasks/bulk-delete", models.BulkDeleted, body, idempotency_key=idempotency_key)


def get_task_stats(task_id: str) -> Request[system_models.TaskStatistics]:
    """Return how the executions of a task went."""
    return get(path_of("tasks", task_id, "stats"), system_models.TaskStatistics)


def explain_task(
    task_id: str, *, user_id: str | None = None, at: datetime | None = None
) -> Request[explain_models.TaskExplanation]:
    """Return why a task did or did not run, of late or `at` an instant; a task type of tasks.yaml needs a `user_id`."""
    query = {"user_id": user_id, "at": None if at is None else instant_text("at", at)}
    return get(path_of("tasks", task_id, "explain"), explain_models.TaskExplanation, query)


# --- dependencies -----------------------------------------------------------------------------------------------------


def add_dependency(
    task_id: str,
    depends_on_task_id: str,
    dependency_type: models.DependencyType = "success",
    *,
    idempotency_key: str | None = None,
) -> Request[models.Dependency]:
    """Let a task wait, when it is due, until another has ended as `dependency_type` says."""
    body = {"depends_on_task_id": depends_on_task_id, "dependency_type": dependency_type}
    return post(path_of("tasks", task_id, "dependencies"), models.Dependency, body, idempotency_key=idempotency_key)


def list_dependencies(task_id: str) -> Request[models.DependencyList]:
    """Return all tasks that a task waits for."""
    return get(path_of("tasks", task_id, "dependencies"), models.DependencyList)


def remove_dependency(task_id: str, dependency_id: str) -> Request[None]:
    """Let a task wait no more for another."""
    return delete(path_of("tasks", task_id, "dependencies", dependency_id))


# --- executions -------------------------------------------------------------------------------------------------------


def get_executions(task_id: str, *, limit: int = 20, offset: int = 0) -> Request[models.ExecutionList]:
    """Return a page of the executions of a task, the latest first; `limit` is 100 at most."""
    query = {"limit": limit, "offset": offset}
    return get(path_of("tasks", task_id, "executions"), models.ExecutionList, query)


def get_execution(execution_id: str) -> Request[models.ExecutionDetails]:
    """Return an execution with all its attempts."""
    return get(path_of("executions", execution_id), models.ExecutionDetails)


def get_execution_logs(execution_id: str) -> Request[models.ExecutionLog]:
    """Return the log of an execution, in the order of time."""
    return get(path_of("executions", execution_id, "logs"), models.ExecutionLog)


def append_execution_logs(
    execution_id: str, logs: Iterable[NewLogLine], *, idempotency_key: str | None = None
) -> Request[models.ExecutionLog]:
    """Add up to a hundred lines to the log of an execution, and return the log."""
    lines = [_encoded(line) for line in logs]
    return post(
        path_of("executions", execution_id, "logs"),
        models.ExecutionLog,
        {"logs": lines},
        idempotency_key=idempotency_key,
    )


def cancel_execution(execution_id: str, *, idempotency_key: str | None = None) -> Request[models.ExecutionCancelled]:
    """Cancel an execution, also in the middle of its call. Raises ConflictError where it has ended."""
    return post(
        path_of("executions", execution_id, "cancel"), models.ExecutionCancelled, idempotency_key=idempotency_key
    )


# --- the system -------------------------------------------------------------------------------------------------------


def get_status() -> Request[system_models.SystemStatus]:
    """Return whether tasks run, and how much there is to do."""
    return get("/api/v1/status", system_models.SystemStatus)


def list_workers() -> Request[system_models.WorkerList]:
    """Return all workers."""
    return get("/api/v1/workers", system_models.WorkerList)


def get_audit_log(*, limit: int = 20, before: str | None = None) -> Request[system_models.AuditLog]:
    """Return who changed what, the latest first; `before` is the `next` of the page before. It needs an admin's key."""
    return get("/api/v1/audit", system_models.AuditLog, {"limit": limit, "before": before})


def _texts(name: str, values: Iterable[str]) -> list[str]:
    """Return a list of texts. Raises TypeError for one text, which is iterable too, letter by letter."""
    texts = [] if isinstance(values, str | bytes) else list(values)
    if isinstance(values, str | bytes) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} must be a list of texts, also where it is one: {name}=[…]")
    return texts


def _task(place: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    _known(place, fields, NewTask.__annotations__)
    return _encoded(fields)


def _known(place: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if unknown := sorted(given.keys() - known.keys()):
        raise TypeError(f"{place} has no {', '.join(unknown)}; it takes {', '.join(sorted(known))}")


def _encoded(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: instant_text(name, value) if isinstance(value, datetime) else value
        for name, value in fields.items()
        if value is not None
    }
