"""A command at a real terminal: a pseudo-terminal of a given width, with somebody who answers questions."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_DEADLINE_S = 30.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the command ended, and all that it wrote to the terminal."""

    code: int
    written: str

    @property
    def lines(self) -> list[str]:
        """The lines as a person reads them: without colours, and without spaces at their ends."""
        return [line.rstrip() for line in _CONTROL.sub("", self.written).replace("\r", "").split("\n")]


def a_terminal(columns: int) -> tuple[int, int]:
    """Return both ends of a terminal of 40 lines: that of the person, and that of the command."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return ours, theirs


def started(
    command: Sequence[str], terminal: int, environment: Mapping[str, str], directory: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command at its end of a terminal; `environment` is added to that of the tests."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    return subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=directory,
        env={**inherited, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    )


def at_terminal(
    *arguments: str,
    columns: int,
    answers: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    program: Sequence[str] = ("-c", "from taskqueue.cli.main import main; main()"),
) -> Ended:
    """Run `taskqueue arguments` in a window of `columns`; type each answer once its question is there.

    `environment` is added to that of the tests. `program` is what Python runs instead of the command.
    """
    ours, theirs = a_terminal(columns)
    with started([sys.executable, *program, *arguments], theirs, environment or {}, directory) as process:
        os.close(theirs)
        try:
            written = _converse(ours, answers)
            code = process.wait(_DEADLINE_S)
        finally:
            process.kill()
            os.close(ours)
    return Ended(code=code, written=written)


def _converse(terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    deadline = time.monotonic() + _DEADLINE_S
    written, left = b"", list(answers)
    while True:
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"still there after {_DEADLINE_S:g} s, having written {written.decode()!r}")
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # what Linux says when nobody has the other end any more
            piece = b""
        if not piece:
            return written.decode()
        written += piece
        if left and left[0][0] in written.decode(errors="replace"):
            os.write(terminal, left.pop(0)[1].encode())
