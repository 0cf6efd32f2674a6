"""The `taskqueue` command, put together. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from taskqueue import __version__
from taskqueue.cli.config import config_app
from taskqueue.cli.processes import scheduler, worker
from taskqueue.cli.topology import topology_app
from taskqueue.errors import ConfigError, TaskqueueError

app = typer.Typer(
    name="taskqueue",
    help="Call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(scheduler)
app.command()(worker)
app.add_typer(config_app, name="config")
app.add_typer(topology_app, name="topology")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code; `arguments` are those of the process when None."""
    try:
        app(args=None if arguments is None else list(arguments))
    except TaskqueueError as error:
        typer.echo(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
