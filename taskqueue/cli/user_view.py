"""What is known about one user, task by task, as the scheduler sees it: the pure part of `taskqueue users show`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from taskqueue.core.instants import rfc3339
from taskqueue.core.preference import Rule, enablement
from taskqueue.core.task import Interval, Task
from taskqueue.errors import InvalidValueError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.messages import payload_of
from taskqueue.store.plan import MAX_PARAMETERS_BYTES, SlotUser
from taskqueue.store.users import MAX_SWITCHES, CustomInterval, StoredSettings, StoredUser

#: how many of a rule's next instants are shown
_NEXT = 3

#: characters that are shown of a switch that is none
_MOST_SHOWN = 40


class TaskState(StrEnum):
    """What is known about a task: from those in force, or from the tasks file where none are."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task of one user. `interval` is the one that counts; None, as `next_instants` is empty, without a task."""

    task_id: str
    state: TaskState
    #: whether the user gets jobs of the task
    gets: bool
    #: what decided about the user; a disabled or missing task is got by nobody all the same
    rule: Rule
    #: the user's own switch, None without one
    switch: bool | None
    #: what the task has for users without a switch of their own
    default_enabled: bool = False
    interval: Mapping[str, object] | None = None
    #: whether `interval` is the user's own
    custom: bool = False
    next_instants: tuple[datetime, ...] = ()
    #: as a call carries them
    parameters: Mapping[str, object] | None = None
    last_modified: str | None = None
    #: settings that do not count as they stand, and why
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the view as a JSON object; instants are RFC 3339 in UTC."""
        return {
            "task_id": self.task_id,
            "task": self.state.value,
            "gets": self.gets,
            "rule": self.rule.value,
            "switch": self.switch,
            "interval": self.interval,
            "custom_interval": self.custom,
            "next": [rfc3339(instant) for instant in self.next_instants],
            "parameters": self.parameters,
            "last_modified": self.last_modified,
            "problems": list(self.problems),
        }


def user_problem(stored: StoredUser) -> str | None:
    """Return why what stands where the user's switches belong does not count; None where nothing is wrong."""
    if stored.no_hash:
        return "what stands where the switches belong is no hash; delete it"
    if stored.switches.unread:
        return f"{stored.switches.unread} switches; none of them counts until there are {MAX_SWITCHES} at most"
    return None


def task_views(stored: StoredUser, tasks: Mapping[str, Task], now: datetime) -> list[TaskView]:
    """Return each of `tasks` in its order, then the others that something is stored for, by id."""
    switched = stored.switches.on.union(stored.switches.off, stored.settings)
    return [
        _view(task_id, stored, tasks.get(task_id), now) for task_id in (*tasks, *sorted(switched.difference(tasks)))
    ]


def _view(task_id: str, stored: StoredUser, task: Task | None, now: datetime) -> TaskView:
    settings = stored.settings.get(task_id, StoredSettings())
    own, interval_problem = _own_interval(stored.switches.user_id, task_id, settings.custom_interval)
    parameters, parameters_problem = _parameters(stored.switches.user_id, settings.parameters)
    problems = (_switch_problem(stored.odd_values.get(task_id)), interval_problem, parameters_problem)
    switch = stored.switches.switch(task_id)
    default_enabled = task is not None and task.default_enabled
    decided = enablement(switch=switch, known=stored.switches.exists, default_enabled=default_enabled)
    view = TaskView(
        task_id=task_id,
        state=_state(task),
        gets=decided.enabled and task is not None and task.enabled,
        rule=decided.rule,
        switch=switch,
        default_enabled=default_enabled,
        interval=None if own is None else own.as_dict(),
        custom=own is not None,
        parameters=parameters,
        last_modified=settings.last_modified,
        problems=tuple(filter(None, problems)),
    )
    if task is None:
        return view
    return replace(
        view,
        interval=(own or task.interval).as_dict(),
        next_instants=_next_instants(task.rule(own), now) if view.gets else (),
    )


def _state(task: Task | None) -> TaskState:
    if task is None:
        return TaskState.MISSING
    return TaskState.ENABLED if task.enabled else TaskState.DISABLED


def _switch_problem(value: str | None) -> str:
    return "" if value is None else f"switch: {value[:_MOST_SHOWN]!r} is neither 1 nor 0, and counts as 0"


def _own_interval(user_id: str, task_id: str, text: str | None) -> tuple[Interval | None, str]:
    """Return the user's interval as the scheduler takes it, or what is wrong with it."""
    index = AudienceIndex()
    try:
        index.apply(CustomInterval(user_id=user_id, task_id=task_id, text=text))
    except InvalidValueError as error:
        return None, f"{error}; the task's own interval counts"
    return next(iter(index.cohorts(task_id).values()), None), ""


def _parameters(user_id: str, text: str | None) -> tuple[Mapping[str, object] | None, str]:
    """Return the parameters as the scheduler sends them, or why it does not."""
    if not text:
        return None, ""
    if len(text.encode()) > MAX_PARAMETERS_BYTES:
        return None, f"parameters: more than {MAX_PARAMETERS_BYTES} bytes; calls are made without them"
    payload = json.loads(payload_of(SlotUser(user_id=user_id, parameters=text)))
    if "parameters" in payload:
        return payload["parameters"], ""
    if _is_empty_object(text):
        return {}, ""
    return None, "parameters: not a JSON object; calls are made without them"


def _is_empty_object(text: str) -> bool:
    try:
        return bool(json.loads(text) == {})
    except (ValueError, RecursionError):
        return False


def _next_instants(rule: Interval, now: datetime) -> tuple[datetime, ...]:
    instants = list[datetime]()
    instant = rule.next_after(now)
    while instant is not None and len(instants) < _NEXT:
        instants.append(instant)
        instant = rule.next_after(instant)
    return tuple(instants)
