"""Lists that are read page by page: how much of one is wanted, and printing it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from taskqueue.cli.output import OutputFormat, chosen, print_line, print_records
from taskqueue.errors import ConfigError

_LISTED = 20

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLimits:
    """How much of a list is wanted."""

    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; 20 when left out.")] = None
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False

    def count(self) -> int | None:
        """Return how many at most; None for all. Raises ConfigError where both are asked for."""
        if self.everything and self.limit is not None:
            raise ConfigError("--all and --limit: use one of them")
        return None if self.everything else self.limit or _LISTED


async def print_rows(
    rows: AsyncIterator[tuple[Row, int]], output: OutputFormat | None, *, fields: Sequence[str]
) -> None:
    """Print a table with the columns `fields`, or each row on a line as it comes.

    `rows` are pairs of a row and how many there are in all; that there are more is said on standard error.
    """
    form, kept, seen, total = chosen(output), list[Row](), 0, 0
    async for row, in_all in rows:
        seen, total = seen + 1, in_all
        if form is OutputFormat.TABLE:
            kept.append(row)
        else:
            print_line(row, form)
    if kept:
        print_records(kept, form, fields=fields)
    elif form is OutputFormat.TABLE:
        typer.echo("none", err=True)
    if seen < total:
        typer.echo(f"{seen:,} of {total:,}; --all shows all", err=True)
