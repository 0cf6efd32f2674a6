from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.user_file import MAX_RECORD_BYTES, UserFileFormat, read_switches, read_users
from taskqueue.core.preference import UserPreference

JSONL, CSV = UserFileFormat.JSONL, UserFileFormat.CSV
HEADER = "user_id,task_id,enabled\n"
FULL_HEADER = "user_id,task_id,enabled,parameters,custom_interval\n"


def read(content: str | bytes, file_format: UserFileFormat) -> list[tuple[int, UserPreference | str]]:
    """Return line and statement, or line and error text, of every entry."""
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return [
        (entry.line, entry.stated if isinstance(entry.stated, UserPreference) else str(entry.stated))
        for entry in read_users(file, file_format)
    ]


def enabled(user_id: str, tasks: Mapping[str, bool]) -> UserPreference:
    return UserPreference(user_id=user_id, enabled_tasks=tasks)


# --- JSON lines -------------------------------------------------------------------------------------------------------


def test_each_line_of_json_is_a_user() -> None:
    assert read('{"user_id": "a", "enabled_tasks": {"t": true}}\n{"user_id": "b"}', JSONL) == [
        (1, enabled("a", {"t": True})),
        (2, UserPreference(user_id="b")),
    ]


def test_blank_lines_count_but_are_left_out() -> None:
    assert read('\n \r\n{"user_id": "a"}\r\n\n', JSONL) == [(3, UserPreference(user_id="a"))]


def test_a_bad_line_does_not_spoil_the_next() -> None:
    (first, problem), second = read('{"user_id": \n{"user_id": "b"}\n', JSONL)

    assert first == 1
    assert str(problem).startswith("not JSON at character")
    assert second == (2, UserPreference(user_id="b"))


@pytest.mark.parametrize("file_format", list(UserFileFormat))
def test_a_byte_order_mark_is_no_part_of_the_first_line(file_format: UserFileFormat) -> None:
    text = '{"user_id": "a", "enabled_tasks": {"t": true}}' if file_format is JSONL else HEADER + "a,t,1\n"

    ((_, stated),) = read(b"\xef\xbb\xbf" + text.encode(), file_format)

    assert stated == enabled("a", {"t": True})


@pytest.mark.parametrize("file_format", list(UserFileFormat))
def test_a_line_that_is_not_utf_8_is_refused(file_format: UserFileFormat) -> None:
    text = b'{"user_id": "caf\xe9"}\n' if file_format is JSONL else HEADER.encode() + b"caf\xe9,t,1\n"

    ((_, problem),) = read(text, file_format)

    assert "is not UTF-8; save the file as UTF-8" in str(problem)


def test_a_line_above_the_limit_is_refused_and_the_next_one_read() -> None:
    long = '{"user_id": "' + "a" * 3 * MAX_RECORD_BYTES + '"}\n'

    first, second = read(long + '{"user_id": "b"}\n', JSONL)

    assert first[0] == 1
    assert "longer than 1,048,576 bytes" in str(first[1])
    assert second == (2, UserPreference(user_id="b"))


def test_an_endless_line_is_read_in_pieces() -> None:
    class EndlessLine(io.RawIOBase):
        """Gives bytes without a line feed, and notes how many were asked for at once."""

        def __init__(self) -> None:
            super().__init__()
            self.left = 20 * MAX_RECORD_BYTES
            self.most = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.most = max(self.most, size if size > 0 else self.left)
            piece = b"x" * min(size, self.left)
            self.left -= len(piece)
            return piece

    file = EndlessLine()

    (entry,) = read_users(file, JSONL)  # type: ignore[arg-type]  # only readline is needed of a file

    assert not isinstance(entry.stated, UserPreference)
    assert entry.size == 20 * MAX_RECORD_BYTES
    assert file.most <= MAX_RECORD_BYTES + 1


def test_the_longest_line_is_read() -> None:
    head, tail = '{"user_id": "b"', "}\n"
    line = head + " " * (MAX_RECORD_BYTES - len(head) - len(tail)) + tail

    assert read(line, JSONL) == [(1, UserPreference(user_id="b"))]


def test_sizes_add_up_to_the_file() -> None:
    content = b'{"user_id": "a"}\n{"bad\n{"user_id": "b"}'

    assert sum(entry.size for entry in read_users(io.BytesIO(content), JSONL)) == len(content)


# --- CSV --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "on"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("False", False), ("0", False)]
)
def test_a_switch_may_be_a_word_or_a_digit(cell: str, on: bool) -> None:
    assert read(f"{HEADER}a,t,{cell}\n", CSV) == [(2, enabled("a", {"t": on}))]


def test_columns_may_stand_in_any_order() -> None:
    assert read("enabled,user_id,task_id\n1,a,t\n", CSV) == [(2, enabled("a", {"t": True}))]


def test_parameters_and_interval_are_json_cells() -> None:
    row = 'a,t,1,"{""lang"": ""de""}","{""type"": ""hourly"", ""value"": 2}"\n'

    assert read(FULL_HEADER + row, CSV) == [
        (
            2,
            UserPreference(
                user_id="a",
                enabled_tasks={"t": True},
                parameters={"t": {"lang": "de"}},
                custom_intervals={"t": {"type": "hourly", "value": 2}},
            ),
        )
    ]


def test_an_empty_cell_states_nothing() -> None:
    assert read(FULL_HEADER + 'a,t,,"{}",\n', CSV) == [(2, UserPreference(user_id="a", parameters={"t": {}}))]


def test_a_quoted_cell_may_hold_commas_quotes_and_line_ends() -> None:
    assert read(HEADER + '"a,""b""\nc",t,1\nd,t,0\n', CSV) == [
        (2, enabled('a,"b"\nc', {"t": True})),
        (4, enabled("d", {"t": False})),
    ]


def test_lines_may_end_as_on_windows() -> None:
    assert read("user_id,task_id,enabled\r\na,t,1\r\n\r\nb,t,1\r\n", CSV) == [
        (2, enabled("a", {"t": True})),
        (4, enabled("b", {"t": True})),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a", "1 cell; give 5, for user_id,task_id,enabled,parameters,custom_interval"),
        ("a,t,1,,,", "6 cells; give 5, for user_id,task_id,enabled,parameters,custom_interval"),
        (",t,1,,", "user id of 0 bytes: use 1 to 512"),
        ("a,a b,1,,", "task id 'a b': use 1 to 64 of A-Z a-z 0-9 . _ -"),
        ("a,t,yes,,", "enabled: 'yes' is no switch; use true or false, or 1 or 0"),
        ("a,t,,,", "states nothing; fill in enabled, parameters or custom_interval"),
        ("a,t,1,[],", "parameters is a list; give an object"),
        ('a,t,1,"{""x"": 1}",', "parameters.x is a number; give text"),
        (
            "a,t,1,{,",
            "parameters: not JSON at character 2: Expecting property name enclosed in double quotes; "
            "give one whole JSON object on one line",
        ),
        (
            'a,t,1,,"{""type"": ""dayly""}"',
            "custom_interval.type: unknown type 'dayly'; did you mean 'daily'?",
        ),
        ('"a"b,t,1,,', "not CSV: ',' expected after '\"'; close a quoted cell, and double the quotes inside"),
    ],
)
def test_a_bad_row_is_told_and_does_not_spoil_the_next(row: str, problem: str) -> None:
    assert read(f"{FULL_HEADER}{row}\nb,t,1,,\n", CSV) == [(2, problem), (3, enabled("b", {"t": True}))]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("", "no column user_id; begin with"),
        ("user_id;task_id;enabled", "no column user_id; begin with"),
        ("user_id,task_id", "no column enabled; begin with"),
        ("user_id,task_id,enabled,paramters", "unknown column 'paramters'; did you mean 'parameters'?"),
        ("user_id,task_id,enabled,enabled", "column enabled stands twice"),
        ('"user_id', "one row up to line 3: not CSV"),
    ],
)
def test_a_header_that_cannot_be_used_ends_the_file(header: str, problem: str) -> None:
    ((line, text),) = read(f"{header}\na,t,1\nb,t,1\n", CSV)

    assert line == 1
    assert str(text).startswith(problem)


def test_a_csv_file_without_a_header_is_told() -> None:
    ((line, problem),) = read("", CSV)

    assert line == 1
    assert str(problem).startswith("no column user_id")


def test_a_row_of_many_lines_has_the_same_limit_as_one_line() -> None:
    open_cells = ('"' + "a" * 100_000 + '\n",') * 15

    entries = read(HEADER + open_cells, CSV)

    assert "longer than 1,048,576 bytes" in str(entries[0][1])


def test_a_quote_left_open_is_told_with_the_lines_that_it_took_in() -> None:
    assert read(HEADER + 'a,t,1\n"b,t,1\nc,t,1\n', CSV) == [
        (2, enabled("a", {"t": True})),
        (
            3,
            "one row up to line 4: not CSV: unexpected end of data; close a quoted cell, and double the quotes inside",
        ),
    ]


# --- any input --------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\n\r \\a1', max_size=200).map(str.encode))
def test_any_bytes_are_read_to_their_end(content: bytes) -> None:
    for file_format in UserFileFormat:
        for entry in read_users(io.BytesIO(content), file_format):
            assert entry.line >= 1


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text), max_size=10))
def test_user_ids_of_any_characters_come_back(user_ids: list[str]) -> None:
    lines = "".join(json.dumps({"user_id": user_id}) + "\n" for user_id in user_ids)

    assert [stated for _, stated in read(lines, JSONL)] == [UserPreference(user_id=user_id) for user_id in user_ids]


# --- bare ids ---------------------------------------------------------------------------------------------------------


def read_ids(content: bytes) -> list[tuple[int, UserPreference | str]]:
    return [
        (entry.line, entry.stated if isinstance(entry.stated, UserPreference) else str(entry.stated))
        for entry in read_switches(io.BytesIO(content), "t", enabled=False)
    ]


def test_each_line_is_a_user_whose_switch_is_set() -> None:
    assert read_ids(b"a\r\n\n b c \nd") == [
        (1, enabled("a", {"t": False})),
        (3, enabled(" b c ", {"t": False})),
        (4, enabled("d", {"t": False})),
    ]


def test_a_line_that_is_no_id_does_not_spoil_the_next() -> None:
    assert read_ids(b"x" * 513 + b"\n\xff\nb\n") == [
        (1, "user id of 513 bytes: use 1 to 512"),
        (2, "byte 1 is not UTF-8; save the file as UTF-8"),
        (3, enabled("b", {"t": False})),
    ]
