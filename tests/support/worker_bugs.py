"""Mistakes that a worker could make, put into a real one: what judges its crashes must see each of them.

And a change that is none: claims that lapse sooner, so that hundreds of workers can be killed within minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import taskqueue.worker.main
from taskqueue.broker.consumer import Delivery
from taskqueue.core.job import Job
from taskqueue.store import keys
from taskqueue.store.jobs import FAILED, Admission, JobStore, Verdict
from taskqueue.worker.intake import Intake

#: the environment variable with the seconds that a worker's heartbeat, and so its claims, outlive it
CLAIM_TTL_VARIABLE = "CLAIM_TTL_S"

_A_DAY = timedelta(days=1)
_A_DAY_MS = _A_DAY // timedelta(milliseconds=1)


def shorten_claims(environ: Mapping[str, str]) -> None:
    """Let claims lapse as soon as the environment says."""
    if seconds := environ.get(CLAIM_TTL_VARIABLE):
        taskqueue.worker.main.HEARTBEAT_TTL = timedelta(seconds=float(seconds))


def ack_before_record() -> None:
    """Acknowledge a message as soon as somebody takes it up: what is not written down when its worker dies is lost."""
    take = Intake.take

    @functools.wraps(take)
    async def take_and_ack(self: Intake) -> Delivery:
        delivery = await take(self)
        await delivery.ack()
        return delivery

    Intake.take = take_and_ack  # type: ignore[method-assign]  # that is the mistake


def record_before_call() -> None:
    """Call a job done before it is called: whoever gets it after a crash has nothing left to do."""
    admit = JobStore.admit

    @functools.wraps(admit)
    async def admit_and_record(self: JobStore, job: Job, *arguments: Any, **named: Any) -> Admission:
        admission = await admit(self, job, *arguments, **named)
        if admission.verdict is Verdict.RUN:
            await self._store.command("SET", keys.done(job.id), "success", "PX", _A_DAY_MS)
        return admission

    JobStore.admit = admit_and_record  # type: ignore[method-assign]  # that is the mistake


def claim_for_ever() -> None:
    """Let the heartbeat of a worker stand for a day: nobody takes over what it had."""
    beat = JobStore.beat

    @functools.wraps(beat)
    async def beat_for_a_day(self: JobStore, incarnation: str, status: str, _ttl: timedelta) -> None:
        await beat(self, incarnation, status, _A_DAY)

    JobStore.beat = beat_for_a_day  # type: ignore[method-assign]  # that is the mistake


def mark_before_message() -> None:
    """Note that a failure stands in the failed queue before it does: after a crash nobody puts it there."""
    finish = JobStore.finish

    @functools.wraps(finish)
    async def finish_and_mark(self: JobStore, job: Job, *arguments: Any, **named: Any) -> bool:
        first = await finish(self, job, *arguments, **named)
        if await self._store.command("GET", keys.done(job.id)) not in {b"success", None}:
            await self._store.command("SET", keys.done(job.id), FAILED, "PX", _A_DAY_MS)
        return first

    JobStore.finish = finish_and_mark  # type: ignore[method-assign]  # that is the mistake


BUGS: Mapping[str, Callable[[], None]] = {
    "ack_before_record": ack_before_record,
    "record_before_call": record_before_call,
    "claim_for_ever": claim_for_ever,
    "mark_before_message": mark_before_message,
}
