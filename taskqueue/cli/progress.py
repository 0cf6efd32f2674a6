"""How far long work has come: a bar on standard error, while that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: takes how much of it was done since the last time
Advance = Callable[[int], None]


@contextmanager
def progress(doing: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar behind the word `doing`; yield what moves it on. `total` is None where nobody knows it.

    It is gone at the end, whatever that was.
    """
    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    # It takes a tenth of a second, and most who import this module show no bar.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    count: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(doing, total=total)
        yield lambda size: bars.advance(bar, size)
