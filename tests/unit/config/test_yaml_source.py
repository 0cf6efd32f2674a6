from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskqueue.config.yaml_source import MAX_BYTES, Place, parse_document, read_document
from taskqueue.errors import ConfigError


def value_of(text: str | bytes) -> object:
    return parse_document(text, "t.yaml").value


def problem_of(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "t.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["10:30", "00:00", "NO", "yes", "on", "010", "0x1F", "1_000", "2026-11-21", ".inf", "="]
)
def test_what_yaml_1_1_would_guess_at_stays_text(text: str) -> None:
    assert value_of(f"key: {text}") == {"key": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
    ],
)
def test_plain_scalars_have_the_types_of_yaml_1_2(text: str, value: object) -> None:
    read = value_of(f"key: {text}")
    assert read == {"key": value}
    assert isinstance(read, dict)
    assert type(read["key"]) is type(value)


def test_quoted_scalars_are_text() -> None:
    assert value_of("a: '5'\nb: \"true\"\nc: |\n  null\n") == {"a": "5", "b": "true", "c": "null\n"}


def test_a_number_too_long_to_be_one_stays_text() -> None:
    assert value_of("key: " + "9" * 5000) == {"key": "9" * 5000}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert value_of("1: a\nNO: b\ntrue: c\n") == {"1": "a", "NO": "b", "true": "c"}


def test_an_equal_key_is_refused_with_both_lines() -> None:
    assert problem_of("a: 1\nb: 2\n'a': 3\n") == "t.yaml:3:1: key 'a' stands already in line 1; remove one of them"


def test_an_alias_repeats_the_anchored_value() -> None:
    assert value_of("a: &x {b: [1, 2]}\nc: *x\nd: &y text\ne: *y\n") == {
        "a": {"b": [1, 2]},
        "c": {"b": [1, 2]},
        "d": "text",
        "e": "text",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: *b\n", "1:4: alias *b has no anchor"),
        ("a: &a [*a]\n", "1:8: alias *a has no anchor"),
        ("a: &a {<<: 1}\n", "1:8: merge keys"),
        ("? [a]\n: b\n", "1:3: a key must be text"),
        ("a: &a x\n*a : 1\n", "2:1: a key must be text"),
        ("a: !!python/name:os.system x\n", "1:4: tags"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document"),
        ("a: b\x07\n", "1:5: character U+0007"),
    ],
)
def test_what_hides_mistakes_is_refused_with_its_place(text: str, problem: str) -> None:
    assert problem_of(text).startswith(f"t.yaml:{problem}")


@pytest.mark.parametrize("text", ["cron: */5 * * * *", "cron: @daily", "- cron: * * * * *", "a: *"])
def test_a_bare_star_or_at_sign_is_told_to_be_quoted(text: str) -> None:
    assert "quote a value that starts with * or @" in problem_of(text)


def test_tabs_are_named_as_the_mistake() -> None:
    assert "not with tabs" in problem_of("a:\n\tb: 1\n")


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "counting each alias in full" in problem_of("\n".join(lines))


def test_a_chain_of_aliases_cannot_nest_deeper_than_brackets_can() -> None:
    lines = ["a0: &a0 x", *(f"a{i}: &a{i} [[[*a{i - 1}]]]" for i in range(1, 40))]
    assert "nested deeper than 32" in problem_of("\n".join(lines))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_does_not_overflow_the_stack(opening: str) -> None:
    assert "nested deeper than 32" in problem_of(opening * 100_000)


def test_many_aliases_are_refused() -> None:
    assert "more than 1,000 aliases" in problem_of("a: &a x\nb: [" + "*a, " * 1001 + "]")


def test_a_file_that_is_not_utf_8_is_refused_with_its_line() -> None:
    assert problem_of(b"a: b\nc: \xff\n").startswith("t.yaml:2: byte 0xff is not UTF-8")


def test_a_byte_order_mark_is_ignored() -> None:
    assert value_of(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_a_file_over_the_size_limit_is_refused() -> None:
    assert "larger than" in problem_of(b"#" * (MAX_BYTES + 1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "nowhere.yaml")


def test_an_empty_file_holds_nothing() -> None:
    assert value_of("") is None


def test_each_value_keeps_its_place_and_that_of_its_key() -> None:
    document = parse_document("a:\n  - b: [x,\n      y]\n", "t.yaml")
    entry, found = document.find(("a", 0, "b", 1))
    assert (entry.value, found) == (Place(line=3, column=7), ("a", 0, "b", 1))
    assert document.find(("a", 0, "b"))[0].key == Place(line=2, column=5)


def test_parts_that_are_not_in_the_document_are_skipped() -> None:
    document = parse_document("a: {b: 1}\n", "t.yaml")
    entry, found = document.find(("a", "some-tag", "b", "absent"))
    assert (entry.value, found) == (Place(line=1, column=8), ("a", "b"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_json_reads_as_itself(value: object) -> None:
    # ASCII JSON is YAML 1.2, but for surrogate pairs, DEL and keys over 1024 characters; merge keys we refuse.
    text = json.dumps(value)
    if len(text) < 1000 and not re.search(r'"<<"|\\ud|\x7f', text):
        assert value_of(text) == value


yaml_like = st.text(alphabet="ab:-*&!?{}[],'\"|>#%@ \n\t\\01<~é\x00\x85\ud7ff", max_size=60)


def error_of(content: str | bytes) -> ConfigError | None:
    try:
        value_of(content)
    except ConfigError as error:
        return error
    return None


@given(st.text(max_size=60) | yaml_like | st.binary(max_size=60))
@example("%YAML 9.9\n---\n")
@example('"\\ud800"')
@example("\ud800")
def test_anything_is_a_value_or_a_config_error(content: str | bytes) -> None:
    error = error_of(content)
    assert error is None or str(error).startswith("t.yaml:")
