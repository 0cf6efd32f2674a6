"""From a PATCH to the task after it, and to what has changed by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from taskqueue.api.new_tasks import check_not_past, chosen_target, refused, zoned
from taskqueue.api.problems import conflict
from taskqueue.api.schemas_tasks import UpdateTask
from taskqueue.api.targets import check_payload
from taskqueue.api.task_types import KnownTypes
from taskqueue.core.api_task import OVER, ApiTask, ApiTaskState, TaskType, new_state, paused, resumed
from taskqueue.errors import InvalidValueError
from taskqueue.store.api_task_record import payload_body

#: the fields of a task by those of a request, where they differ
_FIELDS = {"next_execution_time": "run_at", "config": "target", "task_type_id": "target"}

#: the field of a task that belongs to each type
_SCHEDULES = {
    TaskType.CRON: "schedule_expression",
    TaskType.ONE_TIME: "run_at",
    TaskType.INTERVAL: "interval",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task as it is to be.

    `state` is None where its schedule goes on as it does; `fields` are those of the request that differ from before.
    """

    task: ApiTask
    state: ApiTaskState | None
    fields: tuple[str, ...]


def changed(
    task: ApiTask, state: ApiTaskState, body: UpdateTask, asked: Iterable[str], known: KnownTypes, now: datetime
) -> Change | None:
    """Return what `body`, whose fields came in the order `asked`, makes of the task; None where all is so already.

    Raises ProblemError: 422 for values that do not hold, 409 where the task is over and `enabled` alone is to change.
    """
    wanted = _wanted(task, body, known)
    unheard = {"task_type_id"} if body.config is not None else set()
    fields = tuple(name for name in asked if name not in unheard and _differs(task, wanted, name))
    if not fields:
        return None
    if "next_execution_time" in fields:
        check_not_past(body.next_execution_time, now)
    try:
        following = replace(task, **wanted, updated_at=now, revision=task.revision + 1)
        check_payload(following.target, following.payload)
        payload_body(following)
        return Change(task=following, state=_state(task, following, state, now), fields=fields)
    except InvalidValueError as error:
        raise refused(error) from None


def _wanted(task: ApiTask, body: UpdateTask, known: KnownTypes) -> dict[str, Any]:
    """Return the fields of the task that `body` gives."""
    given = body.model_fields_set
    wanted = {_FIELDS.get(name, name): getattr(body, name) for name in given - {"interval", "config", "task_type_id"}}
    wanted["timezone"], interval = zoned(body, task.timezone)
    if interval is None and task.interval is not None:
        # It stays, on the wall clock of another zone.
        interval = replace(task.interval, timezone=wanted["timezone"])
    wanted["interval"] = interval
    if (target := chosen_target(body, known)) is not None:
        wanted["target"] = target
    if body.task_type not in {None, task.task_type}:
        # What belonged to the old type goes with it; what the request gives is refused where it has no place.
        of_old_type = _SCHEDULES[task.task_type]
        if of_old_type not in {_FIELDS.get(name, name) for name in given}:
            wanted[of_old_type] = None
    return wanted


def _differs(task: ApiTask, wanted: Mapping[str, Any], name: str) -> bool:
    field = _FIELDS.get(name, name)
    before, after = getattr(task, field), wanted[field]
    if field == "payload":
        # In Python true is 1, and 1 is 1.0; whoever reads JSON may think otherwise.
        before, after = (json.dumps(value, sort_keys=True) for value in (before, after))
    return bool(before != after)


def _state(before: ApiTask, after: ApiTask, state: ApiTaskState, now: datetime) -> ApiTaskState | None:
    """Return the state after the change; None where it goes on as it is."""
    if _schedule(before) != _schedule(after):
        fresh = new_state(after, now)
        if not after.enabled and state.paused_at is not None:
            return replace(fresh, paused_at=state.paused_at)
        return fresh
    if before.enabled is after.enabled:
        return None
    if state.status in OVER:
        raise conflict(
            f"the task is {state.status}; give it another next_execution_time to run again", code="task_over"
        )
    switched = resumed if after.enabled else paused
    return switched(before, state, now)[1]


def _schedule(task: ApiTask) -> tuple[object, ...]:
    # The zone of a one_time task is for people: its instant stays what it was.
    zone = None if task.task_type is TaskType.ONE_TIME else task.timezone
    return task.task_type, task.schedule_expression, task.run_at, task.interval, zone
