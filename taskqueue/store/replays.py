"""Failed jobs that are run again: one script lets a job wait for a new first attempt, as a retry waits for its own.

From there on it is like any job: the leader releases it, and every limit and switch holds. A failure that was replayed
is noted, so that its message, should it come back from RabbitMQ after all, does not make a second run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.core.codec import encode_message
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.failures import Failure
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.core.waiting import waiting_place
from taskqueue.errors import MessageError
from taskqueue.store import keys
from taskqueue.store.delayed import WAITING_KEPT
from taskqueue.store.fleet import HEARTBEAT_TTL
from taskqueue.store.jobs import EXECUTION_KEPT
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)


class ReplayOutcome(StrEnum):
    """What asking for a replay came to (lua/replay.lua)."""

    #: the job waits for its first attempt
    REPLAYED = "replayed"
    #: this very failure was replayed already
    BEFORE = "before"
    #: the job has succeeded since
    SUCCEEDED = "succeeded"
    #: the job is over otherwise: it was skipped or cancelled
    ENDED = "ended"
    #: its worker died before it had put the failure away, less than half an hour ago; it may come to the failed queue
    #: once more
    UNSETTLED = "unsettled"
    #: it bears the mark of a cancelled job
    CANCELLED = "cancelled"
    WAITING = "waiting"
    RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAnswer:
    """What became of a failed job. `word` says how it ended, where it waits or who runs it."""

    outcome: ReplayOutcome
    word: str = ""


class Replays:
    """Brings failed jobs back."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def replay(self, failure: Failure, due: datetime) -> ReplayAnswer:
        """Let the job of `failure` wait for its first attempt at `due`; harmless when asked again.

        All else about it stays: its id, which is its Idempotency-Key, its user, payload and source. Raises MessageError
        for a failure without a job, DamagedKeyError where a key of the job holds another type, StoreUnavailableError
        when no answer came: then asking again settles it.
        """
        if failure.message is None:
            raise MessageError("malformed", failure.problem)
        message = failure.message.replayed(due)
        job = message.job
        word, more = await self._scripts.call_again(
            "replay",
            [
                keys.done(job.id),
                keys.claim(job.id),
                keys.cancelled(job.id),
                keys.delayed_job(job.id),
                keys.execution(job.id),
                keys.DELAYED,
                keys.WAITING,
                keys.replayed(job.id),
                keys.FLEET_WATCHED,
            ],
            [
                job.id,
                failure.identity,
                keys.WORKER_PREFIX,
                to_unix_ms(due),
                encode_message(message),
                waiting_place(job.priority, due),
                WAITING_KEPT // _MILLISECOND,
                _record(failure, job, due).to_json(),
                EXECUTION_KEPT // _MILLISECOND,
                "" if failure.failed_at is None else to_unix_ms(failure.failed_at),
                HEARTBEAT_TTL // _MILLISECOND,
            ],
        )
        return ReplayAnswer(outcome=ReplayOutcome(word.decode()), word=more.decode(errors="replace"))


def _record(failure: Failure, job: Job, due: datetime) -> ExecutionResult:
    """Return what is true from now on: the attempt that failed is followed by another, which no occurrence counts."""
    at = failure.failed_at or due
    return ExecutionResult(
        job_id=job.id,
        status=Status.RETRYING,
        started_at=at,
        completed_at=at,
        error=ErrorDetail(code=failure.code or "unknown", message=failure.detail, retry=True),
        next_attempt=due,
        task_type_id=job.task_type_id,
        user_id=job.user_id,
        attempt=max(failure.attempts or 0, 1),
        worker_id="",
    )
