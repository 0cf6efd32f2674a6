"""`taskqueue task`: tasks of tasks.yaml and of the API; the group."""

from __future__ import annotations

import typer

from taskqueue.cli.task_changes import create, delete, pause, resume, update
from taskqueue.cli.task_next import next_runs
from taskqueue.cli.task_trigger import trigger
from taskqueue.cli.task_views import list_tasks, show

task_app = typer.Typer(help="Tasks: find, make, change, run; and when they run next.", no_args_is_help=True)


@task_app.callback()
def task() -> None:
    """Tasks: find, make, change, run; and when they run next."""


task_app.command("list")(list_tasks)
task_app.command()(show)
task_app.command()(create)
task_app.command()(update)
task_app.command()(pause)
task_app.command()(resume)
task_app.command()(trigger)
task_app.command()(delete)
task_app.command("next")(next_runs)
