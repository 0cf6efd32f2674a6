"""What to do with a job next: the decisions, and the one function that makes them after an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.core.error_codes import FailReason
from taskqueue.core.outcome import SUCCESS, Outcome, OutcomeClass

#: 2**40 base delays is beyond any cap; a larger exponent would only overflow
_MAX_DOUBLINGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a job is tried again. `retries` counts tries after the first."""

    retries: int
    #: base and cap of the exponential backoff; the cap also bounds Retry-After
    base_delay: timedelta
    max_delay: timedelta
    #: whether an attempt whose effect is unknown is tried again
    retry_unknown: bool
    #: no attempt starts later than this after the job's execute_after
    max_age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The job is done, successfully."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The job is tried again at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The job is over and goes to `taskqueue.jobs.failed`.

    `reason` is why nothing more is tried, `code` and `detail` what went wrong last (the spec's ErrorDetail).
    """

    reason: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The job waits without spending an attempt: until `until`, or for its turn at the limit `waits_for`."""

    until: datetime
    reason: str
    waits_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The job is over without a call: its user does not want it any more, or it was cancelled."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The message is a copy of a job that is dealt with elsewhere."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The job was cancelled after its call began: the call was cut, or no other follows it."""


Decision = Complete | Retry | Fail | Park | Skip | Drop | Cancel


def decide(
    policy: RetryPolicy, attempt: int, outcome: Outcome, *, execute_after: datetime, now: datetime, jitter: float
) -> Complete | Retry | Fail | Cancel:
    """Return what follows from the outcome of attempt number `attempt` (from 1); `jitter` is uniform in [0, 1)."""
    if outcome.kind is SUCCESS:
        return Complete()
    if outcome.kind is OutcomeClass.CANCELLED:
        return Cancel()
    at = now + _delay(policy, attempt, outcome.retry_after, jitter)
    reason = _reason_to_stop(policy, attempt, outcome)
    if reason is None and at > execute_after + policy.max_age:
        reason = FailReason.EXPIRED
    return Retry(at=at) if reason is None else Fail(reason=reason.value, code=outcome.code, detail=outcome.message)


def backoff(policy: RetryPolicy, attempt: int, jitter: float) -> timedelta:
    """Return the wait after attempt number `attempt`: exponential with full jitter.

    `jitter · min(max_delay, base_delay · 2^(attempt-1))`, so that jobs which failed together do not return together
    (M. Brooker, "Exponential Backoff And Jitter", 2015).
    """
    doublings = min(attempt - 1, _MAX_DOUBLINGS)
    ceiling = min(policy.max_delay.total_seconds(), policy.base_delay.total_seconds() * 2**doublings)
    return timedelta(seconds=jitter * ceiling)


def _reason_to_stop(policy: RetryPolicy, attempt: int, outcome: Outcome) -> FailReason | None:
    if outcome.kind is OutcomeClass.PERMANENT:
        return FailReason.PERMANENT
    if outcome.effect_unknown and not policy.retry_unknown:
        return FailReason.EFFECT_UNKNOWN
    return FailReason.RETRIES_EXHAUSTED if attempt > policy.retries else None


def _delay(policy: RetryPolicy, attempt: int, retry_after: timedelta | None, jitter: float) -> timedelta:
    wait = backoff(policy, attempt, jitter)
    if retry_after is None:
        return wait
    # The endpoint's wish comes first and the jitter on top: all clients were told the same second.
    return min(retry_after, policy.max_delay) + min(wait, policy.base_delay)
