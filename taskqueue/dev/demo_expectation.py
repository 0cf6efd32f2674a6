"""What the demo has to see at its endpoint, worked out from its inputs alone.

Nothing of taskqueue is imported here, on purpose: an expectation that asked the code under trial would agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTask:
    """A task type of the demo. `window_s` None: the window of the whole demo."""

    id: str
    name: str
    cron: str
    method: str
    path: str
    retries: int
    #: calls of one job that the endpoint answers with 500 before it answers with 200
    refusals: int = 0
    timezone: str = "UTC"
    window_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    """A user and their preferences. `opts_out_of`: tasks switched off once the judged minute is planned."""

    user_id: str
    enabled_tasks: Mapping[str, bool]
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: task id -> cron expression and zone
    custom_intervals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    opts_out_of: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTrigger:
    """A manual trigger and the instants right before and right after it was sent."""

    task_id: str
    user_ids: tuple[str, ...]
    immediately: bool
    sent_from: datetime
    sent_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedJob:
    """One user's job. Its `X-TaskQueue-Scheduled-At` lies in `scheduled_from` to `scheduled_until`, both included."""

    task_id: str
    user_id: str
    scheduled_from: datetime
    scheduled_until: datetime
    window: timedelta
    method: str
    path: str
    #: what the call carries: the body's fields for POST, the query's for GET
    fields: Mapping[str, object] = field(hash=False)
    #: calls until one is answered with success, or until the last one that is allowed
    attempts: int
    succeeds: bool
    triggered: bool
    #: False: planned, but never to be called
    called: bool
    #: False: an occurrence beside the judged one; what is called of it must be right, but nothing has to be
    required: bool


def expected_jobs(
    tasks: Sequence[DemoTask],
    users: Sequence[DemoUser],
    *,
    judged: datetime,
    beside: Iterable[datetime],
    triggers: Iterable[DemoTrigger],
    window: timedelta,
) -> list[ExpectedJob]:
    """Return all jobs of the whole minute `judged` and of `triggers`, and the optional ones of the minutes `beside`."""
    by_id = {task.id: task for task in tasks}
    jobs = list(_scheduled(tasks, users, judged, window, judged=judged))
    for minute in beside:
        jobs += _scheduled(tasks, users, minute, window, judged=judged)
    preferences = {user.user_id: user for user in users}
    for trigger in triggers:
        jobs += _triggered(by_id[trigger.task_id], trigger, preferences, window)
    return jobs


def is_due(cron: str, timezone: str, minute: datetime) -> bool:
    """Return whether a cron expression of the demo names `minute`.

    It has five fields of `*`, `n` or `a-b`, each with or without a step. A step counts from 0, so `*/n` stands for
    minutes and hours only.
    """
    local = minute.astimezone(ZoneInfo(timezone))
    values = (local.minute, local.hour, local.day, local.month, local.isoweekday() % 7)
    return all(_matches(text, value) for text, value in zip(cron.split(), values, strict=True))


def _matches(text: str, value: int) -> bool:
    span, _, step = text.partition("/")
    low, _, high = span.partition("-")
    if span == "*":
        return value % int(step or 1) == 0
    return int(low) <= value <= int(high or low) and (value - int(low)) % int(step or 1) == 0


def _scheduled(
    tasks: Iterable[DemoTask], users: Sequence[DemoUser], minute: datetime, window: timedelta, *, judged: datetime
) -> Iterator[ExpectedJob]:
    for task in tasks:
        for user in users:
            if not user.enabled_tasks.get(task.id, False):
                continue
            cron, timezone = user.custom_intervals.get(task.id, (task.cron, task.timezone))
            if is_due(cron, timezone, minute):
                opted_out = minute >= judged and task.id in user.opts_out_of
                yield _job(
                    task,
                    user,
                    (minute, minute),
                    window=window if task.window_s is None else task.window_s * _SECOND,
                    called=not opted_out,
                    required=minute == judged,
                )


def _triggered(
    task: DemoTask, trigger: DemoTrigger, users: Mapping[str, DemoUser], window: timedelta
) -> Iterator[ExpectedJob]:
    spread = window if task.window_s is None else task.window_s * _SECOND
    for user_id in trigger.user_ids:
        user = users[user_id]
        # Whoever says nothing about a task is not in its audience, but may be named in a trigger.
        yield _job(
            task,
            user,
            (trigger.sent_from, trigger.sent_until),
            window=timedelta(0) if trigger.immediately else spread,
            called=user.enabled_tasks.get(task.id, True),
            required=True,
            triggered=True,
        )


def _job(
    task: DemoTask,
    user: DemoUser,
    scheduled: tuple[datetime, datetime],
    *,
    window: timedelta,
    called: bool,
    required: bool,
    triggered: bool = False,
) -> ExpectedJob:
    parameters = dict(user.parameters.get(task.id, {}))
    fields: dict[str, object] = {"user_id": user.user_id}
    if task.method == "GET":
        fields |= parameters
    elif parameters:
        fields["parameters"] = parameters
    return ExpectedJob(
        task_id=task.id,
        user_id=user.user_id,
        scheduled_from=scheduled[0],
        scheduled_until=scheduled[1],
        window=window,
        method=task.method,
        path=task.path,
        fields=fields,
        attempts=min(task.refusals, task.retries) + 1,
        succeeds=task.refusals <= task.retries,
        triggered=triggered,
        called=called,
        required=required,
    )
