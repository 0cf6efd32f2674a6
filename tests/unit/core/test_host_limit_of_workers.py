"""What workers make of what others know about a host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskqueue.core.host_limit import (
    FORGOTTEN_AFTER_S,
    HostLimit,
    Sign,
    over_all_workers,
)

#: a Sunday in 2026, in unix seconds
from tests.support.host_calls import NOW, REPORT, call, closed, limited


def test_a_closed_host_opens_when_another_worker_has_reached_it_since() -> None:
    limit = closed()
    limit.hear(replace(REPORT, since=NOW + 0.5))
    assert (limit.closed_until, limit.limit) == (None, 1)


def test_what_another_worker_found_out_before_changes_nothing() -> None:
    limit = closed()
    limit.hear(replace(REPORT, since=NOW - 1))
    assert limit.closed_until == NOW + 1


def test_workers_that_have_a_host_closed_keep_to_the_latest_closing() -> None:
    limit = closed()
    limit.hear(replace(REPORT, closed_until=NOW + 30, since=NOW + 0.5, closings=5))
    assert (limit.closed_until, limit.closings) == (NOW + 30, 5)


def test_a_shorter_closing_of_another_worker_does_not_shorten_what_the_host_asked_for_here() -> None:
    limit = limited()
    call(limit, Sign.TOO_MUCH, NOW, asked_s=120)
    limit.hear(replace(REPORT, closed_until=NOW + 1, since=NOW + 0.5))
    assert limit.closed_until == NOW + 120


def test_a_host_of_whose_closings_others_tell_is_not_forgotten() -> None:
    limit = closed()
    limit.hear(replace(REPORT, closed_until=NOW + 660, since=NOW + 600, closings=9))
    assert not limit.forgettable(NOW + 660)
    assert limit.forgettable(NOW + 600 + FORGOTTEN_AFTER_S + 1)


def test_a_host_that_another_worker_has_reached_gets_its_calls_over_as_long_as_it_was_closed_here() -> None:
    limit = closed(16)
    limit.hear(replace(REPORT, since=NOW + 20))
    for _ in range(1000):
        call(limit, Sign.REACHED, NOW + 30)
    assert limit.limit == pytest.approx(8)


def test_an_open_host_stays_open_whatever_trouble_others_have() -> None:
    limit = limited(4)
    limit.hear(replace(REPORT, closed_until=NOW + 30, since=NOW + 1))
    assert limit.wait(NOW) == 0


def test_hearsay_holds_nothing_back_and_tells_how_much_got_through() -> None:
    limit = HostLimit(4, NOW, hearsay=True)
    began = [limit.begin() for _ in range(9) if limit.wait(NOW) == 0]
    for ticket in began:
        limit.learn(Sign.REACHED, NOW, began=ticket, jitter=0)

    assert len(began) == 9
    assert limit.report(NOW).limit == 4


def test_trouble_of_its_own_makes_a_limit_of_hearsay() -> None:
    limit = HostLimit(4, NOW, hearsay=True)
    call(limit, Sign.TOO_MUCH, NOW)
    assert (limit.hearsay, limit.limit) == (False, 2)


def test_open_workers_add_up_and_closed_ones_count_for_nothing_beside_them() -> None:
    together = over_all_workers(
        [
            replace(REPORT, limit=3, in_flight=2),
            replace(REPORT, limit=4, in_flight=1),
            replace(REPORT, limit=1, in_flight=5, closed_until=NOW + 9, since=NOW + 1),
        ]
    )
    assert (together.limit, together.in_flight, together.closed_until) == (7, 3, None)


def test_where_all_have_closed_the_latest_closing_counts() -> None:
    reports = [replace(REPORT, closed_until=NOW + 60), replace(REPORT, closed_until=NOW + 5, since=NOW + 1)]
    assert over_all_workers(reports).closed_until == NOW + 5
