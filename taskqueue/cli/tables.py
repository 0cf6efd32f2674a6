"""Tables and lists of pairs, with text of other systems in them, as wide as the terminal and never cut.

Where no terminal is, lines are as long as their content: what reads them wants one row a line.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from io import StringIO

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from taskqueue.cli.terminal import printable

#: spaces between a name and its value
_PADDING = 2
#: what each column of a table takes beside its text, and what the table takes beside its columns
_COLUMN_EDGES = 3
_TABLE_EDGES = 1


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Mapping[str, str] | None = None
) -> None:
    """Print a table on standard output; a block of pairs for each row where the terminal is too narrow for columns.

    `styles`: the style of a cell with this text, such as `{"fail": "red"}`.
    """
    texts = [[_text(cell, styles) for cell in row] for row in rows]
    console = _console()
    widths = _widths(headings, texts, console.width) if on_terminal() else [None] * len(headings)
    if widths is None:
        for row in texts:
            _print(console, _pairs(list(zip(headings, row, strict=True))))
            typer.echo()
        return
    table = Table(box=SIMPLE_HEAD)
    for heading, width in zip(headings, widths, strict=True):
        table.add_column(heading, overflow="fold", width=width)
    for row in texts:
        table.add_row(*row)
    _print(console, table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values on standard output, a pair on a line; long values go on below themselves."""
    if pairs:
        _print(_console(), _pairs([(name, _text(value, None)) for name, value in pairs]))


def _pairs(pairs: Sequence[tuple[str, Text]]) -> Table:
    table = Table.grid(padding=(0, _PADDING, 0, 0))
    for style in ("bold", ""):
        table.add_column(style=style, overflow="fold")
    for name, value in pairs:
        table.add_row(Text(printable(name)), value)
    return table


def _text(cell: str, styles: Mapping[str, str] | None) -> Text:
    return Text(printable(cell), style=(styles or {}).get(cell, ""), overflow="fold")


def _widths(headings: Sequence[str], rows: Sequence[Sequence[Text]], available: int) -> list[int | None] | None:
    """Return how wide each column is, so that no word is broken; None where the terminal is too narrow for that.

    Without rows Rich decides.
    """
    if not rows:
        return [None] * len(headings)
    columns = [[heading, *(row[number].plain for row in rows)] for number, heading in enumerate(headings)]
    widths = [max(cell_len(word) for cell in cells for word in cell.split() or [""]) for cells in columns]
    wanted = [max(map(cell_len, cells)) for cells in columns]
    spare = available - _TABLE_EDGES - sum(width + _COLUMN_EDGES for width in widths)
    if spare < 0:
        return None
    # What is left goes to all columns alike, those first that want little.
    by_want = sorted(range(len(columns)), key=lambda number: wanted[number] - widths[number])
    for left, number in zip(range(len(columns), 0, -1), by_want, strict=True):
        more = min(wanted[number] - widths[number], spare // left)
        widths[number] += more
        spare -= more
    return list(widths)


def on_terminal() -> bool:
    """Return whether standard output is a terminal."""
    # Python has no standard output where it was closed before the start, as with `>&-`.
    return sys.stdout is not None and sys.stdout.isatty()


def _console() -> Console:
    return Console(file=sys.stdout or StringIO(), highlight=False)


def _print(console: Console, content: RenderableType) -> None:
    if on_terminal():
        console.print(content)
        return
    # Text only, whatever the environment forces; spaces that fill up the last column help nobody.
    widest = Measurement.get(console, console.options.update_width(2**20), content).maximum
    file = Console(file=StringIO(), width=widest, force_terminal=False, color_system=None, legacy_windows=False)
    with file.capture() as captured:
        file.print(content)
    typer.echo("\n".join(line.rstrip() for line in captured.get().split("\n")), nl=False)
