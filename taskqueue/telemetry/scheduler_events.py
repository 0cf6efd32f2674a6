"""What happens in a scheduler."""

from __future__ import annotations

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
class OccurrencePlanned(Event):
    """One due instant of one cohort has its slots: `users` jobs, planned in `seconds`."""

    task: str
    cohort: str
    scheduled_at: datetime
    users: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OccurrenceSkipped(Event):
    """One due instant of one cohort gives no jobs; `reason` is a stable code (`missed`, `overlap`, `paused`, ...)."""

    task: str
    cohort: str
    scheduled_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWorkRebuilt(Event):
    """Entries of `taskqueue:due` were gone although their rules were there; they begin anew from a check before now."""

    entries: int


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
    """Whether jobs go around the delayed queue has changed: `reason` is `stuck` or `refused`."""

    closed: bool
    reason: str


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
