"""Schedulers, workers and APIs as operators run them: processes with a settings file, a log and exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx
import yaml

from tests.support.inbox import eventually

_CHECKOUT = Path(__file__).resolve().parents[2]

#: seconds for an interpreter to start, import and speak on a machine that is busy with other things
STARTUP_S = 30.0

Program = Literal["scheduler", "worker", "api"]
Line = Mapping[str, Any]


class Process:
    """One running program. `lines` is its log so far, each line as written; `errors` is what it wrote to stderr."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[Line] = []
        self.errors = ""
        self._process = process
        self._news = asyncio.Condition()
        self._ended = False
        self._client: httpx.AsyncClient | None = None
        self._readers = asyncio.gather(self._read_log(), self._read_errors())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def http(self) -> httpx.AsyncClient:
        """A client of its internal endpoints, once it has said where they are."""
        if self._client is None:
            port = next(line["port"] for line in self.lines if line["event"] == "port_bound")
            self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
        return self._client

    def events(self, event: str, **fields: object) -> list[Line]:
        """Return the log lines of `event` with these fields, oldest first."""
        return [line for line in self.lines if _matches(line, event, fields)]

    async def wait_for(self, event: str, *, within: float = 15.0, after: int = 0, **fields: object) -> Line:
        """Return the first line of `event` with these fields behind the first `after` lines, when it is there."""
        position = after
        try:
            async with asyncio.timeout(within), self._news:
                while True:
                    for line in self.lines[position:]:
                        if _matches(line, event, fields):
                            return line
                    assert not self._ended, f"{self.name} ended without {event} {fields}:\n{self._last_words()}"
                    position = len(self.lines)
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.name}: no {event} {fields} within {within} s; its last lines:\n{self._last_words()}"
            ) from None

    async def wait_ready(self, within: float = STARTUP_S) -> None:
        """Return once /readyz says 200."""
        await self.wait_for("port_bound", within=within)

        async def ready() -> bool:
            return (await self.http.get("/readyz")).status_code == 200

        await eventually(ready, within)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self, within: float) -> int:
        """Return the exit code when the process has ended by itself; negative: the signal that killed it."""
        async with asyncio.timeout(within):
            code = await self._process.wait()
            await self._readers
        return code

    async def terminate(self, within: float = 15.0) -> int:
        """Ask it to stop (SIGTERM) and return its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within)

    async def kill(self) -> None:
        """End it at once (SIGKILL), unless it has ended already."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended(10)

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.kill()
        if self._client is not None:
            await self._client.aclose()

    async def _read_log(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            async with self._news:
                self.lines.append(json.loads(raw))
                self._news.notify_all()
        async with self._news:
            self._ended = True
            self._news.notify_all()

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            self.errors += raw.decode()

    def _last_words(self) -> str:
        return "\n".join([*(json.dumps(line) for line in self.lines[-25:]), self.errors[-2000:]])


class Processes:
    """Starts programs with settings files in `directory`, and ends all that still run when the context does."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = AsyncExitStack()
        self._count = 0

    async def start(
        self, program: Program, settings: Mapping[str, object], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start `program` with `settings` as its file; returns before it is ready."""
        self._count += 1
        name = f"{program}-{self._count}"
        path = self._directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
        return await self.start_with(program, path, name, environment)

    async def start_with(
        self, program: Program, path: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start `program` with the settings file at `path`."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_CHECKOUT / "cmd" / f"{program}.py"),
            "--config",
            str(path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**_clean_environment(), **(environment or {})},
            cwd=self._directory,
            limit=1 << 20,
        )
        process = Process(name, child)
        self._stack.push_async_callback(process.close)
        return process

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()


def _matches(line: Line, event: str, fields: Mapping[str, object]) -> bool:
    return line["event"] == event and all(line.get(name) == value for name, value in fields.items())


def _clean_environment() -> dict[str, str]:
    # The services of the tests are named in the settings; what names them for the tests must not override that.
    return {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
