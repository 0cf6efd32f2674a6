from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.instants import from_unix_ms, parse_rfc3339, rfc3339, to_unix_ms
from taskqueue.errors import InvalidValueError
from tests.support.values import instants

offsets = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
anywhere = instants(zones=offsets)


@given(instant=anywhere)
def test_an_instant_survives_its_text(instant: datetime) -> None:
    assert parse_rfc3339(rfc3339(instant)) == instant


@given(instant=anywhere)
def test_an_instant_reads_back_as_utc_whatever_its_offset(instant: datetime) -> None:
    read = parse_rfc3339(instant.isoformat())
    assert read == instant
    assert read.tzinfo is UTC


@given(instant=anywhere)
def test_an_instant_is_written_in_utc_with_a_z(instant: datetime) -> None:
    text = rfc3339(instant)
    assert text.endswith("Z")
    assert "+" not in text


def test_a_whole_second_is_written_as_in_the_spec() -> None:
    assert rfc3339(datetime(2024, 1, 15, 10, tzinfo=UTC)) == "2024-01-15T10:00:00Z"


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2024-01-15T10:00:00.5Z", 500_000),
        ("2024-01-15T10:00:00.123456Z", 123_456),
        ("2024-01-15T10:00:00.123456789Z", 123_456),
        ("2024-01-15T10:00:00.000000001Z", 0),
    ],
)
def test_gos_nanoseconds_are_read_to_the_microsecond(text: str, microsecond: int) -> None:
    assert parse_rfc3339(text) == datetime(2024, 1, 15, 10, 0, 0, microsecond, tzinfo=UTC)


def test_a_text_longer_than_any_time_is_refused_and_not_kept() -> None:
    with pytest.raises(InvalidValueError, match="use RFC 3339"):
        parse_rfc3339("2024-01-15T10:00:00." + "1" * 50 + "Z")


@pytest.mark.parametrize("text", ["2024-01-15T10:00:00", "2024-01-15"])
def test_a_time_without_a_zone_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(InvalidValueError, match="end it with Z"):
        parse_rfc3339(text)


@pytest.mark.parametrize("text", ["", "now", "1705312800", "2024-13-01T00:00:00Z", "2024-01-15T25:00:00Z", "Z" * 500])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidValueError, match="use RFC 3339, such as") as caught:
        parse_rfc3339(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="out of range"):
        parse_rfc3339(text)


@given(milliseconds=st.integers(-(10**13), 10**14))
def test_unix_milliseconds_survive_the_way_through_an_instant(milliseconds: int) -> None:
    assert to_unix_ms(from_unix_ms(milliseconds)) == milliseconds


@given(instant=anywhere)
def test_unix_milliseconds_are_rounded_down(instant: datetime) -> None:
    assert timedelta(0) <= instant - from_unix_ms(to_unix_ms(instant)) < timedelta(milliseconds=1)
