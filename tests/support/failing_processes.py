"""Starts programs that can be told at which moment to die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tests.support.failpoints import Failpoint
from tests.support.processes import STARTUP_S, Process, Processes, Program, _clean_environment

_CHECKOUT = Path(__file__).resolve().parents[2]

#: the longest line of a log
_LINE_BYTES = 1 << 20


class FailingProcesses(Processes):
    """Like Processes; each program is the real one, forked by `server` and run with failpoints.

    All of them get `environment`.
    """

    def __init__(self, directory: Path, server: ForkServer, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._environment = dict(environment or {})
        self._server = server

    async def start_with(
        self, program: Program, path: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start `program` with the settings file at `path`."""
        child = await self._server.fork(
            arguments=[program, "--config", str(path)],
            environment={**_clean_environment(), **self._environment, **(environment or {})},
            directory=str(self._directory),
        )
        # It has of asyncio's Process what ours uses.
        process = Process(name, cast(asyncio.subprocess.Process, child))
        self._stack.push_async_callback(process.close)
        return process


async def arm(process: Process, failpoint: Failpoint) -> None:
    """Let the process fail there from now on; returns when it knows."""
    known = len(process.lines)
    cast(_Forked, process._process).tell(str(failpoint))
    await process.wait_for("failpoint_armed", after=known, failpoint=str(failpoint))


class _Forked:
    """A forked program: what is used of asyncio.subprocess.Process, and its stdin."""

    def __init__(
        self,
        pid: int,
        ended: asyncio.Future[int],
        stdin: int,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
    ) -> None:
        self.pid = pid
        self.stdout, self.stderr = stdout, stderr
        self._stdin = stdin
        self._ended = ended
        ended.add_done_callback(lambda _: os.close(stdin))

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    def tell(self, line: str) -> None:
        os.write(self._stdin, f"{line}\n".encode())

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)


class ForkServer:
    """The near end of failing_program.py. Use it as a context; its programs end with it."""

    def __init__(self) -> None:
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.failing_program",
            stdin=far,
            env={**_clean_environment(), "PYTHONPATH": str(_CHECKOUT)},
            start_new_session=True,
        )
        far.close()
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        await self._process.wait()

    async def fork(self, **order: object) -> _Forked:
        """Return the program of this order; it runs."""
        (stdin, near_in), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        readers = await _reader(out), await _reader(err)
        async with self._one_at_a_time, asyncio.timeout(STARTUP_S):
            socket.send_fds(self._socket, [json.dumps(order).encode()], [stdin, stdout, stderr])
            for descriptor in (stdin, stdout, stderr):
                os.close(descriptor)
            pid = await self._started.get()
        return _Forked(pid, self._ends[pid], near_in, *readers)

    def _hear(self) -> None:
        answer: dict[str, Any] = json.loads(self._socket.recv(4096) or b"{}")
        if "started" in answer:
            self._ends[answer["started"]] = asyncio.get_running_loop().create_future()
            self._started.put_nowait(answer["started"])
        elif "ended" in answer:
            self._ends[answer["ended"]].set_result(answer["code"])


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    return reader
