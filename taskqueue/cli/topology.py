"""`taskqueue topology`: makes on RabbitMQ what schedulers and workers need and may have no right to make themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from taskqueue.broker.connection import connect_any
from taskqueue.broker.names import DELAY_EXCHANGE, EXCHANGE, QUEUES
from taskqueue.broker.topology import declare
from taskqueue.cli.config import EXIT_BAD_CONFIG
from taskqueue.config.settings import scheduler_settings_of, worker_settings_of
from taskqueue.config.yaml_source import read_document
from taskqueue.errors import BrokerError, ConfigError

topology_app = typer.Typer(help="Exchanges and queues on RabbitMQ.", no_args_is_help=True)

_WORKER_SECTIONS = frozenset({"worker", "rate_limit", "execution"})


@topology_app.callback()
def topology() -> None:
    """Exchanges and queues on RabbitMQ."""


@topology_app.command()
def apply(
    config: Annotated[
        Path | None, typer.Option(help="scheduler.yaml or worker.yaml, with the environment's overrides.")
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="AMQP URL, again for further nodes; whoever lists processes here sees its password."),
    ] = None,
) -> None:
    """Make all exchanges, queues and bindings; what exists as it should stays, messages included.

    Exit 1 when RabbitMQ does not answer or holds a queue with other arguments, 2 for a bad configuration.
    """
    try:
        place = asyncio.run(_apply(url or _urls_of(config)))
    except (BrokerError, ConfigError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_BAD_CONFIG if isinstance(error, ConfigError) else 1) from None
    typer.echo(f"ok: {place}: exchanges {EXCHANGE}, {DELAY_EXCHANGE}; queues {', '.join(QUEUES)}")


def _urls_of(config: Path | None) -> Sequence[str]:
    if config is None:
        raise ConfigError("which RabbitMQ? Give --config scheduler.yaml, --config worker.yaml or --url")
    document = read_document(config)
    if isinstance(document.value, dict) and _WORKER_SECTIONS & document.value.keys():
        return worker_settings_of(document).queue.candidates
    return scheduler_settings_of(document, config.parent).queue.candidates


async def _apply(urls: Sequence[str]) -> str:
    """Declare everything and return where."""
    session = await connect_any(urls, "taskqueue topology apply")
    try:
        await declare(session)
    finally:
        await session.close()
    return session.place
