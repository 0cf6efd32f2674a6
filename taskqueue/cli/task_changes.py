"""`taskqueue task create`, `update`, `pause`, `resume` and `delete`, over the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from taskqueue.cli.api_client import ApiClient, ApiOptions, Body, path_of, with_api
from taskqueue.cli.api_request import KeyOption
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.option_groups import grouped
from taskqueue.cli.output import Answer, OutputFormat, print_answer, print_step
from taskqueue.cli.task_fields import TaskFields, with_endpoint
from taskqueue.cli.task_views import TaskId
from taskqueue.cli.terminal import printable

TaskIds = Annotated[list[str], typer.Argument(metavar="ID", help="As `taskqueue task list` shows them.")]


@grouped(ApiOptions, TaskFields, KeyOption)
def create(
    options: ApiOptions,
    fields: TaskFields,
    key: KeyOption,
    *,
    paused: Annotated[bool, typer.Option("--paused", help="It does not run until it is resumed.")] = False,
    output: Answer = None,
) -> None:
    """Make a task. It needs a name, and one of --cron, --at and --interval; its id is the first word of the answer.

    Exit 2 when the API takes it not; each field that is wrong is named.
    """
    body = {**fields.body(), **({"enabled": False} if paused else {})}
    once = key.once("taskqueue task list")

    async def ask(client: ApiClient) -> Body:
        return await client.post("/tasks", body, once)

    made = with_api(options.access(), ask)
    text = f"{made['task_id']} {made['status']}, {_next(made)}"
    print_answer(printable(text), made, output)


@grouped(ApiOptions, TaskFields)
def update(options: ApiOptions, fields: TaskFields, task: TaskId, output: Answer = None) -> None:
    """Change a task; what is left out stays. A payload, and tags, take the place of the old ones as a whole.

    Exit 3 when there is no such task, 4 when it stands in tasks.yaml and is changed there, or somebody else has changed
    it meanwhile.
    """
    body = fields.body()

    async def ask(client: ApiClient) -> Body:
        path = path_of("tasks", task)
        if fields.endpoint is None or body["config"] != {"endpoint": fields.endpoint}:
            return await client.patch(path, body)
        found, version = await client.get_version(path)
        return await client.patch(path, {**body, "config": with_endpoint(found, fields.endpoint)}, version)

    changed = with_api(options.access(), ask)
    what = ", ".join(changed["updated_fields"]) or "nothing"
    print_answer(printable(f"{changed['task_id']} changed: {what}; {_next(changed)}"), changed, output)


@grouped(ApiOptions)
def pause(options: ApiOptions, tasks: TaskIds, output: Answer = None) -> None:
    """Let tasks run no more until they are resumed. What is queued of them still runs."""
    _each(options, tasks, output, lambda client, task: client.post(path_of("tasks", task, "pause")))


@grouped(ApiOptions)
def resume(options: ApiOptions, tasks: TaskIds, output: Answer = None) -> None:
    """Let tasks run again that were paused."""
    _each(options, tasks, output, lambda client, task: client.post(path_of("tasks", task, "resume")))


@grouped(ApiOptions)
def delete(
    options: ApiOptions, tasks: TaskIds, *, yes: Yes = False, dry_run: DryRun = False, output: Answer = None
) -> None:
    """Delete tasks made through the API. What is queued of them is dropped, what runs ends. It asks first.

    Exit 3 when there is no such task, 4 when others depend on it. Those that stand before it are deleted by then.
    """
    access = options.access()
    if dry_run:
        with_api(access, lambda client: _look_for(client, tasks))
    of_them = f"task {tasks[0]}" if len(tasks) == 1 else f"{len(tasks)} tasks"
    if not agreed(f"delete {of_them}", yes=yes, dry_run=dry_run):
        return

    async def ask(client: ApiClient) -> None:
        for task in tasks:
            await client.delete(path_of("tasks", task))
            print_step(f"{task} deleted", {"task_id": task, "deleted": True}, output)

    with_api(access, ask)


async def _look_for(client: ApiClient, tasks: list[str]) -> None:
    """Raise NotFoundError where one of them is not there."""
    for task in tasks:
        await client.get(path_of("tasks", task))


def _each(
    options: ApiOptions,
    tasks: list[str],
    output: OutputFormat | None,
    change: Callable[[ApiClient, str], Awaitable[Body]],
) -> None:
    async def ask(client: ApiClient) -> None:
        for task in tasks:
            changed = await change(client, task)
            print_step(f"{task} {changed['status']}, {_next(changed)}", changed, output)

    with_api(options.access(), ask)


def _next(answer: Body) -> str:
    at = answer.get("next_execution_time")
    return "does not run by itself" if at is None else f"runs next at {at}"
