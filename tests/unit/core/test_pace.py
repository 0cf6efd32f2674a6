from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.pace import BIN_S, Pace
from taskqueue.errors import InvalidValueError

#: a Sunday in 2026, in unix seconds
NOW = 1_795_300_000.0

rates = st.floats(0.01, 5000)
spans = st.lists(st.floats(0, 3), min_size=1, max_size=100)


def test_a_new_pace_lets_one_job_out_and_fills_from_there() -> None:
    pace = Pace(10, 4)

    assert [pace.room(NOW + wait) for wait in (0, 0.1, 0.25, 1)] == [1, 2, 3, 4]


def test_what_was_taken_comes_back_at_the_rate() -> None:
    pace = full(10, 10)
    pace.take(NOW, 10)

    assert [pace.room(NOW + wait) for wait in (0, 0.05, 0.1, 0.35, 1, 60)] == [0, 0, 1, 3, 10, 10]


def test_a_slow_limit_lets_one_job_through_each_time() -> None:
    pace = full(0.1, 1)
    pace.take(NOW)

    assert (pace.room(NOW + 9.9), pace.room(NOW + 10)) == (0, 1)


@pytest.mark.parametrize("seconds", [0.1, 4.9])
def test_a_clock_that_goes_back_a_little_brings_no_room(seconds: float) -> None:
    pace = full(10, 10)
    pace.take(NOW, 10)

    assert pace.room(NOW - seconds) == 0
    assert pace.room(NOW + 0.1) == 1


@pytest.mark.parametrize("seconds", [5.1, 3600])
def test_a_clock_that_is_set_back_brings_no_room_but_fills_from_there(seconds: float) -> None:
    pace = full(10, 10)
    pace.take(NOW, 10)

    assert pace.room(NOW - seconds) == 0
    assert [pace.room(NOW - seconds + wait) for wait in (0.1, 1)] == [1, 10]


def test_places_ahead_take_their_tokens_when_their_jobs_come_out_though_the_clock_was_set_back() -> None:
    pace = full(8, 8)
    for number in range(8):
        assert reserved(pace, NOW + 10 + number / 8)
    pace.take(NOW, 8)

    assert pace.room(NOW - 3600) == 0
    assert pace.room(NOW - 3600 + 9.9) == 8
    pace.take(NOW - 3600 + 9.9, 8)
    assert pace.room(NOW - 3600 + 11) == 0
    assert pace.room(NOW - 3600 + 11.5) == 4


def test_places_ahead_are_as_many_as_the_rate_allows() -> None:
    pace = full(10, 10)

    assert sum(reserved(pace, NOW + 30 + number * 0.01) for number in range(100)) == 10


def test_a_place_ahead_takes_nothing_from_what_is_due_now() -> None:
    pace = full(100, 100)
    while reserved(pace, NOW + 30):
        pass

    assert pace.room(NOW) == 100


def test_a_place_takes_its_token_when_its_time_comes() -> None:
    pace = full(100, 100)
    pace.take(NOW, 100)
    for number in range(60):
        assert reserved(pace, NOW + number / 100)

    assert pace.room(NOW + 1) == 40


def test_a_place_in_the_quarter_that_has_begun_takes_its_token_at_once() -> None:
    pace = full(100, 100)
    assert pace.room(NOW) == 100

    assert reserved(pace, NOW + 0.1)

    assert pace.room(NOW) == 99


def test_what_did_not_go_out_leaves_its_room_to_others() -> None:
    pace = full(10, 10)
    pace.take(NOW, 10)

    pace.give_back(None)

    assert pace.room(NOW) == 1


def test_a_place_that_is_given_back_can_be_reserved_again_and_takes_no_token() -> None:
    pace = full(10, 10)
    pace.take(NOW, 10)
    for due in (NOW + 0.5, NOW + 30):
        assert reserved(pace, due)

    pace.give_back(NOW + 0.5)
    pace.give_back(NOW + 30)

    assert pace.room(NOW + 0.9) == 9
    assert sum(reserved(pace, NOW + 30 + number * 0.01) for number in range(100)) == 10


def test_a_place_that_is_given_back_when_its_time_has_come_gives_its_token_back() -> None:
    pace = full(10, 10)
    assert reserved(pace, NOW + 0.5)
    pace.take(NOW, 10)
    assert pace.room(NOW + 0.6) == 5

    pace.give_back(NOW + 0.5)

    assert pace.room(NOW + 0.6) == 6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0.5), (1, math.nan)])
def test_a_limit_that_never_lets_anything_through_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(InvalidValueError, match="limit of"):
        Pace(rate, burst)


@given(rate=rates, waits=spans)
def test_no_more_than_burst_and_rate_get_through_over_any_span(rate: float, waits: list[float]) -> None:
    pace = full(rate, max(1, rate))
    passed: list[tuple[float, int]] = []
    now = NOW
    for wait in waits:
        now += wait
        room = pace.room(now)
        pace.take(now, room)
        passed.append((now, room))

    for first, (begin, _) in enumerate(passed):
        total = 0
        for end, count in passed[first:]:
            total += count
            assert total <= max(1, rate) + rate * (end - begin) + 1e-3


@given(rate=rates, waits=spans)
def test_nothing_of_the_rate_is_lost_while_somebody_asks_in_time(rate: float, waits: list[float]) -> None:
    # What is left of a token and what a second brings fit into the bucket together: nothing flows over.
    burst = rate + 1
    pace = full(rate, burst)
    now, total = NOW, 0
    for wait in (min(wait, 1) for wait in waits):
        room = pace.room(now)
        pace.take(now, room)
        total += room
        now += wait
    total += pace.room(now)

    assert total > burst + rate * (now - NOW) - 1 - 1e-3


@given(rate=rates, dues=st.lists(st.floats(1, 60), max_size=200), seconds=st.integers(1, 60))
def test_places_ahead_and_jobs_of_now_keep_the_rate_together(rate: float, dues: list[float], seconds: int) -> None:
    pace = full(rate, max(1, rate))
    ahead = [due for due in dues if reserved(pace, NOW + due)]

    passed = 0
    for step in range(seconds * 4):
        now = NOW + step * BIN_S
        room = pace.room(now)
        pace.take(now, room)
        passed += room
    came_due = sum(1 for due in ahead if due <= seconds - BIN_S)

    assert passed + came_due <= max(1, rate) + rate * seconds + rate * BIN_S + 1


def full(rate: float, burst: float) -> Pace:
    """Return a pace that nobody has used for long."""
    pace = Pace(rate, burst)
    pace.room(NOW - burst / rate - 1)
    return pace


def reserved(pace: Pace, due: float) -> bool:
    """Reserve a place if there is one; return whether there was."""
    free = pace.may_reserve(due)
    if free:
        pace.reserve(due)
    return free
