"""Whatever is done to tasks, and by how many at once, each stands in just the lists that its record says."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from taskqueue.core.api_task import ApiPriority, ApiTask, TaskStatus, TaskType
from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.instants import to_unix_ms
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_task_record import indexes, status_index
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import a_new_task, numbered_id
from tests.support.contents import everything
from tests.support.values import TEN_O_CLOCK

IDS = [numbered_id(number) for number in range(12)]
HISTORY = timedelta(days=2)


class Crowd:
    """Does at random what clients do."""

    def __init__(self, seed: int, tasks: ApiTaskStore, dependencies: DependencyStore) -> None:
        self.dice = random.Random(seed)
        self.tasks = tasks
        self.dependencies = dependencies

    async def act(self) -> None:
        task_id = self.dice.choice(IDS)
        now = TEN_O_CLOCK + self.dice.random() * HISTORY
        action = self.dice.choice(["create", "create", "change", "change", "pause", "resume", "delete", "depend"])
        if action == "create":
            await self.tasks.create(*a_new_task(IDS.index(task_id), **self.definition()))
        elif action == "change":
            await self.change(task_id)
        elif action == "pause":
            await self.tasks.set_paused(task_id, now)
        elif action == "resume":
            await self.tasks.resume(task_id, now)
        elif action == "delete":
            await self.tasks.delete_many(self.dice.sample(IDS, 2))
        else:
            await self.depend(task_id, self.dice.choice(IDS))

    async def change(self, task_id: str) -> None:
        known = await self.tasks.get(task_id)
        if known is not None:
            changes = {
                name: value for name, value in self.definition().items() if name in {"task_name", "priority", "tags"}
            }
            await self.tasks.patch(known, replace(known[0], revision=known[0].revision + 1, **changes))

    async def depend(self, task_id: str, on: str) -> None:
        listed = await self.dependencies.list(task_id)
        if listed and self.dice.random() < 0.3:
            await self.dependencies.remove(task_id, self.dice.choice(listed).dependency_id, TEN_O_CLOCK)
            return
        dependency = Dependency(
            dependency_id=f"{task_id}>{on}", task_id=task_id, on=on, type=DependencyType.ANY, created_at=TEN_O_CLOCK
        )
        await self.dependencies.add(dependency)

    def definition(self) -> dict[str, Any]:
        once = {"task_type": TaskType.ONE_TIME, "run_at": TEN_O_CLOCK + self.dice.random() * HISTORY}
        return {
            "task_name": self.dice.choice(["sync", "report", "r\u00e9sum\u00e9"]),
            "priority": self.dice.choice(list(ApiPriority)),
            "tags": self.dice.choice([{}, {"env": "test"}, {"env": "production", "team": "a"}]),
            "enabled": self.dice.random() < 0.7,
            **self.dice.choice([{}, once]),
        }


def expected(rows: list[ApiTaskRow], waits_for: dict[str, list[Dependency]]) -> dict[str, object]:
    """Return what follows from the records and must stand in Redis beside them."""
    lists: dict[str, dict[str, int]] = {}

    def enter(key: str, member: str, score: int) -> None:
        lists.setdefault(key, {})[member] = score

    for task, state in rows:
        made = to_unix_ms(task.created_at)
        names = [*indexes(task).split("\n"), status_index(state.status), status_index(state.status, task.priority)]
        for key in (keys.API_TASKS, *map(keys.api_index, names)):
            enter(key, task.task_id, made)
        enter(keys.API_NAMES, f"{task.task_name}\0{999999999999999 - made:015d}{task.task_id}", 0)
        if state.status is TaskStatus.SCHEDULED and state.next_at is not None:
            enter(keys.API_DUE, task.task_id, to_unix_ms(state.next_at))
    dependents: dict[str, frozenset[bytes]] = {}
    for task_id, dependencies in waits_for.items():
        for each in dependencies:
            key = keys.api_dependents(each.on)
            dependents[key] = dependents.get(key, frozenset()) | {task_id.encode()}
    return {**lists, **dependents}


async def found(store: RedisStore) -> dict[str, object]:
    contents = await everything(store)
    hashes = (keys.API_TASK_PREFIX, keys.API_DEPENDENCIES_PREFIX)
    lists: dict[str, object] = {}
    for key, value in contents.items():
        if not key.startswith(hashes):
            lists[key] = _scores(value) if isinstance(value, list) else value
    return lists


def _scores(flat: list[Any]) -> dict[str, int]:
    pairs = flat if flat and isinstance(flat[0], tuple) else zip(flat[::2], flat[1::2], strict=True)
    return {member.decode(): int(score) for member, score in pairs}


@pytest.mark.parametrize("at_once", [1, 6])
@pytest.mark.parametrize("seed", range(3))
async def test_lists_follow_from_records(store: RedisStore, scripts: Scripts, seed: int, at_once: int) -> None:
    tasks, dependencies = ApiTaskStore(store, scripts), DependencyStore(store, scripts)
    crowd = Crowd(seed, tasks, dependencies)
    for _ in range(20):
        for _ in range(6 // at_once):
            await asyncio.gather(*(crowd.act() for _ in range(at_once)))
        rows = list((await tasks.get_many(IDS)).values())
        waits_for = {task_id: await dependencies.list(task_id) for task_id in IDS}
        assert await found(store) == expected(rows, waits_for)
        assert all(_is_whole(task, state.status) for task, state in rows)


def _is_whole(task: ApiTask, status: TaskStatus) -> bool:
    return task.enabled is (status is TaskStatus.SCHEDULED)
