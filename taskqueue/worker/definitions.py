"""Task definitions as a worker sees them: the leader's catalog in Redis, cached by revision."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from typing import NoReturn

from taskqueue.core.task import Task
from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store.catalog import CatalogStore
from taskqueue.telemetry.events import CatalogReloaded, Emit
from taskqueue.telemetry.worker_events import LimitUnused

_LOOK_EVERY_S = 2.0


class Definitions:
    """The definitions by task id. `run` keeps them current; a task unknown here is looked up once more at once.

    `limited` are the tasks that worker.yaml has a limit for: one that does not exist is told with LimitUnused.
    """

    def __init__(self, store: CatalogStore, limited: Set[str], emit: Emit) -> None:
        self._store = store
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
        """Return the definition, or None when the leader does not know the task either.

        Raises StoreUnavailableError while no leader has written any, and StoreError for a definition that this version
        cannot read: the job is no worse for waiting.
        """
        if task_id not in self._tasks:
            await self._refresh()
        if self._revision is None:
            raise StoreUnavailableError("no task definitions in Redis; they are there once a scheduler leads")
        if task_id in self._store.unreadable:
            raise StoreError(f"task {task_id}: this worker cannot read its definition; upgrade the worker")
        return self._tasks.get(task_id)

    def __len__(self) -> int:
        """How many definitions there are."""
        return len(self._tasks)

    async def _refresh(self) -> None:
        async with self._reading:
            revision = await self._store.revision()
            if revision is None or revision == self._revision:
                return
            # Read after the revision: what is read is that revision or a later one, never an earlier.
            self._tasks = await self._store.read()
            self._revision = revision
        unreadable = tuple(f"{task_id}: {error}" for task_id, error in self._store.unreadable.items())
        self._emit(CatalogReloaded(ok=True, revision=revision, tasks=len(self._tasks), warnings=unreadable))
        for task_id in sorted(self._limited - self._tasks.keys()):
            self._emit(LimitUnused(task=task_id))
