"""Clocks of processes, set wrong by libfaketime. Their monotonic clocks stay right, as those of a real host do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from taskqueue.dev.packages import can_install, install

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")


def faketime_library(*, install_missing: bool) -> Path:
    """Return the library; skips the test where it is missing and not to be, or cannot be, installed."""
    found = _find()
    if found is None and install_missing and can_install(os.environ):
        install(["libfaketime"], os.environ, lambda line: print(line, file=sys.__stderr__))
        found = _find()
    if found is None:
        pytest.skip("NOT TESTED: clocks that are wrong; install libfaketime (apt-get install libfaketime)")
    return found


def _find() -> Path | None:
    paths = (path for place in _PLACES for path in sorted(Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1")))
    return next(paths, None)


class FakeTime:
    """The clock of one process, off by `offset` (such as "+1h", "-1h", "+0") until it is set again."""

    def __init__(self, library: Path, directory: Path, name: str, offset: str) -> None:
        self._file = directory / f"{name}.faketime"
        self._library = library
        self.set(offset)

    def set(self, offset: str) -> None:
        """Let the clock jump."""
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n", encoding="ascii")
        new.rename(self._file)  # the process reads the file at each look at its clock

    def environment(self) -> dict[str, str]:
        """Return what the process is started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
