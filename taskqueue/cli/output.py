"""What a verb shows: plain data as a table for people, as JSON or YAML for programs.

Data is what JSON knows, and also instants (shown as RFC 3339), durations (as seconds), enumerations (as their values),
paths and UUIDs. In JSON and YAML the output is ASCII, and other characters are escaped: a user id that holds control
characters reaches no terminal but as text. Tables show it through `printable`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from enum import Enum, StrEnum
from math import isfinite
from pathlib import PurePath
from typing import Annotated, Any
from uuid import UUID

import typer

from taskqueue.cli.tables import on_terminal, print_pairs, print_table
from taskqueue.cli.terminal import printable
from taskqueue.core.instants import rfc3339


class OutputFormat(StrEnum):
    """How a verb shows what it found."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


#: the option `-o`; give its parameter the default None
Output = Annotated[
    OutputFormat | None,
    typer.Option("--output", "-o", help="How to show it: a table on a terminal and JSON elsewhere, when left out."),
]

#: the option `-o` of verbs that answer in lines of text, most of them because they change something; default None too
Answer = Annotated[
    OutputFormat | None,
    typer.Option("--output", "-o", help="json or yaml, for programs; plain text when left out."),
]


def chosen(output: OutputFormat | None, *, as_json: bool = False) -> OutputFormat:
    """Return the format that counts: the one asked for, else a table on a terminal and JSON elsewhere.

    `as_json` is the `--json` of verbs that have one.
    """
    if as_json:
        return OutputFormat.JSON
    return output or (OutputFormat.TABLE if on_terminal() else OutputFormat.JSON)


def print_record(record: Mapping[str, object], output: OutputFormat | None, *, fields: Sequence[str] = ()) -> None:
    """Print one record; a table has a line for each of `fields`, or for every field when none is named.

    The fields of an object in it have lines of their own; a list of records becomes a table below the others.
    """
    found = chosen(output)
    if found is not OutputFormat.TABLE:
        print_data(record, found)
        return
    shown = _flat({name: record[name] for name in fields or record})
    lists = {name: value for name, value in shown.items() if _is_records(value)}
    print_pairs([(heading(name), cell(value)) for name, value in shown.items() if name not in lists])
    for name, value in lists.items():
        typer.echo(f"\n{heading(name)}")
        print_records(value, OutputFormat.TABLE)


def print_records(
    records: Sequence[Mapping[str, object]],
    output: OutputFormat | None,
    *,
    fields: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a list of records; a table has a column for each of `fields`, or for every field of the first record.

    `styles` colours cells by their whole text, on a terminal that has colours: `{"fail": "red"}`.
    """
    found = chosen(output)
    if found is not OutputFormat.TABLE:
        print_data(records, found)
        return
    columns = fields or (tuple(records[0]) if records else ())
    if columns:
        rows = [[cell(record.get(name)) for name in columns] for record in records]
        print_table([heading(name) for name in columns], rows, styles=styles)


def print_answer(text: str, data: object, output: OutputFormat | None) -> None:
    """Print what a verb has done: `text` for people, `data` for programs that ask for it."""
    if output in {None, OutputFormat.TABLE}:
        typer.echo(text)
    else:
        print_data(data, output or OutputFormat.JSON)


def print_step(text: str, data: object, output: OutputFormat | None) -> None:
    """Print one of several things that a verb has done: like `print_answer`, with one line of data for each."""
    if output in {None, OutputFormat.TABLE}:
        typer.echo(printable(text))
    else:
        print_line(data, output or OutputFormat.JSON)


def print_data(data: object, output: OutputFormat) -> None:
    """Print any data as JSON or YAML: one document."""
    typer.echo(as_yaml(data) if output is OutputFormat.YAML else json.dumps(plain(data), indent=2))


def print_line(data: object, output: OutputFormat) -> None:
    """Print one of a stream of data: a line of JSON, or a YAML document that begins with `---`."""
    text = f"---\n{as_yaml(data)}" if output is OutputFormat.YAML else json.dumps(plain(data), separators=(",", ":"))
    typer.echo(text)


def as_yaml(data: object) -> str:
    """Return `data` as a YAML document, without a line break at its end."""
    import yaml

    text: str = yaml.safe_dump(plain(data), sort_keys=False, allow_unicode=False, width=2**31)
    return text.removesuffix("\n").removesuffix("\n...")


def plain(value: object) -> object:
    """Return `value` as JSON has it; a number that JSON has not (NaN, infinity) as None.

    Raises TypeError for what is no data.
    """
    match value:
        case None | bool() | int() if not isinstance(value, Enum):
            return value
        case Mapping():
            return {str(plain(name)): plain(each) for name, each in value.items()}
        case list() | tuple() | AbstractSet():
            return [plain(each) for each in value]
        case _:
            return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    match value:
        case Enum():
            return plain(value.value)
        case str() | PurePath() | UUID():
            return str(value)
        case float():
            return value if isfinite(value) else None
        case datetime():
            return rfc3339(value)
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    raise TypeError(f"{type(value).__name__} is no data")


def heading(name: str) -> str:
    """Return the heading of the field `name`."""
    return name.replace("_", " ")


def cell(value: object) -> str:
    """Return `value` as a table shows it: nothing for None, yes and no, lists with commas, objects as JSON."""
    match plain(value):
        case None:
            return ""
        case bool(found):
            return "yes" if found else "no"
        case str(found):
            return found
        case float(found):
            return f"{found:.6g}"
        case list(found) if not any(isinstance(each, list | dict) for each in found):
            return ", ".join(cell(each) for each in found)
        case found:
            return json.dumps(found, ensure_ascii=False)


def _flat(record: Mapping[str, object], prefix: str = "") -> dict[str, Any]:
    """Return the fields of `record`, and those of objects in it as `outer.inner`."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _is_records(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, Mapping) for each in value)
