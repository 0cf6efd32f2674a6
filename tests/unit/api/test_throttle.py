from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.api.throttle import MOST_ADDRESSES, FailureThrottle, throttled_address

ADDRESS = "192.0.2.1"


def test_an_address_may_fail_so_often_at_once_and_then_has_to_wait() -> None:
    throttle = FailureThrottle(20)

    assert [throttle.take(ADDRESS, 0) for _ in range(20)] == [0.0] * 20
    assert throttle.take(ADDRESS, 0) == pytest.approx(3)
    assert throttle.take(ADDRESS, 2) == pytest.approx(1)
    assert throttle.take(ADDRESS, 3) == 0


def test_another_address_is_not_held_back() -> None:
    throttle = FailureThrottle(1)
    throttle.take(ADDRESS, 0)

    assert throttle.take(ADDRESS, 0) > 0
    assert throttle.take("192.0.2.2", 0) == 0


def test_a_try_that_was_no_failure_does_not_count() -> None:
    throttle = FailureThrottle(2)

    for _ in range(10):
        assert throttle.take(ADDRESS, 0) == 0
        throttle.give_back(ADDRESS, 0)

    assert len(throttle) == 0


@given(st.lists(st.floats(0, 10), max_size=60), st.integers(1, 30))
def test_never_more_than_the_burst_and_what_has_come_back_since(pauses: list[float], per_minute: int) -> None:
    throttle = FailureThrottle(per_minute)
    now_s, allowed = 0.0, 0

    for pause in pauses:
        now_s += pause
        allowed += throttle.take(ADDRESS, now_s) == 0
        assert allowed <= per_minute + now_s * per_minute / 60 + 1e-6


def test_it_remembers_no_more_than_so_many_addresses() -> None:
    throttle = FailureThrottle(1)
    throttle.take(ADDRESS, 0)

    for number in range(MOST_ADDRESSES):
        throttle.take(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 0)

    assert len(throttle) == MOST_ADDRESSES
    assert throttle.take(ADDRESS, 0) == 0


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(host: str, counted: str) -> None:
    assert throttled_address(host) == counted
