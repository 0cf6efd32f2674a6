"""How a host that was closed gets its calls back."""

from __future__ import annotations

import pytest

from taskqueue.core.host_limit import LONGEST_ASKED_S, LONGEST_RAMP_S, HostLimit, Sign
from tests.support.host_calls import NOW, call, closed, limited


def opened(after_s: float, ceiling: int = 16) -> HostLimit:
    """Return the limit of a host that was closed from NOW, and whose probe came through so much later."""
    limit = closed(ceiling)
    call(limit, Sign.TOO_MUCH, NOW + 1, asked_s=1)
    call(limit, Sign.REACHED, NOW + after_s)
    return limit


@pytest.mark.parametrize(("closed_s", "ramp_s"), [(10.0, 10.0), (29.0, 29.0), (3600.0, LONGEST_RAMP_S)])
def test_a_host_that_is_back_gets_its_calls_over_as_long_as_it_was_closed_but_half_a_minute_at_most(
    closed_s: float, ramp_s: float
) -> None:
    limit, limits = opened(closed_s), []

    for tenth in range(11):
        now = NOW + closed_s + ramp_s * tenth / 10
        for _ in range(1000):
            call(limit, Sign.REACHED, now)
        limits.append(limit.limit)

    assert limits == pytest.approx([max(1, 1.6 * tenth) for tenth in range(11)])


def test_a_host_that_answers_slowly_gets_one_call_more_for_each_round_however_long_it_was_closed() -> None:
    limit = opened(10)
    call(limit, Sign.REACHED, NOW + 1000)
    assert limit.limit == 2


def test_a_host_that_was_closed_again_during_its_return_begins_anew() -> None:
    limit = opened(10)
    for _ in range(100):
        call(limit, Sign.REACHED, NOW + 15)
    call(limit, Sign.TOO_MUCH, NOW + 15, asked_s=1)
    call(limit, Sign.REACHED, NOW + 17)

    limits = []
    for seconds in (17.5, 18, 19):
        for _ in range(100):
            call(limit, Sign.REACHED, NOW + seconds)
        limits.append(limit.limit)
    assert limits == pytest.approx([4, 8, 16])


def test_an_open_host_that_was_never_closed_grows_by_its_answers_alone() -> None:
    limit = limited(4)
    call(limit, Sign.TOO_MUCH, NOW)
    for _ in range(12):
        call(limit, Sign.REACHED, NOW)
    assert limit.limit == 4


def test_a_clock_that_steps_back_begins_the_ramp_anew_and_does_not_stop_it() -> None:
    limit, hour = opened(10), 3600
    call(limit, Sign.REACHED, NOW + 10 - hour)

    for _ in range(1000):
        call(limit, Sign.REACHED, NOW + 15 - hour)
    assert limit.limit == pytest.approx(8)


def test_a_clock_that_steps_back_closes_no_host_for_longer_than_any_is() -> None:
    limit, hour = limited(4), 3600
    call(limit, Sign.TOO_MUCH, NOW, asked_s=60)

    assert limit.wait(NOW - hour) == LONGEST_ASKED_S
    assert limit.wait(NOW - hour + LONGEST_ASKED_S) == 0


def test_others_hear_of_it_although_no_job_comes_to_the_host() -> None:
    limit, hour = limited(4), 3600
    call(limit, Sign.TOO_MUCH, NOW, asked_s=60)

    assert limit.report(NOW - hour).closed_until == NOW - hour + LONGEST_ASKED_S
    assert limit.report(NOW - hour + 100).closed_until == NOW - hour + LONGEST_ASKED_S
