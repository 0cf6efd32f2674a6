from __future__ import annotations

import io
import json
import re
import sys
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskqueue.cli.output import (
    OutputFormat,
    as_yaml,
    chosen,
    plain,
    print_answer,
    print_data,
    print_line,
    print_record,
    print_records,
)
from tests.support.terminal import at_terminal

HOSTILE = "ada\x1b[2J\u202e\n"

RECORD = {
    "id": HOSTILE,
    "next_run": datetime(2024, 1, 15, 10, tzinfo=UTC),
    "paused": False,
    "parent": None,
    "labels": ["a", "b"],
    "interval": {"type": "daily", "value": 1},
    "attempts": [{"number": 1, "status": "on"}, {"number": 2, "status": "2024-01-15T10:00:00Z"}],
}

#: prints two records and a wide value; its own program, since what decides is the terminal
PROGRAM = """
from taskqueue.cli.output import OutputFormat, print_record, print_records
rows = [
    {"task": f"daily_report_{n}", "host": "reports.example.com:8443", "state": state, "newest": "2024-01-15T10:00:00Z"}
    for n, state in enumerate(("ok", "fail"))
]
print_records(rows, None, styles={"fail": "red"})
print_record({"id": "x" * 90, "detail": "the endpoint has answered " * 4}, None)
"""

_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def uncoloured(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


# --- JSON and YAML ----------------------------------------------------------------------------------------------------


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_json_values)
def test_json_and_yaml_are_ascii_and_say_what_the_data_says(data: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for output, read in ((OutputFormat.JSON, json.loads), (OutputFormat.YAML, yaml.safe_load)):
        print_data(data, output)
        written = capsys.readouterr().out
        assert written.isascii()
        assert read(written) == data


def test_a_stream_is_lines_of_json_or_documents_of_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": HOSTILE}, {"id": "b"}]
    for output in (OutputFormat.JSON, OutputFormat.YAML):
        for row in rows:
            print_line(row, output)
        written = capsys.readouterr().out
        read = yaml.safe_load_all(written) if output is OutputFormat.YAML else map(json.loads, written.splitlines())
        assert list(read) == rows


def test_a_long_line_of_yaml_is_not_folded() -> None:
    assert as_yaml({"text": "word " * 200}).count("\n") == 0


def test_values_that_json_has_not_are_said_in_its_terms() -> None:
    class Colour(StrEnum):
        RED = "red"

    data = {
        "instant": datetime(2024, 1, 15, 11, tzinfo=UTC),
        "day": date(2024, 1, 15),
        "duration": timedelta(minutes=1.5),
        "colour": Colour.RED,
        Colour.RED: (1, 2),
        "path": Path("a/b"),
        "uuid": UUID(int=1),
        "nothing": float("nan"),
        "endless": float("inf"),
    }

    assert plain(data) == {
        "instant": "2024-01-15T11:00:00Z",
        "day": "2024-01-15",
        "duration": 90.0,
        "colour": "red",
        "red": [1, 2],
        "path": "a/b",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "nothing": None,
        "endless": None,
    }


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no data"):
        plain({"a": [object()]})


def test_where_no_terminal_is_it_is_json_unless_something_else_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_record({"id": "a"}, None)

    assert json.loads(capsys.readouterr().out) == {"id": "a"}
    assert chosen(OutputFormat.TABLE) is OutputFormat.TABLE
    assert chosen(OutputFormat.TABLE, as_json=True) is OutputFormat.JSON


@pytest.mark.parametrize(
    ("output", "written"),
    [
        (None, "done\n"),
        (OutputFormat.TABLE, "done\n"),
        (OutputFormat.JSON, '{\n  "n": 1\n}\n'),
        (OutputFormat.YAML, "n: 1\n"),
    ],
)
def test_an_answer_is_text_unless_a_program_asks(
    output: OutputFormat | None, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_answer("done", {"n": 1}, output)

    assert capsys.readouterr().out == written


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_record_has_a_line_for_each_field_and_a_table_for_each_list_of_records(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_record(RECORD, OutputFormat.TABLE)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:8] == [
        r"id              ada\x1b[2J\u202e\n",
        "next run        2024-01-15T10:00:00Z",
        "paused          no",
        "parent",
        "labels          a, b",
        "interval.type   daily",
        "interval.value  1",
        "",
    ]
    assert [line.split() for line in lines[8:] if "─" not in line and line] == [
        ["attempts"],
        ["number", "status"],
        ["1", "on"],
        ["2", "2024-01-15T10:00:00Z"],
    ]


def test_only_the_named_fields_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_records([{"a": 1, "b": 2, "c": 3}], OutputFormat.TABLE, fields=("c", "a"))

    heading, *_, row = (line.split() for line in capsys.readouterr().out.splitlines() if line)
    assert (heading, row) == (["c", "a"], ["3", "1"])


def test_where_no_terminal_is_a_row_is_one_line_however_long_and_has_no_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_records(
        [{"id": "x" * 500, "text": "word " * 100, "state": "fail"}], OutputFormat.TABLE, styles={"fail": "red"}
    )

    *_, row = (line for line in capsys.readouterr().out.splitlines() if line)
    assert "x" * 500 in row
    assert row.endswith("fail")
    assert "\x1b" not in row


@settings(max_examples=50)
@given(columns=st.integers(20, 160), fields=st.integers(1, 12), rows=st.integers(1, 4), length=st.integers(1, 60))
def test_on_a_terminal_of_any_width_nothing_is_lost_and_nothing_is_wider(
    columns: int, fields: int, rows: int, length: int
) -> None:
    records = [{f"f{field}": f"w{row}.{field} " + "x" * length for field in range(fields)} for row in range(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "stdout", terminal := Terminal())
        print_records(records, None)

    lines = uncoloured(terminal.getvalue())
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert {word for record in records for value in record.values() for word in value.split()[:1]} <= set(text.split())
    assert text.count("x") == length * fields * rows


def test_forty_columns_show_blocks_and_fold_long_values() -> None:
    lines = at_terminal(columns=40, program=("-c", PROGRAM)).lines

    assert max(map(len, lines)) <= 40
    assert "task    daily_report_0" in lines
    assert "host    reports.example.com:8443" in lines
    # The 90 of the id, and one in the host of each of the two rows.
    assert "".join(lines).count("x") == 92
    assert " ".join(" ".join(lines).split()).count("the endpoint has") == 4


def test_a_wide_terminal_shows_columns_and_colours() -> None:
    ended = at_terminal(columns=120, program=("-c", PROGRAM))

    assert any(
        line.split() == ["daily_report_1", "reports.example.com:8443", "fail", "2024-01-15T10:00:00Z"]
        for line in ended.lines
    )
    assert "\x1b[31mfail" in ended.written


@settings(max_examples=50)
@given(columns=st.integers(20, 200), words=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1))
def test_on_a_terminal_no_word_is_broken_that_fits_into_a_line(columns: int, words: list[list[int]]) -> None:
    cells = [" ".join("x" * length for length in cell) for cell in words[:6]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "stdout", terminal := Terminal())
        print_records([{f"f{number}": cell for number, cell in enumerate(cells)}], None)

    found = re.findall("x+", "\n".join(uncoloured(terminal.getvalue())))
    fits = max(length for cell in words[:6] for length in cell) <= columns - len("f0  ")
    assert not fits or sorted(found) == sorted(" ".join(cells).split())


def test_no_color_is_heeded() -> None:
    ended = at_terminal(columns=120, program=("-c", PROGRAM), environment={"NO_COLOR": "1"})

    assert "fail" in ended.written
    assert "\x1b[31m" not in ended.written


@pytest.mark.parametrize("output", [None, OutputFormat.TABLE])
def test_a_standard_output_that_is_closed_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, output: OutputFormat | None
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    print_records([RECORD], output)
    print_record(RECORD, output)
