"""A server of our own: started from an installed program, on its own ports, and gone when we are."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from taskqueue.dev.probe import port_answers
from taskqueue.errors import ServiceError

#: below the ranges from which Linux and macOS take ports of outgoing connections: a client that redials a server
#: we have just killed could otherwise be given the server's own port and connect to itself
_PORTS = range(10_240, 32_768)

#: seconds between two looks at a server that is starting
_POLL = 0.1

#: seconds for a server to end after SIGTERM before it is killed
_STOP_DEADLINE = 30.0

#: Runs "$@" in this process. Beside it a subshell holds the read end of a pipe from us: when we are gone, however we
#: went, it reads end-of-file and kills the whole process group. The server itself never sees the pipe.
_GUARDED = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -s KILL 0) & exec 3<&-; exec "$@"'


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different TCP ports of 127.0.0.1 on which nothing listens now."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = secrets.choice(_PORTS)
            listener = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                ports.append(port)
        return tuple(ports)


def ports_near(wanted: Sequence[int], *, avoid: int) -> tuple[int, ...]:
    """Return these ports of 127.0.0.1, with a free one for each that is `avoid` or has a listener."""
    ports: list[int] = []
    for each in wanted:
        port = each
        while port == avoid or port in ports or port_answers("127.0.0.1", port):
            (port,) = free_ports(1)
        ports.append(port)
    return tuple(ports)


class LocalServer:
    """One server program that runs in its own session and can be killed and started again.

    `command` runs with exactly `environment` in `directory`, which also gets its output (`NAME.out`). `ready` is asked
    until it says yes, for at most `deadline` seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        ready: Callable[[], bool],
        deadline: float,
    ) -> None:
        self.name = name
        self._command = tuple(command)
        self._environment = dict(environment)
        self._directory = directory
        self._output = directory / f"{name}.out"
        self._ready = ready
        self._deadline = deadline
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program and return once it is ready. Raises ServiceError with the end of its output."""
        if self.running:
            return
        self._end(signal.SIGKILL)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # the command is built from a fixed list and found paths
                ["/bin/sh", "-c", _GUARDED, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._await_ready()
        except BaseException:  # whatever interrupts the wait, Ctrl-C too, must not leave the server behind
            self.kill()
            raise

    def stop(self) -> int | None:
        """Ask the program to end (SIGTERM), wait, and kill what is left. What it keeps on disk stays.

        Return its exit code, as `subprocess.Popen.returncode` has it; None when it was not started.
        """
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the program at once (SIGKILL), as a crash would. What it keeps on disk stays."""
        self._end(signal.SIGKILL)

    def _await_ready(self) -> None:
        give_up = time.monotonic() + self._deadline
        while not self._ready():
            if not self.running:
                raise ServiceError(f"{self.name} ended while it was starting; its last words:\n{self._last_words()}")
            if time.monotonic() > give_up:
                raise ServiceError(
                    f"{self.name} was not ready after {self._deadline:.0f} s; its last words:\n{self._last_words()}"
                )
            time.sleep(_POLL)

    def _last_words(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")[-2000:].strip() or "(nothing)"

    def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        _signal_group(process.pid, how)
        try:
            process.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            # The program has ended; what it left in its group, our guard too, ends now.
            _signal_group(process.pid, signal.SIGKILL)
            if process.stdin is not None:
                process.stdin.close()
        return process.returncode


def _signal_group(group: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, how)
