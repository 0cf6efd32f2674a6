"""`taskqueue task next`: when a task runs next, with what clock changes do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.config_options import SCHEDULER_YAML, RedisConfig
from taskqueue.cli.output import Output, OutputFormat, chosen, print_data
from taskqueue.cli.plan_view import local_text
from taskqueue.cli.tables import print_table
from taskqueue.cli.terminal import printable
from taskqueue.config.catalog import load_catalog
from taskqueue.config.problems import did_you_mean
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.api_task import OVER, ApiTask, ApiTaskState, TaskStatus
from taskqueue.core.clock_changes import marks, offset_marks, zone_of
from taskqueue.core.forecast import next_instants
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.task import Interval
from taskqueue.core.zones import load_zone
from taskqueue.errors import ConfigError, InvalidValueError, NotFoundError, RefusedError
from taskqueue.runtime import utc_now
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

_MOST = 10_000
_UTC = "UTC"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A task's rule, the present instant, and why the task does not run by its rule now; empty where it does."""

    rule: Interval
    now: datetime
    held: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run to come: on the task's own clock and, where one was asked for, on another."""

    at: datetime
    local: str
    elsewhere: str
    marks: tuple[str, ...]


def next_runs(
    task: Annotated[str, typer.Argument(metavar="ID", help="A task of tasks.yaml, or the id of a task of the API.")],
    count: Annotated[int, typer.Option(min=1, max=_MOST, help="How many.")] = 10,
    tz: Annotated[
        str | None, typer.Option("--tz", metavar="ZONE", help="Also on the clock of this zone, such as Europe/Paris.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Take the task from this tasks file, and not from what runs.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Those after then, RFC 3339; after now when left out.")
    ] = None,
    config: RedisConfig = SCHEDULER_YAML,
    output: Output = None,
) -> None:
    """Show when a task runs next, in UTC and on its own clock, with what happens where clocks change.

    Users' own intervals are left aside. Exit 3 when there is no such task, 5 when Redis does not answer.
    """
    zone, since = _option("--tz", load_zone, tz), _option("--after", parse_rfc3339, after)
    found = _in_file(task, file) if file else asyncio.run(_running(load_scheduler_settings(config).redis, task))
    runs = _runs(found, since or found.now, count, zone)
    _show(task, found, runs, tz, output)


def _option(name: str, parse: Callable[[str], _T], text: str | None) -> _T | None:
    try:
        return None if text is None else parse(text)
    except InvalidValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _in_file(task_id: str, file: Path) -> _Found:
    tasks = load_catalog(file).tasks
    if task_id not in tasks:
        raise NotFoundError(f"{file.name}: no task {printable(task_id)}; {did_you_mean(task_id, tasks)}")
    task = tasks[task_id]
    return _Found(rule=task.rule(), now=utc_now(), held="" if task.enabled else "disabled in the file")


async def _running(settings: RedisSettings, task_id: str) -> _Found:
    store = RedisStore(settings, client_name="taskqueue-task-next")
    try:
        scripts, clock = Scripts(store, asset_dir("lua")), ServerClock(store)
        await clock.sync()
        standing = await CatalogStore(store, scripts).standing()
        tasks = standing.tasks
        if task_id in standing.unreadable:
            raise RefusedError(
                f"{printable(task_id)} runs, with a definition of another version that this one cannot read; "
                "ask with the version of the schedulers, or name the task's file with --file"
            )
        if task_id in tasks:
            task = tasks[task_id]
            held = "" if task.enabled else "disabled, or paused through the API"
            return _Found(rule=task.rule(), now=clock(), held=held)
        row = await ApiTaskStore(store, scripts).get(task_id)
    finally:
        await store.close()
    if row is None:
        remedy = did_you_mean(task_id, tasks) if tasks else "no task of a file runs yet; name one with --file"
        raise NotFoundError(f"no task {printable(task_id)} runs; {remedy}")
    api_task, state = row
    return _Found(rule=api_task.rule(), now=clock(), held=_held(api_task, state))


def _held(task: ApiTask, state: ApiTaskState) -> str:
    if state.status in OVER or not task.enabled:
        return str(state.status)
    if state.status is TaskStatus.WAITING:
        return f"waiting for a task that it depends on, see taskqueue explain {task.task_id}"
    return ""


def _runs(found: _Found, after: datetime, count: int, other: ZoneInfo | None) -> list[_Run]:
    instants, zone = next_instants(found.rule, after, count), zone_of(found.rule)
    shown = marks(found.rule, instants, after)
    return [
        _Run(
            at=at,
            local=local_text(at, zone),
            elsewhere="" if other is None else local_text(at, other.key),
            marks=(*said, *_marks_elsewhere(before, at, other)),
        )
        for (before, at), said in zip(pairwise([after, *instants]), shown, strict=True)
    ]


def _marks_elsewhere(before: datetime, at: datetime, other: ZoneInfo | None) -> list[str]:
    return [] if other is None else [f"{mark} in {other.key}" for mark in offset_marks(before, at, other)]


def _show(task_id: str, found: _Found, runs: list[_Run], tz: str | None, output: Output) -> None:
    zone = zone_of(found.rule)
    form = chosen(output)
    if form is not OutputFormat.TABLE:
        data = [{"at": run.at, "local": run.local, "in": run.elsewhere or None, "marks": run.marks} for run in runs]
        head = {"task_id": task_id, "timezone": zone, "tz": tz, "interval": found.rule.as_dict()}
        print_data({**head, "held": found.held or None, "next": data}, form)
        return
    if not runs:
        typer.echo(f"{printable(task_id)}: never again{f', {found.held}' if found.held else ''}")
        return
    if found.held:
        typer.echo(f"{printable(task_id)}: {found.held}; it would run:")
    # A task in UTC has no clock of its own beside it.
    own, other = zone != _UTC, tz is not None and tz != zone
    headings = ("UTC", *([zone] if own else ()), *([tz] if tz and other else ()), "")
    rows = [
        (
            rfc3339(run.at),
            *([run.local] if own else ()),
            *([run.elsewhere] if other else ()),
            "; ".join(run.marks),
        )
        for run in runs
    ]
    print_table(headings, rows)
