"""What an explanation is made of: the task, the preference, the occurrence, the job, and the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.dependency import DependencyType
from taskqueue.core.instants import rfc3339
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.preference import Enablement
from taskqueue.core.state import Status
from taskqueue.core.task import TaskSource
from taskqueue.core.verdict import Reason, Verdict
from taskqueue.core.wait import Wait

_MILLISECOND = timedelta(milliseconds=1)


class OccurrenceState(StrEnum):
    """How far an occurrence has got."""

    #: its instant is to come, and it is not planned
    UPCOMING = "upcoming"
    #: its instant has come, and nothing was written of it
    UNPLANNED = "unplanned"
    #: it waits for the one before it
    HELD = "held"
    #: it was left out, or passed over
    SKIPPED = "skipped"
    #: users are being put into its slots
    PLANNING = "planning"
    #: jobs of it are still to be released
    OPEN = "open"
    #: all its jobs were released
    RELEASED = "released"


class Place(StrEnum):
    """Where a job is."""

    #: nowhere, as far as anything tells
    NOWHERE = "nowhere"
    #: in a slot list in Redis
    SLOT = "slot"
    #: in RabbitMQ, as far as can be told: in the delayed queue, or a ready queue
    QUEUE = "queue"
    #: in Redis, until an instant
    DELAYED = "delayed"
    #: in Redis, in the list of a limit
    WAITING_LIST = "waiting_list"
    #: a worker calls its endpoint
    WORKER = "worker"
    #: it is over
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What is in force for a task. `enabled` is False as well where it is paused or removed."""

    task_id: str
    source: TaskSource
    enabled: bool
    paused: bool = False
    removed: bool = False
    revision: str | None = None
    interval: Mapping[str, object]
    start_at: datetime | None = None
    end_at: datetime | None = None
    overlap: str = "allow"
    catch_up: str = "latest"
    max_age: timedelta

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "source": self.source.value,
            "enabled": self.enabled,
            "paused": self.paused,
            "removed": self.removed,
            "revision": self.revision,
            "interval": dict(self.interval),
            "start_at": _text(self.start_at),
            "end_at": _text(self.end_at),
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "max_age_seconds": self.max_age // timedelta(seconds=1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceFacts:
    """What a user's preferences come to. `interval` is the user's own, None where the task's counts."""

    decided: Enablement
    switch: bool | None = None
    interval: Mapping[str, object] | None = None
    problem: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "enabled": self.decided.enabled,
            "rule": self.decided.rule.value,
            "switch": self.switch,
            "interval": None if self.interval is None else dict(self.interval),
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFacts:
    """When in the window a user's turn is; where it is not `exact`, within `margin` of it in 99 of 100 cases."""

    number: int
    planned_at: datetime
    exact: bool = True
    margin: timedelta = timedelta(0)

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "number": self.number,
            "planned_at": rfc3339(self.planned_at),
            "exact": self.exact,
            "margin_ms": -(-self.margin // _MILLISECOND),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrenceFacts:
    """An occurrence; `planned` is None where there is no record of it."""

    scheduled_at: datetime
    state: OccurrenceState
    planned: tuple[Occurrence, Progress] | None = None
    slot: SlotFacts | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        occurrence, progress = (None, None) if self.planned is None else self.planned
        return {
            "scheduled_at": rfc3339(self.scheduled_at),
            "occurrence_id": occurrence and occurrence.id,
            "state": self.state.value,
            "starts_at": occurrence and rfc3339(occurrence.starts_at),
            "window_ms": occurrence and occurrence.window // _MILLISECOND,
            "users": occurrence and occurrence.users,
            "released": progress and progress.released,
            "slot": self.slot and self.slot.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFacts:
    """A limit that a job has to pass: what it allows in words, None where nothing is set, and how many wait for it."""

    name: str
    in_force: str | None
    waiting: int

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {"name": self.name, "in_force": self.in_force, "waiting": self.waiting}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job as it was seen at one moment. `attempt` runs, is to come or was the last one.

    `next_attempt_at` is when a job that was put aside is to be tried, `waits_for` the limit in whose list it is.
    `worker_lost` is whether its worker is gone in the middle of an attempt, `reason` why it ended without a call that
    could tell it.
    """

    job_id: str
    status: Status | None = None
    place: Place = Place.NOWHERE
    waits_for: str | None = None
    worker_id: str | None = None
    worker_lost: bool = False
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    reason: str | None = None
    cancelled: bool = False
    waits: tuple[Wait, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    limits: tuple[LimitFacts, ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything in Redis tells of the job itself."""
        return self.status is not None or self.cancelled or self.worker_id is not None

    def as_dict(self, now: datetime, slot: SlotFacts | None) -> dict[str, object]:
        """Return it as a JSON object as of `now`; `slot` says when it was due."""
        late = None
        if self.started_at is not None and slot is not None and slot.exact:
            late = max(timedelta(0), self.started_at - slot.planned_at) // _MILLISECOND
        return {
            "job_id": self.job_id,
            "status": None if self.status is None else self.status.value,
            "place": self.place.value,
            "waits_for": self.waits_for,
            "worker_id": self.worker_id,
            "attempt": self.attempt,
            "next_attempt_at": _text(self.next_attempt_at),
            "started_at": _text(self.started_at),
            "completed_at": _text(self.completed_at),
            "late_ms": late,
            "error_code": self.error_code,
            "error_message": self.error_message,
            "cancelled": self.cancelled,
            "waits": [wait.as_dict(now) for wait in self.waits],
            "attempts": [_attempt(each) for each in self.attempts],
            "limits": [limit.as_dict() for limit in self.limits],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyFacts:
    """A task that another one waits for; `ended_at` is when it last ended as it should."""

    task_id: str
    task_name: str
    type: DependencyType
    satisfied: bool
    ended_at: datetime | None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "task_id": self.task_id,
            "task_name": self.task_name,
            "dependency_type": self.type.value,
            "satisfied": self.satisfied,
            "ended_at": _text(self.ended_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NextFacts:
    """The first occurrence after the one in question; `scheduled_at` is None where there is none any more."""

    scheduled_at: datetime | None
    reasons: tuple[Reason, ...]
    slot: SlotFacts | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "scheduled_at": _text(self.scheduled_at),
            "verdict": self.reasons[0].code.value,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "slot": self.slot and self.slot.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a task did or did not run; the first of `reasons`, of which there is at least one, decides."""

    now: datetime
    user_id: str | None
    reasons: tuple[Reason, ...]
    task: TaskFacts
    preference: PreferenceFacts | None = None
    occurrence: OccurrenceFacts | None = None
    job: JobFacts | None = None
    next: NextFacts
    dependencies: tuple[DependencyFacts, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The code of the first reason."""
        return self.reasons[0].code

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object; the API answers with the same."""
        slot = None if self.occurrence is None else self.occurrence.slot
        return {
            "task_id": self.task.task_id,
            "user_id": self.user_id,
            "explained_at": rfc3339(self.now),
            "verdict": self.verdict.value,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "task": self.task.as_dict(),
            "preference": self.preference and self.preference.as_dict(),
            "occurrence": self.occurrence and self.occurrence.as_dict(),
            "job": self.job and self.job.as_dict(self.now, slot),
            "next": self.next.as_dict(),
            "dependencies": [each.as_dict() for each in self.dependencies],
        }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _attempt(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "attempt": attempt.attempt,
        "worker_id": attempt.worker_id,
        "started_at": rfc3339(attempt.started_at),
        "completed_at": rfc3339(attempt.completed_at),
        "duration_ms": attempt.duration // _MILLISECOND,
        "outcome": attempt.outcome.value,
        "http_status": attempt.http_status,
        "error_code": attempt.code or None,
        "error_message": attempt.message or None,
        "next_attempt_at": _text(attempt.next_attempt),
    }
