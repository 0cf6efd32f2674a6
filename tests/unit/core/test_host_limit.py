from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.host_limit import (
    FIRST_CLOSED_S,
    FORGOTTEN_AFTER_S,
    LONGEST_ASKED_S,
    LONGEST_CLOSED_S,
    MOST_LOOKS,
    PROBE_ALONE_S,
    HostLimit,
    Sign,
    host_of,
    sign_of,
)
from taskqueue.core.outcome import outcome_of_failure, outcome_of_status, permanent_failure

#: a Sunday in 2026, in unix seconds
from tests.support.host_calls import NOW, REPORT, call, closed, limited

# --- signs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "sign"),
    [(200, Sign.REACHED), (404, Sign.REACHED), (500, Sign.REACHED), (429, Sign.TOO_MUCH), (503, Sign.TOO_MUCH)],
)
def test_an_answer_says_that_the_host_is_well_unless_it_says_too_much(status: int, sign: Sign) -> None:
    assert sign_of(outcome_of_status(status)) is sign


@pytest.mark.parametrize(
    ("code", "sign"),
    [
        ("dns_failure", Sign.TOO_MUCH),
        ("connect_timeout", Sign.TOO_MUCH),
        ("connection_refused", Sign.TOO_MUCH),
        ("connection_failed", Sign.TOO_MUCH),
        ("tls_error", Sign.TOO_MUCH),
        ("timeout", Sign.SILENT),
        ("connection_reset", Sign.NONE),
    ],
)
def test_no_connection_is_too_much_no_answer_is_silence_and_a_connection_that_broke_says_nothing(
    code: str, sign: Sign
) -> None:
    assert sign_of(outcome_of_failure(code, "", effect_unknown=False)) is sign


def test_a_call_that_could_not_be_built_says_nothing_about_the_host() -> None:
    assert sign_of(permanent_failure("invalid_request", "")) is Sign.NONE


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://API.example.com/a/{user_id}?b=c", "https://api.example.com:443"),
        ("http://api.example.com", "http://api.example.com:80"),
        ("http://api.example.com:8080/x", "http://api.example.com:8080"),
        ("http://[::1]:81/", "http://[::1]:81"),
        ("https://API.example.com/${file:/run/secrets/a@b:c}?t=${env:T}", "https://api.example.com:443"),
        ("https://${env:API_HOST}/a", "https://${env:API_HOST}"),
        ("${env:API_URL}/a", "${env:API_URL}"),
    ],
)
def test_a_host_is_scheme_name_and_port(endpoint: str, host: str) -> None:
    assert host_of(endpoint) == host


# --- open -------------------------------------------------------------------------------------------------------------


def test_each_bad_answer_halves_the_limit_and_below_one_call_the_host_is_closed() -> None:
    limit = limited(16)

    limits = []
    while limit.closed_until is None:
        call(limit, Sign.TOO_MUCH, NOW)
        limits.append(limit.limit)

    assert limits == [8, 4, 2, 1, 1]
    assert limit.closed_until == NOW + FIRST_CLOSED_S / 2


def test_bad_answers_of_calls_that_began_together_halve_the_limit_once() -> None:
    limit = limited(64)
    began = [limit.begin() for _ in range(9)]
    for ticket in (0, 0, *began):
        limit.learn(Sign.TOO_MUCH, NOW, began=ticket, jitter=0)
    assert limit.limit == 32

    limit.learn(Sign.TOO_MUCH, NOW, began=limit.begin(), jitter=0)
    assert limit.limit == 16


def test_good_answers_raise_the_limit_by_one_for_each_round_of_them() -> None:
    limit = limited(16)
    call(limit, Sign.TOO_MUCH, NOW)

    for _ in range(9):
        call(limit, Sign.REACHED, NOW)

    assert 8.9 < limit.limit < 9.1


def test_only_as_many_calls_are_in_flight_as_the_limit_says() -> None:
    limit = limited(4)
    call(limit, Sign.TOO_MUCH, NOW)

    began = [limit.begin() for _ in range(2) if limit.wait(NOW) == 0]
    assert limit.wait(NOW) == math.inf

    limit.end(began[0])
    assert limit.wait(NOW) == 0


def test_a_limit_that_has_grown_to_its_ceiling_is_none_any_more() -> None:
    limit = limited(2)
    call(limit, Sign.TOO_MUCH, NOW)
    assert not limit.forgettable(NOW)

    for _ in range(2):
        call(limit, Sign.REACHED, NOW)

    assert limit.forgettable(NOW)


def test_what_was_found_out_long_ago_is_forgotten_unless_a_call_is_under_way() -> None:
    limit = closed()
    assert not limit.forgettable(NOW + FORGOTTEN_AFTER_S)
    assert limit.forgettable(NOW + FORGOTTEN_AFTER_S + 1)

    limit.begin()
    assert not limit.forgettable(NOW + FORGOTTEN_AFTER_S + 1)


# --- silence ----------------------------------------------------------------------------------------------------------


def test_a_host_that_answers_nobody_ends_with_one_call_at_a_time_and_is_never_closed() -> None:
    limit = limited(64)
    limits = []
    for _ in range(9):
        call(limit, Sign.SILENT, NOW)
        limits.append(limit.limit)

    assert limits == [64, 32, 16, 8, 4, 2, 1, 1, 1]
    assert limit.closed_until is None


def test_calls_in_silence_that_began_together_halve_the_limit_once() -> None:
    limit = limited(64)
    for _ in range(64):
        limit.learn(Sign.SILENT, NOW, began=0, jitter=0)
    assert limit.limit == 32


def test_a_call_without_an_answer_says_nothing_where_others_that_began_later_had_one() -> None:
    limit = limited(64)
    for _ in range(9):
        slow, other = limit.begin(), limit.begin()
        limit.learn(Sign.REACHED, NOW, began=other, jitter=0)
        limit.learn(Sign.SILENT, NOW, began=slow, jitter=0)

    assert limit.limit == 64
    assert limit.forgettable(NOW)


def test_a_host_that_was_silent_once_is_watched_until_it_answers() -> None:
    limit = limited()
    call(limit, Sign.SILENT, NOW)
    assert not limit.forgettable(NOW)

    call(limit, Sign.REACHED, NOW)
    assert limit.forgettable(NOW)


# --- closed -----------------------------------------------------------------------------------------------------------


def test_a_closed_host_says_how_long_it_is_closed_and_then_lets_one_call_through() -> None:
    limit = closed()
    assert limit.wait(NOW + 0.25) == 0.75
    assert limit.wait(NOW + 1) == 0

    limit.begin()

    assert limit.wait(NOW + 1) == math.inf


def test_a_probe_that_fails_closes_the_host_for_twice_as_long_up_to_a_minute() -> None:
    limit = closed()
    now, waits = NOW, []
    for _ in range(8):
        assert limit.closed_until is not None
        now = limit.closed_until
        call(limit, Sign.TOO_MUCH, now, jitter=0.999_999)
        waits.append(round(limit.closed_until - now))

    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_probe_that_succeeds_opens_the_host_for_one_call_at_a_time() -> None:
    limit = closed()

    call(limit, Sign.REACHED, NOW + 1)

    assert (limit.closed_until, limit.limit, limit.closings) == (None, 1, 0)


def test_a_probe_that_says_nothing_lets_the_next_one_follow() -> None:
    limit = closed()
    call(limit, Sign.NONE, NOW + 1)
    assert limit.wait(NOW + 1) == 0


def test_calls_from_before_the_closing_say_nothing_new() -> None:
    limit = limited(2)
    began = [limit.begin() for _ in range(2)]
    for _ in range(2):
        limit.learn(Sign.TOO_MUCH, NOW, began=limit.begin(), jitter=0)
    limit.learn(Sign.TOO_MUCH, NOW, began=began[0], jitter=0)

    assert limit.closings == 1
    limit.learn(Sign.REACHED, NOW, began=began[1], jitter=0)
    assert limit.closed_until is not None


def test_what_began_before_the_closing_or_the_opening_calls_no_more() -> None:
    limit = limited(16)
    before = limit.begin()
    limit.learn(Sign.TOO_MUCH, NOW, asked_s=1, jitter=0)
    assert not limit.may_call(before, NOW)

    looking = limit.begin()
    limit.hear(replace(REPORT, since=NOW + 0.5))

    assert not limit.may_call(looking, NOW + 1)
    assert limit.may_call(limit.begin(), NOW + 1)


def test_a_probe_that_takes_long_lets_another_one_follow_up_to_a_quarter_of_the_calls() -> None:
    limit, now, probes = closed(16), NOW + 1, 0
    for _ in range(9):
        if limit.wait(now) == 0:
            assert limit.may_call(limit.begin(), now)
            probes += 1
        assert limit.wait(now) == math.inf
        now += PROBE_ALONE_S

    assert probes == 4


def test_jobs_that_need_no_call_let_more_and_more_others_look_and_one_of_these_calls() -> None:
    limit, looks = closed(), []
    for _ in range(10):
        began = []
        while limit.wait(NOW + 1) == 0:
            began.append(limit.begin())
        looks.append(len(began))
        for ticket in began:
            limit.end(ticket)
    assert looks == [1, 2, 4, 8, 16, 32, 64, 128, MOST_LOOKS, MOST_LOOKS]

    looking = [limit.begin() for _ in range(MOST_LOOKS)]
    assert [limit.may_call(ticket, NOW + 1) for ticket in looking].count(True) == 1
    assert limit.report(NOW + 1).empty_looks == 0


def test_a_host_that_says_how_long_is_left_alone_for_that_long() -> None:
    limit = limited()
    call(limit, Sign.TOO_MUCH, NOW, asked_s=30)
    assert limit.wait(NOW) == 30


def test_nobody_closes_a_host_for_hours() -> None:
    limit = limited()
    call(limit, Sign.TOO_MUCH, NOW, asked_s=86_400)
    assert limit.wait(NOW) == LONGEST_ASKED_S


def test_the_longest_wish_of_many_calls_counts_and_all_of_them_are_one_closing() -> None:
    limit = limited()
    began = [limit.begin() for _ in range(3)]
    for ticket, asked_s in zip(began, (5, 9, 2), strict=True):
        limit.learn(Sign.TOO_MUCH, NOW, began=ticket, asked_s=asked_s, jitter=0)

    assert (limit.closed_until, limit.closings) == (NOW + 9, 1)


def test_a_good_answer_with_retry_after_closes_nothing() -> None:
    limit = limited()
    call(limit, Sign.REACHED, NOW, asked_s=30)
    assert limit.closed_until is None


# --- whatever happens -------------------------------------------------------------------------------------------------

#: what a call meets, and the seconds until the next thing happens
STEPS = st.lists(
    st.tuples(
        st.sampled_from(Sign),
        st.floats(0, 90),
        st.none() | st.floats(0, 1000),
        st.floats(0, 1, exclude_max=True),
        st.booleans(),
    ),
    max_size=60,
)


@given(ceiling=st.integers(1, 200), hearsay=st.booleans(), steps=STEPS)
def test_the_limit_keeps_its_bounds_whatever_the_calls_meet(
    ceiling: int, hearsay: bool, steps: list[tuple[Sign, float, float | None, float, bool]]
) -> None:
    limit, now = HostLimit(ceiling, NOW, hearsay=hearsay), NOW
    under_way: list[int] = []
    for sign, seconds, asked_s, jitter, ends in steps:
        now += seconds
        if limit.wait(now) == 0:
            under_way.append(limit.begin())
            limit.may_call(under_way[-1], now)
        if ends and under_way:
            began = under_way.pop(0)
            limit.end(began)
            limit.learn(sign, now, began=began, asked_s=asked_s, jitter=jitter)
        assert 1 <= limit.limit <= ceiling
        assert limit.in_flight == len(under_way)
        if limit.closed_until is not None:
            assert limit.closed_until - now <= max(LONGEST_CLOSED_S, LONGEST_ASKED_S)


@given(closings=st.integers(0, 40), jitter=st.floats(0, 1, exclude_max=True))
def test_a_closed_host_always_gets_its_probe_within_a_minute(closings: int, jitter: float) -> None:
    limit, now = closed(), NOW
    for _ in range(closings):
        now = limit.closed_until or now
        call(limit, Sign.TOO_MUCH, now, jitter=jitter)

    assert limit.wait(now + LONGEST_CLOSED_S) == 0


@given(answers=st.lists(st.booleans(), max_size=100))
def test_a_closed_host_never_has_more_than_one_probe_under_way(answers: list[bool]) -> None:
    limit, now = closed(), NOW + 1
    for good in answers:
        if limit.closed_until is None:
            break
        now = max(now, limit.closed_until)
        assert limit.wait(now) == 0
        began = limit.begin()
        assert limit.may_call(began, now)
        assert limit.wait(now) == math.inf
        limit.end(began)
        limit.learn(Sign.REACHED if good else Sign.TOO_MUCH, now, began=began, jitter=0.5)


def test_retry_after_as_an_outcome_has_it_reaches_the_limit() -> None:
    outcome = outcome_of_status(503, timedelta(seconds=7))
    limit = limited()
    asked_s = outcome.retry_after.total_seconds() if outcome.retry_after else None
    call(limit, sign_of(outcome), NOW, asked_s=asked_s)
    assert limit.wait(NOW) == 7
