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
from taskqueue.cli.config_options import EitherConfigOrNone
from taskqueue.cli.output import Answer, print_answer
from taskqueue.config.settings import scheduler_settings_of, worker_settings_of
from taskqueue.config.yaml_source import read_document
from taskqueue.errors import ConfigError

topology_app = typer.Typer(help="Exchanges and queues on RabbitMQ.", no_args_is_help=True)

_WORKER_SECTIONS = frozenset({"worker", "rate_limit", "execution"})


@topology_app.callback()
def topology() -> None:
    """Exchanges and queues on RabbitMQ."""


@topology_app.command()
def apply(
    config: EitherConfigOrNone = None,
    url: Annotated[
        list[str] | None,
        typer.Option(help="AMQP URL, again for further nodes; whoever lists processes here sees its password."),
    ] = None,
    output: Answer = None,
) -> None:
    """Make all exchanges, queues and bindings; what exists as it should stays, messages included.

    Exit 1 when RabbitMQ holds one with other arguments, or denies the right.
    """
    place = asyncio.run(_apply(url or _urls_of(config)))
    print_answer(
        f"ok: {place}: exchanges {EXCHANGE}, {DELAY_EXCHANGE}; queues {', '.join(QUEUES)}",
        {"place": place, "exchanges": (EXCHANGE, DELAY_EXCHANGE), "queues": QUEUES},
        output,
    )


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
