from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskqueue.config.duration import MAX_DURATION, Duration, DurationOrZero, format_duration, parse_duration
from taskqueue.errors import InvalidValueError

milliseconds = st.integers(0, MAX_DURATION // timedelta(milliseconds=1)).map(lambda n: timedelta(milliseconds=n))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("30m1h", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta()),
        ("366d", timedelta(days=366)),
    ],
)
def test_units_add_up(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "5M",
        "-5m",
        "+5m",
        "1.5h",
        "5 m",
        " 5m",
        "5m\n",
        "PT5M",
        "10:30",
        "1m1m",
        "5mm",
        "1mo",
        "\u0661m",
        "1e3s",
    ],
)
def test_anything_but_digits_with_known_units_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["367d", "99999999999w", "9" * 400 + "s"])
def test_more_than_a_leap_year_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(minutes=30), "30m"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(), "0s"),
        (timedelta(days=30), "30d"),
        (timedelta(weeks=2), "2w"),
        (timedelta(milliseconds=1500), "1s500ms"),
        (timedelta(microseconds=1999), "1ms"),
    ],
)
def test_a_duration_prints_in_its_largest_units(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_a_duration_below_zero_has_no_text() -> None:
    with pytest.raises(InvalidValueError):
        format_duration(timedelta(seconds=-1))


@given(milliseconds)
def test_text_reads_back_as_the_same_duration(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="0123456789mshdw", max_size=12))
def test_any_text_is_a_duration_or_an_invalid_value(text: str) -> None:
    try:
        duration = parse_duration(text)
    except InvalidValueError:
        return
    assert timedelta() <= duration <= MAX_DURATION


@pytest.mark.parametrize("value", [5, 5.0, True, None, [], "0s"])
def test_a_setting_takes_neither_numbers_nor_zero(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


def test_a_setting_that_may_be_zero_takes_zero() -> None:
    assert TypeAdapter(DurationOrZero).validate_python("0s") == timedelta()
