"""What the demo says while it runs: lines, and on a terminal a bar of the calls that have been made."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

#: seconds between two lines about the calls where there is no terminal
_LINE_EVERY_S = 5.0


class Progress:
    """Use it as a context; `say` and `calls` work inside it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._told_at = self._began
        self._bar: Bar | None = None
        self._calls: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to show the bar, where there is a terminal."""
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line with the seconds since the beginning before it."""
        seconds = time.monotonic() - self._began
        self._console.print(f"{seconds:5.0f} s  {line}", soft_wrap=True, highlight=False, markup=False)

    def calls(self, done: int, expected: int, detail: str) -> None:
        """Tell that `done` of `expected` calls have been made."""
        if self._bar is None:
            if time.monotonic() - self._told_at >= _LINE_EVERY_S:
                self._told_at = time.monotonic()
                self.say(f"{done} of {expected} calls{detail}")
            return
        if self._calls is None:
            self._calls = self._bar.add_task("calls", total=expected)
        self._bar.update(self._calls, completed=done, total=expected, description=f"calls{detail}")
