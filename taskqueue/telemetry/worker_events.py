"""What happens in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from taskqueue.core.value import value
from taskqueue.telemetry.events import Event

#: what settle did with a delivery: done, tried again later, put back without spending an attempt, sent to the failed
#: queue, cancelled after its call began (core/retry names the same; a skip and a drop have events of their own)
DecisionName = Literal["complete", "retry", "park", "fail", "cancel"]


@value
class AttemptStarted(Event):
    """The HTTP call begins. Exactly one AttemptEnded follows, also when the attempt is cut by a drain.

    `lateness_s` is the time since the job was due; None for a retry, whose due time is not the schedule's.
    """

    task: str
    job_id: str
    user_id: str
    attempt: int
    lateness_s: float | None


@value
class AttemptEnded(Event):
    """The HTTP call is over: `outcome_class` is the class of core/outcome, `status` the HTTP status if one came."""

    task: str
    job_id: str
    user_id: str
    attempt: int
    outcome_class: str
    status: int | None
    duration_s: float
    error_code: str | None = None


@value
class JobSettled(Event):
    """What was decided for the job is done. `status` is the execution's when this ended it (not skipped).

    `reason` is the stable code of a retry, a park or a failure.
    """

    task: str
    job_id: str
    user_id: str
    attempt: int
    decision: DecisionName
    status: str | None = None
    reason: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSkipped(Event):
    """The job ended without a call; `reason` is a stable code (`preference_off`, `cancelled`, `disabled`, ...).

    `status` is the execution's: skipped, or cancelled.
    """

    task: str
    job_id: str
    user_id: str
    reason: str
    status: str = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateDropped(Event):
    """A delivery of a job that is already done, or this worker's own, was acknowledged and forgotten."""

    task: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRejected(Event):
    """A message that cannot be read went to the failed queue; `reason` as in MessageError."""

    reason: str
    queue: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWaited(Event):
    """A job waits for `limit` (`global`, `task`, `concurrency`, `host`): slept `seconds`, or parked until its turn."""

    limit: str
    task: str
    job_id: str
    seconds: float
    parked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUnused(Event):
    """rate_limit.per_task of worker.yaml names a task that does not exist: a typing mistake, or a task to come."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumersRebuilt(Event):
    """The watchdog had all consumers attached anew after a silence of `silent_s`.

    `reason` is `no_deliveries` (messages stood `ready` in `queue`, and none came) or `no_answer` (RabbitMQ said nothing
    about its queues).
    """

    reason: str
    queue: str
    ready: int
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClosed(Event):
    """A host had too much, or was not there, `closings` times in a row; it is left alone for `seconds`.

    `host` is `scheme://host:port`.
    """

    host: str
    closings: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOpened(Event):
    """A host that was closed has answered: it gets more calls again, little by little."""

    host: str
