"""Run a process: event loop, signals, the start / quiet / stop contract, and loops that never end silently.

Exit codes: 0 after a clean drain, 1 after one that had to cut something, 128 + signal number after a second signal.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar

from taskqueue.telemetry.events import Emit, LoopFailed, ProcessDraining, ProcessStopped

_T = TypeVar("_T")

#: stop(deadline) should return by its deadline; a service that does not is cut this much later
_STOP_MARGIN_S = 2.0

#: a cancelled task may tidy up for so long; Redis answers or fails within 2 s
_CANCEL_AGAIN_S = 3.0

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run `main` on a uvloop event loop (asyncio's own where uvloop is missing) and return its result."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


# --- signals ----------------------------------------------------------------------------------------------------------


class StopRequest:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Ask for the stop; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def is_set(self) -> bool:
        """Return whether a stop was asked for."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once a stop is asked for."""
        await self._event.wait()


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn the first SIGTERM or SIGINT into a StopRequest; a second one ends the process at once.

    Call it inside the running loop, in the main thread. Afterwards both signals have the handlers they had before.
    """
    loop = asyncio.get_running_loop()
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in _STOP_SIGNALS}

    def first(number: signal.Signals) -> None:
        request.set(number.name)
        for each in _STOP_SIGNALS:
            loop.remove_signal_handler(each)
            # Not through the loop, which may be what hangs; and not SIG_DFL, which process 1 of a container ignores.
            signal.signal(each, _exit_now)

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, first, number)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _exit_now(number: int, _frame: FrameType | None) -> NoReturn:
    os.write(sys.stderr.fileno(), b"second signal: leaving without finishing what is in flight\n")
    os._exit(128 + number)


# --- life cycle -------------------------------------------------------------------------------------------------------


class Service(Protocol):
    """What a process starts and stops. Every method may be called twice; quiet and stop also before start."""

    async def start(self) -> None:
        """Begin; returns when the service does its work or has its loops running. Raises TaskqueueError."""

    async def quiet(self) -> None:
        """Take on nothing new; go on with what is in flight. Readiness turns False."""

    async def stop(self, deadline: float) -> None:
        """Finish what is in flight until `deadline`, an instant of `loop.time()`, then cut the rest and let go."""


async def run_service(service: Service, *, shutdown_timeout_s: float, emit: Emit) -> int:
    """Start `service`, wait for SIGTERM or SIGINT, drain it, and return the process's exit code.

    0: drained within `shutdown_timeout_s`; 1: something had to be cut. An error of `start` is raised after `stop`.
    A signal during start ends the start.
    """
    with stop_signals() as request:
        try:
            await _start_unless_stopped(service, request)
            await request.wait()
        finally:
            clean = await _drain(service, request.reason or "error", shutdown_timeout_s, emit)
    return 0 if clean else 1


async def _start_unless_stopped(service: Service, request: StopRequest) -> None:
    starting = asyncio.ensure_future(service.start())
    stopping = asyncio.ensure_future(request.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
    finally:
        await cancel_and_wait(starting, stopping)


async def _drain(service: Service, reason: str, timeout_s: float, emit: Emit) -> bool:
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + timeout_s
    emit(ProcessDraining(signal=reason, timeout_s=timeout_s))
    try:
        async with asyncio.timeout_at(deadline + _STOP_MARGIN_S):
            await service.quiet()
            await service.stop(deadline)
        clean = True
    except TimeoutError:
        clean = False
    emit(ProcessStopped(clean=clean, drain_s=round(loop.time() - began, 3)))
    return clean


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel `tasks` and return when all have ended; what they raised is not raised again.

    A cancellation can get lost on its way: Python 3.11's wait_for and TaskGroup let a result or an error of the same
    moment win. So a task that goes on is cancelled again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()


# --- supervision ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartDelay:
    """How long a failed loop rests: `first_s`, doubled per failure in a row up to `longest_s`, half of it random.

    A loop that ran for `healthy_s` before it failed starts again from `first_s`.
    """

    first_s: float = 0.2
    longest_s: float = 5.0
    healthy_s: float = 30.0

    def after(self, failures_in_a_row: int) -> float:
        """Return the rest in seconds after that many failures (1 or more)."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(failures_in_a_row - 1, 30))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads restarts, guards nothing


async def supervise(
    name: str, loop_body: Callable[[], Awaitable[None]], emit: Emit, *, delay: RestartDelay | None = None
) -> NoReturn:
    """Run `loop_body` for ever: when it raises or returns, say so with LoopFailed and start it again after a rest.

    Ends only by cancellation of the task it runs in. A CancelledError that nobody asked for, such as one leaking out
    of a dying connection, is a failure like any other: it would end the loop silently.
    """
    delay = delay or RestartDelay()
    clock = asyncio.get_running_loop().time
    failures = 0
    while True:
        began = clock()
        try:
            await loop_body()
            error, trace = "returned although it should run for ever", ""
        except asyncio.CancelledError as cancelled:
            if _cancel_requested():
                raise
            error, trace = _described(cancelled)
        except Exception as failure:  # noqa: BLE001 - the loop boundary: whatever it was, the loop must go on
            error, trace = _described(failure)
        failures = 1 if clock() - began >= delay.healthy_s else failures + 1
        rest = delay.after(failures)
        emit(LoopFailed(loop=name, error=error, restart_in_s=round(rest, 3), exception=trace))
        await asyncio.sleep(rest)


def _cancel_requested() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _described(error: BaseException) -> tuple[str, str]:
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))


class Supervisor:
    """The supervised loops of one process."""

    def __init__(self, emit: Emit, *, delay: RestartDelay | None = None) -> None:
        self._emit = emit
        self._delay = delay
        self._tasks: dict[str, asyncio.Task[NoReturn]] = {}

    def start(self, name: str, loop_body: Callable[[], Awaitable[None]]) -> None:
        """Run `loop_body` under supervision until `stop`. A running loop of that name stays as it is."""
        running = self._tasks.get(name)
        if running is None or running.done():
            self._tasks[name] = asyncio.create_task(
                supervise(name, loop_body, self._emit, delay=self._delay), name=name
            )

    @property
    def running(self) -> Mapping[str, bool]:
        """Each loop's name and whether its task is alive."""
        return {name: not task.done() for name, task in self._tasks.items()}

    async def stop(self, *names: str) -> None:
        """Cancel the named loops (none named: all) and return when they have ended."""
        ending = [self._tasks.pop(name) for name in names or tuple(self._tasks) if name in self._tasks]
        await cancel_and_wait(*ending)


# --- small things every process needs ---------------------------------------------------------------------------------

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present instant; processes hand it down, so that nothing below them reads the clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def loops_together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group of loops that stand and fall together: the first error ends them all and comes out alone.

    Python 3.11's group leaves its own cancellation of the surrounding task standing, as if somebody had asked for it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        while task and task.cancelling() > before:
            task.uncancel()
        raise _first_error(errors) from None


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
