from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.log_line import MAX_MESSAGE_BYTES, Level, LogLine
from taskqueue.worker.answer_log import may_hold_lines, returned_lines
from taskqueue.worker.redaction import Redactor
from tests.support.values import TEN_O_CLOCK

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def lines_of(logs: object, *, content_type: str | None = "application/json", cut: bool = False) -> tuple[LogLine, ...]:
    body = json.dumps({"status": "ok", "logs": logs}).encode()
    return returned_lines(body, content_type, cut=cut, at=TEN_O_CLOCK, redactor=None)


def test_texts_are_lines_of_the_instant_of_the_answer() -> None:
    assert lines_of(["one", "two"]) == (
        LogLine(timestamp=TEN_O_CLOCK, level=Level.INFO, message="one"),
        LogLine(timestamp=TEN_O_CLOCK, level=Level.INFO, message="two"),
    )


def test_an_object_names_its_own_time_and_level() -> None:
    (line,) = lines_of([{"timestamp": "2024-01-15T11:00:01+01:00", "level": "warn", "message": "slow", "more": 1}])

    assert line.as_dict() == {"timestamp": "2024-01-15T10:00:01Z", "level": "WARNING", "message": "slow"}


@pytest.mark.parametrize(
    ("level", "kept"),
    [("debug", "INFO"), ("Info", "INFO"), ("WARNING", "WARNING"), ("fatal", "ERROR"), ("ERROR", "ERROR")],
)
def test_levels_of_the_usual_libraries_are_understood(level: str, kept: str) -> None:
    (line,) = lines_of([{"level": level, "message": ""}])

    assert line.level == kept


@pytest.mark.parametrize(
    "entry",
    [
        1,
        None,
        ["nested"],
        {},
        {"message": 1},
        {"message": "x", "level": "LOUD"},
        {"message": "x", "level": 3},
        {"message": "x", "timestamp": "yesterday"},
        {"message": "x", "timestamp": 1705312800},
        {"message": "x", "timestamp": "2024-01-15T10:00:00"},
    ],
)
def test_an_entry_that_cannot_be_read_is_left_out_and_a_line_says_so(entry: object) -> None:
    good, note = lines_of([entry, "good"])

    assert good.message == "good"
    assert (note.level, note.message) == (Level.WARNING, "log lines of the answer that could not be read: 1")


@pytest.mark.parametrize("logs", ["text", {"message": "x"}, 3, None])
def test_what_is_no_list_is_a_field_of_the_endpoints_own(logs: object) -> None:
    assert lines_of(logs) == ()


def test_no_logs_are_no_lines() -> None:
    assert lines_of([]) == ()


@pytest.mark.parametrize(
    ("content_type", "read"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/html", False),
        ("application/jsonl", False),
        ("", False),
        (None, False),
    ],
)
def test_only_json_is_read(content_type: str | None, read: bool) -> None:
    assert bool(lines_of(["line"], content_type=content_type)) is read


@pytest.mark.parametrize(
    "body", [b'["logs"]', b'"logs"', b'{"logs": ["cut', b'\xff"logs"', b'{"logs":' + b"[" * 100_000]
)
def test_an_answer_that_is_no_json_object_holds_no_lines(body: bytes) -> None:
    assert returned_lines(body, "application/json", cut=False, at=TEN_O_CLOCK, redactor=None) == ()


def test_an_answer_that_was_cut_says_that_its_lines_are_not_known() -> None:
    (note,) = lines_of(["line"], cut=True)

    assert note.level is Level.WARNING
    assert "not read to its end" in note.message


def test_the_latest_lines_of_many_are_kept_and_a_line_says_so() -> None:
    lines = lines_of([str(number) for number in range(1000)])

    assert len(lines) <= 200
    assert lines[0].message == f"the first {1000 - (len(lines) - 1)} log lines of the answer are not kept"
    assert lines[-1].message == "999"


def test_a_long_line_is_cut() -> None:
    (line,) = lines_of(["x" * 10_000])

    assert len(line.message) == MAX_MESSAGE_BYTES


def test_no_line_holds_a_secret_even_where_it_was_escaped_or_would_be_cut_there() -> None:
    redactor = Redactor(("top-secret",))
    body = b'{"logs": ["\\u0074op-secret", "' + b"x" * (MAX_MESSAGE_BYTES - 5) + b'top-secret"]}'

    lines = returned_lines(body, "application/json", cut=False, at=TEN_O_CLOCK, redactor=redactor)

    assert lines[0].message == "[redacted]"
    assert "top" not in lines[1].message


@given(st.lists(json_values, max_size=5))
def test_whatever_stands_in_the_list_each_line_can_be_kept(logs: list[object]) -> None:
    for line in lines_of(logs):
        assert LogLine.from_json(line.to_json().encode()) == line


def test_an_answer_that_does_not_speak_of_logs_is_not_looked_into() -> None:
    assert may_hold_lines(b'{"logs": []}')
    assert not may_hold_lines(b'{"status": "ok"}')
