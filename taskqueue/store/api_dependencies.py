"""Dependencies between API tasks, in Redis. That they make no cycle is looked up in the script that adds one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: what one task may wait for; more is no schedule that anybody oversees
MAX_DEPENDENCIES = 100
#: and how many may wait for it: its end brings them all back in one script, a quarter of a second for so many
MAX_DEPENDENTS = 10_000
#: in search of a cycle so many dependencies are looked at: some hundredths of a second, in which Redis does no more
_MOST_SEARCHED = 20_000


class DependencyRefusal(StrEnum):
    """Why a dependency was not added."""

    #: there is no such task
    GONE = "gone"
    #: it is a task of tasks.yaml
    FILE = "file"
    #: the task depends on the other one already; that dependency is named
    EXISTS = "exists"
    #: the two would wait for each other; the ids of the way from the task back to itself are named
    CYCLE = "cycle"
    #: the task has MAX_DEPENDENCIES already
    TOO_MANY = "too_many"
    #: the other one has MAX_DEPENDENTS already
    TOO_MANY_DEPENDENTS = "too_many_dependents"
    #: what the other one depends on is too much to be searched for a cycle
    TOO_WIDE = "too_wide"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAdded:
    """Nothing was written. `ids` are those that the reason speaks of."""

    reason: DependencyRefusal
    ids: tuple[str, ...] = ()


class DependencyStore:
    """What API tasks wait for. Everything raises StoreUnavailableError when no answer came, DamagedKeyError."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def add(self, dependency: Dependency) -> NotAdded | None:
        """Let a task depend on another one; return None, or why it does not."""
        child, parent = dependency.task_id, dependency.on
        word, *ids = await self._scripts.call_again(
            "api_dependency_add",
            [keys.api_task(child), keys.api_task(parent), keys.api_dependencies(child), keys.api_dependents(parent)],
            [
                keys.API_DEPENDENCIES_PREFIX,
                child,
                parent,
                dependency.dependency_id,
                _to_json(dependency),
                MAX_DEPENDENCIES,
                _MOST_SEARCHED,
                MAX_DEPENDENTS,
            ],
        )
        if word == b"added":
            return None
        return NotAdded(
            reason=DependencyRefusal(word.decode()), ids=tuple(each.decode(errors="replace") for each in ids)
        )

    async def list(self, task_id: str) -> list[Dependency]:
        """Return what the task waits for, the oldest first. An entry of another hand is left out."""
        flat = await self._store.command("HGETALL", keys.api_dependencies(task_id))
        read = (_from_json(task_id, dependency_id, text) for dependency_id, text in flat.items())
        found = [dependency for dependency in read if dependency is not None]
        return sorted(found, key=lambda dependency: (dependency.created_at, dependency.dependency_id))

    async def remove(self, task_id: str, dependency_id: str, now: datetime) -> bool:
        """Remove a dependency; return whether there was one. A task that waits is looked at again at `now`."""
        removed = await self._scripts.call(
            "api_dependency_remove",
            [keys.api_dependencies(task_id), keys.API_DUE, keys.API_WAITING],
            [keys.API_DEPENDENTS_PREFIX, task_id, dependency_id, to_unix_ms(now)],
        )
        return int(removed) == 1


def _to_json(dependency: Dependency) -> str:
    document = {
        "on": dependency.on,
        "type": dependency.type.value,
        "created_at": to_unix_ms(dependency.created_at),
    }
    return json.dumps(document, separators=(",", ":"))


def _from_json(task_id: str, dependency_id: bytes, text: bytes) -> Dependency | None:
    try:
        document = json.loads(text)
        return Dependency(
            dependency_id=dependency_id.decode(),
            task_id=task_id,
            on=str(document["on"]),
            type=DependencyType(document["type"]),
            created_at=from_unix_ms(int(document["created_at"])),
        )
    except (LookupError, RecursionError, TypeError, ValueError, OverflowError):
        return None
