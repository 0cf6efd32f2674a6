"""Why a user's job ran, runs, waits or did not run: each reason has a stable code, a sentence and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The stable words for what became of a user's share of an occurrence, and for why nothing did."""

    # the job has ended
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: its turn came later than the task's max_age allows
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SKIPPED_PREFERENCE_OFF = "skipped_preference_off"
    SKIPPED_TASK_DISABLED = "skipped_task_disabled"
    SKIPPED_TASK_REMOVED = "skipped_task_removed"

    # the job is on its way
    RUNNING = "running"
    #: it runs and bears the mark: its worker cuts the call
    CANCELLING = "cancelling"
    #: the worker that had it is gone; RabbitMQ gives it to another one
    WORKER_LOST = "worker_lost"
    RETRYING = "retrying"
    HOST_CLOSED = "host_closed"
    WAITS_FOR_LIMIT = "waits_for_limit"
    #: put back, or queued, until an instant
    WAITS_FOR_TIME = "waits_for_time"
    #: in a slot list, and not due yet
    PLANNED = "planned"
    #: in a slot list although it is due
    HELD_BACK = "held_back"
    #: released; nothing in Redis tells of it until a worker begins it
    IN_QUEUE = "in_queue"

    # the user has no job in the occurrence, as far as anything tells
    PLANNING = "planning"
    NOT_IN_AUDIENCE = "not_in_audience"
    NO_TRACE = "no_trace"

    # there is no such occurrence
    NOT_DUE_YET = "not_due_yet"
    NOT_PLANNED_YET = "not_planned_yet"
    WAITS_FOR_PREVIOUS = "waits_for_previous"
    OVERLAP_SKIPPED = "overlap_skipped"
    MISSED = "missed"
    TOO_OLD = "too_old"
    RULE_CHANGED = "rule_changed"
    NOT_PLANNED = "not_planned"
    FORGOTTEN = "forgotten"

    # the task, or the user's preference, keeps it from running
    TASK_REMOVED = "task_removed"
    TASK_DISABLED = "task_disabled"
    TASK_PAUSED = "task_paused"
    BEFORE_START = "before_start"
    AFTER_END = "after_end"
    NEVER_DUE = "never_due"
    USER_UNKNOWN = "user_unknown"
    USER_OFF = "user_off"
    USER_NOT_ON = "user_not_on"

    # a task made through the API
    DEPENDENCY_OPEN = "dependency_open"
    NEVER_RAN = "never_ran"
    TASK_OVER = "task_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason: its code, what it means here, and what to do about it; no remedy where all is as it should be."""

    code: Verdict
    message: str
    remedy: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {"code": self.code.value, "message": self.message, "remedy": self.remedy}
