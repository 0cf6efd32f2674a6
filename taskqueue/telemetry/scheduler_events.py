"""What happens in a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from taskqueue.telemetry.events import Event

#: how released jobs travel: through the delayed queue ahead of time, or straight to their ready queue
ReleaseMode = Literal["lane", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderChanged(Event):
    """Whether the process leads has changed; also emitted once at start."""

    leading: bool
    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(Event):
    """The lease went to somebody else, or could not be renewed in time, while this process led."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSucceeded(Event):
    """A new leader's tasks.yaml differs from the definitions that the leader before, `written_by`, put in force.

    It has `added` other tasks, `changed` ones, and lacks those in `removed`. `refused`: it lacks too many, and those of
    the leader before stay in force.
    """

    written_by: str
    added: int
    changed: int
    removed: tuple[str, ...]
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrencePlanned(Event):
    """One due instant of one cohort has its slots: `users` jobs, planned in `seconds`.

    `redis_was_empty`: less than a minute ago. Of nobody, that is likely a loss.
    """

    task: str
    cohort: str
    scheduled_at: datetime
    users: int
    seconds: float
    redis_was_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrenceSkipped(Event):
    """One due instant of one cohort gives no jobs; `reason` is a stable code (`missed`, `overlap`, `paused`, ...)."""

    task: str
    cohort: str
    scheduled_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrenceAssumedOver(Event):
    """An occurrence that others wait for or yield to counts as over, for its time is up: some ends were never told.

    `followed_at` is the instant of the one that starts in its place.
    """

    task: str
    cohort: str
    followed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWorkRebuilt(Event):
    """Entries of `taskqueue:due` were gone although their rules were there; they begin anew from a check before now."""

    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueEntrySetBack(Event):
    """A due entry stood more than one interval too late, or at no instant of its rule.

    The clock was ahead, somebody else wrote it, or its time zone's clock now changes at another instant.

    `set_to` is None where its rule is never due again: the entry is gone.
    """

    task: str
    cohort: str
    stood_at: datetime
    set_to: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsReleased(Event):
    """`count` jobs were published and confirmed; `queue` is the ready queue (high, normal or low) they are for."""

    queue: str
    mode: ReleaseMode
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCounted(Event):
    """How many users have the task enabled now."""

    task: str
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceIgnored(Event):
    """A user's preference holds nonsense and says nothing until it is mended; `error` names user and field."""

    user_id: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencesIgnored(Event):
    """More of them than are told one by one were ignored: `count` since the last time that this was told."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotListGone(Event):
    """A slot list expired or was deleted before it was released: `users` jobs of it will not run."""

    task: str
    occurrence: str
    slot: int
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotEntryIgnored(Event):
    """A slot list held an entry that is no user id; nobody is called for it."""

    task: str
    occurrence: str
    entry: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneClosed(Event):
    """Whether jobs go around the delayed queue has changed.

    `reason`: it was `stuck`, or `refused` a job, or was `silent`, confirming none, or its connection `disconnected`.
    """

    closed: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMeasured(Event):
    """What a leader saw: `delayed` jobs wait for their time, others for room under a limit, by the limit's name.

    `lane_lag_s` says how late jobs come out of the delayed queue, None before that is known.
    """

    delayed: int
    by_limit: Mapping[str, int]
    lane_lag_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJobsLost(Event):
    """`jobs` entries of a list have no job any more, `job_id` among them: they were kept long enough, or deleted.

    They end without a record. `waits_in` is the list's key.
    """

    waits_in: str
    jobs: int
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitIgnored(Event):
    """A field of `taskqueue:limits` is no limit: jobs are released as if there were none; workers keep their own."""

    limit: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedKeySetAside(Event):
    """A key of ours held what does not belong there; work goes on as if it had been deleted.

    `kept_as` is the key where the content can be looked at for a week; empty when only an entry was removed.
    """

    key: str
    problem: str
    kept_as: str = ""
    remedy: str = 'see who writes there; docs/operations.md, "When Redis loses data", says what is gone with it'


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTasksFired(Event):
    """Tasks made through the API were due: `queued` run, `waiting` wait for the end of other tasks."""

    queued: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTasksPutBack(Event):
    """Tasks made through the API stood neither among the due nor among the waiting ones; they are due again."""

    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTasksSetBack(Event):
    """Tasks made through the API were due more than one interval too late, or at no instant of their rule.

    The clock was ahead, somebody else wrote it, or their time zone's clock now changes at another instant.
    """

    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiIndexesPutBack(Event):
    """So many entries of lists of API tasks were missing, and stand there again: somebody had removed such a list."""

    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTaskUnreadable(Event):
    """A task made through the API is due but cannot be read or sent; it is looked at again after a minute."""

    task: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksPaused(Event):
    """Which task types of tasks.yaml are paused through the API has changed."""

    paused: tuple[str, ...]
