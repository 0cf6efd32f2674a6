"""The answer to why a task did or did not run for a user."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema

from taskqueue.api.schemas import AnswerBody, GivenInstant, Instant, Optionally
from taskqueue.api.schemas_executions import AttemptView
from taskqueue.core.dependency import DependencyType
from taskqueue.core.explanation import OccurrenceState, Place
from taskqueue.core.ids import MAX_USER_ID_BYTES
from taskqueue.core.preference import Rule
from taskqueue.core.state import Status
from taskqueue.core.task import TaskSource
from taskqueue.core.verdict import Verdict
from taskqueue.core.wait import WaitReason

_INTERVAL = {"description": "The interval as it would stand in tasks.yaml.", "type": "object"}
_OPTIONAL_INTERVAL = {"anyOf": [{"type": "object"}, {"type": "null"}]}


class ExplainQuery(AnswerBody):
    """What is asked about. An unknown parameter is refused: it is a typo."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    user_id: Annotated[Optionally[str], Field(max_length=MAX_USER_ID_BYTES)] = None
    """Whose job: needed for a task type of tasks.yaml; refused for a task made through the API, which has no users."""
    at: Optionally[GivenInstant] = None
    """Of the occurrence at or before this instant; the latest that has come due, when left out."""


class ExplainedReason(AnswerBody):
    """One reason."""

    code: Verdict
    """A stable word: docs/explain.md lists them."""
    message: str
    remedy: str | None
    """What to do about it; null where all is as it should be."""


class ExplainedTask(AnswerBody):
    """What is in force for the task now."""

    source: TaskSource
    enabled: bool
    """Whether it is let run; false as well where it is paused or removed."""
    paused: bool
    """Switched off through the API."""
    removed: bool
    """Gone from tasks.yaml."""
    revision: str | None
    """Of the definitions of tasks.yaml that are in force, or of the task made through the API."""
    interval: Annotated[dict[str, Any], WithJsonSchema(_INTERVAL)]
    start_at: Instant | None
    end_at: Instant | None
    overlap: str
    catch_up: str
    max_age_seconds: int
    """A job that is older is not called any more."""


class ExplainedPreference(AnswerBody):
    """What the user's preferences come to for the task, as they stand now."""

    enabled: bool
    """Whether the user gets the task."""
    rule: Rule
    """What decides it: the user's own switch, the task's default_enabled, or that nothing is known of the user."""
    switch: bool | None
    """The user's own switch; null without one."""
    interval: Annotated[dict[str, Any] | None, WithJsonSchema(_OPTIONAL_INTERVAL)]
    """The user's own interval; null where the task's counts."""
    problem: str | None
    """What is wrong with a custom_interval that does not count."""


class ExplainedSlot(AnswerBody):
    """When in the window it is the user's turn."""

    number: int
    """Counted from 0, in slots of ten seconds."""
    planned_at: Instant
    """When the job is due."""
    exact: bool
    """false: worked out from the user's place among so many users; nothing tells it exactly any more, or yet."""
    margin_ms: int
    """It is within so much of planned_at, in 99 of 100 cases; 0 where it is exact."""


class ExplainedOccurrence(AnswerBody):
    """The occurrence in question."""

    scheduled_at: Instant
    """Its instant, by the interval that counts for the user; of a task made through the API, when its run was queued or
    was due."""
    occurrence_id: str | None
    """null where it was not planned, and for a task made through the API."""
    state: OccurrenceState
    starts_at: Instant | None
    """When its window begins: its instant, or later where it was planned late."""
    window_ms: int | None
    users: int | None
    """How many were to be called when it was planned."""
    released: int | None
    """How many of their jobs have gone to RabbitMQ so far."""
    slot: ExplainedSlot | None


class ExplainedWait(AnswerBody):
    """A time in which the job was put aside."""

    reason: WaitReason
    limit: str | None
    """The name of the limit that it waited for."""
    attempt: int
    """The attempt that was to come, counted from 1."""
    since: Instant
    until: Instant | None
    """When that attempt began, or the job was put aside anew or ended; null while it waits."""
    duration_ms: int
    """So far, while it waits."""


class ExplainedLimit(AnswerBody):
    """A limit that the job has to pass."""

    name: str
    """global, task:ID, concurrency:ID, host:HOST or queue:PRIORITY."""
    in_force: str | None
    """What it allows, in words; null where nothing is set."""
    waiting: int
    """Jobs that wait in its list now."""


class ExplainedJob(AnswerBody):
    """The user's job in the occurrence."""

    job_id: str
    """Also the id of its execution."""
    status: Status | None
    """null where nothing is known of it yet, or any more."""
    place: Place
    """Where it is now."""
    waits_for: str | None
    """The name of the limit in whose list it is."""
    worker_id: str | None
    """The worker that has it, or had it last."""
    attempt: int | None
    """The attempt that runs, is to come, or was the last one."""
    next_attempt_at: Instant | None
    """When it is to be tried, where that is known."""
    started_at: Instant | None
    """Start of its first attempt."""
    completed_at: Instant | None
    late_ms: int | None
    """How much later than planned its first attempt began; null before that, and where `slot` is not exact."""
    error_code: str | None
    error_message: str | None
    cancelled: bool
    """Somebody has cancelled it."""
    waits: list[ExplainedWait]
    """When it was put aside, the latest fifty times. A second that a worker slept with it in hand is not among them."""
    attempts: list[AttemptView]
    """Those that ended, the latest fifty."""
    limits: list[ExplainedLimit]
    """What it still has to pass; none once it has ended."""


class ExplainedNext(AnswerBody):
    """The first occurrence after that."""

    scheduled_at: Instant | None
    """null where there is none any more."""
    verdict: Verdict
    reasons: list[ExplainedReason]
    slot: ExplainedSlot | None


class ExplainedDependency(AnswerBody):
    """A task that this one waits for when it is due."""

    task_id: str
    task_name: str
    dependency_type: DependencyType
    satisfied: bool
    """Whether it has ended as it should since the last run."""
    ended_at: Instant | None
    """When it last ended that way."""


class TaskExplanation(AnswerBody):
    """Why a task did or did not run."""

    task_id: str
    user_id: str | None
    explained_at: Instant
    verdict: Verdict
    """The code of the first reason."""
    reasons: list[ExplainedReason]
    """The first one decides; the others would, or add to it."""
    task: ExplainedTask
    preference: ExplainedPreference | None
    """null for a task made through the API."""
    occurrence: ExplainedOccurrence | None
    """null where none has come due."""
    job: ExplainedJob | None
    """null without an occurrence in which the user has a job."""
    next: ExplainedNext
    dependencies: list[ExplainedDependency]
