"""What the API writes meets what the leader writes: whoever comes first, the task is left whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from taskqueue.core.api_run import due_run
from taskqueue.core.api_task import TaskStatus, TaskType, new_state
from taskqueue.core.instants import to_unix_ms
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns, Fired, Firing
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore, Changed, Deleted, Stale
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import NOON, a_new_task, numbered_id

ONCE = {"task_type": TaskType.ONE_TIME, "run_at": NOON}
ROUNDS = 20

Fire = Callable[[ApiTaskRow], Awaitable[Fired]]


@pytest.fixture
def fire(store: RedisStore, scripts: Scripts, token: str) -> Fire:
    """Call it with a task as it was read, and the leader lets it run at noon."""
    runs = ApiRuns(store, scripts)

    async def let_run(known: ApiTaskRow) -> Fired:
        task, state = known
        assert state.next_at is not None
        run = due_run(task, state.next_at, NOON)
        return (await runs.fire(token, [Firing.of(run, waited=False, now=NOON)]))[0]

    return let_run


async def queued(store: RedisStore) -> int:
    return int(await store.command("ZCARD", keys.DELAYED))


async def due(store: RedisStore, task_id: str) -> int | None:
    score = await store.command("ZSCORE", keys.API_DUE, task_id)
    return None if score is None else int(score)


async def test_a_pause_comes_before_the_run_or_after_it(tasks: ApiTaskStore, store: RedisStore, fire: Fire) -> None:
    for number in range(ROUNDS):
        row = a_new_task(number, **ONCE)
        task_id = row[0].task_id
        await tasks.create(*row)
        before = await queued(store)
        pair = [fire(row), tasks.set_paused(task_id, NOON)]
        ends = await asyncio.gather(*(pair if number % 2 else reversed(pair)))
        (fired,) = (end for end in ends if isinstance(end, Fired))
        ran = fired is Fired.QUEUED
        assert await queued(store) - before == ran
        known = await tasks.get(task_id)
        assert known is not None
        assert (known[1].status, known[1].next_at) == (TaskStatus.PAUSED, None if ran else NOON)
        assert await due(store, task_id) is None
        await tasks.resume(task_id, NOON)
        assert await due(store, task_id) == (None if ran else to_unix_ms(NOON))


async def test_a_new_schedule_comes_before_the_run_or_is_stale(
    tasks: ApiTaskStore, store: RedisStore, fire: Fire
) -> None:
    for number in range(ROUNDS):
        row = a_new_task(number)
        task, _ = row
        await tasks.create(*row)
        following = replace(task, schedule_expression="30 12 * * *", revision=2)
        state = new_state(following, NOON)
        assert state.next_at is not None
        pair: list[Awaitable[object]] = [fire(row), tasks.patch(row, following, state)]
        ends = await asyncio.gather(*(pair if number % 2 else reversed(pair)))
        known = await tasks.get(task.task_id)
        assert known is not None
        if any(isinstance(end, Changed) for end in ends):
            assert Fired.STALE in ends
            assert known == (following, state)
        else:
            assert Stale(revision=1) in ends
            assert Fired.QUEUED in ends
            assert known[0] == task
        assert known[1].next_at is not None
        assert await due(store, task.task_id) == to_unix_ms(known[1].next_at)


async def test_a_deleted_task_is_not_due_whoever_came_first(tasks: ApiTaskStore, store: RedisStore, fire: Fire) -> None:
    for number in range(ROUNDS):
        row = a_new_task(number)
        await tasks.create(*row)
        pair: list[Awaitable[object]] = [fire(row), tasks.delete(row[0].task_id)]
        ends = await asyncio.gather(*(pair if number % 2 else reversed(pair)))
        assert Deleted() in ends
        assert await tasks.get(row[0].task_id) is None
        assert await due(store, row[0].task_id) is None
    assert await store.command("ZCARD", keys.API_TASKS) == 0
    assert sum((await tasks.counts()).values()) == 0


async def test_many_who_make_one_task_make_it_once(tasks: ApiTaskStore) -> None:
    ends = await asyncio.gather(*(tasks.create(*a_new_task(1, task_name=f"name {each}")) for each in range(8)))
    assert sorted(ends) == [False] * 7 + [True]
    known = await tasks.get(numbered_id(1))
    assert known is not None
    assert known[0].task_name == f"name {ends.index(True)}"
