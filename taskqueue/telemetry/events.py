"""What happens, as values: code emits events; the log and the metrics subscribe.

Durations are seconds (`_s`), instants aware UTC datetimes. `task` is a task id. No event carries a secret, a request
header or a URL; user ids appear in the log but never in a metric's label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Event:
    """Something that happened. Each subclass is one stable event name (its class name in snake_case)."""

    __slots__ = ()


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
class ClockDiffers(Event):
    """The host's clock is `ahead_s` ahead of Redis's (negative: behind). Redis's counts for all that is scheduled."""

    ahead_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingBlocked(Event):
    """RabbitMQ takes no messages because of its memory or disk alarm (`blocked`), or takes them again."""

    connection: str
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStuck(Event):
    """Jobs do not come out of the delayed queue in time (`stuck`), or do again, or are not watched any more."""

    stuck: bool
    lag_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneUnwatched(Event):
    """RabbitMQ lets the leader not declare the queue with which it measures the delayed queue."""

    error: str


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
