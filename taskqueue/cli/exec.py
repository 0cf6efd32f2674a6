"""`taskqueue exec`: look at one job and its log, or cancel some."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.terminal import printable
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.instants import rfc3339
from taskqueue.core.log_line import LogLine
from taskqueue.errors import ConfigError, StoreError
from taskqueue.store.cancellations import CancelAnswer, Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.sightings import Sighting, see_job

exec_app = typer.Typer(help="Executions: the jobs of tasks and what became of them.", no_args_is_help=True)

ConfigPath = Annotated[Path, typer.Option(help="Names Redis, with the environment's overrides.")]

DEFAULT_CONFIG = Path("config/scheduler.yaml")


@exec_app.callback()
def executions() -> None:
    """Executions: the jobs of tasks and what became of them."""


@exec_app.command()
def cancel(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB", help="Job ids, which are execution ids.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Cancel jobs for good, wherever they are: nobody calls them (again), and a call that runs is cut within 2 seconds.

    Exit 1 when one had ended before, which changes nothing, or Redis failed, which stderr tells with the jobs that are
    left; 2 for wrong usage or configuration.
    """
    _check(jobs)
    all_cancelled = asyncio.run(_cancel(load_scheduler_settings(config).redis, jobs))
    if not all_cancelled:
        raise typer.Exit(1)


@exec_app.command()
def show(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job id, which is an execution id.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show what is known about a job, as JSON: its status, who runs it or where it waits, its record and attempts.

    Exit 1 when nothing is known about it, for it waits in RabbitMQ or in a slot, ended long ago or never was; or Redis
    failed. Exit 2 for wrong usage or configuration.
    """
    _check([job])
    found, attempts = asyncio.run(_see(load_scheduler_settings(config).redis, job))
    # As ASCII, so that no user id reaches the terminal but as text.
    typer.echo(json.dumps({**found.as_dict(), "attempts": [attempt.as_dict() for attempt in attempts]}, indent=2))
    if found.status is None and not found.cancelled:
        raise typer.Exit(1)


@exec_app.command()
def logs(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job id, which is an execution id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show the log of a job: when each attempt began, what came back, how it ended, and what its endpoint returned.

    Exit 1 when there is none, for no attempt of it has ended yet, or it ended long ago or never was; or Redis failed.
    Exit 2 for wrong usage or configuration.
    """
    _check([job])
    lines = asyncio.run(_logs(load_scheduler_settings(config).redis, job))
    for line in lines:
        shown = f"{rfc3339(line.timestamp)} {line.level:<7} {printable(line.message)}"
        typer.echo(line.to_json() if as_json else shown)
    if not lines:
        typer.echo(f"{printable(job)}: no log", err=True)
        raise typer.Exit(1)


def _check(job_ids: Sequence[str]) -> None:
    """Raise ConfigError for what no job has as its id, before the first one is asked about."""
    for number, job_id in enumerate(job_ids, start=1):
        try:
            job_id.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"JOB {number}: not valid UTF-8; use the id of a job") from None
        if not job_id:
            raise ConfigError(f"JOB {number}: empty; use the id of a job")


async def _cancel(settings: RedisSettings, job_ids: Sequence[str]) -> bool:
    """Cancel one after the other, telling each answer; return whether none of them had ended before.

    Where Redis fails, those for which there is no answer are told before StoreError is raised.
    """
    store = RedisStore(settings, client_name="taskqueue-exec-cancel")
    try:
        cancellations = Cancellations(store, Scripts(store, asset_dir("lua")))
        all_cancelled = True
        for number, job_id in enumerate(job_ids):
            try:
                answer = await cancellations.cancel(job_id)
            except StoreError:
                if len(job_ids) > 1:
                    left = "\n".join(map(printable, job_ids[number:]))
                    typer.echo(f"without an answer, to be cancelled again:\n{left}", err=True)
                raise
            all_cancelled &= answer.outcome is not CancelOutcome.ENDED
            typer.echo(printable(f"{job_id}: {_said(answer)}"))
    finally:
        await store.close()
    return all_cancelled


def _said(answer: CancelAnswer) -> str:
    match answer.outcome:
        case CancelOutcome.CANCELLED:
            return "cancelled"
        case CancelOutcome.RUNNING:
            return f"runs on {answer.word}, which cuts its call; if that ends first, its own end stands"
        case CancelOutcome.MARKED:
            return "cancelled; nobody has worked on it yet, and its record is written when its message comes"
        case CancelOutcome.ENDED:
            return f"had ended before: {answer.word.partition(':')[0].replace('failing', 'failed')}; nothing is changed"


async def _see(settings: RedisSettings, job_id: str) -> tuple[Sighting, tuple[AttemptRecord, ...]]:
    store = RedisStore(settings, client_name="taskqueue-exec-show")
    try:
        return await see_job(store, job_id), await ExecutionStore(store).attempts(job_id)
    finally:
        await store.close()


async def _logs(settings: RedisSettings, job_id: str) -> tuple[LogLine, ...]:
    store = RedisStore(settings, client_name="taskqueue-exec-logs")
    try:
        return await ExecutionStore(store).logs(job_id)
    finally:
        await store.close()
