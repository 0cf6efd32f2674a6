from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.zones import (
    FIRST_INSTANT,
    LAST_INSTANT,
    clamp,
    first_instant,
    last_instant,
    load_zone,
    offset_change,
    wall_at,
)
from taskqueue.errors import InvalidValueError
from tests.support.minute_oracle import CLOCK_CHANGES, real_minutes

changes = st.sampled_from(CLOCK_CHANGES)


@settings(deadline=None)  # the first look at a clock's minutes takes longer than the others
@given(change=changes, number=st.integers(1, 3 * 24 * 60 - 1))
def test_a_wall_time_means_the_first_instant_that_shows_it(change: tuple[str, date], number: int) -> None:
    minutes = real_minutes(*change)
    wall = minutes[number].wall
    expected = next(minute.instant for minute in minutes if minute.wall == wall)
    assert first_instant(wall, load_zone(change[0])) == expected


@settings(deadline=None)
@given(change=changes, number=st.integers(0, 3 * 24 * 60 - 2))
def test_a_wall_time_is_last_shown_at_the_last_instant_that_shows_it(change: tuple[str, date], number: int) -> None:
    minutes = real_minutes(*change)
    wall = minutes[number].wall
    expected = [minute.instant for minute in minutes if minute.wall == wall][-1]
    assert last_instant(wall, load_zone(change[0])) == expected


@settings(deadline=None)
@given(change=changes)
def test_a_wall_time_in_a_gap_means_the_gaps_end(change: tuple[str, date]) -> None:
    for minute in real_minutes(*change):
        for skipped in {*minute.skipped[:1], *minute.skipped[-1:]}:
            assert first_instant(skipped, load_zone(change[0])) == minute.instant
            assert last_instant(skipped, load_zone(change[0])) == minute.instant
            assert first_instant(skipped + timedelta(seconds=59.9), load_zone(change[0])) == minute.instant


@settings(deadline=None)
@given(change=changes, start=st.integers(0, 2000), length=st.integers(1, 2000))
def test_an_offset_change_is_found_to_the_second_or_not_at_all(
    change: tuple[str, date], start: int, length: int
) -> None:
    minutes = real_minutes(*change)[start : start + length]
    offset = minutes[0].wall - minutes[0].instant.replace(tzinfo=None)
    expected = next((m.instant for m in minutes if m.wall - m.instant.replace(tzinfo=None) != offset), None)
    assert offset_change(minutes[0].instant, minutes[-1].instant, load_zone(change[0])) == expected


def test_the_ends_of_time_are_on_every_zones_calendar() -> None:
    assert clamp(datetime.min.replace(tzinfo=UTC)) == FIRST_INSTANT - timedelta.resolution
    assert clamp(datetime.max.replace(tzinfo=UTC)) == LAST_INSTANT
    assert wall_at(LAST_INSTANT, load_zone("Pacific/Kiritimati")).date() == date(9999, 1, 1)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../UTC", "/UTC", "America", "UTC\0", "\ud800", "x" * 5000])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidValueError, match=r"timezone .*: unknown"):
        load_zone(zone)


@pytest.mark.parametrize("zone", ["Factory", "localtime", "posixrules", "posix/UTC", "right/UTC"])
def test_a_zone_that_is_none_or_differs_between_machines_is_refused_and_never_proposed(zone: str) -> None:
    with pytest.raises(InvalidValueError, match="unknown") as refusal:
        load_zone(zone)
    assert f"mean {zone}" not in str(refusal.value)


def test_a_misspelt_zone_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(InvalidValueError, match="did you mean Europe/London"):
        load_zone("Europe/Londn")


@pytest.mark.parametrize(
    ("zone", "remedy"),
    [
        ("Factory", "unknown, for it says that no zone is set; use an IANA name"),
        ("localtime", "unknown, for it is not the same zone on each machine; use an IANA name"),
        ("right/Europe/Paris", "unknown; did you mean Europe/Paris[?]"),
        ("posix/UTC", "unknown; did you mean UTC[?]"),
        ("utc", "unknown; did you mean UTC[?]"),
        ("AMERICA/New York", "unknown; did you mean America/New_York[?]"),
        ("Z", "unknown, for an abbreviation may mean several zones; use an IANA name, such as UTC"),
        ("PST", "unknown, for an abbreviation may mean several zones; use an IANA name"),
        ("GMT+2", "unknown, for an offset is no zone; use an IANA name.* UTC[+]2 all year is Etc/GMT-2, its sign"),
        ("+02:00", "unknown, for an offset is no zone"),
        ("Factry", "unknown; use an IANA name"),
    ],
)
def test_what_only_looks_like_a_zone_is_answered_with_what_is_one(zone: str, remedy: str) -> None:
    with pytest.raises(InvalidValueError, match=remedy):
        load_zone(zone)


def test_the_zone_of_a_constant_offset_has_its_sign_turned_round() -> None:
    assert datetime(2024, 7, 1, tzinfo=load_zone("Etc/GMT-2")).utcoffset() == timedelta(hours=2)
