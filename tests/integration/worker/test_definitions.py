from __future__ import annotations

import pytest

from taskqueue.config.catalog import catalog_of_tasks
from taskqueue.core.api_task import to_task
from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import CatalogReloaded, Event
from taskqueue.telemetry.worker_events import LimitUnused
from taskqueue.worker.definitions import Definitions
from tests.support.api_values import a_new_task, numbered_id
from tests.support.values import TEN_O_CLOCK, a_task


@pytest.fixture
async def catalog(store: RedisStore, scripts: Scripts) -> CatalogStore:
    """A catalog that the leader `token` may write."""
    await store.command("SET", keys.LEASE, "token")
    return CatalogStore(store, scripts)


@pytest.fixture
def api_tasks(store: RedisStore, scripts: Scripts) -> ApiTaskStore:
    return ApiTaskStore(store, scripts)


async def test_before_the_first_leader_nobody_can_tell_which_tasks_there_are(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)

    with pytest.raises(StoreUnavailableError, match="scheduler"):
        await definitions.get("daily_report")


async def test_a_task_that_is_new_is_found_at_the_first_question(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await catalog.write("token", {"first": a_task(id="first")}, "r1")
    unknown = await definitions.get("second")

    await catalog.write("token", {"first": a_task(id="first"), "second": a_task(id="second")}, "r2")

    assert unknown is None
    assert await definitions.get("second") == a_task(id="second")
    assert len(definitions) == 2


async def test_definitions_that_somebody_deleted_are_waited_for(
    catalog: CatalogStore, api_tasks: ApiTaskStore, store: RedisStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await catalog.write("token", {"daily_report": a_task()}, "r1")
    await store.command("DEL", keys.CATALOG)

    with pytest.raises(StoreUnavailableError, match="scheduler"):
        await definitions.get("daily_report")
    await catalog.write("token", {"daily_report": a_task()}, "r1")

    assert await definitions.get("daily_report") == a_task()


async def test_without_any_task_on_purpose_every_job_is_of_an_unknown_one(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await catalog.write("token", {}, catalog_of_tasks({}).revision)

    assert await definitions.get("daily_report") is None


async def test_each_revision_is_told_once_with_the_limits_that_fit_no_task(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    events: list[Event] = []
    definitions = Definitions(catalog, api_tasks, {"daily_report", "api_heavy"}, events.append)
    await catalog.write("token", {"daily_report": a_task()}, "r1")

    for task_id in ("daily_report", "nobody", "nobody"):
        await definitions.get(task_id)

    assert events == [CatalogReloaded(ok=True, revision="r1", tasks=1), LimitUnused(task="api_heavy")]


async def test_a_task_of_the_api_is_read_for_each_job_so_that_a_pause_counts_at_once(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    task, state = a_new_task()
    await api_tasks.create(task, state)

    assert await definitions.get(task.task_id) == to_task(task)
    await api_tasks.set_paused(task.task_id, TEN_O_CLOCK)
    paused = await definitions.get(task.task_id)

    assert paused is not None
    assert not paused.enabled


async def test_a_task_of_the_api_that_was_deleted_is_unknown(catalog: CatalogStore, api_tasks: ApiTaskStore) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await catalog.write("token", {}, catalog_of_tasks({}).revision)

    assert await definitions.get(numbered_id(1)) is None


async def test_a_task_of_the_api_that_has_not_changed_is_the_very_same_one(
    catalog: CatalogStore, api_tasks: ApiTaskStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await api_tasks.create(*a_new_task())
    assert await definitions.get(numbered_id(1)) is await definitions.get(numbered_id(1))


async def test_a_task_of_the_api_that_cannot_be_read_leaves_its_job_waiting(
    catalog: CatalogStore, api_tasks: ApiTaskStore, store: RedisStore
) -> None:
    definitions = Definitions(catalog, api_tasks, set(), lambda _event: None)
    await store.command("HSET", keys.api_task(numbered_id(1)), "doc", "{}")
    with pytest.raises(StoreError):
        await definitions.get(numbered_id(1))
