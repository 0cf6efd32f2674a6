"""The moments at which a worker is killed: each arrow of a job's way from the delivery to the ack."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.failpoints import Failpoint, When
from tests.support.worker_ledger import Allowed, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerKillPoint:
    """`failpoint` is reached by jobs of `kind`; without one the worker is killed from outside, in the middle of calls.

    `allowed` is what a crash there leaves behind, with a single job in hand.
    """

    name: str
    failpoint: Failpoint | None
    kind: Kind = "ok"
    allowed: Allowed = field(default_factory=Allowed)
    jobs: int = 4


def _store(name: str, when: When, count: int = 1) -> Failpoint:
    return Failpoint(target=f"taskqueue.store.jobs:JobStore.{name}", when=when, count=count)


_ACK = "taskqueue.broker.consumer:Delivery.ack"
_PUBLISH = "taskqueue.broker.publisher:Publisher.publish"
_SENT = "taskqueue.broker.confirms:ConfirmChannel.send"

#: the call was made and nobody knows of it: it must be made again
_AGAIN = Allowed(again=(1, 1))
#: the message was confirmed and nobody knows of it: it must be sent again
_COPY = Allowed(copies=(1, 1))

POINTS = (
    WorkerKillPoint(name="after a delivery, before it is claimed", failpoint=_store("admit", "before")),
    WorkerKillPoint(name="after a job is claimed, before its call", failpoint=_store("admit", "after")),
    WorkerKillPoint(name="during the call", failpoint=None, kind="slow", allowed=_AGAIN, jobs=2),
    WorkerKillPoint(name="after the answer, before the record", failpoint=_store("finish", "before"), allowed=_AGAIN),
    WorkerKillPoint(name="after the record, before the ack", failpoint=_store("finish", "after")),
    WorkerKillPoint(name="after the ack, before it is sent", failpoint=Failpoint(target=_ACK, when="after")),
    WorkerKillPoint(name="after an ack, before the next claim", failpoint=_store("admit", "before", 2)),
    WorkerKillPoint(
        name="after a failed attempt, before its retry is stored",
        failpoint=_store("postpone", "before"),
        kind="retried",
        allowed=_AGAIN,
    ),
    WorkerKillPoint(
        name="after a retry is stored, before the ack", failpoint=_store("postpone", "after"), kind="retried"
    ),
    WorkerKillPoint(
        name="after an early job is put back, before the ack", failpoint=_store("postpone", "after"), kind="early"
    ),
    WorkerKillPoint(
        name="after a final failure, before its record",
        failpoint=_store("finish", "before"),
        kind="final",
        allowed=_AGAIN,
    ),
    WorkerKillPoint(
        name="after a failure's record, before its message",
        failpoint=Failpoint(target=_PUBLISH, when="before"),
        kind="final",
    ),
    WorkerKillPoint(
        name="after a failure's message, before its confirm",
        failpoint=Failpoint(target=_SENT, when="after"),
        kind="final",
        allowed=Allowed(copies=(0, 1)),
    ),
    WorkerKillPoint(
        name="after a failure's confirm, before the mark",
        failpoint=_store("mark_failed", "before"),
        kind="final",
        allowed=_COPY,
    ),
    WorkerKillPoint(
        name="after a failure's mark, before the ack", failpoint=_store("mark_failed", "after"), kind="final"
    ),
    WorkerKillPoint(
        name="after a malformed message is sent, before the ack",
        failpoint=Failpoint(target=_PUBLISH, when="after"),
        kind="malformed",
        allowed=_COPY,
    ),
)
