from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.task import Target, TaskSource
from taskqueue.worker.attempt import CUT, Attempt, AttemptDefaults, Caller, _with_lines_without_secrets, outcome_of
from taskqueue.worker.http_call import CallResult, Failure, HttpCaller, Sent
from taskqueue.worker.redaction import Redactor
from taskqueue.worker.references import References
from tests.support.fakes import JOB, TASK, targeting
from tests.support.values import TEN_O_CLOCK

DEFAULTS = AttemptDefaults(
    timeout=timedelta(minutes=5),
    max_retries=3,
    retry_delay=timedelta(minutes=1),
    max_retry_delay=timedelta(hours=1),
    max_response_bytes=1024,
)


def test_a_task_that_says_nothing_gets_the_workers_defaults() -> None:
    policy = DEFAULTS.policy_of(TASK)

    assert (policy.retries, policy.base_delay, policy.max_delay) == (3, timedelta(minutes=1), timedelta(hours=1))
    assert DEFAULTS.deadline_of(TASK) == timedelta(minutes=5)


def test_what_a_task_says_wins_even_when_it_is_zero_or_longer() -> None:
    task = replace(TASK, retries=0, timeout=timedelta(minutes=10), retry_delay=timedelta(hours=2))

    policy = DEFAULTS.policy_of(task)

    assert policy.retries == 0
    assert policy.base_delay == policy.max_delay == timedelta(hours=2)
    assert DEFAULTS.deadline_of(task) == timedelta(minutes=10)


@pytest.mark.parametrize(("max_duration", "deadline"), [(timedelta(minutes=4), 4), (timedelta(minutes=6), 5)])
def test_the_smaller_of_timeout_and_max_duration_holds(max_duration: timedelta, deadline: int) -> None:
    task = targeting(Target(endpoint="https://reports.example/", max_duration=max_duration))

    assert DEFAULTS.deadline_of(task) == timedelta(minutes=deadline)


def test_an_answer_is_judged_by_its_status_and_its_wish() -> None:
    outcome = outcome_of(CallResult(status=503, headers={"retry-after": "7"}), TEN_O_CLOCK)

    assert (outcome.kind, outcome.code) == (OutcomeClass.RETRYABLE, "http_503")
    assert outcome.retry_after == timedelta(seconds=7)


def test_an_answer_that_forbids_a_retry_is_final() -> None:
    outcome = outcome_of(CallResult(status=503, headers={"retry-after": "7", "x-taskqueue-retry": "No"}), TEN_O_CLOCK)

    assert (outcome.kind, outcome.code) == (OutcomeClass.PERMANENT, "http_503")


@pytest.mark.parametrize(("sent", "unknown"), [("not_sent", False), ("unknown", True)])
def test_a_failure_is_tried_again_and_says_whether_it_may_have_had_its_effect(sent: Sent, unknown: bool) -> None:
    failure = Failure(code="timeout", message="no complete answer in time", sent=sent)

    outcome = outcome_of(CallResult(failure=failure), TEN_O_CLOCK)

    assert (outcome.kind, outcome.code) == (OutcomeClass.RETRYABLE, "timeout")
    assert outcome.effect_unknown is unknown


def test_an_answer_that_broke_off_after_its_head_is_no_success() -> None:
    failure = Failure(code="connection_reset", message="the connection broke", sent="unknown")

    assert outcome_of(CallResult(status=200, failure=failure), TEN_O_CLOCK).kind is OutcomeClass.RETRYABLE


def test_a_request_that_cannot_be_sent_is_final() -> None:
    failure = Failure(code="invalid_request", message="the URL cannot be called", sent="not_sent")

    assert outcome_of(CallResult(failure=failure), TEN_O_CLOCK).kind is OutcomeClass.PERMANENT


@pytest.mark.parametrize(
    ("source", "code"), [(TaskSource.API, "blocked_address"), (TaskSource.FILE, "connection_refused")]
)
async def test_calls_of_tasks_made_through_the_api_are_guarded(source: TaskSource, code: str) -> None:
    http = HttpCaller(user_agent="test")
    caller = Caller(http, References({}), DEFAULTS, now=lambda: TEN_O_CLOCK)
    task = replace(targeting(Target(endpoint="http://127.0.0.1:1/")), source=source)
    await http.start()
    try:
        attempt = await caller.call(task, JOB, started_at=TEN_O_CLOCK)
    finally:
        await http.stop()

    assert attempt.outcome.code == code
    assert (attempt.outcome.kind is OutcomeClass.PERMANENT) is (source is TaskSource.API)


async def test_a_call_that_would_begin_after_the_cut_is_not_made() -> None:
    http = HttpCaller(user_agent="test")
    caller = Caller(http, References({}), DEFAULTS, now=lambda: TEN_O_CLOCK)
    await http.start()
    try:
        caller.cut()
        attempt = await caller.call(TASK, JOB, started_at=TEN_O_CLOCK)
    finally:
        await http.stop()

    assert attempt.outcome == replace(CUT, effect_unknown=False)


@pytest.mark.parametrize(("coding", "kept"), [("gzip", b""), ("identity", b"answer")])
def test_of_an_answer_that_cannot_be_searched_for_secrets_no_body_is_kept(coding: str, kept: bytes) -> None:
    result = CallResult(status=200, body=b"answer", headers={"content-encoding": coding})
    outcome = outcome_of(result, TEN_O_CLOCK)
    attempt = Attempt(outcome=outcome, started_at=TEN_O_CLOCK, completed_at=TEN_O_CLOCK, response=result.body)

    cleaned = _with_lines_without_secrets(attempt, result, Redactor(("s3cret",)))

    assert (cleaned.response, cleaned.truncated) == (kept, kept == b"")
    assert _with_lines_without_secrets(attempt, result, None).response == b"answer"
