from __future__ import annotations

import copy
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.dst import Dst, Fold, Gap
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import Interval
from taskqueue.errors import InvalidValueError
from tests.support import wall_rules
from tests.support.minute_oracle import CLOCK_CHANGES, Matches, due_instants, real_minutes

HOURLY, DAILY, WEEKLY, MONTHLY = EveryKind
LAST_YEAR = datetime(9998, 12, 31, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(interval: Interval, after: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    instant = interval.next_after(after)
    while instant is not None and instant <= until:
        assert instant > after
        found.append(instant)
        after, instant = instant, interval.next_after(instant)
    return found


def texts(interval: Interval, after: str, until: str) -> list[str]:
    return [f"{instant:%Y-%m-%dT%H:%M}" for instant in runs(interval, utc(after), utc(until))]


dsts = st.builds(Dst, gap=st.sampled_from(Gap), fold=st.sampled_from(Fold))


@st.composite
def rules(draw: st.DrawFn, near: date) -> tuple[dict[str, Any], Matches]:
    """An Every without its zone, and the same rule as a test of wall times; many are due close to `near`."""
    kind = draw(st.sampled_from(EveryKind))
    if kind is HOURLY:
        value = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]))
        return {"kind": kind, "value": value}, wall_rules.hourly(value)
    value = draw(st.sampled_from([1, 1, 2, 3, 5]))
    at_time = time(draw(st.sampled_from([0, 1, 2, 3, 12, 22, 23])), draw(st.sampled_from([0, 1, 15, 30, 59])))
    rule = {"kind": kind, "value": value, "at_time": at_time, "dst": draw(dsts)}
    if kind is DAILY:
        return rule, wall_rules.daily(value, at_time)
    if kind is WEEKLY:
        weekday = draw(st.integers(0, 6))
        return rule | {"weekday": weekday}, wall_rules.weekly(value, at_time, weekday)
    wanted: int | Literal["last"] = draw(st.sampled_from([near.day, near.day, 1, 28, 31, "last"]))
    return rule | {"day": wanted}, wall_rules.monthly(value, at_time, wanted)


@settings(deadline=None)  # the first look at a clock's minutes takes longer than the others
@given(data=st.data(), change=st.sampled_from(CLOCK_CHANGES))
def test_around_clock_changes_it_runs_when_an_oracle_over_real_minutes_does(
    data: st.DataObject, change: tuple[str, date]
) -> None:
    zone, day = change
    rule, matches = data.draw(rules(day))
    minutes = real_minutes(zone, day)
    every_hour = rule["kind"] is HOURLY and rule["value"] == 1
    dst = rule.get("dst", Dst(fold=Fold.BOTH if every_hour else Fold.FIRST))
    expected = due_instants(minutes, matches, after_a_gap=dst.gap is Gap.RUN_AFTER, fold=dst.fold.value)
    assert runs(Every(**rule, timezone=zone), minutes[0].instant, minutes[-1].instant) == expected


@settings(deadline=None)  # the first look at a clock's minutes takes longer than the others
@given(data=st.data(), change=st.sampled_from(CLOCK_CHANGES), seconds=st.floats(0, 3 * 86_400))
def test_the_next_run_does_not_depend_on_how_often_one_asks(
    data: st.DataObject, change: tuple[str, date], seconds: float
) -> None:
    zone, day = change
    rule, _ = data.draw(rules(day))
    interval = Every(**rule, timezone=zone)
    instant = real_minutes(zone, day)[0].instant + timedelta(seconds=seconds)
    due = interval.next_after(instant)
    assert due is not None
    assert due > instant
    assert interval.next_after(due - timedelta.resolution) == due
    assert interval.next_after(instant + (due - instant) / 2) == due


def test_daily_at_midnight_utc_is_the_specs_example() -> None:
    interval = Every(kind=DAILY, value=1, timezone="UTC", at_time=time(0))
    assert interval.next_after(utc("2024-01-15T00:00:00")) == utc("2024-01-16T00:00:00")
    assert interval.as_dict() == {"type": "daily", "value": 1, "timezone": "UTC"}


def test_a_run_is_due_strictly_after_the_instant_asked_for() -> None:
    interval = Every(kind=HOURLY, value=1)
    assert interval.next_after(utc("2024-01-01T05:00:00")) == utc("2024-01-01T06:00:00")
    assert interval.next_after(utc("2024-01-01T04:59:59.999999")) == utc("2024-01-01T05:00:00")


def test_an_instant_may_be_given_in_any_zone_and_the_answer_is_utc() -> None:
    instant = datetime(2024, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    due = Every(kind=HOURLY, value=1).next_after(instant)
    assert due == utc("2024-01-02T05:00:00")
    assert due.tzinfo is UTC


def test_every_hour_follows_real_time_where_an_hour_is_repeated() -> None:
    interval = Every(kind=HOURLY, value=1, timezone="America/New_York")
    assert texts(interval, "2026-11-01T04:00", "2026-11-01T08:00") == [
        "2026-11-01T05:00",
        "2026-11-01T06:00",
        "2026-11-01T07:00",
        "2026-11-01T08:00",
    ]


def test_every_two_hours_leaves_a_repeated_hour_out_and_runs_a_skipped_one_at_the_gaps_end() -> None:
    interval = Every(kind=HOURLY, value=2, timezone="America/New_York")
    # walls 02:00 (skipped, runs as 03:00), 04:00
    assert texts(interval, "2026-03-08T05:30", "2026-03-08T08:00") == ["2026-03-08T07:00", "2026-03-08T08:00"]
    # walls 00:00, 02:00 three real hours later, 04:00
    assert texts(interval, "2026-11-01T03:30", "2026-11-01T09:00") == [
        "2026-11-01T04:00",
        "2026-11-01T07:00",
        "2026-11-01T09:00",
    ]


def test_every_hour_is_on_the_wall_clocks_full_hours_in_a_zone_of_quarter_hours() -> None:
    interval = Every(kind=HOURLY, value=1, timezone="Asia/Kathmandu")
    assert interval.next_after(utc("2024-01-01T00:00:00")) == utc("2024-01-01T00:15:00")


def test_hours_that_do_not_divide_a_day_are_an_even_grid_from_the_first_monday_of_1970() -> None:
    interval = Every(kind=HOURLY, value=5, timezone="America/New_York")
    found = runs(interval, utc("2026-03-07T00:00"), utc("2026-03-09T00:00"))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=5)}
    assert (found[0] - utc("1970-01-05T00:00")) % timedelta(hours=5) == timedelta(0)


def test_a_weekly_interval_runs_on_mondays_unless_told_otherwise() -> None:
    assert texts(Every(kind=WEEKLY, value=1), "2024-01-01T00:00", "2024-01-20T00:00") == [
        "2024-01-08T00:00",
        "2024-01-15T00:00",
    ]


def test_two_weeks_are_counted_from_the_week_of_the_anchor_whatever_the_weekday() -> None:
    monday = Every(kind=WEEKLY, value=2).next_after(utc("1970-01-05T00:00"))
    sunday = Every(kind=WEEKLY, value=2, weekday=6).next_after(utc("1970-01-05T00:00"))
    assert (monday, sunday) == (utc("1970-01-19T00:00"), utc("1970-01-11T00:00"))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (31, ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        ("last", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        (30, ["2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"]),
        (1, ["2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01"]),
    ],
)
def test_a_month_without_the_day_takes_its_last(day: int | Literal["last"], expected: list[str]) -> None:
    found = runs(Every(kind=MONTHLY, value=1, day=day), utc("2024-01-01T00:00"), utc("2024-05-01T00:00"))
    assert [f"{instant:%Y-%m-%d}" for instant in found] == expected


def test_the_last_of_february_of_a_century_is_the_28th() -> None:
    assert Every(kind=MONTHLY, value=1, day=29).next_after(utc("2100-02-01T00:00")) == utc("2100-02-28T00:00")


def test_months_are_counted_from_january_1970() -> None:
    assert Every(kind=MONTHLY, value=7).next_after(utc("1970-01-02T00:00")) == utc("1970-08-01T00:00")


@pytest.mark.parametrize(
    ("at_time", "expected"),
    [
        # 30 December did not exist in Samoa: its run is made up for when the 31st begins, which is 10:00 UTC
        (time(8), ["2011-12-29T18:00", "2011-12-30T10:00", "2011-12-30T18:00"]),
        # at midnight both days' runs fall on the same instant, which is one run
        (time(0), ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]),
    ],
)
def test_a_day_that_does_not_exist_runs_at_the_end_of_the_gap_and_never_twice(
    at_time: time, expected: list[str]
) -> None:
    interval = Every(kind=DAILY, value=1, timezone="Pacific/Apia", at_time=at_time)
    assert texts(interval, "2011-12-29T00:00", expected[-1]) == expected


def test_an_offset_of_half_a_minute_is_kept_to_the_second() -> None:
    # Liberia's clocks were 44:30 behind UTC until 7 January 1972, when that much of the day was skipped.
    monrovia = Every(kind=DAILY, value=1, timezone="Africa/Monrovia", at_time=time(0, 20))
    assert runs(monrovia, utc("1972-01-05T12:00:00"), utc("1972-01-08T12:00:00")) == [
        utc("1972-01-06T01:04:30"),
        utc("1972-01-07T00:44:30"),
        utc("1972-01-08T00:20:00"),
    ]


def test_seconds_of_at_time_are_kept() -> None:
    interval = Every(kind=DAILY, value=1, at_time=time(8, 30, 15))
    assert interval.next_after(utc("2024-01-01T08:30:14")) == utc("2024-01-01T08:30:15")
    assert interval.as_dict()["at_time"] == "08:30:15"


@pytest.mark.parametrize("kind", list(EveryKind))
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_nothing_is_due_after_the_year_9998_nor_before_1970(kind: EveryKind, zone: str) -> None:
    interval = Every(kind=kind, value=7, timezone=zone)
    assert interval.next_after(LAST_YEAR + timedelta(hours=23, minutes=59)) is None
    assert interval.next_after(datetime.max.replace(tzinfo=UTC)) is None
    first = interval.next_after(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year == 1970


@pytest.mark.parametrize("kind", list(EveryKind))
def test_the_longest_interval_ends_with_the_calendar(kind: EveryKind) -> None:
    longest = {HOURLY: 8_760, DAILY: 3_650, WEEKLY: 520, MONTHLY: 120}[kind]
    assert len(runs(Every(kind=kind, value=longest), utc("9968-01-01T00:00"), LAST_YEAR)) in {3, 4, 31}
    with pytest.raises(InvalidValueError, match=f"use 1 to {longest}"):
        Every(kind=kind, value=longest + 1)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"kind": DAILY, "value": 0}, "daily value 0: use 1 to 3650"),
        ({"kind": DAILY, "value": -1}, "daily value -1"),
        ({"kind": WEEKLY, "value": 1, "weekday": 7}, "weekday 7: use 0"),
        ({"kind": WEEKLY, "value": 1, "weekday": -1}, "weekday -1"),
        ({"kind": MONTHLY, "value": 1, "day": 0}, "day 0: use 1 to 31, or last"),
        ({"kind": MONTHLY, "value": 1, "day": 32}, "day 32"),
        ({"kind": DAILY, "value": 1, "weekday": 2}, "weekday: only weekly"),
        ({"kind": DAILY, "value": 1, "day": "last"}, "day: only monthly"),
        ({"kind": HOURLY, "value": 1, "at_time": time(0, 30)}, "at_time: hourly runs at full hours"),
        ({"kind": DAILY, "value": 1, "at_time": time(8, tzinfo=UTC)}, "use HH:MM"),
        ({"kind": DAILY, "value": 1, "at_time": time(8, 0, 0, 1)}, "use HH:MM"),
        ({"kind": HOURLY, "value": 2, "dst": Dst(gap=Gap.SKIP)}, "dst: hourly has no fixed time"),
        ({"kind": DAILY, "value": 1, "timezone": "Europe/Londn"}, "did you mean Europe/London"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_remedy(rule: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        Every(**rule)


@pytest.mark.parametrize(
    ("interval", "entry"),
    [
        (Every(kind=HOURLY, value=2), {"type": "hourly", "value": 2, "timezone": "UTC"}),
        (
            Every(kind=WEEKLY, value=1, weekday=4, at_time=time(9, 5)),
            {"type": "weekly", "value": 1, "timezone": "UTC", "at_time": "09:05", "weekday": "friday"},
        ),
        (
            Every(kind=MONTHLY, value=3, timezone="Asia/Tokyo", day="last"),
            {"type": "monthly", "value": 3, "timezone": "Asia/Tokyo", "day": "last"},
        ),
        (
            Every(kind=DAILY, value=1, dst=Dst(fold=Fold.SECOND)),
            {"type": "daily", "value": 1, "timezone": "UTC", "dst": {"gap": "run_after", "fold": "second"}},
        ),
        (Every(kind=DAILY, value=1, dst=Dst()), {"type": "daily", "value": 1, "timezone": "UTC"}),
    ],
)
def test_an_interval_is_written_as_in_tasks_yaml(interval: Every, entry: dict[str, object]) -> None:
    assert interval.as_dict() == entry


def test_equal_intervals_are_interchangeable() -> None:
    one, other = (Every(kind=DAILY, value=1, timezone="Asia/Tokyo") for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert copy.deepcopy(one) == one


def test_once_is_due_until_its_instant() -> None:
    once = Once(at=datetime(2024, 1, 15, 11, tzinfo=timezone(timedelta(hours=1))))
    assert once.next_after(utc("2024-01-15T09:59:59")) == utc("2024-01-15T10:00:00")
    assert once.next_after(utc("2024-01-15T10:00:00")) is None
    assert once.as_dict() == {"type": "once", "at": "2024-01-15T10:00:00Z"}


@pytest.mark.parametrize("text", ["2024-01-15T10:00:00", "1969-12-31T23:59:59+00:00", "9999-01-01T00:00:00-12:00"])
def test_once_refuses_an_instant_without_zone_or_out_of_range(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"at .*use"):
        Once(at=datetime.fromisoformat(text))
