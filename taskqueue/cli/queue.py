"""`taskqueue queue list`: what stands in the queues of RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from taskqueue.broker.connection import connect_any
from taskqueue.broker.queue_counts import QueueCount, queue_counts
from taskqueue.cli.config_options import SCHEDULER_YAML, RabbitMQConfig
from taskqueue.cli.exit_codes import ExitCode
from taskqueue.cli.output import Output, print_records
from taskqueue.config.sections import QueueSettings
from taskqueue.config.settings import load_scheduler_settings

queue_app = typer.Typer(help="Queues of RabbitMQ: how many messages, who consumes.", no_args_is_help=True)

Counts = Mapping[str, QueueCount | None]


@queue_app.callback()
def queue() -> None:
    """Queues of RabbitMQ: how many messages, who consumes."""


@queue_app.command("list")
def list_queues(
    config: RabbitMQConfig = SCHEDULER_YAML,
    over: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=60, metavar="SECONDS", help="Look twice, so far apart: growth in messages per second."
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Show how many messages are ready in each queue, and how many consumers it has.

    What a worker has taken and not yet done is not counted. Exit 1 when a queue is missing, or hidden from this user.
    """
    first, second = asyncio.run(_look(load_scheduler_settings(config).queue, over))
    print_records([_row(name, first[name], count, over) for name, count in second.items()], output)
    if None in second.values():
        raise typer.Exit(ExitCode.FAILED)


async def _look(settings: QueueSettings, over: float | None) -> tuple[Counts, Counts]:
    session = await connect_any(settings.candidates, "taskqueue queue list")
    try:
        first = await queue_counts(session)
        if over is None:
            return first, first
        await asyncio.sleep(over)
        return first, await queue_counts(session)
    finally:
        await session.close()


def _row(name: str, first: QueueCount | None, count: QueueCount | None, over: float | None) -> dict[str, object]:
    row: dict[str, object] = {
        "queue": name,
        "ready": None if count is None else count.ready,
        "consumers": None if count is None else count.consumers,
    }
    if over is not None:
        row["growth_per_s"] = None if first is None or count is None else round((count.ready - first.ready) / over, 1)
    return row
