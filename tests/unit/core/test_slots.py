from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.slots import SLOT_LENGTH, OrderKeys, Spread, UserOrder, order_key
from taskqueue.errors import InvalidValueError

HALF_AN_HOUR = timedelta(minutes=30)

windows = st.timedeltas(timedelta(0), timedelta(hours=2)) | st.integers(0, 200).map(lambda n: n * SLOT_LENGTH)
user_ids = st.text(min_size=1, max_size=8)


def in_order(task_id: str, users: Iterable[str]) -> list[str]:
    return sorted(users, key=lambda user: (order_key(task_id, user), user))


def slot_of_each(task_id: str, users: set[str], window: timedelta) -> dict[str, int]:
    spread = Spread(window=window, users=len(users))
    return {user: spread.slot(index) for index, user in enumerate(in_order(task_id, users))}


def test_fifteen_and_a_half_minutes_are_slot_93_as_in_the_specs_example() -> None:
    spread = Spread(window=HALF_AN_HOUR, users=60)
    assert (spread.offset(31), spread.slot(31)) == (timedelta(minutes=15, seconds=30), 93)
    assert spread.slots == 180


@given(window=windows, users=st.integers(1, 2000))
def test_each_user_starts_in_the_window_at_an_equal_share_of_it(window: timedelta, users: int) -> None:
    spread = Spread(window=window, users=users)
    microseconds = window // timedelta.resolution
    for index in range(users):
        assert spread.offset(index) // timedelta.resolution == math.floor(microseconds * index // users)
        assert spread.offset(index) < window or window == timedelta(0)


@given(window=windows, users=st.integers(0, 2000))
def test_each_user_is_in_exactly_one_slot(window: timedelta, users: int) -> None:
    spread = Spread(window=window, users=users)
    bounds = [spread.first_index(slot) for slot in range(spread.slots + 1)]
    assert bounds[0] == 0
    assert bounds[-1] == users
    found = [(slot, index) for slot in range(spread.slots) for index in range(bounds[slot], bounds[slot + 1])]
    assert found == [(spread.slot(index), index) for index in range(users)]


@given(window=windows, users=st.integers(0, 2000))
def test_whole_slots_differ_by_at_most_one_user_and_a_shorter_last_one_has_no_more(
    window: timedelta, users: int
) -> None:
    spread = Spread(window=window, users=users)
    sizes = Counter(map(spread.slot, range(users)))
    whole = [sizes[slot] for slot in range(window // SLOT_LENGTH)]
    if whole:
        assert max(whole) - min(whole) <= 1
        assert max(sizes.values(), default=0) <= max(whole)


@given(window=windows, users=st.integers(0, 50), slot=st.integers(-2, 800))
def test_the_first_index_of_a_slot_is_the_lowest_in_it_or_later(window: timedelta, users: int, slot: int) -> None:
    spread = Spread(window=window, users=users)
    expected = next((index for index in range(users) if spread.slot(index) >= slot), users)
    assert spread.first_index(slot) == expected


@given(
    staying=st.sets(user_ids, min_size=1, max_size=60),
    leaving=st.sets(user_ids, max_size=20),
    joining=st.sets(user_ids, max_size=20),
    window=windows,
)
def test_joins_and_leaves_move_nobody_far(
    staying: set[str], leaving: set[str], joining: set[str], window: timedelta
) -> None:
    leaving, joining = leaving - staying, joining - staying - leaving
    before = slot_of_each("daily_report", staying | leaving, window)
    after = slot_of_each("daily_report", staying | joining, window)
    changes, slots = len(leaving) + len(joining), Spread(window=window, users=1).slots
    furthest = math.ceil(slots * changes / min(len(before), len(after))) + 1
    assert all(abs(before[user] - after[user]) <= furthest for user in staying)


def test_a_single_user_and_a_window_of_zero_start_at_once() -> None:
    assert Spread(window=HALF_AN_HOUR, users=1).offset(0) == timedelta(0)
    at_once = Spread(window=timedelta(0), users=5)
    assert {at_once.offset(index) for index in range(5)} == {timedelta(0)}
    assert (at_once.slots, at_once.first_index(0), at_once.first_index(1)) == (1, 0, 5)


def test_an_audience_that_grew_while_it_was_planned_ends_in_the_last_place() -> None:
    spread = Spread(window=HALF_AN_HOUR, users=10)
    assert spread.offset(10) == spread.offset(9) == timedelta(minutes=27)
    assert spread.slot(1_000_000) == spread.slot(9)


def test_without_users_a_latecomer_starts_at_once() -> None:
    spread = Spread(window=HALF_AN_HOUR, users=0)
    assert (spread.offset(0), spread.slot(3), spread.first_index(100)) == (timedelta(0), 0, 0)


def test_offsets_stay_exact_for_a_million_users_and_a_month() -> None:
    spread = Spread(window=timedelta(days=31), users=1_000_000)
    assert spread.offset(999_999) == timedelta(days=31) - timedelta(microseconds=2_678_400)
    assert spread.slot(spread.first_index(200_000)) == 200_000


@pytest.mark.parametrize(
    ("window", "users", "text"),
    [(timedelta(seconds=-1), 1, "distribution window .*: use zero or more"), (timedelta(0), -1, "-1 users")],
)
def test_a_negative_window_or_audience_is_refused(window: timedelta, users: int, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        Spread(window=window, users=users)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="user index -1: count from 0"):
        Spread(window=HALF_AN_HOUR, users=3).slot(-1)


def test_an_order_key_is_the_same_for_ever() -> None:
    assert order_key("daily_report", "user_12345") == 0x0CDA683A2A31B615
    assert order_key("daily_report", "Zoë") == 0x343A58583346AEFD


@given(task_id=st.sampled_from(["a", "ab", "daily_report"]), user_id=user_ids)
def test_keys_taken_together_are_the_keys_taken_one_by_one(task_id: str, user_id: str) -> None:
    keys = OrderKeys(task_id)
    assert [keys(user_id), keys(user_id)] == [order_key(task_id, user_id)] * 2
    assert 0 <= keys(user_id) < 2**64


def order_of(users: Iterable[str], expected: int) -> UserOrder:
    order = UserOrder("daily_report", expected=expected)
    order.add(users)
    return order


@given(users=st.sets(user_ids, max_size=60), expected=st.sampled_from([0, 1, 5_000, 100_000, 3_000_000]))
def test_users_are_handed_out_by_key_and_id_however_many_were_expected(users: set[str], expected: int) -> None:
    order = order_of(users, expected)
    assert len(order) == len(users)
    assert list(order.drain()) == [(order_key("daily_report", user), user) for user in in_order("daily_report", users)]


@given(users=st.sets(user_ids, min_size=1, max_size=60), expected=st.sampled_from([0, 100_000]), data=st.data())
def test_behind_a_place_come_those_behind_it_whether_its_user_is_there_or_not(
    users: set[str], expected: int, data: st.DataObject
) -> None:
    ordered = in_order("daily_report", users)
    last = data.draw(st.sampled_from(ordered))
    place = (order_key("daily_report", last), last)
    behind = ordered[ordered.index(last) + 1 :]
    for others in (users, users - {last}):
        assert [user for _, user in order_of(others, expected).drain(place)] == behind


def test_users_added_in_pieces_are_one_order() -> None:
    users = [f"user_{number}" for number in range(20_000)]
    order = UserOrder("daily_report", expected=20_000)
    for start in range(0, 20_000, 1500):
        order.add(users[start : start + 1500])
    assert [user for _, user in order.drain()] == in_order("daily_report", users)


def test_the_highest_place_has_nobody_behind_it() -> None:
    assert list(order_of(["ann"], expected=10**6).drain((2**64 - 1, "zoe"))) == []


def test_two_tasks_order_the_same_users_differently() -> None:
    users = {f"user_{number}" for number in range(1000)}
    first, second = in_order("daily_report", users), in_order("hourly_sync", users)
    # In two unrelated orders of 1000 a user keeps its place about once.
    assert sum(one == other for one, other in zip(first, second, strict=True)) < 10


def test_task_and_user_do_not_run_into_each_other() -> None:
    assert order_key("ab", "c") != order_key("a", "bc")


def test_keys_fill_their_range_evenly() -> None:
    sixteenths = Counter(OrderKeys("daily_report")(f"user_{number}") >> 60 for number in range(16_000))
    # 1000 each with a standard deviation of 31
    assert all(800 < sixteenths[part] < 1200 for part in range(16))


@given(
    st.integers(0, 10_000),
    st.timedeltas(timedelta(0), timedelta(hours=2)),
    st.timedeltas(-timedelta(minutes=1), timedelta(hours=3)),
)
def test_as_many_have_started_as_have_an_offset_that_has_passed(
    users: int, window: timedelta, elapsed: timedelta
) -> None:
    spread = Spread(window=window, users=users)

    started = spread.started(elapsed)

    assert all(spread.offset(index) <= elapsed for index in {0, started // 2, started - 1} if 0 <= index < started)
    assert all(spread.offset(index) > elapsed for index in {started, (started + users) // 2} if index < users)


@given(st.lists(st.text(max_size=8), unique=True, max_size=50))
def test_the_keys_of_many_users_are_those_of_each(users: list[str]) -> None:
    assert list(OrderKeys("daily_report").of(users)) == [order_key("daily_report", user) for user in users]


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_users_before_the_first_key_are_not_taken(first: int) -> None:
    users = [f"user-{number}" for number in range(100)]
    order = UserOrder("daily_report", expected=100, first=first)
    order.add(users)
    behind = [user for user in in_order("daily_report", users) if order_key("daily_report", user) >= first]
    assert len(order) == len(behind)
    assert [user for _, user in order.drain()] == behind
