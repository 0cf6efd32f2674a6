from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskqueue.core.outcome import (
    OutcomeClass,
    forbids_retry,
    outcome_of_failure,
    outcome_of_status,
    parse_retry_after,
    permanent_failure,
)

NOW = datetime(2024, 1, 15, 10, tzinfo=UTC)


@given(status=st.integers(200, 299))
def test_every_2xx_is_success_and_says_nothing(status: int) -> None:
    outcome = outcome_of_status(status)
    assert (outcome.kind, outcome.code, outcome.message) == (OutcomeClass.SUCCESS, "", "")


@given(status=st.sampled_from([408, 425, 429]) | st.integers(500, 599))
def test_timeouts_too_early_too_many_and_every_5xx_are_retryable(status: int) -> None:
    assert outcome_of_status(status).kind is OutcomeClass.RETRYABLE


@given(status=(st.integers(100, 199) | st.integers(300, 499)).filter(lambda status: status not in {408, 425, 429}))
def test_every_other_status_is_permanent(status: int) -> None:
    assert outcome_of_status(status).kind is OutcomeClass.PERMANENT


@given(status=st.integers(300, 599))
def test_an_endpoint_may_forbid_a_retry_whatever_its_status_and_wish(status: int) -> None:
    outcome = outcome_of_status(status, timedelta(seconds=7), final=True)
    assert (outcome.kind, outcome.code) == (OutcomeClass.PERMANENT, f"http_{status}")
    assert outcome.message == f"the endpoint answered {status} and wants no retry"


@given(status=st.integers(200, 299))
def test_a_success_stays_one_whatever_is_said_of_retries(status: int) -> None:
    assert outcome_of_status(status, final=True) == outcome_of_status(status)


@pytest.mark.parametrize("value", ["no", "No", "NO", " no\t"])
def test_no_forbids_a_retry_in_any_case(value: str) -> None:
    assert forbids_retry(value)


@pytest.mark.parametrize("value", [None, "", "yes", "false", "0", "never", "no, thanks", "n o", "no;", "n\u043e"])
def test_no_other_word_forbids_a_retry(value: str | None) -> None:
    assert not forbids_retry(value)


def test_a_refused_call_names_its_status_and_keeps_the_wish_to_wait() -> None:
    outcome = outcome_of_status(429, timedelta(seconds=7))
    assert (outcome.status, outcome.code, outcome.retry_after) == (429, "http_429", timedelta(seconds=7))


def test_an_answer_leaves_no_doubt_about_the_effect() -> None:
    assert not outcome_of_status(503).effect_unknown


@pytest.mark.parametrize("effect_unknown", [True, False])
def test_a_failure_without_an_answer_is_retryable_and_says_whether_it_may_have_had_its_effect(
    effect_unknown: bool,
) -> None:
    outcome = outcome_of_failure("timeout", "no answer in 5 s", effect_unknown=effect_unknown)
    assert (outcome.kind, outcome.effect_unknown) == (OutcomeClass.RETRYABLE, effect_unknown)


def test_a_call_that_cannot_be_built_is_permanent() -> None:
    assert permanent_failure("invalid_request", "no such variable").kind is OutcomeClass.PERMANENT


@given(seconds=st.integers(0, 10**9))
def test_retry_after_in_seconds_is_read(seconds: int) -> None:
    assert parse_retry_after(f" {seconds} ", NOW) == timedelta(seconds=seconds)


@given(seconds=st.integers(-(10**8), 10**8))
def test_retry_after_as_a_date_is_the_time_until_then_and_never_negative(seconds: int) -> None:
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(header, NOW) == timedelta(seconds=max(0, seconds))


def test_a_number_beyond_all_bounds_is_a_long_wait() -> None:
    assert parse_retry_after("9" * 400, NOW) == timedelta(days=36525)


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "²", "٣", "Mon, 99 Foo 2024 00:00:00 GMT"])
def test_an_unreadable_retry_after_says_nothing(header: str | None) -> None:
    assert parse_retry_after(header, NOW) is None


header_words = st.sampled_from(
    ["Mon,", "20", "Nov", "99999999999999999999", "1995", "00:00:00", "GMT", "+9999", "-", ":"]
)


@given(header=st.text(max_size=40) | st.lists(header_words, max_size=8).map(" ".join))
@example(header="Mon, 20 Nov 99999999999999999999 00:00:00 GMT")
@example(header="Mon, 20 Nov 1995 19:12:08 +999999999999999")
def test_no_header_of_an_endpoint_raises(header: str) -> None:
    wait = parse_retry_after(header, NOW)
    assert wait is None or wait >= timedelta(0)
