"""Where installed server programs are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

#: searched after PATH: packages put servers where an ordinary user's PATH does not look
_MORE_DIRECTORIES = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/homebrew/sbin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/erlang/bin",
)


def search_path(environ: Mapping[str, str]) -> str:
    """Return the PATH of `environ` with the directories appended in which packages put servers."""
    return ":".join([environ.get("PATH", "/usr/bin:/bin"), *_MORE_DIRECTORIES])


def find_program(name: str, environ: Mapping[str, str], *before_path: str) -> Path | None:
    """Return the program `name`, looked for in the directories `before_path` and then on the search path."""
    found = shutil.which(name, path=":".join([*before_path, search_path(environ)]))
    return Path(found) if found else None
