"""The `taskqueue` command, put together. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import typer

from taskqueue import __version__
from taskqueue.errors import ConfigError, TaskqueueError

#: They log what they also raise, and Python prints that where nobody handles it. Processes set their own handlers.
_LOUD_LIBRARIES = ("aio_pika", "aiormq")

#: each verb, its module and its name there; only the module of the verb in hand is imported, so that each starts fast
_VERBS: Mapping[str, tuple[str, str]] = {
    "scheduler": ("taskqueue.cli.processes", "scheduler"),
    "worker": ("taskqueue.cli.processes", "worker"),
    "api": ("taskqueue.cli.processes", "api"),
    "dev": ("taskqueue.cli.dev", "dev"),
    "config": ("taskqueue.cli.config", "config_app"),
    "topology": ("taskqueue.cli.topology", "topology_app"),
    "limits": ("taskqueue.cli.limits", "limits_app"),
    "users": ("taskqueue.cli.users", "users_app"),
    "exec": ("taskqueue.cli.exec", "exec_app"),
    "failed": ("taskqueue.cli.failed", "failed_app"),
    "token": ("taskqueue.cli.token", "token_app"),
}


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line for `arguments`: with the verb they begin with, or with all where they name none."""
    app = typer.Typer(
        name="taskqueue",
        help="Call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_taskqueue)
    known = arguments[:1] and arguments[0] in (*_VERBS, "version")
    for verb in arguments[:1] if known else _VERBS:
        if verb in _VERBS:
            module, name = _VERBS[verb]
            _add(app, verb, getattr(import_module(module), name))
    app.command()(version)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code; `arguments` are those of the process when None."""
    for library in _LOUD_LIBRARIES:
        logging.getLogger(library).addHandler(logging.NullHandler())
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        application(arguments)(args=arguments, prog_name="taskqueue")
    except TaskqueueError as error:
        typer.echo(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _taskqueue() -> None:
    """Call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis."""


def _add(app: typer.Typer, verb: str, found: typer.Typer | Callable[..., None]) -> None:
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=verb)
    else:
        app.command(name=verb)(found)
