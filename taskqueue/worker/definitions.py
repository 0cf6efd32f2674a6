"""Task definitions as a worker sees them.

The leader's catalog of tasks.yaml is cached by revision. A task made through the API is read for each of its jobs: it
may have been changed, paused or deleted a moment ago, and a million of them fit into no worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from functools import lru_cache
from typing import NoReturn

from taskqueue.core.api_run import is_api_task_id
from taskqueue.core.api_task import to_task
from taskqueue.core.task import Task, TaskSource
from taskqueue.errors import InvalidValueError, StoreError, StoreUnavailableError
from taskqueue.store.api_task_record import definition
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.catalog import CatalogStore, may_be_empty
from taskqueue.telemetry.events import CatalogReloaded, Emit
from taskqueue.telemetry.worker_events import LimitUnused

_LOOK_EVERY_S = 2.0


class Definitions:
    """The definitions by task id. `run` keeps them current; a task unknown here is looked up once more at once.

    `limited` are the tasks that worker.yaml has a limit for: one that does not exist is told with LimitUnused.
    """

    def __init__(self, store: CatalogStore, api_tasks: ApiTaskStore, limited: Set[str], emit: Emit) -> None:
        self._store = store
        self._api_tasks = api_tasks
        self._limited = limited
        self._emit = emit
        self._tasks: dict[str, Task] = {}
        self._revision: str | None = None
        self._reading = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Look for a new revision for ever. Raises StoreUnavailableError when Redis is away, for its supervisor."""
        while True:
            await self._refresh()
            await asyncio.sleep(_LOOK_EVERY_S)

    def known(self, task_id: str) -> Task | None:
        """Return the definition if it is at hand."""
        return self._tasks.get(task_id)

    async def get(self, task_id: str) -> Task | None:
        """Return the definition, or None when neither the leader nor the API knows the task.

        Raises StoreUnavailableError while no leader has written any, and StoreError for a definition that this version
        cannot read: the job is no worse for waiting.
        """
        if task_id not in self._tasks and is_api_task_id(task_id):
            task = await self._api_task(task_id)
            if task is not None:
                return task
        if task_id not in self._tasks:
            await self._refresh()
        if self._revision is None:
            raise StoreUnavailableError("no task definitions in Redis; they are there once a scheduler leads")
        if task_id in self._store.unreadable:
            raise StoreError(f"task {task_id}: this worker cannot read its definition; upgrade the worker")
        return self._tasks.get(task_id)

    async def _api_task(self, task_id: str) -> Task | None:
        document = await self._api_tasks.document(task_id)
        try:
            return None if document is None else _task_in(task_id, document)
        except InvalidValueError as error:
            raise StoreError(f"task {task_id}: this worker cannot read its definition: {error}") from None

    def __len__(self) -> int:
        """How many definitions there are."""
        return len(self._tasks)

    async def _refresh(self) -> None:
        async with self._reading:
            revision = await self._store.revision()
            if revision is None or revision == self._revision:
                return
            # Read after the revision: what is read is that revision or a later one, never an earlier.
            tasks = await self._store.read()
            if not (tasks or self._store.unreadable or may_be_empty(revision)):
                return  # somebody deleted them; the leader writes them again
            self._tasks = tasks
            self._revision = revision
        unreadable = tuple(f"{task_id}: {error}" for task_id, error in self._store.unreadable.items())
        self._emit(CatalogReloaded(ok=True, revision=revision, tasks=len(self._tasks), warnings=unreadable))
        for task_id in sorted(self._limited - self._tasks.keys()):
            self._emit(LimitUnused(task=task_id))


@lru_cache(maxsize=256)
def _task_in(task_id: str, document: bytes) -> Task | None:
    # The same task for the same document: what follows from a task is remembered with it.
    task = definition(task_id, document)
    # What stands beside the API's own tasks in their lists is the leader's to define.
    return to_task(task) if task is not None and task.source is TaskSource.API else None
