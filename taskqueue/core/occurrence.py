"""An occurrence: one due instant of one cohort of a task, or one manual trigger, and how far it has got."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.ids import JobIds, scheduled_jobs, triggered_jobs
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.slots import Spread
from taskqueue.core.task import Interval, Overlap, Task

#: the cohort of the users without a custom interval
DEFAULT_COHORT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """What was decided when it was planned. It never changes; `Progress` does."""

    id: str
    task_id: str
    cohort: str
    source: JobSource
    scheduled_at: datetime
    #: offsets count from here: scheduled_at, or later when it was planned late
    starts_at: datetime
    created_at: datetime
    window: timedelta
    users: int
    correlation_id: str
    #: False for an `execute_immediately` trigger: its jobs carry no slot
    distributed: bool = True
    #: the ends of its jobs are counted, for the next one waits for it or yields to it, but not longer than until then
    over_by: datetime | None = None

    @property
    def member(self) -> str:
        """Its name among all tasks' occurrences. Task ids hold no colon, so the name parses from the left."""
        return f"{self.task_id}:{self.id}"

    @property
    def spread(self) -> Spread:
        """How its users are spread over the window."""
        return Spread(window=self.window, users=self.users)

    def execute_after(self, index: int) -> datetime:
        """Return when the user at `index` of the order is due."""
        return self.starts_at + self.spread.offset(index)

    def job_ids(self) -> JobIds:
        """Return the ids of its users' jobs: the same whenever they are computed."""
        if self.source is JobSource.TRIGGER:
            return triggered_jobs(self.task_id, self.id)
        return scheduled_jobs(self.task_id, self.scheduled_at)

    def job_id(self, user_id: str) -> str:
        """Return the id of one user's job; for many, `job_ids` gives the same and is faster."""
        return self.job_ids()(user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an occurrence has got: `cursor` is the last planned user's place in the order, as text."""

    #: what the keys of its slot lists end in: empty for the plain keys of the spec
    suffix: str = ""
    cursor: str = ""
    planned: int = 0
    released: int = 0
    #: every user stands in a slot list
    complete: bool = False
    #: its instant has come and was noted as the task's last execution
    opened: bool = False

    @property
    def finished(self) -> bool:
        """Whether every user's job has been published."""
        return self.complete and self.released >= self.planned


def cohort_id(interval: Interval) -> str:
    """Return the cohort of the users with this interval: equal intervals, equal cohorts."""
    return hashlib.blake2b(rule_text(interval).encode(), digest_size=8).hexdigest()


def rule_text(interval: Interval) -> str:
    """Return the interval as canonical JSON: equal rules give equal texts."""
    return json.dumps(interval.as_dict(), sort_keys=True, separators=(",", ":"))


def scheduled_occurrence_id(cohort: str, scheduled_at: datetime) -> str:
    """Return the id of the occurrence of `cohort` at `scheduled_at`, the same for whoever plans it."""
    instant = f"{scheduled_at:%Y%m%dT%H%M%SZ}"
    return f"{instant}.{cohort}" if cohort else instant


def scheduled_occurrence(
    task: Task,
    cohort: str,
    rule: Interval,
    scheduled_at: datetime,
    following: datetime | None,
    *,
    users: int,
    window: timedelta,
    now: datetime,
) -> Occurrence:
    """Return what is decided at `now` about the occurrence of a cohort at `scheduled_at`, one of its `rule`'s instants.

    `following` is the instant after it. One that comes late starts now, in whole milliseconds. `window` is what the
    task asks for.
    """
    created_at = from_unix_ms(to_unix_ms(now))
    starts_at = max(scheduled_at, created_at)
    if following is not None and following <= starts_at:
        following = rule.next_after(starts_at)
    window = window_until_next(window, starts_at, following)
    occurrence_id = scheduled_occurrence_id(cohort, scheduled_at)
    return Occurrence(
        id=occurrence_id,
        task_id=task.id,
        cohort=cohort,
        source=JobSource.SCHEDULER,
        scheduled_at=scheduled_at,
        starts_at=starts_at,
        created_at=created_at,
        window=window,
        users=users,
        correlation_id=f"{task.id}:{occurrence_id}",
        over_by=None if task.overlap is Overlap.ALLOW else starts_at + window + task.max_age,
    )


def window_until_next(window: timedelta, starts_at: datetime, following: datetime | None) -> timedelta:
    """Return `window`, shortened where the `following` occurrence begins before its end."""
    return window if following is None else min(window, following - starts_at)
