from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from taskqueue.core.api_task import ApiPriority, ApiTask, ApiTaskState, TaskStatus, TaskType, new_state
from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_tasks import ApiTaskStore, Changed, Deleted, HasDependents, Refusal, Stale
from taskqueue.store.connection import RedisStore
from tests.support.api_values import NOON, a_new_task, an_api_task, numbered_id
from tests.support.contents import everything
from tests.support.values import TEN_O_CLOCK

ONE = numbered_id(1)
TOMORROW = NOON + timedelta(days=1)

Snapshot = Callable[[], Awaitable[dict[str, object]]]


@pytest.fixture
def snapshot(store: RedisStore) -> Snapshot:
    """Call it for everything that stands in the database, whatever way Redis keeps it."""
    return partial(everything, store)


async def due(store: RedisStore) -> dict[str, int]:
    flat = await store.command("ZRANGE", keys.API_DUE, 0, -1, "WITHSCORES")
    return {task_id.decode(): int(score) for task_id, score in zip(flat[::2], flat[1::2], strict=True)}


def changed(task: ApiTask, **changes: Any) -> ApiTask:
    return replace(task, revision=task.revision + 1, updated_at=NOON, **changes)


async def test_a_new_task_is_found_again_as_it_was_given(tasks: ApiTaskStore) -> None:
    row = a_new_task(tags={"team": "analytics", "env": "production"})
    assert await tasks.create(*row)
    assert await tasks.get(ONE) == row
    assert await tasks.definition(ONE) == row[0]


async def test_a_task_that_was_never_made_is_none(tasks: ApiTaskStore) -> None:
    assert (await tasks.get(ONE), await tasks.definition(ONE)) == (None, None)


async def test_a_new_task_is_due_at_its_first_instant(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task())
    assert await due(store) == {ONE: to_unix_ms(NOON)}


async def test_a_task_that_begins_paused_is_not_due(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task(enabled=False))
    assert await due(store) == {}
    assert (await tasks.counts())[TaskStatus.PAUSED] == 1


async def test_a_task_whose_run_is_on_its_way_is_written_without_an_instant(
    tasks: ApiTaskStore, store: RedisStore
) -> None:
    row = an_api_task(task_type=TaskType.ONE_TIME, run_at=NOON), ApiTaskState(status=TaskStatus.SCHEDULED)
    assert await tasks.create(*row)
    assert await tasks.get(ONE) == row
    assert await due(store) == {}


async def test_another_task_with_the_same_id_changes_nothing(tasks: ApiTaskStore, snapshot: Snapshot) -> None:
    await tasks.create(*a_new_task())
    before = await snapshot()
    assert not await tasks.create(*a_new_task(task_name="another"))
    assert await snapshot() == before


async def test_the_same_task_made_again_counts_as_made(tasks: ApiTaskStore, snapshot: Snapshot) -> None:
    await tasks.create(*a_new_task())
    before = await snapshot()
    assert await tasks.create(*a_new_task())
    assert await snapshot() == before


async def test_many_tasks_are_made_at_once_and_each_is_told_of(tasks: ApiTaskStore) -> None:
    await tasks.create(*a_new_task(7, task_name="was there"))
    assert await tasks.create_many([a_new_task(number) for number in range(250)]) == [n != 7 for n in range(250)]
    assert (await tasks.counts())[TaskStatus.SCHEDULED] == 250
    found = await tasks.get_many([numbered_id(number) for number in (3, 7, 999)])
    assert {task_id: task.task_name for task_id, (task, _) in found.items()} == {
        numbered_id(3): "daily_report_generation",
        numbered_id(7): "was there",
    }


async def test_a_payload_that_is_too_long_is_refused_before_anything_is_written(
    tasks: ApiTaskStore, snapshot: Snapshot
) -> None:
    with pytest.raises(InvalidValueError, match="payload: 65538 bytes"):
        await tasks.create_many([a_new_task(1), a_new_task(2, payload="x" * 65_536)])
    assert await snapshot() == {}


async def test_a_change_replaces_the_definition_and_nothing_else(tasks: ApiTaskStore, store: RedisStore) -> None:
    row = a_new_task()
    await tasks.create(*row)
    following = changed(row[0], priority=ApiPriority.HIGH)
    assert await tasks.patch(row, following) == Changed(task=following, state=row[1])
    assert await tasks.get(ONE) == (following, row[1])
    assert await due(store) == {ONE: to_unix_ms(NOON)}


async def test_a_change_of_the_schedule_moves_the_instant(tasks: ApiTaskStore, store: RedisStore) -> None:
    row = a_new_task()
    await tasks.create(*row)
    following = changed(row[0], schedule_expression="0 2 * * *")
    state = new_state(following, TEN_O_CLOCK)
    assert await tasks.patch(row, following, state) == Changed(task=following, state=state)
    assert await due(store) == {ONE: to_unix_ms(TEN_O_CLOCK + timedelta(hours=16))}


async def test_a_change_asked_again_is_made_once(tasks: ApiTaskStore, snapshot: Snapshot) -> None:
    row = a_new_task()
    await tasks.create(*row)
    following = changed(row[0], max_retries=5)
    await tasks.patch(row, following)
    before = await snapshot()
    assert await tasks.patch(row, following) == Changed(task=following, state=row[1])
    assert await snapshot() == before


async def test_of_two_changes_at_once_one_is_stale(tasks: ApiTaskStore) -> None:
    row = a_new_task()
    await tasks.create(*row)
    ends = await asyncio.gather(
        *(tasks.patch(row, changed(row[0], max_retries=retries), row[1]) for retries in range(1, 9))
    )
    assert sorted(type(end).__name__ for end in ends) == ["Changed", *["Stale"] * 7]
    (made,) = (end for end in ends if isinstance(end, Changed))
    assert await tasks.get(ONE) == (made.task, made.state)
    assert {end.revision for end in ends if isinstance(end, Stale)} == {2}


@pytest.mark.parametrize(("field", "value"), [("next_at", to_unix_ms(TOMORROW)), ("status", "waiting")])
async def test_a_schedule_is_not_changed_by_one_who_has_not_seen_the_task_run(
    tasks: ApiTaskStore, store: RedisStore, field: str, value: object
) -> None:
    row = a_new_task()
    await tasks.create(*row)
    await store.command("HSET", keys.api_task(ONE), field, str(value))
    assert await tasks.patch(row, changed(row[0]), row[1]) == Stale(revision=1)
    assert isinstance(await tasks.patch(row, changed(row[0])), Changed)


async def test_what_is_gone_cannot_be_changed(tasks: ApiTaskStore, snapshot: Snapshot) -> None:
    row = a_new_task()
    assert await tasks.patch(row, changed(row[0])) is Refusal.GONE
    assert await tasks.set_paused(ONE, NOON) is Refusal.GONE
    assert await tasks.delete(ONE) is Refusal.GONE
    assert await snapshot() == {}


async def test_a_task_of_the_file_is_read_only(tasks: ApiTaskStore, store: RedisStore, snapshot: Snapshot) -> None:
    row = a_new_task()
    await tasks.create(*row)
    await store.command("HSET", keys.api_task(ONE), "source", "file")
    before = await snapshot()
    assert await tasks.patch(row, changed(row[0])) is Refusal.READ_ONLY
    assert await tasks.delete(ONE) is Refusal.READ_ONLY
    assert await snapshot() == before


async def test_a_paused_task_is_not_due(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task())
    end = await tasks.set_paused(ONE, NOON)
    assert isinstance(end, Changed)
    assert (end.task.enabled, end.state.status, end.state.paused_at) == (False, TaskStatus.PAUSED, NOON)
    assert await tasks.get(ONE) == (end.task, end.state)
    assert await due(store) == {}
    assert await tasks.counts() == {status: int(status is TaskStatus.PAUSED) for status in TaskStatus}


async def test_a_resumed_task_is_due_at_its_next_instant(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task())
    await tasks.set_paused(ONE, TEN_O_CLOCK)
    end = await tasks.resume(ONE, NOON)
    assert isinstance(end, Changed)
    assert (end.task.enabled, end.state.status, end.state.next_at) == (True, TaskStatus.SCHEDULED, TOMORROW)
    assert await due(store) == {ONE: to_unix_ms(TOMORROW)}


async def test_a_task_that_was_to_run_while_it_was_paused_runs_when_resumed(
    tasks: ApiTaskStore, store: RedisStore
) -> None:
    await tasks.create(*a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON))
    await tasks.set_paused(ONE, TEN_O_CLOCK)
    await tasks.resume(ONE, TOMORROW)
    assert await due(store) == {ONE: to_unix_ms(NOON)}


async def test_a_task_paused_twice_stays_as_it_is(tasks: ApiTaskStore) -> None:
    await tasks.create(*a_new_task())
    first = await tasks.set_paused(ONE, NOON)
    assert await tasks.set_paused(ONE, TOMORROW) == first


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED])
async def test_a_task_that_is_over_can_be_neither_paused_nor_resumed(tasks: ApiTaskStore, status: TaskStatus) -> None:
    task = an_api_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    await tasks.create(task, ApiTaskState(status=status))
    assert await tasks.set_paused(ONE, NOON) is Refusal.OVER
    assert await tasks.resume(ONE, NOON) is Refusal.OVER


async def test_a_waiting_task_that_is_paused_waits_no_more(tasks: ApiTaskStore, store: RedisStore) -> None:
    task, _ = a_new_task()
    await tasks.create(task, ApiTaskState(status=TaskStatus.WAITING, next_at=NOON))
    await store.command("ZADD", keys.API_WAITING, to_unix_ms(NOON), ONE)
    await tasks.set_paused(ONE, NOON)
    assert await store.command("EXISTS", keys.API_WAITING, keys.API_DUE) == 0


async def test_many_who_switch_one_task_leave_it_in_one_state(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task())
    switches = (tasks.set_paused, tasks.resume)
    await asyncio.gather(*(switches[number % 2](ONE, NOON) for number in range(8)))
    known = await tasks.get(ONE)
    assert known is not None
    task, state = known
    assert task.enabled is (state.status is TaskStatus.SCHEDULED)
    assert await due(store) == ({ONE: to_unix_ms(TOMORROW)} if task.enabled else {})


async def test_a_deleted_task_leaves_nothing(
    tasks: ApiTaskStore, dependencies: DependencyStore, snapshot: Snapshot
) -> None:
    await tasks.create(*a_new_task(2))
    before = await snapshot()
    await tasks.create(*a_new_task(1, task_name="bad\u00e9 name", tags={"a=b": "c:d\n"[:3], "env": "*"}))
    await dependencies.add(a_dependency(ONE, numbered_id(2)))
    assert await tasks.delete(ONE) == Deleted()
    assert await snapshot() == before


async def test_what_a_deleted_task_has_done_is_kept_for_a_week(tasks: ApiTaskStore, store: RedisStore) -> None:
    await tasks.create(*a_new_task())
    await store.command("ZADD", keys.api_executions(ONE), 1, "execution")
    await store.command("HSET", keys.api_stats(ONE), "total", 1)
    await tasks.delete(ONE)
    week_ms = timedelta(days=7) / timedelta(milliseconds=1)
    for key in (keys.api_executions(ONE), keys.api_stats(ONE)):
        assert week_ms - 60_000 < await store.command("PTTL", key) <= week_ms


def a_dependency(task_id: str, on: str) -> Dependency:
    return Dependency(
        dependency_id=f"{task_id}>{on}", task_id=task_id, on=on, type=DependencyType.SUCCESS, created_at=NOON
    )


async def test_a_task_that_others_depend_on_is_not_deleted_and_they_are_named(
    tasks: ApiTaskStore, dependencies: DependencyStore, snapshot: Snapshot
) -> None:
    await tasks.create_many([a_new_task(number, task_name=f"task {number}") for number in range(1, 31)])
    for number in range(2, 31):
        await dependencies.add(a_dependency(numbered_id(number), ONE))
    before = await snapshot()
    end = await tasks.delete(ONE)
    assert isinstance(end, HasDependents)
    assert (end.count, len(end.dependents)) == (29, 20)
    assert set(end.dependents) <= {(numbered_id(number), f"task {number}") for number in range(2, 31)}
    assert await snapshot() == before


async def test_a_dependent_that_was_removed_by_hand_holds_no_task(
    tasks: ApiTaskStore, dependencies: DependencyStore, store: RedisStore
) -> None:
    await tasks.create_many([a_new_task(1), a_new_task(2)])
    await dependencies.add(a_dependency(numbered_id(2), ONE))
    await store.command("DEL", keys.api_task(numbered_id(2)))
    assert await tasks.delete(ONE) == Deleted()
    assert await store.command("EXISTS", keys.api_dependents(ONE)) == 0


async def test_tasks_that_depend_on_each_other_are_deleted_together_whatever_their_order(
    tasks: ApiTaskStore, dependencies: DependencyStore, snapshot: Snapshot
) -> None:
    numbers = range(1, 251)
    await tasks.create_many([a_new_task(number) for number in numbers])
    for number in range(1, 250):
        await dependencies.add(a_dependency(numbered_id(number + 1), numbered_id(number)))
    ids = [numbered_id(number) for number in numbers]
    assert await tasks.delete_many([*ids, "unknown", ONE]) == [*[Deleted()] * 250, Refusal.GONE, Deleted()]
    assert await snapshot() == {}


async def test_ids_are_data_and_reach_into_no_other_key(tasks: ApiTaskStore, snapshot: Snapshot) -> None:
    await tasks.create(*a_new_task())
    before = await snapshot()
    hostile = ["", "*", f"{ONE}:x", f"../{ONE}", "a\nb", "tasks", "\x00", "é" * 100]
    assert await tasks.delete_many(hostile) == [Refusal.GONE] * len(hostile)
    assert await tasks.get_many(hostile) == {}
    assert await snapshot() == before


@pytest.mark.parametrize(
    "key",
    [
        keys.API_TASKS,
        keys.API_NAMES,
        keys.API_DUE,
        keys.api_index("status:scheduled"),
        keys.api_index("status:scheduled:priority:medium"),
        keys.api_index("tag:a=b"),
        keys.api_task(numbered_id(2)),
    ],
)
async def test_where_a_key_holds_another_type_nothing_is_half_written(
    tasks: ApiTaskStore, store: RedisStore, snapshot: Snapshot, key: str
) -> None:
    await store.command("SET", key, "none of ours")
    before = await snapshot()
    with pytest.raises(DamagedKeyError, match="redis-cli DEL"):
        await tasks.create_many([a_new_task(number, tags={"a": "b"}) for number in (1, 2)])
    assert await snapshot() == before


@pytest.mark.parametrize(
    "key", [keys.API_WAITING, keys.api_index("status:paused"), keys.api_index("priority:high"), keys.API_NAMES]
)
async def test_a_change_that_meets_a_key_of_another_type_is_not_made(
    tasks: ApiTaskStore, store: RedisStore, snapshot: Snapshot, key: str
) -> None:
    row = a_new_task()
    await tasks.create(*row)
    await store.command("DEL", key)
    await store.command("SET", key, "none of ours")
    before = await snapshot()
    following = changed(row[0], task_name="new", priority=ApiPriority.HIGH, enabled=False)
    with pytest.raises(DamagedKeyError):
        await tasks.patch(row, following, replace(row[1], status=TaskStatus.PAUSED))
    assert await snapshot() == before


@pytest.mark.parametrize("key", [keys.API_TASKS, keys.API_NAMES, keys.api_dependents(ONE), keys.api_dependencies(ONE)])
async def test_a_deletion_that_meets_a_key_of_another_type_is_not_made(
    tasks: ApiTaskStore, store: RedisStore, snapshot: Snapshot, key: str
) -> None:
    await tasks.create(*a_new_task())
    await store.command("DEL", key)
    await store.command("SET", key, "none of ours")
    before = await snapshot()
    with pytest.raises(DamagedKeyError):
        await tasks.delete(ONE)
    assert await snapshot() == before


@pytest.mark.parametrize(
    ("field", "value"), [("doc", "{"), ("doc", "{}"), ("doc", "[" * 5000), ("status", "x"), ("next_at", "soon")]
)
async def test_a_record_of_another_hand_is_told_with_its_key(
    tasks: ApiTaskStore, store: RedisStore, field: str, value: str
) -> None:
    await tasks.create(*a_new_task())
    await store.command("HSET", keys.api_task(ONE), field, value)
    with pytest.raises(DamagedKeyError, match=f"redis-cli DEL {keys.api_task(ONE)}"):
        await tasks.get(ONE)


async def test_a_record_of_another_type_is_told_with_its_key(tasks: ApiTaskStore, store: RedisStore) -> None:
    await store.command("SET", keys.api_task(ONE), "none of ours")
    for reading in (tasks.get(ONE), tasks.definition(ONE), tasks.get_many([ONE])):
        with pytest.raises(DamagedKeyError, match=keys.api_task(ONE)):
            await reading
