"""Programs that use an SDK, run as a user runs them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[2] / "sdk"

#: what has to be on the machine for a language that is not ours
_NEEDED = {"javascript": ("node",), "java": ("java", "javac")}

#: seconds for an interpreter or a virtual machine to start, and a few requests, on a machine that is busy
_WITHIN_S = 60.0


def program_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process without what would change how an SDK works, and with `environment`.

    For programs that use an SDK; npm and build.sh need the whole one, to reach their registries.
    """
    ours = ("TASK_SCHEDULER_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(environment or {})


async def run_program(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, which has to be a good one, and return what it wrote to stdout.

    Not with `subprocess.run`: the endpoint that tasks call is served by the loop of the tests, which that would stop.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=program_environment(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"{command[0]}: {process.returncode}\n{output.decode()}\n{errors.decode()}"
    return output.decode()


def require(language: str) -> None:
    """Skip a test of a language that is not installed."""
    if missing := _missing(language):
        pytest.skip(f"NOT TRIED: the {language} SDK, for {' and '.join(missing)} is not installed")


def is_installed(language: str) -> bool:
    """Return whether programs in this language can be run."""
    return not _missing(language)


def _missing(language: str) -> list[str]:
    return [program for program in _NEEDED.get(language, ()) if shutil.which(program) is None]
