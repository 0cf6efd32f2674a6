"""`taskqueue task list` and `show`, over the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from taskqueue.cli.api_client import ApiClient, ApiOptions, Body, path_of, with_api
from taskqueue.cli.list_limits import ListLimits, print_rows
from taskqueue.cli.option_groups import grouped
from taskqueue.cli.output import Output, print_record
from taskqueue.core.api_task import ApiPriority, TaskStatus, TaskType

TaskId = Annotated[str, typer.Argument(metavar="ID", help="As `taskqueue task list` shows it.")]

#: the columns of `list`; JSON and YAML have more
_LISTED = ("task_id", "task_name", "status", "next_execution_time", "priority", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChoice:
    """Which tasks are wanted: those of which all that is given is true."""

    status: Annotated[TaskStatus | None, typer.Option(help="How it stands with them.")] = None
    priority: Annotated[ApiPriority | None, typer.Option(help="Their queue.")] = None
    kind: Annotated[TaskType | None, typer.Option("--type", help="What says when they run.")] = None
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY:VALUE", help="May be repeated, as all of these.")] = None
    name: Annotated[str | None, typer.Option(help="The whole name, or what it begins with and a *.")] = None

    def query(self) -> dict[str, object]:
        """Return it as the API wants it."""
        return {
            "status": self.status,
            "priority": self.priority,
            "task_type": self.kind,
            "tag": self.tag or None,
            "name": self.name,
        }


@grouped(ApiOptions, TaskChoice, ListLimits)
def list_tasks(options: ApiOptions, choice: TaskChoice, limits: ListLimits, output: Output = None) -> None:
    """List tasks, the latest first: those made through the API, and with source `file` those of tasks.yaml."""
    count = limits.count()

    async def ask(client: ApiClient) -> None:
        await print_rows(client.rows("/tasks", "tasks", choice.query(), count), output, fields=_LISTED)

    with_api(options.access(), ask)


@grouped(ApiOptions)
def show(options: ApiOptions, task: TaskId, output: Output = None) -> None:
    """Show a task, whole. Exit 3 when there is no such task."""

    async def ask(client: ApiClient) -> Body:
        return await client.get(path_of("tasks", task))

    print_record(with_api(options.access(), ask), output)
