from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise

import pytest

from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import DamagedKeyError
from taskqueue.store import api_dependencies, keys
from taskqueue.store.api_dependencies import MAX_DEPENDENCIES, DependencyRefusal, DependencyStore, NotAdded
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.contents import everything
from tests.support.values import TEN_O_CLOCK

Snapshot = Callable[[], Awaitable[dict[str, object]]]


@pytest.fixture
def snapshot(store: RedisStore) -> Snapshot:
    """Call it for everything that stands in the database."""
    return partial(everything, store)


@pytest.fixture
async def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    """Tasks 1 to 9 are there."""
    tasks = ApiTaskStore(store, scripts)
    await tasks.create_many([a_new_task(number) for number in range(1, 10)])
    return tasks


@pytest.fixture
def dependencies(store: RedisStore, scripts: Scripts, tasks: ApiTaskStore) -> DependencyStore:
    assert tasks is not None
    return DependencyStore(store, scripts)


def a_dependency(child: int, parent: int, kind: DependencyType = DependencyType.SUCCESS) -> Dependency:
    return Dependency(
        dependency_id=f"{child}-on-{parent}",
        task_id=numbered_id(child),
        on=numbered_id(parent),
        type=kind,
        created_at=NOON,
    )


def refused(reason: DependencyRefusal, *tasks: int) -> NotAdded:
    return NotAdded(reason=reason, ids=tuple(map(numbered_id, tasks)))


async def test_a_dependency_is_listed_as_it_was_added(dependencies: DependencyStore) -> None:
    added = [a_dependency(1, parent, kind) for parent, kind in zip((2, 3, 4), DependencyType, strict=True)]
    for dependency in added:
        assert await dependencies.add(dependency) is None
    assert await dependencies.list(numbered_id(1)) == added
    assert await dependencies.list(numbered_id(2)) == []


async def test_a_dependency_added_again_is_there_once(dependencies: DependencyStore, snapshot: Snapshot) -> None:
    assert await dependencies.add(a_dependency(1, 2)) is None
    before = await snapshot()
    assert await dependencies.add(a_dependency(1, 2)) is None
    assert await snapshot() == before


async def test_a_task_depends_on_another_one_in_one_way(dependencies: DependencyStore) -> None:
    await dependencies.add(a_dependency(1, 2))
    again = Dependency(
        dependency_id="another",
        task_id=numbered_id(1),
        on=numbered_id(2),
        type=DependencyType.ANY,
        created_at=NOON,
    )
    assert await dependencies.add(again) == NotAdded(reason=DependencyRefusal.EXISTS, ids=("1-on-2",))


@pytest.mark.parametrize(("child", "parent", "missing"), [(1, 99, 99), (99, 1, 99), (98, 99, 98)])
async def test_both_tasks_have_to_be_there(
    dependencies: DependencyStore, snapshot: Snapshot, child: int, parent: int, missing: int
) -> None:
    before = await snapshot()
    assert await dependencies.add(a_dependency(child, parent)) == refused(DependencyRefusal.GONE, missing)
    assert await snapshot() == before


@pytest.mark.parametrize("number", [1, 2])
async def test_a_task_of_the_file_neither_waits_nor_is_waited_for(
    dependencies: DependencyStore, store: RedisStore, number: int
) -> None:
    await store.command("HSET", keys.api_task(numbered_id(number)), "source", "file")
    assert await dependencies.add(a_dependency(1, 2)) == refused(DependencyRefusal.FILE, number)


async def test_a_task_that_would_wait_for_itself_is_refused(dependencies: DependencyStore) -> None:
    assert await dependencies.add(a_dependency(1, 1)) == refused(DependencyRefusal.CYCLE, 1, 1)


async def test_a_cycle_is_refused_and_told_from_the_task_back_to_itself(
    dependencies: DependencyStore, snapshot: Snapshot
) -> None:
    for child, parent in [(1, 2), (2, 3), (3, 4), (1, 5), (5, 4), (3, 6)]:
        assert await dependencies.add(a_dependency(child, parent)) is None
    before = await snapshot()
    assert await dependencies.add(a_dependency(4, 1)) == refused(DependencyRefusal.CYCLE, 4, 1, 5, 4)
    assert await dependencies.add(a_dependency(6, 2)) == refused(DependencyRefusal.CYCLE, 6, 2, 3, 6)
    assert await snapshot() == before


async def test_of_dependencies_that_would_close_a_cycle_together_one_is_refused(dependencies: DependencyStore) -> None:
    ring = [a_dependency(number, number % 9 + 1) for number in range(1, 10)]
    ends = await asyncio.gather(*map(dependencies.add, ring))
    (refusal,) = (end for end in ends if end is not None)
    assert (refusal.reason, len(refusal.ids)) == (DependencyRefusal.CYCLE, 10)


async def test_ways_that_meet_again_are_no_cycle(dependencies: DependencyStore) -> None:
    for child, parent in [(1, 2), (1, 3), (2, 4), (3, 4), (1, 4)]:
        assert await dependencies.add(a_dependency(child, parent)) is None


async def test_a_task_depends_on_so_many_and_no_more(dependencies: DependencyStore, tasks: ApiTaskStore) -> None:
    await tasks.create_many([a_new_task(number) for number in range(100, 101 + MAX_DEPENDENCIES)])
    for number in range(100, 100 + MAX_DEPENDENCIES):
        assert await dependencies.add(a_dependency(1, number)) is None
    assert await dependencies.add(a_dependency(1, 100 + MAX_DEPENDENCIES)) == refused(DependencyRefusal.TOO_MANY)


async def test_so_many_tasks_depend_on_one_and_no_more(
    dependencies: DependencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_dependencies, "MAX_DEPENDENTS", 2)
    for child in (2, 3):
        assert await dependencies.add(a_dependency(child, 1)) is None
    assert await dependencies.add(a_dependency(4, 1)) == refused(DependencyRefusal.TOO_MANY_DEPENDENTS)
    assert await dependencies.add(a_dependency(3, 1)) is None


async def test_a_search_for_a_cycle_ends(dependencies: DependencyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_dependencies, "_MOST_SEARCHED", 3)
    for child, parent in [(2, 3), (2, 4), (3, 4)]:
        assert await dependencies.add(a_dependency(child, parent)) is None
    assert await dependencies.add(a_dependency(1, 2)) is None
    assert await dependencies.add(a_dependency(4, 5)) is None
    assert await dependencies.add(a_dependency(6, 2)) == refused(DependencyRefusal.TOO_WIDE)


async def test_dependencies_of_another_hand_are_not_searched_without_end(
    dependencies: DependencyStore, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_dependencies, "_MOST_SEARCHED", 1000)
    many = [text for number in range(1001) for text in (f"odd{number}", "{")]
    for number in (2, 3):
        await store.command("HSET", keys.api_dependencies(numbered_id(number)), *many)
    assert await dependencies.add(a_dependency(1, 2)) == refused(DependencyRefusal.TOO_WIDE)
    assert await dependencies.add(a_dependency(3, 1)) == refused(DependencyRefusal.TOO_MANY)


async def test_a_long_cycle_is_told_whole(dependencies: DependencyStore, store: RedisStore) -> None:
    ring = [1, *range(1000, 10_000), 2]
    await store.pipeline(
        [
            ("HSET", keys.api_dependencies(numbered_id(child)), "d", json.dumps({"on": numbered_id(parent)}))
            for child, parent in pairwise(ring)
        ]
    )

    refusal = await dependencies.add(a_dependency(2, 1))

    assert refusal == refused(DependencyRefusal.CYCLE, 2, *ring)


async def test_a_removed_dependency_holds_nobody_back(
    dependencies: DependencyStore, tasks: ApiTaskStore, snapshot: Snapshot
) -> None:
    assert tasks is not None
    before = await snapshot()
    await dependencies.add(a_dependency(1, 2))
    assert await dependencies.remove(numbered_id(1), "1-on-2", NOON)
    assert await snapshot() == before
    assert not await dependencies.remove(numbered_id(1), "1-on-2", NOON)


async def test_a_task_that_waits_is_looked_at_when_it_has_to_wait_for_one_less(
    dependencies: DependencyStore, store: RedisStore
) -> None:
    await dependencies.add(a_dependency(1, 2))
    await store.command("ZREM", keys.API_DUE, numbered_id(1))
    await store.command("ZADD", keys.API_WAITING, to_unix_ms(TEN_O_CLOCK), numbered_id(1))
    await dependencies.remove(numbered_id(1), "1-on-2", NOON)
    assert await store.command("ZSCORE", keys.API_DUE, numbered_id(1)) == to_unix_ms(NOON)
    assert await store.command("EXISTS", keys.API_WAITING) == 0


async def test_an_entry_of_another_hand_is_left_out_and_can_be_removed(
    dependencies: DependencyStore, store: RedisStore
) -> None:
    await dependencies.add(a_dependency(1, 2))
    for text in ("{", "[]", '{"on":1}', '{"on":"x","type":"soon","created_at":1}'):
        await store.command("HSET", keys.api_dependencies(numbered_id(1)), "odd", text)
        assert await dependencies.list(numbered_id(1)) == [a_dependency(1, 2)]
        assert await dependencies.add(a_dependency(2, 1)) == refused(DependencyRefusal.CYCLE, 2, 1, 2)
    assert await dependencies.remove(numbered_id(1), "odd", NOON)


@pytest.mark.parametrize(
    "key",
    [
        keys.api_task(numbered_id(1)),
        keys.api_dependencies(numbered_id(1)),
        keys.api_dependencies(numbered_id(2)),
        keys.api_dependents(numbered_id(2)),
    ],
)
async def test_where_a_key_holds_another_type_nothing_is_half_written(
    dependencies: DependencyStore, store: RedisStore, snapshot: Snapshot, key: str
) -> None:
    await store.command("DEL", key)
    await store.command("SET", key, "none of ours")
    before = await snapshot()
    with pytest.raises(DamagedKeyError, match=key):
        await dependencies.add(a_dependency(1, 2))
    assert await snapshot() == before
