from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.lane import TOLERANCE, Route, route
from tests.support.values import TEN_O_CLOCK as NOW

MILLISECOND = timedelta(milliseconds=1)
instants = st.timedeltas(timedelta(minutes=-2), timedelta(minutes=2)).map(lambda offset: NOW + offset)


@given(late=st.timedeltas(timedelta(0), timedelta(days=1)), lane_tail=instants)
def test_what_is_due_goes_straight_to_its_queue_whatever_is_in_the_lane(late: timedelta, lane_tail: datetime) -> None:
    assert route(NOW - late, now=NOW, lane_tail=lane_tail) is Route.DIRECT


def test_what_is_not_before_the_tail_goes_into_the_lane() -> None:
    tail = NOW + timedelta(seconds=30)
    assert route(tail, now=NOW, lane_tail=tail) is Route.LANE
    assert route(tail - TOLERANCE, now=NOW, lane_tail=tail) is Route.LANE


def test_what_the_tail_would_make_late_is_held_back() -> None:
    tail = NOW + timedelta(seconds=30)
    assert route(tail - TOLERANCE - MILLISECOND, now=NOW, lane_tail=tail) is Route.HOLD


@given(dues=st.lists(instants, max_size=30))
def test_no_job_in_the_lane_is_behind_one_that_makes_it_more_late_than_the_tolerance(dues: list[datetime]) -> None:
    tail = NOW
    for due in dues:
        if route(due, now=NOW, lane_tail=tail) is Route.LANE:
            assert tail - due <= TOLERANCE
            tail = max(tail, due)
