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

#: a column narrower than this reads worse than a block for each row
_READABLE = 12
#: spaces on both sides of a column
_PADDING = 2


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Mapping[str, str] | None = None
) -> None:
    """Print a table on standard output; a block of pairs for each row where the terminal is too narrow for columns.

    `styles`: the style of a cell with this text, such as `{"fail": "red"}`.
    """
    texts = [[_text(cell, styles) for cell in row] for row in rows]
    console = _console()
    if on_terminal() and rows and _least_width(headings, texts) > console.width:
        for row in texts:
            _print(console, _pairs(list(zip(headings, row, strict=True))))
            typer.echo()
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in texts:
        table.add_row(*row)
    _print(console, table)


def print_pairs(pairs: Sequence[tuple[str, str]], *, styles: Mapping[str, str] | None = None) -> None:
    """Print names and values on standard output, a pair on a line; long values go on below themselves."""
    if pairs:
        _print(_console(), _pairs([(name, _text(value, styles)) for name, value in pairs]))


def _pairs(pairs: Sequence[tuple[str, Text]]) -> Table:
    table = Table.grid(padding=(0, _PADDING, 0, 0))
    for style in ("bold", ""):
        table.add_column(style=style, overflow="fold")
    for name, value in pairs:
        table.add_row(Text(printable(name)), value)
    return table


def _text(cell: str, styles: Mapping[str, str] | None) -> Text:
    return Text(printable(cell), style=(styles or {}).get(cell, ""), overflow="fold")


def _least_width(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """Return how many columns a table needs in which each of its own is readable, or as wide as its content."""
    widths = (
        max(cell_len(heading), *(row[number].cell_len for row in rows)) for number, heading in enumerate(headings)
    )
    return sum(min(width, _READABLE) + _PADDING for width in widths)


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
