from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from taskqueue.core.api_task import ApiPriority, ApiTask, TaskStatus, TaskType
from taskqueue.core.interval import Every, EveryKind
from taskqueue.errors import DamagedKeyError
from taskqueue.store import api_task_search, keys
from taskqueue.store.api_task_search import ApiTaskFilter, ApiTaskSearch
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.api_values import NOON, a_new_task, numbered_id

EVERYTHING = ApiTaskFilter()
NAMES = ("sync", "sync_users", "sync users", "Sync", "synç", "report")
TAGS: tuple[dict[str, str], ...] = ({}, {"env": "production"}, {"env": "test", "team": "a:b=c"})
TYPES: tuple[dict[str, Any], ...] = (
    {},
    {"task_type": TaskType.ONE_TIME, "run_at": NOON},
    {"task_type": TaskType.INTERVAL, "interval": Every(kind=EveryKind.HOURLY, value=2)},
)


@pytest.fixture
def search(store: RedisStore, scripts: Scripts) -> ApiTaskSearch:
    return ApiTaskSearch(store, scripts)


@pytest.fixture
async def population(tasks: ApiTaskStore) -> list[ApiTask]:
    """300 tasks of all kinds, the latest first."""
    rows = [
        a_new_task(
            number,
            task_name=NAMES[number % 6],
            priority=list(ApiPriority)[number % 3],
            tags=TAGS[number // 2 % 3],
            enabled=number % 5 != 0,
            **TYPES[number // 3 % 3],
        )
        for number in range(300)
    ]
    await tasks.create_many(rows)
    return [task for task, _ in reversed(rows)]


def numbers(tasks: Iterable[ApiTask]) -> list[str]:
    return [task.task_id[-4:] for task in tasks]


async def whole_list(search: ApiTaskSearch, wanted: ApiTaskFilter, limit: int = 7) -> tuple[list[ApiTask], set[int]]:
    """Return all pages, and the totals that they told."""
    found, totals = list[ApiTask](), set[int]()
    while True:
        page = await search.page(wanted, limit=limit, offset=len(found))
        totals.add(page.total)
        assert page.complete
        if not page.tasks:
            return found, totals
        found += [task for task, _ in page.tasks]


Meant = Callable[[ApiTask], bool]

FILTERS: list[tuple[ApiTaskFilter, Meant]] = [
    (EVERYTHING, lambda _: True),
    (ApiTaskFilter(status=TaskStatus.PAUSED), lambda task: not task.enabled),
    (ApiTaskFilter(status=TaskStatus.COMPLETED), lambda _: False),
    (ApiTaskFilter(priority=ApiPriority.HIGH), lambda task: task.priority is ApiPriority.HIGH),
    (
        ApiTaskFilter(status=TaskStatus.SCHEDULED, priority=ApiPriority.LOW),
        lambda task: task.enabled and task.priority is ApiPriority.LOW,
    ),
    (ApiTaskFilter(task_type=TaskType.INTERVAL), lambda task: task.task_type is TaskType.INTERVAL),
    (ApiTaskFilter(tags={"team": "a:b=c"}), lambda task: task.tags.get("team") == "a:b=c"),
    (ApiTaskFilter(tags={"env": "test", "team": "a:b=c"}), lambda task: len(task.tags) == 2),
    (ApiTaskFilter(tags={"env": "production", "team": "a:b=c"}), lambda _: False),
    (
        ApiTaskFilter(task_type=TaskType.CRON, priority=ApiPriority.MEDIUM, tags={"env": "production"}),
        lambda task: (
            (task.task_type, task.priority, task.tags.get("env")) == (TaskType.CRON, ApiPriority.MEDIUM, "production")
        ),
    ),
]


@pytest.mark.parametrize(("wanted", "meant"), FILTERS)
async def test_a_list_holds_what_is_meant_the_latest_first_and_tells_how_many_there_are(
    search: ApiTaskSearch, population: list[ApiTask], wanted: ApiTaskFilter, meant: Meant
) -> None:
    expected = [task for task in population if meant(task)]
    assert await whole_list(search, wanted) == (expected, {len(expected)})


@pytest.mark.parametrize("name", [*NAMES, "", "syn", "sync\x00", "\ud800"])
@pytest.mark.parametrize("more", [{}, {"priority": ApiPriority.HIGH}])
async def test_a_name_finds_the_tasks_of_that_very_name(
    search: ApiTaskSearch, population: list[ApiTask], name: str, more: dict[str, Any]
) -> None:
    priorities = [more["priority"]] if more else list(ApiPriority)
    expected = [task for task in population if task.task_name == name and task.priority in priorities]
    assert await whole_list(search, ApiTaskFilter(name=name, **more)) == (expected, {len(expected)})


@pytest.mark.parametrize("prefix", ["", "s", "sync", "syn\u00e7", "S", "x"])
@pytest.mark.parametrize("more", [{}, {"status": TaskStatus.SCHEDULED}])
async def test_a_prefix_finds_the_tasks_whose_names_begin_so_in_the_order_of_names(
    search: ApiTaskSearch, population: list[ApiTask], prefix: str, more: dict[str, Any]
) -> None:
    meant = [task for task in population if task.task_name.startswith(prefix) and (task.enabled or not more)]
    expected = sorted(meant, key=lambda task: task.task_name.encode())
    found, totals = await whole_list(search, ApiTaskFilter(name=prefix, name_is_prefix=True, **more))
    assert (numbers(found), totals) == (numbers(expected), {len(expected)})


@pytest.mark.parametrize(("wanted", "meant"), FILTERS)
async def test_a_search_in_pieces_finds_the_same(
    search: ApiTaskSearch,
    population: list[ApiTask],
    monkeypatch: pytest.MonkeyPatch,
    wanted: ApiTaskFilter,
    meant: Meant,
) -> None:
    monkeypatch.setattr(api_task_search, "_PIECE", 7)
    expected = [task for task in population if meant(task)]
    assert await whole_list(search, wanted, limit=40) == (expected, {len(expected)})


async def test_a_page_behind_the_end_is_empty_and_still_tells_how_many_there_are(
    search: ApiTaskSearch, population: list[ApiTask]
) -> None:
    page = await search.page(EVERYTHING, limit=20, offset=10**12)
    assert (page.tasks, page.total) == ((), len(population))


async def test_only_so_many_are_looked_at_where_no_index_answers(
    search: ApiTaskSearch, population: list[ApiTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_task_search, "MOST_LOOKED_AT", 60)
    monkeypatch.setattr(api_task_search, "_PIECE", 25)
    wanted = ApiTaskFilter(task_type=TaskType.CRON, priority=ApiPriority.HIGH)
    page = await search.page(wanted, limit=5, offset=0)
    expected = [task for task in population if (task.task_type, task.priority) == (TaskType.CRON, ApiPriority.HIGH)]
    assert ([task for task, _ in page.tasks], page.complete) == (expected[:5], False)
    assert 5 <= page.total < len(expected)


@pytest.mark.usefixtures("population")
async def test_a_record_that_cannot_be_read_hides_no_other(search: ApiTaskSearch, store: RedisStore) -> None:
    await store.command("HSET", keys.api_task(numbered_id(299)), "doc", "none of ours")
    await store.command("DEL", keys.api_task(numbered_id(298)), keys.api_task(numbered_id(297)))
    await store.command("SET", keys.api_task(numbered_id(297)), "none of ours")
    page = await search.page(EVERYTHING, limit=4, offset=0)
    assert [task.task_id for task, _ in page.tasks] == [numbered_id(296)]
    wanted = ApiTaskFilter(status=TaskStatus.SCHEDULED, name="", name_is_prefix=True)
    assert (await search.page(wanted, limit=300, offset=0)).total == 240


async def test_a_list_follows_what_a_task_becomes(tasks: ApiTaskStore, search: ApiTaskSearch) -> None:
    row = a_new_task(tags={"env": "test"})
    await tasks.create(*row)
    await tasks.set_paused(row[0].task_id, NOON)
    wanted = ApiTaskFilter(status=TaskStatus.SCHEDULED, priority=ApiPriority.MEDIUM)
    assert (await search.page(wanted, limit=1, offset=0)).total == 0
    wanted = ApiTaskFilter(status=TaskStatus.PAUSED, priority=ApiPriority.MEDIUM, tags={"env": "test"})
    assert (await search.page(wanted, limit=1, offset=0)).total == 1


@pytest.mark.parametrize("key", [keys.API_TASKS, keys.API_NAMES])
async def test_an_index_of_another_type_is_told_with_its_key(
    search: ApiTaskSearch, store: RedisStore, key: str
) -> None:
    await store.command("SET", key, "none of ours")
    wanted = EVERYTHING if key == keys.API_TASKS else ApiTaskFilter(name="sync")
    with pytest.raises(DamagedKeyError, match=key):
        await search.page(wanted, limit=1, offset=0)
