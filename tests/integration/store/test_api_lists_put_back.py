"""Whatever somebody removes of the lists of API tasks, the records bring it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from taskqueue.core.api_task import ApiPriority, TaskStatus, TaskType
from taskqueue.errors import DamagedKeyError, LeaseLostError
from taskqueue.store import keys
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_tasks import ApiTaskStore, Changed, Deleted
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.api_firing import in_status, known
from tests.support.api_values import NOON, a_new_task, numbered_id
from tests.support.contents import everything

INDEX = keys.API_INDEX_PREFIX
LISTS = [
    [keys.API_TASKS],
    [keys.API_NAMES],
    [keys.API_TASKS, keys.API_NAMES],
    [INDEX + "status:paused"],
    [INDEX + "status:scheduled:priority:high"],
    [INDEX + "priority:low"],
    [INDEX + "type:one_time"],
    [INDEX + "tag:team=a%20b"],
]


@pytest.fixture
def indexes(store: RedisStore, scripts: Scripts) -> ApiIndexes:
    return ApiIndexes(store, scripts)


@pytest.fixture
async def tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    """Some tasks of all kinds."""
    tasks = ApiTaskStore(store, scripts)
    rows = [
        a_new_task(number, priority=list(ApiPriority)[number % 3], tags={"team": "a b", "number": str(number)})
        for number in range(1, 7)
    ]
    rows.append(a_new_task(7, task_type=TaskType.ONE_TIME, run_at=NOON, task_name="once", priority=ApiPriority.HIGH))
    await tasks.create_many(rows)
    await tasks.set_paused(numbered_id(2), NOON)
    return tasks


@pytest.mark.parametrize("lost", LISTS, ids=" ".join)
@pytest.mark.usefixtures("tasks")
async def test_what_was_lost_stands_there_again_as_it_was(
    indexes: ApiIndexes, store: RedisStore, token: str, lost: Sequence[str]
) -> None:
    before = await everything(store)
    assert await store.command("DEL", *lost) == len(lost)

    assert await indexes.put_back(token, rest_s=0) > 0

    assert await everything(store) == before
    assert await indexes.put_back(token, rest_s=0) == 0


@pytest.mark.parametrize("lost", LISTS[:-1], ids=" ".join)
@pytest.mark.usefixtures("tasks")
async def test_the_sizes_show_that_a_list_was_lost(indexes: ApiIndexes, store: RedisStore, lost: Sequence[str]) -> None:
    if lost == [keys.API_TASKS, keys.API_NAMES]:
        lost = [*lost, INDEX + "type:cron"]
    assert not any((await indexes.sizes()).gaps)

    await store.command("DEL", *lost)

    assert any((await indexes.sizes()).gaps)


@pytest.mark.usefixtures("tasks")
async def test_what_another_hand_wrote_is_put_into_no_list(indexes: ApiIndexes, store: RedisStore, token: str) -> None:
    await store.command("SET", keys.api_task("text"), "not ours")
    await store.command("HSET", keys.api_task("half"), "doc", "{}")
    await store.command("HSET", keys.api_task("bad"), "doc", "{}", "name", "n", "indexes", "type:cron", "status", "x")

    assert await indexes.put_back(token, rest_s=0) == 0


@pytest.mark.usefixtures("tasks")
async def test_a_list_of_another_type_is_named(indexes: ApiIndexes, store: RedisStore, token: str) -> None:
    await store.command("DEL", INDEX + "type:cron")
    await store.command("SET", INDEX + "type:cron", "not ours")

    with pytest.raises(DamagedKeyError, match="type:cron"):
        await indexes.put_back(token, rest_s=0)
    with pytest.raises(DamagedKeyError, match="type:cron"):
        await indexes.sizes()


@pytest.mark.parametrize("lost", LISTS[:3], ids=" ".join)
async def test_tasks_that_change_while_a_list_is_lost_stand_in_the_lists_as_they_are_now(
    indexes: ApiIndexes, tasks: ApiTaskStore, store: RedisStore, token: str, lost: Sequence[str]
) -> None:
    await tasks.create(*a_new_task(8, task_name="once", schedule_expression="0 1 * * *"))
    await store.command("DEL", *lost)

    assert isinstance(await tasks.set_paused(numbered_id(1), NOON), Changed)
    assert isinstance(await tasks.resume(numbered_id(2), NOON), Changed)
    renamed = await known(tasks, numbered_id(3))
    changed = replace(renamed[0], task_name="another", priority=ApiPriority.LOW, revision=renamed[0].revision + 1)
    assert isinstance(await tasks.patch(renamed, changed), Changed)
    assert await tasks.delete(numbered_id(7)) == Deleted()
    await indexes.put_back(token, rest_s=0)

    assert not any((await indexes.sizes()).gaps)
    assert await in_status(tasks) == {TaskStatus.SCHEDULED: 6, TaskStatus.PAUSED: 1}
    left = await everything(store)
    await store.command("DEL", keys.API_TASKS, keys.API_NAMES, *await store.command("KEYS", INDEX + "*"))
    await indexes.put_back(token, rest_s=0)
    assert await everything(store) == left


@pytest.mark.usefixtures("tasks")
async def test_who_does_not_lead_puts_nothing_back(indexes: ApiIndexes, store: RedisStore, token: str) -> None:
    await store.command("DEL", keys.API_NAMES)

    with pytest.raises(LeaseLostError):
        await indexes.put_back(token + "0", rest_s=0)

    assert await store.command("EXISTS", keys.API_NAMES) == 0
