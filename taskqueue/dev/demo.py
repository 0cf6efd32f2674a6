"""`make demo`: a scheduler and a worker at work for 320 users, judged by what their endpoint saw.

RabbitMQ and Redis are found or started, one minute's occurrences are planned, released and called, and what was called
is compared with what demo_expectation.py says. Exit 0 when nothing is wrong; 1 with each lost, doubled, early or
otherwise wrong job by name, and with the place of the logs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from taskqueue.config.settings import process_environment
from taskqueue.dev.demo_inputs import TASKS
from taskqueue.dev.demo_plants import Plant
from taskqueue.dev.demo_progress import Progress
from taskqueue.dev.demo_report import show_table, show_verdict, task_rows
from taskqueue.dev.demo_run import DemoRun, Result
from taskqueue.dev.local_server import free_ports
from taskqueue.dev.playground import Layout, playground, unless_stopped
from taskqueue.dev.services import Services, development_services
from taskqueue.errors import TaskqueueError
from taskqueue.runtime import run

_WINDOW = timedelta(seconds=30)
_QUICK_WINDOW = timedelta(seconds=10)

#: short, so that the plan can be seen in Redis before it is released
_LEAD = timedelta(seconds=2)

#: as shells have it for a program that Ctrl-C ended
_STOPPED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    window: timedelta
    plants: frozenset[Plant]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0, 1 when something is wrong, 2 for a wrong option, 130 when stopped."""
    options = parse_options(arguments)
    environ = process_environment()
    directory = Path(tempfile.mkdtemp(prefix="taskqueue-demo-"))
    console = Console()
    code = 1
    try:
        with Progress(console) as progress, development_services(environ, progress.say) as services:
            result = run(lambda: unless_stopped(_run(services, environ, directory, options, progress)))
        code = _STOPPED if result is None else report(console, result)
    except TaskqueueError as error:
        console.print(f"the demo could not run: {error}", style="red", soft_wrap=True, highlight=False, markup=False)
    except (KeyboardInterrupt, SystemExit):
        # The signal came while RabbitMQ or Redis was being started or ended.
        code = _STOPPED
    finally:
        if code == 1:
            console.print(f"settings and logs of the processes: {directory}", soft_wrap=True, highlight=False)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def parse_options(arguments: Sequence[str] | None) -> Options:
    """Return what the command line says; leaves the process with exit code 2 for an unknown option."""
    parser = argparse.ArgumentParser(
        prog="python -m taskqueue.dev.demo", description="Run tasks for 320 users and judge what their endpoint saw."
    )
    parser.add_argument("--quick", action="store_true", help="a window of 10 s instead of 30 s")
    parser.add_argument(
        "--plant",
        action="append",
        type=Plant,
        choices=list(Plant),
        default=[],
        help="make this defect on purpose, to see the demo find it; again for more",
    )
    found = parser.parse_args(arguments)
    return Options(window=_QUICK_WINDOW if found.quick else _WINDOW, plants=frozenset(found.plant))


def report(console: Console, result: Result) -> int:
    """Print the table and the verdict; return 0 when nothing is wrong, else 1."""
    rows = task_rows(result.expected, result.evidence, [task.id for task in TASKS])
    show_table(console, rows, result.evidence)
    show_verdict(console, result.defects, checked=sum(job.required for job in result.expected))
    return 1 if result.defects else 0


async def _run(
    services: Services, environ: Mapping[str, str], directory: Path, options: Options, progress: Progress
) -> Result:
    scheduler_port, worker_port = free_ports(2)
    layout = Layout(
        directory=directory,
        scheduler_port=scheduler_port,
        worker_port=worker_port,
        window_s=options.window.seconds,
        lead_s=_LEAD.seconds,
    )
    progress.say("starting a scheduler, a worker and an endpoint")
    async with playground(services, layout, environ) as ground:
        return await DemoRun(ground, progress, window=options.window, lead=_LEAD, plants=options.plants).run()


if __name__ == "__main__":
    raise SystemExit(main())
