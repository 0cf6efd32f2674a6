"""`taskqueue` run by a test: here, or beside a loop in a thread or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from taskqueue.cli.main import main

_DEADLINE_S = 40.0

#: environment and standard output are those of the whole process
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it wrote as one JSON document."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """What it wrote as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run_here(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run `taskqueue words` in this thread; return its exit code, output and errors."""
    with pytest.raises(SystemExit) as left:
        main(words)
    output = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, output.out, output.err


async def run_command(*arguments: str, environment: Mapping[str, str], stdin: str = "") -> Ended:
    """Run `taskqueue arguments` in a thread; `environment` is added to that of the tests."""
    return await asyncio.to_thread(_run, arguments, environment, stdin)


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str) -> Ended:
    out, err, code = StringIO(), StringIO(), 0
    with (
        _ONE_AT_A_TIME,
        patch.dict(os.environ, environment),
        patch.object(sys, "stdin", TextIOWrapper(BytesIO(stdin.encode()))),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
    return Ended(code=code, out=out.getvalue(), err=err.getvalue())


async def run_process(*arguments: str, environment: Mapping[str, str]) -> Ended:
    """Run `taskqueue arguments` as a process; `environment` is added to that of the tests."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("taskqueue")),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(code=process.returncode or 0, out=out.decode(), err=err.decode())
