import asyncio
import os
import signal
import sys
from collections.abc import Callable

import pytest

from taskqueue import runtime
from taskqueue.runtime import (
    RestartDelay,
    Supervisor,
    cancel_and_wait,
    loops_together,
    run,
    run_service,
    stop_signals,
    supervise,
)
from taskqueue.telemetry.events import Event, LoopFailed, ProcessDraining, ProcessStopped

AT_ONCE = RestartDelay(first_s=0.0, longest_s=0.0)


class _Service:
    """Notes what is asked of it; `on_start` and `on_stop` run inside."""

    def __init__(self, on_start: Callable[[], object] = lambda: None, stop_takes_s: float = 0.0) -> None:
        self.asked: list[str] = []
        self._on_start = on_start
        self._stop_takes_s = stop_takes_s

    async def start(self) -> None:
        self.asked.append("start")
        self._on_start()

    async def quiet(self) -> None:
        self.asked.append("quiet")

    async def stop(self, deadline: float) -> None:
        self.asked.append("stop")
        assert deadline - asyncio.get_running_loop().time() <= 5
        await asyncio.sleep(self._stop_takes_s)


def _terminate_self() -> None:
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)


def test_run_returns_the_result_of_main_on_uvloop() -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(main).startswith("uvloop")


async def test_a_service_is_started_then_quieted_then_stopped_by_a_signal() -> None:
    service = _Service(on_start=_terminate_self)
    seen: list[Event] = []

    code = await run_service(service, shutdown_timeout_s=5, emit=seen.append)

    assert code == 0
    assert service.asked == ["start", "quiet", "stop"]
    assert seen[0] == ProcessDraining(signal="SIGTERM", timeout_s=5)
    assert isinstance(seen[1], ProcessStopped)
    assert seen[1].clean


async def test_a_drain_that_does_not_end_is_cut_and_the_exit_code_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_STOP_MARGIN_S", 0.05)
    service = _Service(on_start=_terminate_self, stop_takes_s=600)
    seen: list[Event] = []

    code = await run_service(service, shutdown_timeout_s=0, emit=seen.append)

    assert code == 1
    assert isinstance(seen[-1], ProcessStopped)
    assert not seen[-1].clean


async def test_an_error_of_start_is_raised_after_stop() -> None:
    def fail() -> None:
        raise ValueError("no such host")

    service = _Service(on_start=fail)

    with pytest.raises(ValueError, match="no such host"):
        await run_service(service, shutdown_timeout_s=5, emit=lambda _event: None)

    assert service.asked == ["start", "quiet", "stop"]


async def test_a_signal_during_start_ends_the_start() -> None:
    class _NeverReady(_Service):
        async def start(self) -> None:
            await super().start()
            await asyncio.Event().wait()

    service = _NeverReady(on_start=_terminate_self)

    async with asyncio.timeout(5):
        code = await run_service(service, shutdown_timeout_s=5, emit=lambda _event: None)

    assert code == 0
    assert service.asked == ["start", "quiet", "stop"]


async def test_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with stop_signals():
        pass

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_the_process_even_when_its_loop_hangs(second: signal.Signals, code: int) -> None:
    program = """
import time
from taskqueue import runtime
from taskqueue.runtime import (
    RestartDelay,
    Supervisor,
    cancel_and_wait,
    loops_together,
    run,
    run_service,
    stop_signals,
    supervise,
)

async def main():
    with stop_signals() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("draining", flush=True)
        while True:
            time.sleep(0.05)

run(main)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.readline() == b"draining\n"
        process.send_signal(second)
        _, errors = await process.communicate()

    assert process.returncode == code
    assert errors == b"second signal: leaving without finishing what is in flight\n"


async def test_a_loop_that_raises_is_reported_and_started_again() -> None:
    seen: list[Event] = []
    runs = 0
    third_run = asyncio.Event()

    async def body() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            third_run.set()
            await asyncio.Event().wait()
        raise KeyError("lost")

    supervisor = Supervisor(seen.append, delay=AT_ONCE)
    supervisor.start("tick", body)
    async with asyncio.timeout(5):
        await third_run.wait()

    assert supervisor.running == {"tick": True}
    await supervisor.stop()
    first, second = seen
    assert isinstance(first, LoopFailed)
    assert isinstance(second, LoopFailed)
    assert (first.loop, first.error) == ("tick", "KeyError: 'lost'")
    assert "raise KeyError" in first.exception
    assert supervisor.running == {}


async def test_a_loop_that_returns_is_started_again() -> None:
    seen: list[Event] = []
    runs = asyncio.Semaphore(0)

    async def body() -> None:
        runs.release()

    supervisor = Supervisor(seen.append, delay=AT_ONCE)
    supervisor.start("tick", body)
    async with asyncio.timeout(5):
        await runs.acquire()
        await runs.acquire()
    await supervisor.stop()

    assert isinstance(seen[0], LoopFailed)
    assert seen[0].error == "returned although it should run for ever"


async def test_a_cancellation_that_nobody_asked_for_does_not_end_the_loop() -> None:
    seen: list[Event] = []
    second_run = asyncio.Event()

    async def body() -> None:
        if seen:
            second_run.set()
            await asyncio.Event().wait()
        raise asyncio.CancelledError("from a dying connection")

    supervisor = Supervisor(seen.append, delay=AT_ONCE)
    supervisor.start("consume", body)
    async with asyncio.timeout(5):
        await second_run.wait()
    await supervisor.stop()

    assert isinstance(seen[0], LoopFailed)


async def test_cancelling_the_task_ends_supervision_and_reports_nothing() -> None:
    seen: list[Event] = []
    running = asyncio.Event()

    async def body() -> None:
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("tick", body, seen.append))
    await running.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == []


async def test_starting_a_running_loop_again_changes_nothing() -> None:
    starts = 0

    async def body() -> None:
        nonlocal starts
        starts += 1
        await asyncio.Event().wait()

    supervisor = Supervisor(lambda _event: None)
    supervisor.start("tick", body)
    supervisor.start("tick", body)
    await asyncio.sleep(0)
    await supervisor.stop("tick", "unknown")
    await supervisor.stop()

    assert starts == 1


@pytest.mark.parametrize(("failures", "low", "high"), [(1, 0.1, 0.2), (2, 0.2, 0.4), (6, 2.5, 5.0), (10_000, 2.5, 5.0)])
def test_the_rest_doubles_up_to_its_limit(failures: int, low: float, high: float) -> None:
    assert low <= RestartDelay().after(failures) <= high


async def test_loops_together_end_with_the_first_error_alone_and_leave_no_cancellation_behind() -> None:
    task = asyncio.current_task()
    assert task is not None

    async def fail() -> None:
        raise RuntimeError("the first")

    async def together() -> None:
        async with loops_together() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(fail())

    with pytest.raises(RuntimeError, match="the first"):
        await together()

    assert task.cancelling() == 0


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_CANCEL_AGAIN_S", 0.05)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await cancel_and_wait(task)

    assert task.cancelled()
