"""Small stand-ins for what a pure decision of the worker is made on; never for Redis, RabbitMQ or an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from taskqueue.broker.consumer import Delivery
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.task import Priority, Target, Task
from taskqueue.runtime import utc_now
from taskqueue.store.hosts import HostStore
from taskqueue.worker.hosts import Hosts
from tests.support.values import a_job, a_task

JOB = a_job()
TASK = a_task()


def message(job: Job = JOB, *, source: str = "scheduler") -> JobMessage:
    """Return a message of `job`."""
    return JobMessage(job=job, metadata=Metadata(correlation_id="req_789", source=source, distribution_slot=93))


def targeting(target: Target) -> Task:
    """Return a task that calls `target`."""
    return replace(TASK, target=target)


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is moved; call it to read it."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Hand:
    """Settles nothing, and notes what it was asked: stands where a channel's settler would."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.stale = False

    async def ack(self, tag: int) -> None:
        self.asked.append(("ack", tag))

    async def requeue(self, tag: int) -> None:
        self.asked.append(("requeue", tag))


def delivery(
    queue: Priority, tag: int = 1, *, body: bytes = b"", hand: Hand | None = None, received_at: float = 0.0
) -> Delivery:
    """Return a delivery from `queue` that is known by its `tag`."""
    return Delivery(
        body=body,
        queue=queue,
        message_id=str(tag),
        foreign=False,
        redelivered=False,
        delivery_count=0,
        received_at=received_at,
        settler=hand or Hand(),  # type: ignore[arg-type]  # a real one needs a channel
        tag=tag,
    )


def some_hosts(most_calls: int = 4) -> Hosts:
    """Return the hosts of a worker that tells nobody about them; it closes them for as long as it may."""
    store = cast(HostStore, None)
    return Hosts(
        store, "worker-1:aa", most_calls=most_calls, now=utc_now, jitter=lambda: 0.999_999, emit=lambda _event: None
    )
