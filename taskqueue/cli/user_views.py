"""`taskqueue users show` and `list`: look at the preferences of users."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from taskqueue.cli.config_options import SCHEDULER_YAML, RedisAndTasksConfig
from taskqueue.cli.output import Output, OutputFormat, as_yaml, chosen, print_data
from taskqueue.cli.tables import print_table
from taskqueue.cli.tasks_in_force import known_tasks
from taskqueue.cli.terminal import printable
from taskqueue.cli.user_view import TaskState, TaskView, task_views, user_problem
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import SchedulerSettings, load_scheduler_settings
from taskqueue.core.ids import check_task_id, check_user_id
from taskqueue.core.instants import rfc3339
from taskqueue.core.preference import Rule, enablement
from taskqueue.errors import ConfigError, InvalidValueError
from taskqueue.runtime import utc_now
from taskqueue.store.connection import RedisStore
from taskqueue.store.users import StoredUser, Switches, UserStore


class ListFormat(StrEnum):
    """How `list` prints: bare user ids, an object in each line, or a document for each user."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


# --- show -------------------------------------------------------------------------------------------------------------


def show(
    user: Annotated[str, typer.Argument(metavar="USER", help="A user id.")],
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Show which tasks a user gets and from which rule, when they run next, and the user's settings.

    A user about whom nothing is stored is shown too.
    """
    _check(check_user_id, user)
    settings = load_scheduler_settings(config)
    catalog = known_tasks(settings)
    stored = asyncio.run(_read(settings.redis, user, catalog.tasks))
    views = task_views(stored, catalog.tasks, utc_now())
    if chosen(output) is OutputFormat.TABLE:
        _print_table(stored, views, catalog.missing)
    else:
        known, problem = stored.switches.exists, user_problem(stored)
        tasks = [view.as_dict() for view in views]
        print_data({"user_id": user, "known": known, "problem": problem, "tasks": tasks}, chosen(output))


async def _read(settings: RedisSettings, user_id: str, task_ids: Iterable[str]) -> StoredUser:
    store = RedisStore(settings, client_name="taskqueue-users-show")
    try:
        return await UserStore(store).read_user(user_id, task_ids)
    finally:
        await store.close()


def _print_table(stored: StoredUser, views: Sequence[TaskView], missing: str) -> None:
    problem = user_problem(stored)
    none = not stored.switches.exists and problem is None
    known = ", who has no switches: not even tasks that are on by default count" if none else ""
    typer.echo(printable(f"user {stored.switches.user_id}") + known)
    if problem is not None:
        typer.echo(problem)
    print_table(("task", "gets it", "because", "interval", "next"), [_cells(view, missing) for view in views])
    for line in _setting_lines(views):
        typer.echo(printable(line))


def _cells(view: TaskView, missing: str) -> tuple[str, ...]:
    interval = "" if view.interval is None else _plain_json(view.interval)
    return (
        view.task_id,
        "yes" if view.gets else "no",
        _because(view, missing),
        f"own: {interval}" if view.custom else interval,
        ", ".join(rfc3339(instant) for instant in view.next_instants),
    )


def _because(view: TaskView, missing: str) -> str:
    match view.rule:
        case Rule.OWN_SWITCH:
            decided = f"own switch is {'on' if view.switch else 'off'}"
        case Rule.DEFAULT_ENABLED:
            decided = f"no own switch, so the task's default_enabled ({'on' if view.default_enabled else 'off'})"
        case Rule.NO_PREFERENCES:
            decided = "no switches at all"
    match view.state:
        case TaskState.ENABLED:
            return decided
        case TaskState.DISABLED:
            return f"{decided}; the task is disabled"
        case TaskState.MISSING:
            # It has no default that could have decided.
            return f"{decided}; {missing}" if view.rule is Rule.OWN_SWITCH else missing


def _setting_lines(views: Iterable[TaskView]) -> Iterator[str]:
    for view in views:
        if view.parameters is not None:
            yield f"{view.task_id}: parameters {_plain_json(view.parameters)}"
        if view.last_modified is not None:
            yield f"{view.task_id}: settings last modified {view.last_modified}"
        for problem in view.problems:
            yield f"{view.task_id}: {problem}"


# --- list -------------------------------------------------------------------------------------------------------------


def list_users(
    task: Annotated[str | None, typer.Option(help="Only the users who get this task.")] = None,
    enabled: Annotated[
        bool | None,
        typer.Option(
            "--enabled/--disabled", help="With --task: those who get it, or those who do not.", show_default=False
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many.", show_default=False)] = None,
    config: RedisAndTasksConfig = SCHEDULER_YAML,
    output: Annotated[
        ListFormat, typer.Option("--output", "-o", help="text: ids alone; json: an object in each line.")
    ] = ListFormat.TEXT,
) -> None:
    """List the users who have switches, in no order. While Redis resizes its tables, a user may come twice."""
    if enabled is not None and task is None:
        raise ConfigError("--enabled and --disabled say how a task is switched; name it with --task")
    settings = load_scheduler_settings(config)
    listed = None if task is None else _listed_task(task, settings)
    listing = _Listing(task=listed, enabled=enabled is not False, output=output)
    asyncio.run(_list(settings.redis, listing, limit))


def _listed_task(task_id: str, settings: SchedulerSettings) -> _ListedTask:
    """Return what the list needs to know about the task; warn where nobody gets it for another reason."""
    _check(check_task_id, task_id)
    catalog = known_tasks(settings)
    task = catalog.tasks.get(task_id)
    if unknown := catalog.unknown(task_id):
        typer.echo(f"warning: {unknown}; only switches count", err=True)
    elif task is not None and not task.enabled:
        where = "" if catalog.file is None else f" in {catalog.file}"
        typer.echo(f"warning: {task_id} is disabled{where}: nobody gets it, whatever the switches", err=True)
    return _ListedTask(id=task_id, default_enabled=task is not None and task.default_enabled)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ListedTask:
    id: str
    default_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    task: _ListedTask | None
    #: which users of the task
    enabled: bool
    output: ListFormat

    def lines(self, piece: Iterable[Switches]) -> Iterator[str]:
        """Yield a line for each user that belongs to the list."""
        for switches in piece:
            fields: dict[str, object] = {"user_id": switches.user_id}
            if self.task is not None:
                decided = enablement(
                    switch=switches.switch(self.task.id), known=True, default_enabled=self.task.default_enabled
                )
                if decided.enabled is not self.enabled:
                    continue
                fields |= {"task_id": self.task.id, "enabled": decided.enabled, "rule": decided.rule.value}
            yield self._shown(switches.user_id, fields)

    def _shown(self, user_id: str, fields: Mapping[str, object]) -> str:
        match self.output:
            case ListFormat.TEXT:
                return printable(user_id) if sys.stdout.isatty() else user_id
            case ListFormat.JSON:
                return _json(fields)
            case ListFormat.YAML:
                return f"---\n{as_yaml(fields)}"


async def _list(settings: RedisSettings, listing: _Listing, limit: int | None) -> None:
    store = RedisStore(settings, client_name="taskqueue-users-list")
    remaining = limit
    try:
        async for piece in UserStore(store).scan_known():
            lines = list(islice(listing.lines(piece), remaining))
            _echo(lines)
            if remaining is not None:
                remaining -= len(lines)
                if remaining == 0:
                    return
    finally:
        await store.close()


# --- both -------------------------------------------------------------------------------------------------------------


def _check(check: Callable[[str], str], value: str) -> None:
    """Raise ConfigError for an argument that is no id."""
    try:
        check(value)
    except InvalidValueError as error:
        raise ConfigError(str(error)) from None


def _echo(lines: Iterable[str]) -> None:
    """Print lines as UTF-8, whatever the locale: ids must not change on their way into another program."""
    if text := "\n".join(lines):
        typer.echo(text.encode())


def _json(value: object) -> str:
    """Return `value` as one line of JSON; on a terminal in ASCII, where it escapes what a terminal would act on."""
    return json.dumps(value, ensure_ascii=sys.stdout.isatty(), separators=(",", ":"))


def _plain_json(value: object) -> str:
    return printable(json.dumps(value, ensure_ascii=False))
