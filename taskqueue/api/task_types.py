"""The task types of tasks.yaml, as the API knows them: what the leader has put in force, read again when it changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from taskqueue.core.task import Task
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")


def slug(name: str) -> str:
    """Return `name` as one word, lower case: `Daily Report Generation` and `daily_report_generation` are the same."""
    return _BETWEEN_WORDS.sub("_", name.lower()).strip("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTypes:
    """Task types by id, and by the slug of their name; of two with the same slug, the one whose id comes first."""

    by_id: Mapping[str, Task] = field(default_factory=dict)
    by_slug: Mapping[str, Task] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Mapping[str, Task]) -> KnownTypes:
        """Return these tasks, ready to be asked for."""
        by_slug = {slug(tasks[task_id].name): tasks[task_id] for task_id in sorted(tasks, reverse=True)}
        by_slug.pop("", None)
        return cls(by_id=tasks, by_slug=by_slug)

    def named(self, name: str) -> Task | None:
        """Return the task type whose id is `name`, else the one whose name is, as a slug."""
        return self.by_id.get(name) or self.by_slug.get(slug(name))


class TaskTypes:
    """Keeps the definitions of one revision; asking whether it still holds is one command."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._catalog = CatalogStore(store, scripts)
        self._revision: str | None = None
        self._known = KnownTypes()

    async def known(self) -> KnownTypes:
        """Return those in force; none before the first leader wrote any. Raises StoreError."""
        revision = await self._catalog.revision()
        if revision != self._revision:
            standing = await self._catalog.standing()
            # In this order: what is written in between is read again the next time.
            self._known, self._revision = KnownTypes.of(standing.tasks), revision
        return self._known
