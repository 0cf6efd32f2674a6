"""One attempt: build the request, make the call, say what the answer means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.job import Job
from taskqueue.core.outcome import (
    Outcome,
    OutcomeClass,
    outcome_of_failure,
    outcome_of_status,
    parse_retry_after,
    permanent_failure,
)
from taskqueue.core.retry import RetryPolicy
from taskqueue.core.task import Task
from taskqueue.errors import InvalidValueError
from taskqueue.runtime import Now
from taskqueue.worker.http_call import Call, CallResult, HttpCaller
from taskqueue.worker.references import References
from taskqueue.worker.request import build_request


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDefaults:
    """What a task does not say itself (worker.yaml: execution)."""

    timeout: timedelta
    max_retries: int
    retry_delay: timedelta
    max_retry_delay: timedelta
    max_response_bytes: int

    def policy_of(self, task: Task) -> RetryPolicy:
        """Return how jobs of `task` are tried again; what the task says wins."""
        base_delay = self.retry_delay if task.retry_delay is None else task.retry_delay
        return RetryPolicy(
            retries=self.max_retries if task.retries is None else task.retries,
            base_delay=base_delay,
            max_delay=max(self.max_retry_delay, base_delay),
            retry_unknown=task.retry_unknown,
            max_age=task.max_age,
        )

    def deadline_of(self, task: Task) -> timedelta:
        """Return how long one attempt may take: the task's timeout or ours, and never more than its max_duration."""
        timeout = self.timeout if task.timeout is None else task.timeout
        return timeout if task.target.max_duration is None else min(timeout, task.target.max_duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one attempt came to. `response` is the head of the answer's body, None when there was no answer."""

    outcome: Outcome
    started_at: datetime
    completed_at: datetime
    response: bytes | None = None


#: the outcome of a call that the end of the worker cut short; one that had not sent its request yet had no effect
CUT = Outcome(
    kind=OutcomeClass.RETRYABLE,
    code="worker_stopped",
    message="the worker stopped before the endpoint answered",
    effect_unknown=True,
)


#: the outcome of a call that was cut because its job was cancelled; the same holds for its effect
CANCELLED = Outcome(
    kind=OutcomeClass.CANCELLED,
    code="cancelled",
    message="the job was cancelled before the endpoint answered",
    effect_unknown=True,
)


class Caller:
    """Makes attempts over one HTTP client, one of a job at a time. `cut` ends all of them, `cancel` a job's."""

    def __init__(self, http: HttpCaller, references: References, defaults: AttemptDefaults, *, now: Now) -> None:
        self._http = http
        self._references = references
        self._defaults = defaults
        self._now = now
        self._under_way: dict[str, Call] = {}
        self._cancelled: set[str] = set()
        self._cut = False

    def cut(self) -> None:
        """End every call under way, and each that would begin later: its outcome is that of a worker that stopped."""
        self._cut = True
        for call in self._under_way.values():
            call.cut()

    def under_way(self) -> list[str]:
        """Return the ids of the jobs that are being called."""
        return list(self._under_way)

    def cancel(self, job_id: str) -> None:
        """End the call of that job, if it still is under way; its outcome says that the job was cancelled."""
        call = self._under_way.get(job_id)
        if call is not None and not call.was_cut:
            self._cancelled.add(job_id)
            call.cut()

    async def call(self, task: Task, job: Job, *, started_at: datetime) -> Attempt:
        """Call the task's endpoint once for `job`; whatever goes wrong is in the outcome."""
        try:
            request = build_request(task, job, self._references)
        except InvalidValueError as error:
            outcome = permanent_failure("invalid_request", str(error))
            return Attempt(outcome=outcome, started_at=started_at, completed_at=self._now())
        call = self._http.begin(
            request,
            deadline_s=self._defaults.deadline_of(task).total_seconds(),
            max_response_bytes=self._defaults.max_response_bytes,
        )
        result, cancelled = await self._until_cut(job.id, call)
        completed_at = max(self._now(), started_at)
        if call.was_cut:
            sent = result.failure is None or result.failure.sent == "unknown"
            outcome = replace(CANCELLED if cancelled else CUT, effect_unknown=sent)
            return Attempt(outcome=outcome, started_at=started_at, completed_at=completed_at)
        response = result.body if result.status is not None else None
        outcome = outcome_of(result, completed_at)
        return Attempt(outcome=outcome, started_at=started_at, completed_at=completed_at, response=response)

    async def _until_cut(self, job_id: str, call: Call) -> tuple[CallResult, bool]:
        """Return what came back, and whether the call was cut because its job was cancelled."""
        self._under_way[job_id] = call
        if self._cut:
            call.cut()
        try:
            result = await call.run()
            return result, job_id in self._cancelled
        finally:
            self._under_way.pop(job_id, None)
            self._cancelled.discard(job_id)


def outcome_of(result: CallResult, now: datetime) -> Outcome:
    """Return what `result` means for the job."""
    failure = result.failure
    if failure is None and result.status is not None:
        return outcome_of_status(result.status, parse_retry_after(result.headers.get("retry-after"), now))
    if failure is None:
        return outcome_of_failure("protocol_error", "the endpoint sent no answer", effect_unknown=True)
    if failure.code == "invalid_request":
        return permanent_failure(failure.code, failure.message)
    return outcome_of_failure(failure.code, failure.message, effect_unknown=failure.sent == "unknown")
