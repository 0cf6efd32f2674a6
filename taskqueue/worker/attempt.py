"""One attempt: build the request, make the call, say what the answer means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.attempt_record import AttemptRecord, Trail
from taskqueue.core.error_codes import ERRORS, ErrorCode
from taskqueue.core.job import Job
from taskqueue.core.log_line import LogLine
from taskqueue.core.outcome import (
    Outcome,
    OutcomeClass,
    forbids_retry,
    outcome_of_failure,
    outcome_of_status,
    parse_retry_after,
    permanent_failure,
)
from taskqueue.core.retry import RetryPolicy
from taskqueue.core.task import Task, TaskSource
from taskqueue.core.value import value
from taskqueue.errors import InvalidValueError
from taskqueue.runtime import Now
from taskqueue.worker.answer_log import may_hold_lines, returned_lines
from taskqueue.worker.http_call import Call, CallResult, HttpCaller
from taskqueue.worker.redaction import Redaction, Redactor, searchable
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


@value
class Attempt:
    """What one attempt came to.

    `response` is the head of the answer's body, None when there was no answer; `truncated` says that there was more.
    `lines` are what the endpoint returned for the log.
    """

    outcome: Outcome
    started_at: datetime
    completed_at: datetime
    response: bytes | None = None
    truncated: bool = False
    lines: tuple[LogLine, ...] = ()

    def trail(self, number: int, *, next_attempt: datetime | None, worker_id: str) -> Trail | None:
        """Return what stays of attempt `number` beside the record; None for a success at once that logs nothing."""
        outcome = self.outcome
        if number == 1 and outcome.kind is OutcomeClass.SUCCESS and not self.lines:
            return None
        attempt = AttemptRecord(
            attempt=number,
            started_at=self.started_at,
            completed_at=self.completed_at,
            outcome=outcome.kind,
            http_status=outcome.status,
            code=outcome.code,
            message=outcome.message,
            next_attempt=next_attempt,
            worker_id=worker_id,
        )
        return Trail(attempt=attempt, lines=self.lines)


#: the outcome of a call that the end of the worker cut short; one that had not sent its request yet had no effect
CUT = Outcome(
    kind=OutcomeClass.RETRYABLE,
    code=ErrorCode.WORKER_STOPPED.value,
    message="the worker stopped before the endpoint answered",
    effect_unknown=True,
)


#: the outcome of a call that was cut because its job was cancelled; the same holds for its effect
CANCELLED = Outcome(
    kind=OutcomeClass.CANCELLED,
    code=ErrorCode.CANCELLED.value,
    message="the job was cancelled before the endpoint answered",
    effect_unknown=True,
)


class Caller:
    """Makes attempts over one HTTP client, one of a job at a time. `cut` ends all of them, `cancel` a job's."""

    def __init__(self, http: HttpCaller, references: References, defaults: AttemptDefaults, *, now: Now) -> None:
        self._http = http
        self._references = references
        self._redaction = Redaction(references)
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
            request = build_request(task, job, self._references, started_at)
            redactor = self._redaction.of(task)
        except InvalidValueError as error:
            outcome = permanent_failure(ErrorCode.INVALID_REQUEST, str(error))
            return Attempt(outcome=outcome, started_at=started_at, completed_at=self._now())
        call = self._http.begin(
            request,
            deadline_s=self._defaults.deadline_of(task).total_seconds(),
            max_response_bytes=self._defaults.max_response_bytes,
            guarded=task.source is TaskSource.API,
        )
        result, cancelled = await self._until_cut(job.id, call)
        completed_at = max(self._now(), started_at)
        if call.was_cut:
            sent = result.failure is None or result.failure.sent == "unknown"
            outcome = replace(CANCELLED if cancelled else CUT, effect_unknown=sent)
            return Attempt(outcome=outcome, started_at=started_at, completed_at=completed_at)
        response = result.body if result.status is not None else None
        attempt = Attempt(
            outcome=outcome_of(result, completed_at),
            started_at=started_at,
            completed_at=completed_at,
            response=response,
            truncated=result.truncated or (result.failure is not None and response is not None),
        )
        if redactor is None and not may_hold_lines(result.body):
            return attempt
        return _with_lines_without_secrets(attempt, result, redactor)

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
        return outcome_of_status(
            result.status,
            parse_retry_after(result.headers.get("retry-after"), now),
            final=forbids_retry(result.headers.get("x-taskqueue-retry")),
        )
    if failure is None:
        return outcome_of_failure(ErrorCode.PROTOCOL_ERROR, "the endpoint sent no answer", effect_unknown=True)
    if ERRORS[failure.code].permanent:
        return permanent_failure(failure.code, failure.message)
    return outcome_of_failure(failure.code, failure.message, effect_unknown=failure.sent == "unknown")


def _with_lines_without_secrets(attempt: Attempt, result: CallResult, redactor: Redactor | None) -> Attempt:
    body, truncated = attempt.response, attempt.truncated
    lines: tuple[LogLine, ...] = ()
    if body is not None and may_hold_lines(body):
        content_type = result.headers.get("content-type")
        lines = returned_lines(body, content_type, cut=truncated, at=attempt.completed_at, redactor=redactor)
    if redactor is None:
        return replace(attempt, lines=lines)
    if body is not None and not searchable(body, result.headers):
        body, truncated = b"", True
    elif body is not None:
        most = len(body)
        body = redactor.body(body, cut=truncated)
        truncated |= len(body) > most  # a mark is longer than a short secret, and what is kept has a limit
        body = body[:most]
    outcome = replace(attempt.outcome, message=redactor.text(attempt.outcome.message))
    return replace(attempt, outcome=outcome, response=body, truncated=truncated, lines=lines)
