from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue.core.task import Removed, Task
from taskqueue.errors import LeaseLostError
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore, StandingCatalog
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from tests.support.values import a_task

REPORT, SYNC = a_task(id="daily_report"), a_task(id="hourly_sync", retries=2, timeout=timedelta(minutes=2))


@pytest.fixture
def catalog(store: RedisStore, scripts: Scripts) -> CatalogStore:
    return CatalogStore(store, scripts)


def by_id(*tasks: Task) -> dict[str, Task]:
    return {task.id: task for task in tasks}


async def test_before_the_first_leader_there_is_no_revision_and_no_task(catalog: CatalogStore) -> None:
    assert await catalog.revision() is None
    assert await catalog.read() == {}


async def test_workers_read_what_the_leader_wrote(catalog: CatalogStore, token: str) -> None:
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    assert await catalog.revision() == "r1"
    assert await catalog.read() == by_id(REPORT, SYNC)


async def test_a_changed_task_replaces_the_one_before(catalog: CatalogStore, token: str) -> None:
    await catalog.write(token, by_id(SYNC), "r1")
    changed = a_task(id="hourly_sync", retries=5)
    await catalog.write(token, by_id(changed), "r2")
    assert await catalog.read() == by_id(changed)


async def test_a_removed_task_stays_for_its_jobs(catalog: CatalogStore, store: RedisStore, token: str) -> None:
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await catalog.write(token, by_id(REPORT), "r2")
    assert await catalog.read() == by_id(REPORT, SYNC)
    assert await store.command("HKEYS", keys.CATALOG_REMOVED) == [b"hourly_sync"]


async def test_a_task_removed_long_ago_goes_with_the_next_change(
    catalog: CatalogStore, store: RedisStore, token: str
) -> None:
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await catalog.write(token, by_id(REPORT), "r2")
    await store.command("HSET", keys.CATALOG_REMOVED, "hourly_sync", 1)
    await catalog.write(token, by_id(REPORT), "r3")
    assert await catalog.read() == by_id(REPORT)
    assert await store.command("EXISTS", keys.CATALOG_REMOVED) == 0


async def test_a_task_that_comes_back_is_no_longer_removed(
    catalog: CatalogStore, store: RedisStore, token: str
) -> None:
    await catalog.write(token, by_id(SYNC), "r1")
    await catalog.write(token, {}, "r2")
    await catalog.write(token, by_id(SYNC), "r3")
    assert await store.command("EXISTS", keys.CATALOG_REMOVED) == 0


async def test_who_does_not_lead_writes_nothing(catalog: CatalogStore, token: str) -> None:
    await catalog.write(token, by_id(REPORT), "r1")
    with pytest.raises(LeaseLostError):
        await catalog.write("another token", by_id(SYNC), "r2")
    assert await catalog.revision() == "r1"
    assert await catalog.read() == by_id(REPORT)


async def test_a_definition_of_a_later_version_hides_no_other(
    catalog: CatalogStore, store: RedisStore, token: str
) -> None:
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await store.command("HSET", keys.CATALOG, "hourly_sync", '{"id": "hourly_sync", "interval": {"type": "lunar"}}')

    assert await catalog.read() == by_id(REPORT)
    assert list(catalog.unreadable) == ["hourly_sync"]


async def test_a_removed_task_whose_jobs_are_drained_says_so(store: RedisStore, scripts: Scripts, token: str) -> None:
    catalog = CatalogStore(store, scripts, Removed.DRAIN)
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await catalog.write(token, by_id(REPORT), "r2")
    await catalog.write(token, by_id(REPORT), "r3")
    assert await catalog.read() == by_id(REPORT, replace(SYNC, removed=True))
    await catalog.write(token, by_id(REPORT, SYNC), "r4")
    assert await catalog.read() == by_id(REPORT, SYNC)


async def test_a_leader_with_another_policy_for_removed_tasks_makes_it_known(
    catalog: CatalogStore, store: RedisStore, scripts: Scripts, token: str
) -> None:
    await catalog.write(token, by_id(SYNC), "r1")
    await catalog.write(token, {}, "r2")
    revisions = [await catalog.revision()]
    await CatalogStore(store, scripts, Removed.DRAIN).write(token, {}, "r2")
    revisions.append(await catalog.revision())
    assert await catalog.read() == by_id(replace(SYNC, removed=True))
    await catalog.write(token, {}, "r2")
    assert await catalog.read() == by_id(SYNC)
    assert len({*revisions}) == 2


async def test_the_next_leader_reads_what_is_in_force_and_who_wrote_it(
    catalog: CatalogStore, store: RedisStore, token: str
) -> None:
    assert await catalog.standing() == StandingCatalog(tasks={})
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await catalog.write(token, by_id(REPORT), "r2")
    await store.command("HSET", keys.CATALOG, "newer", "{}")
    written_by = token.rpartition(":")[0]
    assert await catalog.standing() == StandingCatalog(
        tasks=by_id(REPORT), unreadable=frozenset({"newer"}), written_by=written_by, removed=by_id(SYNC)
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("junk", b"\xff"),
        (b"\xff", b"{}"),
        ("no task id", b"{}"),
        ("junk", b"[]"),
        ("junk", b"null"),
        ("junk", b"7"),
        ("junk", b"[" * 100_000),
    ],
)
async def test_what_no_scheduler_wrote_is_unreadable_and_no_task_of_the_leader_before(
    catalog: CatalogStore, store: RedisStore, token: str, field: str | bytes, value: bytes
) -> None:
    await catalog.write(token, by_id(REPORT), "r1")
    await store.command("HSET", keys.CATALOG, field, value)
    standing = await catalog.standing()
    assert (standing.tasks, standing.unreadable) == (by_id(REPORT), frozenset())
    assert len(catalog.unreadable) == 1


async def test_a_definition_under_another_id_is_no_task(catalog: CatalogStore, store: RedisStore, token: str) -> None:
    await catalog.write(token, by_id(REPORT), "r1")
    await store.command("HSET", keys.CATALOG, "other", await store.command("HGET", keys.CATALOG, REPORT.id))
    assert await catalog.read() == by_id(REPORT)
    assert "daily_report" in catalog.unreadable["other"]


async def test_a_removal_without_an_instant_counts_from_now(
    catalog: CatalogStore, store: RedisStore, token: str
) -> None:
    await catalog.write(token, by_id(REPORT, SYNC), "r1")
    await store.command("HSET", keys.CATALOG_REMOVED, SYNC.id, b"\xff")
    await catalog.write(token, by_id(REPORT), "r2")
    assert await catalog.read() == by_id(REPORT, SYNC)
    assert int(await store.command("HGET", keys.CATALOG_REMOVED, SYNC.id)) > 0
