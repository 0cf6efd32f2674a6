"""Task definitions in Redis: the leader writes them, workers read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from taskqueue.config.catalog import catalog_of_tasks, task_from_json, task_to_json
from taskqueue.core.ids import check_task_id
from taskqueue.core.task import Removed, Task
from taskqueue.errors import ConfigError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: a removed task stays this long, for jobs of it that still wait; above every max_age and window
_REMOVED_KEPT = timedelta(days=45)

#: begins the JSON of a removed task whose jobs are drained; older workers ignore the field
_DRAINED = '{"removed":true,'


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingCatalog:
    """The definitions that the last leader put in force, and those of tasks `removed` before, whose jobs may still go.

    `unreadable` are the ids of those that a newer scheduler may have written: JSON objects that this one cannot read;
    `written_by` is the leader's name, empty where it is not known.
    """

    tasks: Mapping[str, Task]
    unreadable: frozenset[str] = frozenset()
    written_by: str = ""
    removed: Mapping[str, Task] = field(default_factory=dict)


#: the revision of a tasks.yaml without tasks
_OF_NONE = catalog_of_tasks({}).revision


def may_be_empty(revision: str) -> bool:
    """Return whether there may be no definitions under this revision; under any other they are lost."""
    return revision.removesuffix(".drain") == _OF_NONE


class CatalogStore:
    """The definitions that every worker sees."""

    def __init__(self, store: RedisStore, scripts: Scripts, removed: Removed = Removed.FINISH) -> None:
        self._store = store
        self._scripts = scripts
        self._drains = removed is Removed.DRAIN
        self.unreadable: dict[str, str] = {}

    async def write(self, token: str, tasks: Mapping[str, Task], revision: str) -> None:
        """Replace the definitions. Raises LeaseLostError unless `token` is the leader's.

        Removed tasks stay for their jobs, marked where those are to be drained.
        """
        definitions = [text for task in tasks.values() for text in (task.id, task_to_json(task))]
        await self._scripts.call(
            "catalog_write",
            [keys.LEASE, keys.CATALOG, keys.CATALOG_REVISION, keys.CATALOG_REMOVED, keys.CATALOG_WRITER],
            [
                token,
                self._name_of(revision),
                _REMOVED_KEPT // timedelta(milliseconds=1),
                _DRAINED,
                int(self._drains),
                token.rpartition(":")[0],
                *definitions,
            ],
        )

    async def stands(self, tasks: Mapping[str, Task], revision: str) -> bool:
        """Return whether what `write` wrote is there: as many definitions at least, under this revision."""
        name, count = await self._store.read(("GET", keys.CATALOG_REVISION), ("HLEN", keys.CATALOG))
        return name == self._name_of(revision).encode() and int(count) >= len(tasks)

    def _name_of(self, revision: str) -> str:
        # Another policy is another revision: workers read the definitions again.
        return f"{revision}.drain" if self._drains else revision

    async def revision(self) -> str | None:
        """Return the revision in force, or None before the first leader wrote one."""
        revision = await self._store.command("GET", keys.CATALOG_REVISION)
        return None if revision is None else revision.decode(errors="replace")

    async def standing(self) -> StandingCatalog:
        """Return what the last leader put in force; no tasks before the first one wrote."""
        definitions = await self._definitions()
        tasks = self._readable(definitions)
        removed = {
            task_id.decode(errors="replace") for task_id in await self._store.command("HKEYS", keys.CATALOG_REMOVED)
        }
        unreadable = {task_id for task_id in self.unreadable if _may_be_newer(task_id, definitions[task_id])}
        writer = await self._store.command("GET", keys.CATALOG_WRITER)
        return StandingCatalog(
            tasks={task_id: task for task_id, task in tasks.items() if task_id not in removed},
            unreadable=frozenset(unreadable - removed),
            written_by="" if writer is None else writer.decode(errors="replace"),
            removed={task_id: task for task_id, task in tasks.items() if task_id in removed},
        )

    async def read(self) -> dict[str, Task]:
        """Return every readable definition by task id, those of removed tasks with live jobs included.

        `unreadable` then holds the others, which a newer scheduler or a stranger wrote, with what is wrong with each.
        """
        return self._readable(await self._definitions())

    async def _definitions(self) -> dict[str, bytes]:
        flat = await self._store.command("HGETALL", keys.CATALOG)
        return {task_id.decode(errors="replace"): text for task_id, text in flat.items()}

    def _readable(self, definitions: Mapping[str, bytes]) -> dict[str, Task]:
        tasks: dict[str, Task] = {}
        self.unreadable = {}
        for task_id, text in definitions.items():
            try:
                task = task_from_json(text.decode())
            except (ConfigError, InvalidValueError, UnicodeDecodeError) as error:
                self.unreadable[task_id] = str(error)
                continue
            if task.id == task_id:
                tasks[task_id] = task
            else:
                self.unreadable[task_id] = f"stored task: its id is {task.id}"
        return tasks


def _may_be_newer(task_id: str, text: bytes) -> bool:
    try:
        check_task_id(task_id)
        return isinstance(json.loads(text), dict)
    except (InvalidValueError, ValueError, RecursionError):
        return False
