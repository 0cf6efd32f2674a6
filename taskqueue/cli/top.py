"""`taskqueue top`: a live view of what runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from taskqueue.cli.config_options import SCHEDULER_YAML, ServicesConfig
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.output import Output, OutputFormat, chosen, print_data
from taskqueue.cli.top_scene import Scene
from taskqueue.cli.top_sources import QueueReader, StoreReader, Watched
from taskqueue.cli.top_view import drawn
from taskqueue.config.settings import SchedulerSettings, load_scheduler_settings

#: seconds between the two looks of `--once`, for rates
_BETWEEN = 1.0

#: seconds after which both services have usually answered
_FIRST_ANSWERS = 0.3

#: columns of what no terminal shows
_WIDTH = 100


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end, as where no terminal is.")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=60, metavar="SECONDS", help="How often it is drawn.")] = 1.0,
    config: ServicesConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Watch it run: queues, rates, leader, workers, what is in progress or waits. Quit with q or Ctrl-C.

    A service that is away is shown as away, and comes back by itself. With --once, exit 5 when one is.
    """
    settings = load_scheduler_settings(config)
    if not once and sys.stdout.isatty() and output in {None, OutputFormat.TABLE}:
        asyncio.run(_watch(settings, every))
        return
    scene = asyncio.run(_look_twice(settings))
    if chosen(output) is OutputFormat.TABLE:
        _console().print(drawn(scene))
    else:
        print_data(scene.as_dict(), chosen(output))
    if scene.store.away or scene.queues.away:
        raise typer.Exit(ExitCode.UNREACHABLE)


async def _look_twice(settings: SchedulerSettings) -> Scene:
    """Return what both services say; who was away at the first look is not waited for a second time."""
    async with _opened(settings) as scene:
        await asyncio.gather(scene.store.look(), scene.queues.look())
        there = [each for each in (scene.store, scene.queues) if each.away is None]
        if there:
            await asyncio.sleep(_BETWEEN)
            await asyncio.gather(*(each.look() for each in there))
    return scene


async def _watch(settings: SchedulerSettings, every_s: float) -> None:
    """Draw until q is pressed or a signal ends it; the terminal is then as it was."""
    quitting = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, quitting.set)
    async with _opened(settings) as scene, asyncio.TaskGroup() as group:
        looking = [group.create_task(each.keep_looking(every_s)) for each in (scene.store, scene.queues)]
        # Outside a screen of its own the last picture would stay, and a smaller one leave parts of it.
        with _keys(quitting), Live(console=_console(), screen=True, auto_refresh=False) as live:
            pause_s = _FIRST_ANSWERS
            while not quitting.is_set():
                live.update(drawn(scene, "q quits"), refresh=True)
                await _until(quitting, pause_s)
                pause_s = every_s
        for task in looking:
            task.cancel()


@asynccontextmanager
async def _opened(settings: SchedulerSettings) -> AsyncIterator[Scene]:
    store, queues = StoreReader(settings.redis), QueueReader(settings.queue)
    try:
        yield Scene(store=Watched(store.read), queues=Watched(queues.read))
    finally:
        await queues.close()
        await store.close()


@contextmanager
def _keys(quitting: asyncio.Event) -> Iterator[None]:
    """Let q, and the end of the input, set the event; without a terminal to type at there are no keys."""
    if not sys.stdin.isatty():
        yield
        return
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        typed = os.read(terminal, 64)
        if not typed or typed.lower().count(b"q"):
            quitting.set()

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


async def _until(event: asyncio.Event, at_most_s: float) -> None:
    try:
        async with asyncio.timeout(at_most_s):
            await event.wait()
    except TimeoutError:
        return


def _console() -> Console:
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, width=_WIDTH, force_terminal=False, color_system=None)
