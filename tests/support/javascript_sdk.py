"""The JavaScript SDK of this checkout, and the tools that it is checked with."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.sdk_programs import program_environment

SDK = Path(__file__).resolve().parents[2] / "sdk" / "javascript"

#: says for which lock file node_modules is whole
_STAMP = SDK / "node_modules" / ".installed-for"

#: seconds
_DEADLINE = 100.0


def run(*command: str | Path, cwd: Path = SDK) -> str:
    """Return what a program prints. Fails the test with all that was said; skips it where node is not installed."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            pytest.skip(f"THE JAVASCRIPT SDK IS NOT TESTED: {needed} is not installed")
    # npm may reach its registry only as this environment says; what uses the SDK has to be free of it.
    environment = None if command[0] == "npm" else program_environment()
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_DEADLINE, check=False
    )
    said = " ".join(map(str, command))
    assert done.returncode == 0, f"{said} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def installed() -> Path:
    """Return node_modules with what package-lock.json names; npm runs only where that has changed."""
    lock = hashlib.sha256((SDK / "package-lock.json").read_bytes()).hexdigest()
    if not _STAMP.exists() or _STAMP.read_text(encoding="ascii") != lock:
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        _STAMP.write_text(lock, encoding="ascii")
    return _STAMP.parent


def tsc(*arguments: str | Path, cwd: Path = SDK) -> None:
    """Run the compiler that package-lock.json names."""
    run("node", installed() / "typescript" / "bin" / "tsc", *arguments, cwd=cwd)
