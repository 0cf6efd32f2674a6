from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.error_codes import ERRORS
from taskqueue.core.outcome import Outcome, OutcomeClass, outcome_of_failure, outcome_of_status, permanent_failure
from taskqueue.core.retry import Cancel, Complete, Fail, Retry, RetryPolicy, backoff, decide

DUE = datetime(2024, 1, 15, 10, tzinfo=UTC)
UNAVAILABLE = outcome_of_status(503)

jitters = st.floats(0, 1, exclude_max=True)
delays = st.timedeltas(timedelta(0), timedelta(hours=1))
policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 20),
    base_delay=delays,
    max_delay=delays,
    retry_unknown=st.booleans(),
    max_age=st.timedeltas(timedelta(0), timedelta(days=30)),
)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeClass),
    message=st.just("why"),
    retry_after=st.none() | st.timedeltas(timedelta(0), timedelta(days=36525)),
    effect_unknown=st.booleans(),
)
POLICY = RetryPolicy(
    retries=3,
    base_delay=timedelta(minutes=1),
    max_delay=timedelta(hours=1),
    retry_unknown=True,
    max_age=timedelta(days=1),
)


def decided(
    policy: RetryPolicy, outcome: Outcome, attempt: int = 1, jitter: float = 0.5
) -> Complete | Retry | Fail | Cancel:
    return decide(policy, attempt, outcome, execute_after=DUE, now=DUE, jitter=jitter)


@given(policy=policies, jitter=jitters)
def test_a_job_that_always_fails_gets_retries_plus_one_attempts(policy: RetryPolicy, jitter: float) -> None:
    policy = replace(policy, max_age=timedelta(days=365))
    attempt = 1
    while isinstance(decided(policy, UNAVAILABLE, attempt, jitter), Retry):
        attempt += 1
    assert attempt == policy.retries + 1
    assert decided(policy, UNAVAILABLE, attempt, jitter) == Fail(
        reason="retries_exhausted", code="http_503", detail="the endpoint answered 503"
    )


@given(policy=policies, attempt=st.integers(1, 100), jitter=jitters)
def test_success_completes_and_a_permanent_failure_fails_at_once(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    assert decided(policy, outcome_of_status(204), attempt, jitter) == Complete()
    assert decided(policy, permanent_failure("c", "why"), attempt, jitter) == Fail(
        reason="permanent", code="c", detail="why"
    )


FINAL_STATUSES = [status for status in range(100, 500) if status not in {408, 425, 429} and not 200 <= status < 300]
FINAL_CODES = [code for code, row in ERRORS.items() if row.permanent]


@given(
    outcome=st.sampled_from(FINAL_STATUSES).map(lambda status: outcome_of_status(status, timedelta(seconds=1)))
    | st.sampled_from(FINAL_CODES).map(lambda code: permanent_failure(code, "why")),
    policy=policies,
    attempt=st.integers(1, 100),
    jitter=jitters,
)
def test_nothing_is_tried_again_that_cannot_succeed(
    outcome: Outcome, policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    assert decided(policy, outcome, attempt, jitter) == Fail(
        reason="permanent", code=outcome.code, detail=outcome.message
    )


@given(policy=policies, attempt=st.integers(1, 100), jitter=jitters)
def test_a_call_that_was_cut_for_a_cancelled_job_is_its_end(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    cut = Outcome(kind=OutcomeClass.CANCELLED, code="cancelled", effect_unknown=True)
    assert decided(policy, cut, attempt, jitter) == Cancel()


@given(policy=policies, outcome=outcomes, attempt=st.integers(1, 100), jitter=jitters, late=delays)
def test_every_outcome_is_decided_and_a_retry_is_neither_in_the_past_nor_beyond_max_age(
    policy: RetryPolicy, outcome: Outcome, attempt: int, jitter: float, late: timedelta
) -> None:
    now = DUE + late
    decision = decide(policy, attempt, outcome, execute_after=DUE, now=now, jitter=jitter)
    if isinstance(decision, Retry):
        assert now <= decision.at <= DUE + policy.max_age
        assert attempt <= policy.retries
        assert outcome.kind is OutcomeClass.RETRYABLE
        assert policy.retry_unknown or not outcome.effect_unknown


@given(policy=policies, attempt=st.integers(1, 10_000), jitter=jitters)
def test_a_backoff_lies_between_zero_and_the_doubled_base_below_the_cap(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    wait = backoff(policy, attempt, jitter)
    # Microseconds are rounded to the nearest.
    assert timedelta(0) <= wait <= policy.max_delay + timedelta.resolution
    if attempt <= 20:
        assert wait <= policy.base_delay * 2 ** (attempt - 1) + timedelta.resolution


def test_the_jitter_is_full() -> None:
    ceilings = [60, 120, 240, 480]
    for attempt, ceiling in enumerate(ceilings, start=1):
        assert backoff(POLICY, attempt, 0.0) == timedelta(0)
        assert backoff(POLICY, attempt, 0.5) == timedelta(seconds=ceiling / 2)
        assert backoff(POLICY, attempt, 0.999999) > timedelta(seconds=ceiling * 0.99999)


@given(policy=policies, attempt=st.integers(1, 10_000))
def test_the_longest_backoff_never_shrinks_from_attempt_to_attempt(policy: RetryPolicy, attempt: int) -> None:
    longest = 1 - 2**-53
    assert backoff(policy, attempt, longest) <= backoff(policy, attempt + 1, longest)


@pytest.mark.parametrize("attempt", [41, 42, 100, 1000, 10**9])
def test_the_backoff_of_a_job_that_failed_very_often_is_the_cap(attempt: int) -> None:
    assert backoff(POLICY, attempt, 0.5) == POLICY.max_delay / 2
    longest = replace(POLICY, base_delay=timedelta(days=366), max_delay=timedelta.max)
    assert backoff(longest, attempt, 2**-60) <= longest.max_delay


@pytest.mark.parametrize("attempt", [1, 3, 50])
def test_jobs_that_failed_together_come_back_evenly_over_the_whole_backoff(attempt: int) -> None:
    random, jobs, parts = Random(7), 10_000, 20
    longest = backoff(POLICY, attempt, 1.0)

    part = Counter(int(backoff(POLICY, attempt, random.random()) / longest * parts) for _ in range(jobs))

    assert set(part) == set(range(parts))
    # Chi-squared with 19 degrees of freedom is above 43.8 once in a thousand times.
    assert sum((part[each] - jobs / parts) ** 2 for each in range(parts)) / (jobs / parts) < 43.8


@given(policy=policies, attempt=st.integers(1, 50), one=jitters, other=jitters)
def test_more_jitter_never_waits_less(policy: RetryPolicy, attempt: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert backoff(policy, attempt, low) <= backoff(policy, attempt, high)


@given(wish=st.timedeltas(timedelta(0), timedelta(days=36525)), jitter=jitters)
def test_retry_after_is_kept_up_to_the_cap_with_a_little_jitter_on_top(wish: timedelta, jitter: float) -> None:
    decision = decided(POLICY, outcome_of_status(429, wish), jitter=jitter)
    assert isinstance(decision, Retry)
    asked = min(wish, POLICY.max_delay)
    assert asked <= decision.at - DUE <= asked + POLICY.base_delay


def test_a_retry_that_would_be_too_old_fails_as_expired_and_keeps_the_cause() -> None:
    decision = decided(replace(POLICY, max_age=timedelta(seconds=29)), UNAVAILABLE, jitter=0.5)
    assert isinstance(decision, Fail)
    assert decision.reason == "expired"
    assert "503" in decision.detail


def test_age_counts_from_execute_after_and_not_from_the_first_attempt() -> None:
    policy = replace(POLICY, max_age=timedelta(minutes=10))
    late = DUE + timedelta(minutes=9, seconds=45)
    assert isinstance(decide(policy, 1, UNAVAILABLE, execute_after=DUE, now=late, jitter=0.5), Fail)
    assert isinstance(decide(policy, 1, UNAVAILABLE, execute_after=late, now=late, jitter=0.5), Retry)


@pytest.mark.parametrize(("retry_unknown", "expected"), [(True, Retry), (False, Fail)])
def test_a_task_decides_whether_an_unknown_effect_is_risked_again(retry_unknown: bool, expected: type) -> None:
    outcome = outcome_of_failure("timeout", "no answer", effect_unknown=True)
    assert isinstance(decided(replace(POLICY, retry_unknown=retry_unknown), outcome), expected)


def test_what_was_never_sent_is_tried_again_whatever_the_task_says_about_unknown_effects() -> None:
    outcome = outcome_of_failure("connect", "refused", effect_unknown=False)
    assert isinstance(decided(replace(POLICY, retry_unknown=False), outcome), Retry)
