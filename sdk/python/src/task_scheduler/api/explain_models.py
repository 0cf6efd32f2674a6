"""What the API tells of why a task did or did not run; its words (`verdict`, `code`, `state` …) may become more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from task_scheduler.api.models import Attempt, DependencyType, ExecutionStatus, TaskSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedReason:
    """One reason, with what to do about it; `remedy` is None where all is as it should be."""

    code: str
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedTask:
    """What is in force for the task now."""

    source: TaskSource
    enabled: bool
    paused: bool
    removed: bool
    revision: str | None
    interval: Mapping[str, Any]
    start_at: datetime | None
    end_at: datetime | None
    overlap: str
    catch_up: str
    max_age_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPreference:
    """What the user's preferences come to for the task."""

    enabled: bool
    rule: str
    switch: bool | None
    interval: Mapping[str, Any] | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedSlot:
    """When in the window it is the user's turn, within `margin_ms`."""

    number: int
    planned_at: datetime
    exact: bool
    margin_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedOccurrence:
    """The occurrence in question."""

    scheduled_at: datetime
    occurrence_id: str | None
    state: str
    starts_at: datetime | None
    window_ms: int | None
    users: int | None
    released: int | None
    slot: ExplainedSlot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedWait:
    """A time in which the job was put aside; `until` is None while it waits."""

    reason: str
    limit: str | None
    attempt: int
    since: datetime
    until: datetime | None
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedLimit:
    """A limit that the job has to pass."""

    name: str
    in_force: str | None
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedJob:
    """The user's job in the occurrence."""

    job_id: str
    status: ExecutionStatus | None
    place: str
    waits_for: str | None
    worker_id: str | None
    attempt: int | None
    next_attempt_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    late_ms: int | None
    error_code: str | None
    error_message: str | None
    cancelled: bool
    waits: tuple[ExplainedWait, ...]
    attempts: tuple[Attempt, ...]
    limits: tuple[ExplainedLimit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedNext:
    """The first occurrence after that."""

    scheduled_at: datetime | None
    verdict: str
    reasons: tuple[ExplainedReason, ...]
    slot: ExplainedSlot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDependency:
    """A task that this one waits for when it is due."""

    task_id: str
    task_name: str
    dependency_type: DependencyType
    satisfied: bool
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExplanation:
    """Why a task did or did not run. `verdict` is the code of the first reason, which decides."""

    task_id: str
    user_id: str | None
    explained_at: datetime
    verdict: str
    reasons: tuple[ExplainedReason, ...]
    task: ExplainedTask
    preference: ExplainedPreference | None
    occurrence: ExplainedOccurrence | None
    job: ExplainedJob | None
    next: ExplainedNext
    dependencies: tuple[ExplainedDependency, ...]
