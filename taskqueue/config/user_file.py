"""Files of user preferences: JSON lines, or CSV with a row for each user and task.

They are read as a stream, a line or row at a time; a bad one is told and does not spoil the others.
"""

from __future__ import annotations

import codecs
import csv
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

from taskqueue.config.problems import did_you_mean
from taskqueue.config.strict_json import parse_strict_json
from taskqueue.config.user_preference import custom_interval_of, parameters_of, preference_of
from taskqueue.core.ids import check_task_id
from taskqueue.core.preference import UserPreference
from taskqueue.errors import InvalidValueError

#: a line of JSON, or a row of CSV with all its lines
MAX_RECORD_BYTES = 1024 * 1024

_REQUIRED_COLUMNS = ("user_id", "task_id", "enabled")
_COLUMNS = (*_REQUIRED_COLUMNS, "parameters", "custom_interval")
_HEADER = "user_id,task_id,enabled[,parameters][,custom_interval]"
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


class UserFileFormat(StrEnum):
    """How preferences are written down."""

    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line or row: what it states, or what is wrong with it (`problem; remedy`)."""

    #: where it begins, counted from 1
    line: int
    #: bytes it takes in the file
    size: int
    #: CRC-32 of the file from its beginning to the end of this line or row
    checksum: int
    stated: UserPreference | InvalidValueError


def read_users(file: BinaryIO, file_format: UserFileFormat) -> Iterator[Entry]:
    """Yield what stands in `file`, in its order, blank lines left out. Holds at most one line or row in memory."""
    lines = _Lines(file)
    return _entries(lines, _CsvParser(lines) if file_format is UserFileFormat.CSV else _JsonlParser(lines))


def read_switches(file: BinaryIO, task_id: str, *, enabled: bool) -> Iterator[Entry]:
    """Yield a switch of the task for each user id in `file`, one on a line, empty lines left out."""
    lines = _Lines(file)
    return _entries(lines, _IdParser(lines, task_id, enabled=enabled))


def _entries(lines: _Lines, parser: _Parser) -> Iterator[Entry]:
    while True:
        line, offset = lines.number + 1, lines.offset
        lines.begin_record()
        try:
            stated: UserPreference | InvalidValueError | None = parser.next_preference()
        except StopIteration:
            return
        except InvalidValueError as error:
            # A quote left open takes in lines that are good, and whoever mends it has to know which.
            stated = error if lines.number <= line else InvalidValueError(f"one row up to line {lines.number}: {error}")
        if stated is not None:
            yield Entry(line=line, size=lines.offset - offset, checksum=lines.checksum, stated=stated)


class _Parser(Protocol):
    def next_preference(self) -> UserPreference | None:
        """Return what comes next; None when it states nothing. Raises StopIteration at the end, InvalidValueError."""


class _Lines(Iterator[str]):
    """The lines of a file with their ends. A line that cannot be read raises InvalidValueError; the next one follows.

    An iterator that raises is not at its end, as a generator would be.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._record_offset = 0
        self.number = 0
        self.offset = 0
        self.checksum = 0

    def begin_record(self) -> None:
        """Let the size of what is read from here on count as that of one record."""
        self._record_offset = self.offset

    def __next__(self) -> str:
        raw = self._file.readline(MAX_RECORD_BYTES + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self._passed(raw)
        if len(raw) > MAX_RECORD_BYTES:
            self._skip_rest(raw)
        if self.offset - self._record_offset > MAX_RECORD_BYTES:
            raise InvalidValueError(f"longer than {MAX_RECORD_BYTES:,} bytes; split it, and look for a quote left open")
        if self.number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidValueError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None

    def _skip_rest(self, raw: bytes) -> None:
        while raw and not raw.endswith(b"\n"):
            raw = self._file.readline(MAX_RECORD_BYTES)
            self._passed(raw)

    def _passed(self, raw: bytes) -> None:
        self.offset += len(raw)
        self.checksum = zlib.crc32(raw, self.checksum)


class _JsonlParser:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    def next_preference(self) -> UserPreference | None:
        """Return what the next line states, None for a blank one. Raises StopIteration at the end of the file."""
        text = next(self._lines)
        return preference_of(_parsed(text)) if text.strip() else None


class _IdParser:
    def __init__(self, lines: _Lines, task_id: str, *, enabled: bool) -> None:
        self._lines = lines
        self._switch = {task_id: enabled}

    def next_preference(self) -> UserPreference | None:
        """Return the switch of the next line's user, None for an empty one. Raises StopIteration at the end."""
        user_id = next(self._lines).removesuffix("\n").removesuffix("\r")
        return UserPreference(user_id=user_id, enabled_tasks=self._switch) if user_id else None


class _CsvParser:
    def __init__(self, lines: _Lines) -> None:
        self._rows = csv.reader(lines, strict=True)
        self._header: tuple[str, ...] | None = None

    def next_preference(self) -> UserPreference | None:
        """Return what the next row states, None for the header and a blank line.

        Raises StopIteration at the end of the file, and at once after a header that cannot be used.
        """
        if self._header is None:
            self._header = ()
            self._header = _header(self._next_row([]))
            return None
        if not self._header:
            raise StopIteration
        cells = self._next_row()
        if not cells:
            return None
        if len(cells) != len(self._header):
            remedy = f"give {len(self._header)}, for {','.join(self._header)}"
            raise InvalidValueError(f"{len(cells)} cell{'s' * (len(cells) != 1)}; {remedy}")
        return _preference_of_row(dict(zip(self._header, cells, strict=True)))

    def _next_row(self, *at_end: list[str]) -> list[str]:
        try:
            return next(self._rows, *at_end)
        except csv.Error as error:
            raise InvalidValueError(f"not CSV: {error}; close a quoted cell, and double the quotes inside") from None


def _header(cells: list[str]) -> tuple[str, ...]:
    for column in _REQUIRED_COLUMNS:
        if column not in cells:
            raise InvalidValueError(f"no column {column}; begin with {_HEADER}, separated by commas")
    for column in cells:
        if column not in _COLUMNS:
            raise InvalidValueError(f"unknown column {column[:60]!r}; {did_you_mean(column, _COLUMNS)}")
        if cells.count(column) > 1:
            raise InvalidValueError(f"column {column} stands twice; keep one")
    return tuple(cells)


def _preference_of_row(row: Mapping[str, str]) -> UserPreference:
    """Return what the row states. An empty cell states nothing, but a row has to state something."""
    task_id = check_task_id(row["task_id"])
    parameters, interval = row.get("parameters"), row.get("custom_interval")
    if not (row["enabled"] or parameters or interval):
        raise InvalidValueError("states nothing; fill in enabled, parameters or custom_interval")
    return UserPreference(
        user_id=row["user_id"],
        enabled_tasks={task_id: _switch(row["enabled"])} if row["enabled"] else {},
        parameters={task_id: parameters_of(_json(parameters, "parameters"), "parameters")} if parameters else {},
        custom_intervals=(
            {task_id: custom_interval_of(_json(interval, "custom_interval"), "custom_interval")} if interval else {}
        ),
    )


def _switch(text: str) -> bool:
    try:
        return _SWITCHES[text.lower()]
    except KeyError:
        raise InvalidValueError(f"enabled: {text[:60]!r} is no switch; use true or false, or 1 or 0") from None


def _parsed(text: str) -> object:
    return parse_strict_json(text, expected="one whole JSON object on one line")


def _json(text: str, column: str) -> object:
    try:
        return _parsed(text)
    except InvalidValueError as error:
        raise InvalidValueError(f"{column}: {error}") from None
