from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.core.due import GRACE, MAX_INSTANTS, Due, due_instants, latest_until
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import CatchUp, Interval

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOURLY = Every(kind=EveryKind.HOURLY, value=1)
EACH_MINUTE = Cron(expression="* * * * *")


@dataclass(slots=True)
class Counted:
    """An interval that counts how often it is asked."""

    interval: Interval
    asked: int = 0

    def next_after(self, instant: datetime) -> datetime | None:
        self.asked += 1
        return self.interval.next_after(instant)

    def as_dict(self) -> dict[str, str | int]:
        return self.interval.as_dict()


def due(
    interval: Interval, first: datetime, now: datetime, catch_up: CatchUp = CatchUp.LATEST, max_age: timedelta = DAY
) -> Due:
    return due_instants(interval, first, now=now, ahead=MINUTE, catch_up=catch_up, max_age=max_age)


def hours(*numbers: int) -> tuple[datetime, ...]:
    return tuple(NOON + number * HOUR for number in numbers)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_due_within_a_minute_is_planned_and_the_next_follows(catch_up: CatchUp) -> None:
    assert due(HOURLY, NOON, NOON - MINUTE, catch_up) == Due(instants=(NOON,), following=NOON + HOUR)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_due_later_is_left_for_later(catch_up: CatchUp) -> None:
    early = NOON - MINUTE - timedelta.resolution
    assert due(HOURLY, NOON, early, catch_up) == Due(instants=(), following=NOON)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_is_planned_ahead_costs_one_look_at_its_rule(catch_up: CatchUp) -> None:
    counted = Counted(HOURLY)
    due(counted, NOON, NOON - MINUTE, catch_up)
    assert counted.asked == 1


def test_none_passes_over_what_was_missed() -> None:
    now = NOON + timedelta(minutes=30)
    assert due(HOURLY, NOON - 3 * HOUR, now, CatchUp.NONE) == Due(instants=(), following=NOON + HOUR, missed=True)


def test_none_still_runs_what_a_failover_made_late() -> None:
    assert due(HOURLY, NOON, NOON + GRACE, CatchUp.NONE) == Due(instants=(NOON,), following=NOON + HOUR)


@pytest.mark.parametrize(("late", "runs"), [(10, 1), (11, 0)])
def test_none_runs_nothing_older_than_a_max_age_of_less_than_a_minute(late: int, runs: int) -> None:
    now = NOON + timedelta(seconds=late)
    found = due(HOURLY, NOON, now, CatchUp.NONE, max_age=timedelta(seconds=10))
    assert (len(found.instants), found.following, found.missed) == (runs, NOON + HOUR, runs == 0)


def test_latest_makes_up_for_the_last_one_alone() -> None:
    now = NOON + timedelta(minutes=30)
    assert due(HOURLY, NOON - 3 * HOUR, now) == Due(instants=(NOON,), following=NOON + HOUR, missed=True)


def test_latest_with_one_missed_instant_passes_over_none() -> None:
    now = NOON + timedelta(minutes=30)
    assert due(HOURLY, NOON, now) == Due(instants=(NOON,), following=NOON + HOUR, missed=False)


def test_all_makes_up_for_every_one_in_order() -> None:
    now = NOON + timedelta(minutes=30)
    assert due(HOURLY, NOON - 3 * HOUR, now, CatchUp.ALL) == Due(instants=hours(-3, -2, -1, 0), following=NOON + HOUR)


@pytest.mark.parametrize("catch_up", [CatchUp.LATEST, CatchUp.ALL])
def test_what_is_older_than_max_age_is_never_made_up_for(catch_up: CatchUp) -> None:
    now = NOON + timedelta(minutes=30)
    found = due(HOURLY, NOON - 9 * HOUR, now, catch_up, max_age=timedelta(minutes=29))
    assert found == Due(instants=(), following=NOON + HOUR, missed=True)


def test_all_makes_up_for_what_is_exactly_max_age_old() -> None:
    assert due(HOURLY, NOON - 9 * HOUR, NOON, CatchUp.ALL, max_age=2 * HOUR).instants == hours(-2, -1, 0)


def test_all_hands_out_a_bounded_number_and_goes_on_where_it_stopped() -> None:
    found = due(EACH_MINUTE, NOON - DAY, NOON, CatchUp.ALL)
    assert len(found.instants) == MAX_INSTANTS
    assert found.following == found.instants[-1] + MINUTE
    assert found.following is not None
    assert due(EACH_MINUTE, found.following, NOON, CatchUp.ALL).instants[0] == found.following


@pytest.mark.parametrize("catch_up", CatchUp)
def test_an_interval_that_is_over_has_nothing_following(catch_up: CatchUp) -> None:
    assert due(Once(at=NOON), NOON, NOON, catch_up) == Due(instants=(NOON,), following=None)


@pytest.mark.parametrize(("catch_up", "runs"), [(CatchUp.NONE, 0), (CatchUp.LATEST, 1), (CatchUp.ALL, 1)])
def test_a_single_instant_that_was_missed_is_made_up_for_unless_none_are(catch_up: CatchUp, runs: int) -> None:
    found = due(Once(at=NOON), NOON, NOON + HOUR, catch_up)
    assert (len(found.instants), found.following, found.missed) == (runs, None, runs == 0)


intervals = st.sampled_from(
    [
        HOURLY,
        EACH_MINUTE,
        Every(kind=EveryKind.HOURLY, value=5),
        Every(kind=EveryKind.DAILY, value=3, timezone="America/New_York"),
        Cron(expression="*/7 2 * * 1-5", timezone="Europe/London"),
        Cron(expression="0 0 29 2 *"),
        Once(at=NOON),
    ]
)
spans = st.timedeltas(timedelta(0), timedelta(days=3))


@given(interval=intervals, outage=spans, max_age=spans, ahead=st.timedeltas(timedelta(0), HOUR))
def test_each_way_of_catching_up_takes_a_part_of_what_all_would_take(
    interval: Interval, outage: timedelta, max_age: timedelta, ahead: timedelta
) -> None:
    now = NOON + timedelta(seconds=17)
    first = interval.next_after(now - outage)
    if first is None:
        return
    found = {how: due_instants(interval, first, now=now, ahead=ahead, catch_up=how, max_age=max_age) for how in CatchUp}
    for how in CatchUp:
        instants = found[how].instants
        assert list(instants) == sorted(set(instants))
        assert all(first <= instant <= now + ahead for instant in instants)
        assert found[how].missed == (first not in (*instants, found[how].following))
    past = [instant for instant in found[CatchUp.LATEST].instants if instant <= now]
    assert len(past) <= 1
    assert all(now - instant <= max_age for instant in past)
    assert all(now - instant <= min(GRACE, max_age) for instant in found[CatchUp.NONE].instants)


@given(interval=intervals, seconds=st.integers(0, 7 * 86_400), max_age=spans)
def test_the_latest_instant_is_the_last_of_those_that_a_walk_finds(
    interval: Interval, seconds: int, max_age: timedelta
) -> None:
    now = NOON + timedelta(seconds=seconds)
    found = latest_until(interval, now, max_age)
    if found is None:
        following = interval.next_after(now - max_age - timedelta.resolution)
        assert following is None or following > now
    else:
        assert now - max_age <= found <= now
        assert (interval.next_after(found) or now + DAY) > now
        assert interval.next_after(found - timedelta.resolution) == found


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_year_without_a_scheduler_is_caught_up_with_at_once_by_a_task_of_each_minute(catch_up: CatchUp) -> None:
    interval = Counted(EACH_MINUTE)
    began = time.process_time()
    due(interval, NOON - 365 * DAY, NOON, catch_up, max_age=365 * DAY)
    assert interval.asked <= MAX_INSTANTS + 5
    assert time.process_time() - began < 1
