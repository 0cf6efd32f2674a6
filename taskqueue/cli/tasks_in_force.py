"""The tasks by which verbs judge ids: those in force, and those of the tasks file where no scheduler has led yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.terminal import printable
from taskqueue.config.catalog import load_catalog
from taskqueue.config.problems import did_you_mean
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import SchedulerSettings
from taskqueue.core.task import Task
from taskqueue.errors import StoreError
from taskqueue.store.catalog import CatalogStore, StandingCatalog
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTasks:
    """Tasks by id. `file` is where they were read, None for those in force.

    `unreadable` are ids in force whose definitions this version cannot read.
    """

    tasks: Mapping[str, Task]
    file: Path | None = None
    unreadable: frozenset[str] = frozenset()

    @property
    def missing(self) -> str:
        """What a task is that is not among them: `not in force`."""
        return "not in force" if self.file is None else f"not in {self.file}"

    def unknown(self, task_id: str) -> str:
        """Return what to say about an id that is none of them, and the remedy; empty for one that is."""
        if task_id in self.tasks or task_id in self.unreadable:
            return ""
        lack = "no task {} is in force" if self.file is None else f"{self.file} has no task {{}}"
        return f"{lack.format(printable(task_id))}; {did_you_mean(task_id, self.tasks)}"


def known_tasks(settings: SchedulerSettings) -> KnownTasks:
    """Return the tasks in force, or those of the tasks file where none are. Raises StoreError and ConfigError."""
    standing = asyncio.run(_standing(settings.redis))
    if standing.tasks or standing.unreadable:
        in_order = {task_id: standing.tasks[task_id] for task_id in sorted(standing.tasks)}
        return KnownTasks(tasks=in_order, unreadable=standing.unreadable)
    return _of_file(settings.tasks.config_file)


def ids_in_force(settings: SchedulerSettings) -> frozenset[str]:
    """Return the ids of all tasks in force; none where Redis does not answer."""
    try:
        standing = asyncio.run(_standing(settings.redis))
    except StoreError:
        return frozenset()
    return standing.unreadable.union(standing.tasks)


def warn_of_unknown_task(task_id: str, settings: SchedulerSettings) -> None:
    """Warn on standard error of a task that is neither in the tasks file nor in force.

    Where Redis does not answer, the file alone counts. Raises ConfigError.
    """
    known = _of_file(settings.tasks.config_file)
    if not known.unknown(task_id):
        return
    # Where Redis is needed next, that says so.
    with suppress(StoreError):
        known = known_tasks(settings)
    if unknown := known.unknown(task_id):
        typer.echo(f"warning: {unknown}", err=True)


def _of_file(file: Path) -> KnownTasks:
    return KnownTasks(tasks=load_catalog(file).tasks, file=file)


async def _standing(settings: RedisSettings) -> StandingCatalog:
    store = RedisStore(settings, client_name="taskqueue-tasks-in-force")
    try:
        return await CatalogStore(store, Scripts(store, asset_dir("lua"))).standing()
    finally:
        await store.close()
