"""`taskqueue worker`: run one, or show those that live."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, WORKER_YAML, RedisConfig, SettingsFile
from taskqueue.cli.output import Output, OutputFormat, chosen, print_record, print_records
from taskqueue.cli.processes import worker as run_worker
from taskqueue.cli.terminal import printable
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.errors import NotFoundError
from taskqueue.store.connection import RedisStore
from taskqueue.store.fleet import FORGOTTEN_AFTER, Fleet, WorkerSeen

_HELP = "Run a worker: take jobs from RabbitMQ and call their endpoints. Any number may run; list those that live."

worker_app = typer.Typer(help=_HELP, invoke_without_command=True)

_LISTED = ("worker_id", "host", "state", "load", "since", "last_heartbeat")


@worker_app.callback()
def worker(
    context: typer.Context,
    config: SettingsFile = WORKER_YAML,
) -> None:
    """Run a worker: take jobs from RabbitMQ and call their endpoints. Any number may run; list those that live."""
    if context.invoked_subcommand is None:
        run_worker(config)


@worker_app.command("list")
def list_workers(config: RedisConfig = SCHEDULER_YAML, output: Output = None) -> None:
    """Show the workers that live, and those that fell silent in the last five minutes: where, how busy, since when."""
    rows = [_row(each) for each in asyncio.run(_look(load_scheduler_settings(config).redis))]
    print_records(rows, output, fields=_LISTED if rows else (), styles={"silent": "red"})
    if not rows and chosen(output) is OutputFormat.TABLE:
        typer.echo("no worker lives")


@worker_app.command()
def show(
    worker_id: Annotated[str, typer.Argument(metavar="ID", help="As `taskqueue worker list` shows it.")],
    config: RedisConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Show one worker. Exit 3 when none of that id has shown itself in the last five minutes."""
    found = [each for each in asyncio.run(_look(load_scheduler_settings(config).redis)) if each.worker_id == worker_id]
    if not found:
        minutes = FORGOTTEN_AFTER.total_seconds() / 60
        raise NotFoundError(
            f"no worker {printable(worker_id)} in the last {minutes:g} minutes; see `taskqueue worker list`"
        )
    print_record(_row(found[0]), output)


async def _look(settings: RedisSettings) -> list[WorkerSeen]:
    store = RedisStore(settings, client_name="taskqueue-worker-list")
    try:
        return await Fleet(store).workers()
    finally:
        await store.close()


def _row(seen: WorkerSeen) -> dict[str, object]:
    return {
        "worker_id": seen.worker_id,
        "host": seen.host,
        "state": "active" if seen.active else "silent",
        "capacity": seen.capacity,
        "current_load": seen.current_load,
        "load": f"{seen.current_load}/{seen.capacity}",
        "since": (seen.last_heartbeat - seen.uptime).replace(microsecond=0),
        "last_heartbeat": seen.last_heartbeat.replace(microsecond=0),
    }
