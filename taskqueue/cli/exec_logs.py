"""`taskqueue exec logs`: what is there, or, with -f, also what comes until the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator

import typer

from taskqueue.cli.exec_source import Executions
from taskqueue.cli.outage import answered
from taskqueue.cli.output import OutputFormat, print_line
from taskqueue.cli.terminal import printable
from taskqueue.core.instants import rfc3339
from taskqueue.core.log_line import LogLine
from taskqueue.core.state import TERMINAL
from taskqueue.errors import NotFoundError

#: seconds between two looks
_LOOK_EVERY = 0.5

#: seconds without an answer
_PATIENCE = 60.0


async def print_log(executions: Executions, job_id: str, output: OutputFormat | None) -> None:
    """Print the log as it stands. Raises NotFoundError where there is none."""
    lines = await executions.log(job_id)
    for line in lines:
        _print(line, output)
    if not lines:
        raise NotFoundError(f"{printable(job_id)}: no log")


async def follow_log(executions: Executions, job_id: str, output: OutputFormat | None) -> None:
    """Print the log, and each line that comes, until the job has ended.

    Once there was an answer, a minute without any is waited for. Raises NotFoundError for a job nobody knows.
    """
    printed, patience_s = Counter[LogLine](), 0.0
    while True:
        # Asked before the log is read: what an end adds to the log is there then.
        status = await answered(lambda: executions.status(job_id), patience_s)
        if status is None:
            raise NotFoundError(f"{printable(job_id)}: nothing is known about it (yet); see taskqueue exec show --help")
        patience_s = _PATIENCE
        for line in _new(await answered(lambda: executions.log(job_id), patience_s), printed):
            _print(line, output)
        if status in TERMINAL:
            return
        await asyncio.sleep(_LOOK_EVERY)


def _new(lines: Iterable[LogLine], printed: Counter[LogLine]) -> Iterator[LogLine]:
    """Yield the lines that were not printed, and count them as printed.

    Not those behind the last one: what a worker notes at the end of an attempt can be older than what an endpoint
    wrote during it. Equal lines are told from one another by their number.
    """
    found = Counter[LogLine]()
    for line in lines:
        found[line] += 1
        if found[line] > printed[line]:
            printed[line] += 1
            yield line


def _print(line: LogLine, output: OutputFormat | None) -> None:
    if output in {None, OutputFormat.TABLE}:
        typer.echo(f"{rfc3339(line.timestamp)} {line.level:<7} {printable(line.message)}")
    else:
        print_line(line.as_dict(), output or OutputFormat.JSON)
