from __future__ import annotations

import pytest

from taskqueue.errors import StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import CatalogReloaded, Event
from taskqueue.telemetry.worker_events import LimitUnused
from taskqueue.worker.definitions import Definitions
from tests.support.values import a_task


@pytest.fixture
async def catalog(store: RedisStore, scripts: Scripts) -> CatalogStore:
    """A catalog that the leader `token` may write."""
    await store.command("SET", keys.LEASE, "token")
    return CatalogStore(store, scripts)


async def test_before_the_first_leader_nobody_can_tell_which_tasks_there_are(catalog: CatalogStore) -> None:
    definitions = Definitions(catalog, set(), lambda _event: None)

    with pytest.raises(StoreUnavailableError, match="scheduler"):
        await definitions.get("daily_report")


async def test_a_task_that_is_new_is_found_at_the_first_question(catalog: CatalogStore) -> None:
    definitions = Definitions(catalog, set(), lambda _event: None)
    await catalog.write("token", {"first": a_task(id="first")}, "r1")
    unknown = await definitions.get("second")

    await catalog.write("token", {"first": a_task(id="first"), "second": a_task(id="second")}, "r2")

    assert unknown is None
    assert await definitions.get("second") == a_task(id="second")
    assert len(definitions) == 2


async def test_each_revision_is_told_once_with_the_limits_that_fit_no_task(catalog: CatalogStore) -> None:
    events: list[Event] = []
    definitions = Definitions(catalog, {"daily_report", "api_heavy"}, events.append)
    await catalog.write("token", {"daily_report": a_task()}, "r1")

    for task_id in ("daily_report", "nobody", "nobody"):
        await definitions.get(task_id)

    assert events == [CatalogReloaded(ok=True, revision="r1", tasks=1), LimitUnused(task="api_heavy")]
