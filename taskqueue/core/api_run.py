"""A run of an API task: which instant it is for, when its job is due, and when the task is due next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from taskqueue.core.api_task import API_USER, ApiTask, TaskType, next_instant
from taskqueue.core.cron import Cron
from taskqueue.core.due import GRACE, latest_until
from taskqueue.core.ids import JobIds, scheduled_job_id, triggered_jobs
from taskqueue.core.instants import rfc3339
from taskqueue.core.interval import Every
from taskqueue.core.job import Job, JobMessage, JobSource, Metadata
from taskqueue.core.occurrence import DEFAULT_COHORT, scheduled_occurrence_id

#: the latest instant of a rule is looked for so far back: leap days are at most eight years apart
_LOOK_BACK = timedelta(days=3660)

_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def is_api_task_id(task_id: str) -> bool:
    """Return whether a task of that id may have been made through the API; one of tasks.yaml may look the same."""
    return _TASK_ID.fullmatch(task_id) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRun:
    """What becomes of a task that is due: its run for `scheduled_at`, then nothing until `following` (None: ever)."""

    task: ApiTask
    #: since when it is due, as its state has it
    due: datetime
    scheduled_at: datetime
    following: datetime | None
    #: the id of the run's job, which is that of its execution: the same whoever lets it run
    job_id: str

    def message(self, payload: bytes, source: JobSource, now: datetime) -> JobMessage:
        """Return the message of the run's job, of which the call sends `payload`."""
        # The age of a run that is made up for counts from now: it would be too old before its first attempt.
        late = now - self.scheduled_at > GRACE
        return _message(
            self.task,
            payload,
            job_id=self.job_id,
            scheduled_at=self.scheduled_at,
            execute_after=now if late else self.scheduled_at,
            metadata=Metadata(
                correlation_id=f"{self.task.task_id}:{scheduled_occurrence_id(DEFAULT_COHORT, self.scheduled_at)}",
                source=source.value,
            ),
            now=now,
        )


def due_run(task: ApiTask, due: datetime, now: datetime) -> DueRun:
    """Return the run of a task that has been due since `due`, which is not after `now`.

    Of several instants that have passed meanwhile only the latest is made up for. Raises InvalidValueError for a cron
    expression that is none.
    """
    scheduled_at, following = due, None
    if task.task_type is not TaskType.ONE_TIME:
        following = _following(task, due)
        if following is not None and following <= now:
            scheduled_at = latest_until(task.rule(), now, now - due) or due
            following = _following(task, now)
    job_id = _due_job_id(task, scheduled_at)
    return DueRun(task=task, due=due, scheduled_at=scheduled_at, following=following, job_id=job_id)


def right_instant(task: ApiTask, at: datetime, now: datetime) -> datetime:
    """Return when a task whose next instant was found to be `at` is due next: mostly just then.

    Not where `at` is more than one interval behind what is next, for the clock was ahead when it was found, and not
    where the rule has no such instant, for the zone's clock changes at another one by now. What has come is not judged,
    nor is the only instant of a task. Raises InvalidValueError for a cron expression that is none.
    """
    if at <= now or task.task_type is TaskType.ONE_TIME:
        return at
    first = next_instant(task, now)
    if first is None or at == first:
        return at
    # An instant that ran while the clock was ahead is not to run again: hence the second one is right as well.
    return at if at == next_instant(task, first) else first


def scheduled_run_id(task: ApiTask, queued_at: datetime) -> str | None:
    """Return the id of the run that `task`, as it is, had queued then by its schedule; None before its first instant.

    It is that of the latest instant until then: of several that have passed only the latest is made up for.
    """
    instant = latest_until(task.rule(), queued_at, _LOOK_BACK)
    return None if instant is None else _due_job_id(task, instant)


def _due_job_id(task: ApiTask, scheduled_at: datetime) -> str:
    if task.task_type is not TaskType.ONE_TIME or task.revision == 1:
        return scheduled_job_id(task.task_id, API_USER, scheduled_at)
    # It may have been put back to an instant that it has run for: that is another run.
    return JobIds(task.task_id, f"{rfc3339(scheduled_at)} revision {task.revision}")(API_USER)


def _following(task: ApiTask, instant: datetime) -> datetime | None:
    if task.schedule_expression is not None:
        return _cron_after(task.schedule_expression, task.timezone, instant)
    return task.rule().next_after(instant) if task.interval is None else _every_after(task.interval, instant)


@lru_cache(maxsize=1024)
def _cron_after(expression: str, timezone: str, instant: datetime) -> datetime | None:
    # Thousands of tasks run at the same midnight, by a few expressions.
    return Cron(expression=expression, timezone=timezone).next_after(instant)


@lru_cache(maxsize=1024)
def _every_after(interval: Every, instant: datetime) -> datetime | None:
    return interval.next_after(instant)


def triggered_job_id(task_id: str, trigger_id: str) -> str:
    """Return the id of the job, and so of the execution, of a manual trigger of an API task."""
    return triggered_jobs(task_id, trigger_id)(API_USER)


def triggered_message(task: ApiTask, payload: bytes, trigger_id: str, correlation_id: str, now: datetime) -> JobMessage:
    """Return the message of the one job of a manual trigger, which is due now."""
    return _message(
        task,
        payload,
        job_id=triggered_job_id(task.task_id, trigger_id),
        scheduled_at=now,
        execute_after=now,
        metadata=Metadata(correlation_id=correlation_id, source=JobSource.TRIGGER.value),
        now=now,
    )


def _message(
    task: ApiTask,
    payload: bytes,
    *,
    job_id: str,
    scheduled_at: datetime,
    execute_after: datetime,
    metadata: Metadata,
    now: datetime,
) -> JobMessage:
    job = Job(
        id=job_id,
        task_type_id=task.task_id,
        user_id=API_USER,
        scheduled_at=scheduled_at,
        execute_after=execute_after,
        attempt=1,
        priority=task.priority.of_jobs,
        payload=payload,
        created_at=now,
    )
    return JobMessage(job=job, metadata=metadata)
