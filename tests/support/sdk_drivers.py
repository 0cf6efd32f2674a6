"""The drivers of sdk/contract: a process for each SDK that does what it is told, line by line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.java_sdk import class_path
from tests.support.sdk_programs import SDK, program_environment, require

LANGUAGES = ("python", "python-asyncio", "javascript", "java")

#: seconds for one call, with its tries and pauses, on a machine that is busy
_WITHIN_S = 40.0


@dataclass(slots=True, kw_only=True)
class Driver:
    """One client of an SDK. `written` is all that it has written so far, to stdout and stderr."""

    language: str
    process: asyncio.subprocess.Process
    written: list[str]

    async def call(self, name: str, /, **arguments: object) -> dict[str, Any]:
        """Return what the driver answers to one call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"call": name, "arguments": arguments}).encode() + b"\n")
        async with asyncio.timeout(_WITHIN_S):
            await self.process.stdin.drain()
            line = (await self.process.stdout.readline()).decode()
        self.written.append(line)
        assert line, f"the driver of {self.language} ended at {name}: {await self._last_words()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _last_words(self) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(_WITHIN_S):
            return (await self.process.stderr.read()).decode()[-3000:]

    async def close(self) -> None:
        """End it; it has to end well, and to have said nothing else."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        async with asyncio.timeout(_WITHIN_S):
            rest = await self._last_words()
            code = await self.process.wait()
        self.written.append(rest)
        assert (code, rest) == (0, ""), f"the driver of {self.language} ended with {code}: {rest}"


@asynccontextmanager
async def driver(language: str, url: str, key: str) -> AsyncIterator[Driver]:
    """Start the driver of a language with a client for `url`. Skips, loudly, where the language is not installed."""
    require(language)
    command, environment = await _command(language)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=program_environment({**environment, "TASK_SCHEDULER_URL": url, "TASK_SCHEDULER_API_KEY": key}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    driver = Driver(language=language, process=process, written=[])
    try:
        yield driver
        await driver.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _command(language: str) -> tuple[list[str], Mapping[str, str]]:
    if language.startswith("python"):
        paths = os.pathsep.join([str(SDK / "python" / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        program = [sys.executable, str(SDK / "python" / "contract" / "driver.py")]
        return program + ["--asyncio"] * language.endswith("asyncio"), {"PYTHONPATH": paths}
    if language == "javascript":
        return ["node", str(SDK / "javascript" / "contract" / "driver.js")], {}
    return ["java", "-cp", await asyncio.to_thread(class_path), "contract.Driver"], {}
