"""The `taskqueue` command, put together; cli/exit_codes.py says how it ends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from shutil import get_terminal_size
from typing import Any

import typer
from typer.completion import get_completion_inspect_parameters
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from taskqueue.cli.error_text import debugging, error_text, unexpected_text
from taskqueue.cli.exit_codes import ExitCode, exit_code_of
from taskqueue.errors import TaskqueueError

#: They log what they also raise, and Python prints that where nobody handles it. Processes set their own handlers.
_LOUD_LIBRARIES = ("aio_pika", "aiormq")

#: verbs that run for days: what ends one unexpectedly belongs into its log with all there is to know
_PROCESSES = frozenset({"scheduler", "worker", "api"})

#: columns of a terminal that frames fit into
_FRAMED_FROM = 72

_EXIT_CODES = (
    "Exit codes: 0 done, 1 failed or something was found, 2 wrong usage or configuration, 3 not found, 4 refused, "
    "5 a service does not answer, 6 not authorized, 130 ended by Ctrl-C."
)

#: Each verb: its module, its name there, and what it is for, in the words that its own help begins with. Only the
#: module of the verb in hand is imported, and none for `taskqueue --help`, so that each starts fast.
_VERBS: Mapping[str, tuple[str, str, str]] = {
    "scheduler": (
        "taskqueue.cli.processes",
        "scheduler",
        "Run a scheduler: plan what is due, release it to RabbitMQ. Any number may run; one of them leads.",
    ),
    "worker": (
        "taskqueue.cli.worker",
        "worker_app",
        "Run a worker: take jobs from RabbitMQ and call their endpoints. Any number may run; list those that live.",
    ),
    "api": (
        "taskqueue.cli.processes",
        "api",
        "Run an API: take tasks and answer about them over HTTP. Any number may run.",
    ),
    "dev": (
        "taskqueue.cli.dev",
        "dev",
        "Run everything on this machine, with the demo's tasks and users, until Ctrl-C.",
    ),
    "config": ("taskqueue.cli.config", "config_app", "Check configuration files."),
    "plan": (
        "taskqueue.cli.plan",
        "plan",
        "Compare a tasks file with what runs, and look a day ahead: changes, users, occurrences, calls per second.",
    ),
    "task": ("taskqueue.cli.task", "task_app", "Tasks: find, make, change, run; and when they run next."),
    "users": ("taskqueue.cli.users", "users_app", "Write and show the preferences of users in Redis."),
    "exec": ("taskqueue.cli.exec", "exec_app", "Executions: the jobs of tasks and what became of them."),
    "explain": (
        "taskqueue.cli.explain",
        "explain",
        "Explain why a task did or did not run: what was planned, what became of it, where it waits, and what to do.",
    ),
    "queue": ("taskqueue.cli.queue", "queue_app", "Queues of RabbitMQ: how many messages, who consumes."),
    "top": ("taskqueue.cli.top", "top", "Watch it run: queues, rates, leader, workers, what is in progress or waits."),
    "failed": ("taskqueue.cli.failed", "failed_app", "Jobs that failed for good: look, replay, drop."),
    "doctor": (
        "taskqueue.cli.doctor",
        "doctor",
        "Look for what keeps jobs from running on time, and say what helps.",
    ),
    "health": ("taskqueue.cli.health", "health", "Ask a scheduler, worker or API whether it is alive."),
    "limits": ("taskqueue.cli.limits", "limits_app", "Show what holds jobs back; set limits for a while."),
    "leader": ("taskqueue.cli.leader", "leader_app", "Show which scheduler leads."),
    "token": ("taskqueue.cli.token", "token_app", "Make, list, rotate and revoke the tokens of the API."),
    "topology": ("taskqueue.cli.topology", "topology_app", "Exchanges and queues on RabbitMQ."),
    "completion": (
        "taskqueue.cli.completion",
        "completion",
        "Print a script that lets a shell complete verbs and options.",
    ),
    "version": ("taskqueue.cli.version", "version", "Print the version."),
}


class _Verbs(TyperGroup):
    """The verbs of `_VERBS`; one is imported when it is run or explained, or its own words are completed."""

    _overview = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {verb: TyperCommand(verb, short_help=summary) for verb, (_, _, summary) in _VERBS.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the verb; while all of them are listed, only what says what it is for. None when there is no such."""
        if self._overview or cmd_name not in self.commands:
            return self.commands.get(cmd_name)
        return _loaded(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of `taskqueue` alone."""
        self._overview = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what the first word can be."""
        self._overview = True
        return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; Ctrl-C, also in answer to a question, ends it with one line, that of the verb if it has one."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort) as interrupt:
            typer.echo(("\n" if sys.stderr.isatty() else "") + (str(interrupt) or "interrupted"), err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def application() -> typer.Typer:
    """Return the command line with all its verbs."""
    # What typer calls for options of its own that install a script; our verb `completion` takes their place.
    get_completion_inspect_parameters()
    app = typer.Typer(
        name="taskqueue",
        cls=_Verbs,
        help="Call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis.",
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        **_help_settings(),
    )
    app.callback()(_taskqueue)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code; `arguments` are those of the process when None."""
    for library in _LOUD_LIBRARIES:
        logging.getLogger(library).addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks is shown as its escape, and ends nothing.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        application()(args=arguments, prog_name="taskqueue")
    except TaskqueueError as error:
        typer.echo(error_text(error), err=True)
        sys.exit(exit_code_of(error))
    except Exception as error:  # the end of the process: a person gets a line, and all of it on demand
        if _is_process(arguments) or debugging():
            raise
        typer.echo(unexpected_text(error), err=True)
        sys.exit(ExitCode.FAILED)


def _is_process(arguments: Sequence[str]) -> bool:
    """Return whether they run a process: `worker`, but not `worker list`."""
    return not _PROCESSES.isdisjoint(arguments[:1]) and (len(arguments) == 1 or arguments[1].startswith("-"))


def _taskqueue() -> None:
    """Call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis."""


def _help_settings() -> dict[str, Any]:
    """Return how help is laid out: in frames; plainly on a narrow terminal, where frames would cut words off."""
    columns = get_terminal_size().columns
    narrow = {"rich_markup_mode": None, "context_settings": {"terminal_width": columns}}
    return narrow if columns < _FRAMED_FROM else {}


def _loaded(verb: str) -> Any:
    """Import the verb and return its command."""
    module, name, _ = _VERBS[verb]
    found: typer.Typer | Callable[..., None] = getattr(import_module(module), name)
    app = typer.Typer(add_completion=False, **_help_settings())
    app.callback()(_taskqueue)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=verb)
    else:
        app.command(name=verb)(found)
    group: Any = get_command(app)
    command = group.commands[verb]
    for each in command.commands.values() if isinstance(command, TyperGroup) else ():
        each.short_help = each.short_help or (each.help or "").partition("\n")[0]  # else it is cut to fit a line
    return command
