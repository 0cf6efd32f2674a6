"""What happens, as values: code emits events; the log and the metrics subscribe.

Durations are seconds (`_s`), instants aware UTC datetimes. `task` is a task id. No event carries a secret, a request
header or a URL; user ids appear in the log but never in a metric's label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

#: what settle did with a delivery: done, tried again later, put back without spending an attempt, sent to the failed
#: queue, returned to its queue unchanged (core/retry names the same; a skip and a drop have events of their own)
DecisionName = Literal["complete", "retry", "park", "fail"]

#: how released jobs travel: through the delayed queue ahead of time, or straight to their ready queue
ReleaseMode = Literal["lane", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. Each subclass is one stable event name (its class name in snake_case)."""


Emit = Callable[[Event], None]


# --- any process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted(Event):
    """The process has started its work; `process` is scheduler, worker or api."""

    process: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDraining(Event):
    """A stop was asked for; what is in flight has `timeout_s` to finish."""

    signal: str
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStopped(Event):
    """The drain is over; `clean` is False when something had to be cut."""

    clean: bool
    drain_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFailed(Event):
    """A supervised loop raised or returned and starts again after `restart_in_s`; `exception` is the traceback."""

    loop: str
    error: str
    restart_in_s: float
    exception: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberFailed(Event):
    """A subscriber of events raised; the other subscribers are told."""

    subscriber: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBusy(Event):
    """The port of the ops server is taken; it is tried again after `retry_in_s`."""

    host: str
    port: int
    error: str
    retry_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBound(Event):
    """The ops server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLost(Event):
    """`service` (rabbitmq or redis) cannot be reached. Emitted once per outage, not once per retry."""

    service: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRestored(Event):
    """`service` answers again after `outage_s`; 0 for the first connection of the process."""

    service: str
    outage_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingBlocked(Event):
    """RabbitMQ takes no messages because of its memory or disk alarm (`blocked`), or takes them again."""

    connection: str
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleLost(Event):
    """Settling `count` deliveries found their channel closed: the broker delivers those messages of `queue` again."""

    queue: str
    count: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFailed(Event):
    """Taking over a message of `queue` raised; it went back to the queue."""

    queue: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReturned(Event):
    """A delivery that nobody had begun went back to `queue`; `parked` when it takes the way through Redis."""

    queue: str
    reason: str
    parked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReloaded(Event):
    """Task definitions were read again. On failure `revision` is the one still in force and `error` says why."""

    ok: bool
    revision: str
    tasks: int
    removed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None


# --- scheduler --------------------------------------------------------------------------------------------------------


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


# --- worker -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    """The HTTP call begins. Exactly one AttemptEnded follows, also when the attempt is cut by a drain.

    `lateness_s` is the time since the job was due; None for a retry, whose due time is not the schedule's.
    """

    task: str
    job_id: str
    user_id: str
    attempt: int
    lateness_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettled(Event):
    """What was decided for the job is done. `status` is the execution's when this ended it (success or failed).

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
    """A job waits for `limit` (`global`, `task` or `host`): slept `seconds`, or parked for about that long."""

    limit: str
    task: str
    job_id: str
    seconds: float
    parked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUnused(Event):
    """rate_limit.per_task of worker.yaml names a task that does not exist: a typing mistake, or a task to come."""

    task: str


# --- fan-out ----------------------------------------------------------------------------------------------------------


class Emitter:
    """Hands every event to every subscriber, in order of subscription. Callable: an Emitter is an Emit.

    A subscriber that raises never breaks the emitting code nor the other subscribers: `failures` counts it under the
    subscriber's name and the others get a SubscriberFailed.
    """

    def __init__(self) -> None:
        self._subscribers: list[tuple[str, Emit]] = []
        self.failures: dict[str, int] = {}

    def subscribe(self, name: str, subscriber: Emit) -> None:
        """Add `subscriber`; `name` says whose failure it was."""
        self._subscribers.append((name, subscriber))

    def __call__(self, event: Event) -> None:
        """Deliver `event`; returns when every subscriber has seen it and never raises an Exception."""
        for name, subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:  # noqa: BLE001 - telemetry must not stop the work it reports on
                self._subscriber_failed(name, event, error)

    def _subscriber_failed(self, name: str, event: Event, error: Exception) -> None:
        self.failures[name] = self.failures.get(name, 0) + 1
        if isinstance(event, SubscriberFailed):
            return  # the report of a failure failed as well: counted, and not reported for ever
        report = SubscriberFailed(subscriber=name, error=f"{type(error).__name__}: {error}")
        for other, subscriber in self._subscribers:
            if other != name:
                try:
                    subscriber(report)
                except Exception:  # noqa: BLE001 - as above
                    self.failures[other] = self.failures.get(other, 0) + 1
