from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config import strict_json
from taskqueue.config.strict_json import parse_strict_json
from taskqueue.errors import InvalidValueError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(values, st.booleans())
def test_what_json_can_say_is_read_as_it_was_said(value: object, escaped: bool) -> None:
    assert parse_strict_json(json.dumps(value, ensure_ascii=escaped)) == value


@given(st.text())
def test_any_text_is_a_value_or_an_invalid_value_error(text: str) -> None:
    try:
        parse_strict_json(text)
    except InvalidValueError:
        return


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1,}', "not JSON at character"),
        ("{} {}", "not JSON at character 4"),
        ("", "not JSON at character 1"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        ('[{"x": {"a": 1, "a": 1}}]', "the key 'a' stands twice"),
        ("[NaN]", "NaN is not a JSON number"),
        ("-Infinity", "-Infinity is not a JSON number"),
        ('"\\ud800"', "lone surrogate"),
        ('{"\\uDC00": 1}', "lone surrogate"),
        ("1" * 5000, "thousands of digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_two_readers_may_understand_differently_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_strict_json(text)
    assert problem in str(caught.value)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse_strict_json('"\\ud83d\\ude00"') == "\U0001f600"


def test_a_key_that_stands_twice_among_many_is_found_in_one_look() -> None:
    compared = 0

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    keys = [Key(f"k{number}") for number in range(2000)] + [Key("z"), Key("z")]

    with pytest.raises(InvalidValueError, match="'z'"):
        strict_json._without_duplicates([(key, 0) for key in keys])
    assert compared < 100
