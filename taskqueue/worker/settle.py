"""Record what was decided, then settle the message: ack, put back, or hand over to the failed queue.

In this order: first Redis knows, then the follow-up message is confirmed, then RabbitMQ may forget. Whatever dies in
between, the message comes again and finds what was recorded: a job may be called twice after a crash, never lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.broker.consumer import Delivery
from taskqueue.broker.failed import failed_message, with_request
from taskqueue.broker.names import queue_name
from taskqueue.broker.publisher import Publisher
from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.codec import MAX_STORED_BYTES, decode_message, encode_message
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.job import Job, JobMessage
from taskqueue.core.retry import Cancel, Complete, Decision, Drop, Fail, Park, Retry, Skip
from taskqueue.core.state import Status
from taskqueue.core.task import Task
from taskqueue.core.wait import WaitReason, WaitRecord
from taskqueue.errors import InvalidValueError, MessageError, StoreError
from taskqueue.runtime import Now
from taskqueue.store.jobs import Claimant, JobStore
from taskqueue.telemetry.events import DeliveryReturned, Emit
from taskqueue.telemetry.worker_events import DecisionName, DuplicateDropped, JobSettled, JobSkipped, MessageRejected
from taskqueue.worker.handle import Handled
from taskqueue.worker.perseverance import Perseverance

_CONFIRM_WITHIN_S = 5.0

#: a delivery that came back so often already is not returned to its queue once more, if that can be helped
_RETURNS_TO_QUEUE = 4
_PARKED_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Where to ask what a failed job was to call, and what its attempts came to: told to whoever finds its message."""

    definition: Callable[[str], Awaitable[Task | None]]
    attempts: Callable[[str], Awaitable[Sequence[AttemptRecord]]]


class Settler:
    """The end of a delivery's way."""

    def __init__(
        self,
        jobs: JobStore,
        publisher: Publisher,
        perseverance: Perseverance,
        background: Background,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        self._jobs = jobs
        self._background = background
        self._publisher = publisher
        self._persevere = perseverance
        self._now = now
        self._emit = emit

    async def record(self, message: JobMessage, claimant: Claimant, handled: Handled) -> Handled:
        """Write down what was decided; return what is left to do, which is less when somebody else was first."""
        match handled.decision:
            case Retry(at=until):
                following = message.job.attempt + 1
                reply = await self._postpone(message, claimant, handled, until=until, attempt=following)
                if reply == "cancelled":
                    return await self.record(message, claimant, _without_retry(handled))
                stored = reply == "stored"
            case Park(until=until):
                reply = await self._postpone(message, claimant, handled, until=until, attempt=message.job.attempt)
                stored = reply == "stored"
            case _:
                stored = await self._finish(message, claimant, handled)
        return handled if stored else replace(handled, decision=Drop(reason="ended_elsewhere"))

    async def settle(self, delivery: Delivery, job: Job, handled: Handled) -> None:
        """Settle `delivery`: exactly one ack or requeue."""
        match handled.decision:
            case Complete() | Retry() | Park() | Skip() | Drop() | Cancel():
                await delivery.ack()
            case Fail() as failure:
                attempts = job.attempt if handled.called else job.attempt - 1
                failure, failed_at = await self._as_recorded(job, failure, handled.record)
                await self._hand_to_failed(delivery, failure, attempts, failed_at, job)
                await self._persevere(lambda: self._jobs.mark_failed(job.id))
                await delivery.ack()
        self._emit(_event_of(job, handled.decision))

    async def give_back(self, delivery: Delivery, reason: str) -> None:
        """Return a delivery that nobody has begun to where others can take it.

        RabbitMQ counts a message's returns and takes it for poison after ten, which eleven harmless drains would do to
        it. So one that came back a few times already waits in Redis for a moment instead.
        """
        parked = delivery.delivery_count >= _RETURNS_TO_QUEUE and await self._parked(delivery)
        if parked:
            await delivery.ack()
        else:
            await delivery.requeue()
        self._emit(DeliveryReturned(queue=queue_name(delivery.queue), reason=reason, parked=parked))

    async def _parked(self, delivery: Delivery) -> bool:
        try:
            message = decode_message(delivery.body, MAX_STORED_BYTES)
            stored = await self._jobs.postpone(
                message.job,
                Claimant(incarnation="", delivery=0),
                next_attempt=message.job.attempt,
                until=self._now(),
                body=delivery.body,
                record=None,
                kept=_PARKED_KEPT,
            )
        except (MessageError, StoreError):
            return False
        return stored in {"stored", "done", "stale"}

    async def reject(self, delivery: Delivery, error: MessageError) -> None:
        """Hand a message that cannot be read to the failed queue, once."""
        failure = Fail(reason=error.reason, code=error.reason, detail=error.detail)
        await self._hand_to_failed(delivery, failure, attempts=0, failed_at=self._now())
        await delivery.ack()
        self._emit(MessageRejected(reason=error.reason, queue=queue_name(delivery.queue), detail=error.detail))

    async def _postpone(
        self, message: JobMessage, claimant: Claimant, handled: Handled, *, until: datetime, attempt: int
    ) -> str:
        park = handled.decision if isinstance(handled.decision, Park) else None
        wait = None if park is None else _wait_of(park, since=self._now(), attempt=attempt)
        return await self._persevere(
            lambda: self._jobs.postpone(
                message.job,
                claimant,
                next_attempt=attempt,
                until=until,
                body=encode_message(message.for_attempt(attempt)),
                record=handled.record,
                kept=handled.kept,
                wait=wait,
            )
        )

    async def _finish(self, message: JobMessage, claimant: Claimant, handled: Handled) -> bool:
        record = handled.record
        if record is None:
            return True
        reason = handled.decision.reason if isinstance(handled.decision, Fail) else ""
        return await self._persevere(
            lambda: self._jobs.finish(
                message.job,
                claimant,
                record,
                fail_reason=reason,
                called=handled.called,
                kept=handled.kept,
                occurrence=message.occurrence,
            )
        )

    async def _as_recorded(self, job: Job, failure: Fail, record: ExecutionResult | None) -> tuple[Fail, datetime]:
        """Return the failure and its instant as the job's record has them, where there is one.

        A job whose worker died with it comes to the failed queue once more: that both messages tell of one failure
        can be seen by its instant alone, and a replay of one then settles the other.
        """
        if record is None:
            record = await self._recorded_failure(job.id)
            if record is not None and record.error is not None:
                failure = replace(failure, code=record.error.code, detail=record.error.message)
        return failure, self._now() if record is None else record.completed_at

    async def _recorded_failure(self, job_id: str) -> ExecutionResult | None:
        try:
            text = await self._jobs.execution(job_id)
            record = None if text is None else ExecutionResult.from_json(text)
        except (StoreError, InvalidValueError):
            return None  # the message must not wait for what can be read no more
        return record if record is not None and record.status is Status.FAILED else None

    async def _hand_to_failed(
        self, delivery: Delivery, failure: Fail, attempts: int, failed_at: datetime, job: Job | None = None
    ) -> None:
        message = failed_message(
            delivery.body,
            message_id=delivery.message_id,
            reason=failure.reason,
            error_code=failure.code,
            error_message=failure.detail,
            attempts=attempts,
            failed_at=failed_at,
            queue=queue_name(delivery.queue),
        )
        if job is not None and (task := await self._definition(job.task_type_id)) is not None:
            message = with_request(message, task, await self._attempts(job.id))
        await self._persevere(lambda: self._publisher.publish(message, _CONFIRM_WITHIN_S))

    async def _definition(self, task_id: str) -> Task | None:
        try:
            return await self._background.definition(task_id)
        except StoreError:
            return None  # as with the attempts

    async def _attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        try:
            return await self._background.attempts(job_id)
        except StoreError:
            return ()  # the message says enough without them, and must not wait for Redis


def _without_retry(handled: Handled) -> Handled:
    """Return what becomes of a job that was cancelled during the attempt which was to be followed by another."""
    record = handled.record
    if record is not None:
        said = "" if record.error is None else f"; the last attempt: {record.error.message}"
        text = f"the job was cancelled before its next attempt{said}"
        error = ErrorDetail(code="cancelled", message=text, retry=False)
        trail = record.trail and replace(record.trail, attempt=replace(record.trail.attempt, next_attempt=None))
        record = replace(record, status=Status.CANCELLED, error=error, next_attempt=None, occurrence=None, trail=trail)
    return replace(handled, decision=Cancel(), record=record)


def _wait_of(park: Park, *, since: datetime, attempt: int) -> WaitRecord:
    if park.waits_for is not None:
        return WaitRecord.for_limit(park.waits_for, since=since, attempt=attempt)
    return WaitRecord(since=since, attempt=attempt, reason=WaitReason(park.reason))


def _event_of(job: Job, decision: Decision) -> JobSettled | JobSkipped | DuplicateDropped:
    if isinstance(decision, Drop):
        return DuplicateDropped(task=job.task_type_id, job_id=job.id)
    if isinstance(decision, Skip):
        status = "cancelled" if decision.reason == "cancelled" else "skipped"
        return JobSkipped(
            task=job.task_type_id, job_id=job.id, user_id=job.user_id, reason=decision.reason, status=status
        )
    name, status_now = _NAMES[type(decision)]
    return JobSettled(
        task=job.task_type_id,
        job_id=job.id,
        user_id=job.user_id,
        attempt=job.attempt,
        decision=name,
        status=status_now,
        reason=None if isinstance(decision, Complete | Retry | Cancel) else decision.reason,
        next_attempt_at=_next_attempt_at(decision),
    )


_NAMES: dict[type, tuple[DecisionName, str | None]] = {
    Complete: ("complete", "success"),
    Retry: ("retry", None),
    Park: ("park", None),
    Fail: ("fail", "failed"),
    Cancel: ("cancel", "cancelled"),
}


def _next_attempt_at(decision: Decision) -> datetime | None:
    match decision:
        case Retry(at=at):
            return at
        case Park(until=until):
            return until
        case _:
            return None
