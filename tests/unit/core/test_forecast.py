from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.core.forecast import HORIZON, Fire, Load, Schedule, fires, next_instants, outlook
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.slots import Spread
from tests.support.loads import AT, load_of

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
HOURLY = Every(kind=EveryKind.HOURLY, value=1)


def due_in_slots(starts_at: datetime, spread: Spread) -> dict[datetime, int]:
    """Count, user by user, who is due in which ten seconds of the day after AT."""
    due = (starts_at + spread.offset(index) for index in range(spread.users))
    slots = Counter(AT + (instant - AT) // (10 * SECOND) * 10 * SECOND for instant in due)
    return {slot: count for slot, count in sorted(slots.items()) if slot < AT + HORIZON}


def test_occurrences_follow_on_the_given_instant_up_to_and_with_the_end() -> None:
    found = list(fires(HOURLY, after=AT, until=AT + 2 * HOUR, window=10 * MINUTE))
    assert found == [
        Fire(at=AT + HOUR, window=10 * MINUTE, interval=HOUR),
        Fire(at=AT + 2 * HOUR, window=10 * MINUTE, interval=HOUR),
    ]


def test_a_window_ends_where_the_next_occurrence_begins() -> None:
    (found,) = fires(HOURLY, after=AT, until=AT + HOUR, window=3 * HOUR)
    assert found.window == HOUR


def test_the_last_occurrence_of_all_has_its_whole_window() -> None:
    (found,) = fires(Once(at=AT + HOUR), after=AT, until=AT + HORIZON, window=3 * HOUR)
    assert found == Fire(at=AT + HOUR, window=3 * HOUR, interval=None)


def test_next_instants_end_with_the_rule() -> None:
    assert next_instants(HOURLY, AT, 2) == [AT + HOUR, AT + 2 * HOUR]
    assert next_instants(Once(at=AT + HOUR), AT, 5) == [AT + HOUR]


@settings(max_examples=200, deadline=None)
@given(
    starts=st.integers(min_value=0, max_value=86_399_999).map(lambda ms: AT + ms * timedelta(milliseconds=1)),
    window=st.one_of(st.integers(0, 20_000), st.integers(0, 7_200_000)).map(lambda ms: ms * timedelta(milliseconds=1)),
    users=st.integers(min_value=0, max_value=3000),
)
@example(starts=AT + timedelta(milliseconds=2), window=timedelta(milliseconds=9_999), users=1)
def test_the_load_of_a_slot_is_the_number_of_users_that_are_due_in_it(
    starts: datetime, window: timedelta, users: int
) -> None:
    spread = Spread(window=window, users=users)
    load = Load(begins=AT)
    load.add(starts, spread)
    expected = due_in_slots(starts, spread)
    assert load.by_slot() == expected
    assert load.calls == sum(expected.values())


def test_slots_of_an_occurrence_at_a_full_minute_are_its_own_also_where_the_load_begins_between_two() -> None:
    load = Load(begins=AT + 7 * SECOND)
    spread = Spread(window=30 * SECOND, users=100)
    load.add(AT + MINUTE, spread)
    assert list(load.by_slot().items()) == [
        (AT + MINUTE + slot * 10 * SECOND, spread.first_index(slot + 1) - spread.first_index(slot)) for slot in range(3)
    ]


def test_occurrences_add_up() -> None:
    first, second = load_of((HOUR, MINUTE, 600)), load_of((HOUR, MINUTE, 60), (HOUR, timedelta(0), 7))
    first.merge(second)
    assert first.calls == 667
    assert first.by_slot()[AT + HOUR] == 100 + 10 + 7


def test_the_peak_is_the_average_of_the_busiest_slot() -> None:
    peak = load_of((HOUR, MINUTE, 600), (HOUR + 30 * SECOND, MINUTE, 1200)).peak()
    assert peak is not None
    assert (peak.at, peak.per_second, peak.at_once) == (AT + HOUR + 30 * SECOND, 30.0, 0)


def test_what_is_not_spread_is_the_peak_of_one_second() -> None:
    peak = load_of((HOUR, MINUTE, 600), (HOUR + 5 * SECOND, timedelta(0), 500)).peak()
    assert peak is not None
    assert (peak.at, peak.per_second, peak.at_once) == (AT + HOUR + 5 * SECOND, 510.0, 500)


def test_without_calls_there_is_no_peak() -> None:
    assert load_of((HOUR, MINUTE, 0)).peak() is None


def test_a_rate_that_suffices_leaves_nothing_behind() -> None:
    backlog = load_of((HOUR, 10 * MINUTE, 6000)).backlog(10)
    assert (backlog.most, backlog.left) == (0, 0)


def test_half_the_rate_leaves_half_of_the_jobs_behind_when_the_window_ends() -> None:
    backlog = load_of((HOUR, 10 * MINUTE, 12_000)).backlog(10)
    assert backlog.most == pytest.approx(6000)
    assert backlog.at == AT + HOUR + 9 * MINUTE + 50 * SECOND
    assert backlog.left == 0


def test_what_is_behind_is_made_up_for_between_two_occurrences() -> None:
    backlog = load_of((HOUR, MINUTE, 1200), (2 * HOUR, MINUTE, 1200)).backlog(10)
    assert backlog.most == pytest.approx(600)


def test_what_the_day_has_no_room_for_is_left_at_its_end() -> None:
    backlog = load_of((timedelta(0), timedelta(hours=24), 172_800)).backlog(1)
    assert backlog.left == pytest.approx(86_400)


def test_the_outlook_keeps_the_first_occurrences_and_counts_them_all() -> None:
    load = Load(begins=AT)
    schedule = Schedule(cohort="", rule=Cron(expression="*/10 * * * *"), users=600)
    found = outlook(schedule, 30 * MINUTE, at=AT, shown=2, load=load)
    assert (found.count, [fire.at for fire in found.first]) == (144, [AT + 10 * MINUTE, AT + 20 * MINUTE])
    assert load.calls == 143 * 600  # the last one begins where the day ends


def test_the_tightest_occurrence_has_the_shortest_window() -> None:
    schedule = Schedule(cohort="", rule=Cron(expression="0,50 8 * * *"), users=1)
    found = outlook(schedule, 2 * HOUR, at=AT, shown=0, load=Load(begins=AT))
    assert found.tightest == Fire(at=AT + 8 * HOUR, window=50 * MINUTE, interval=50 * MINUTE)


def test_where_nothing_is_spread_the_tightest_occurrence_is_followed_the_soonest() -> None:
    schedule = Schedule(cohort="", rule=Cron(expression="0,50 8 * * *"), users=1)
    found = outlook(schedule, timedelta(0), at=AT, shown=0, load=Load(begins=AT))
    assert found.tightest is not None
    assert (found.tightest.at, found.tightest.interval) == (AT + 8 * HOUR, 50 * MINUTE)


def test_where_nothing_is_due_within_the_day_the_outlook_is_the_next_occurrence() -> None:
    load = Load(begins=AT)
    weekly = Every(kind=EveryKind.WEEKLY, value=1, weekday=6)
    found = outlook(Schedule(cohort="", rule=weekly, users=7), HOUR, at=AT, shown=3, load=load)
    sunday = Fire(at=AT + timedelta(days=6), window=HOUR, interval=timedelta(days=7))
    assert (found.count, found.first, found.tightest, load.calls) == (0, (sunday,), sunday, 0)


def test_a_rule_that_is_over_has_no_outlook() -> None:
    found = outlook(Schedule(cohort="", rule=Once(at=AT), users=7), HOUR, at=AT, shown=3, load=Load(begins=AT))
    assert (found.count, found.first, found.tightest) == (0, (), None)
