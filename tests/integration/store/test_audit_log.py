from __future__ import annotations

import pytest

from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.audit import ENTRIES_KEPT, AuditLog, Change
from taskqueue.store.connection import RedisStore


@pytest.fixture
def audit_log(store: RedisStore) -> AuditLog:
    return AuditLog(store)


def a_change(number: int = 0) -> Change:
    return Change(
        method="DELETE",
        route="/api/v1/tasks/{task_id}",
        ids={"task_id": "täsk\n\x00"},
        token_id="abcdefghij",
        status=204,
        request_id=f"request-{number}",
    )


async def test_what_was_appended_is_read_the_latest_first(audit_log: AuditLog) -> None:
    for number in range(3):
        await audit_log.append(a_change(number))

    entries = await audit_log.read(limit=10)

    assert [entry.change for entry in entries] == [a_change(2), a_change(1), a_change(0)]
    assert entries[0].at >= entries[-1].at


async def test_pages_follow_each_other_without_gap_or_overlap(audit_log: AuditLog) -> None:
    for number in range(5):
        await audit_log.append(a_change(number))

    first = await audit_log.read(limit=2)
    second = await audit_log.read(limit=2, before=first[-1].entry_id)
    third = await audit_log.read(limit=2, before=second[-1].entry_id)

    assert [entry.change.request_id[-1] for entry in [*first, *second, *third]] == ["4", "3", "2", "1", "0"]
    assert await audit_log.read(limit=2, before=third[-1].entry_id) == []


async def test_nothing_is_older_than_the_oldest_entry_possible(audit_log: AuditLog) -> None:
    assert await audit_log.read(limit=2, before="0-0") == []


@pytest.mark.parametrize("before", ["", "x", "1", "1-", "-1", "+", "1-1 COUNT 5", "9" * 30 + "-1"])
async def test_a_page_begins_only_behind_the_id_of_an_entry(audit_log: AuditLog, before: str) -> None:
    with pytest.raises(InvalidValueError, match="before"):
        await audit_log.read(limit=2, before=before)


async def test_the_log_does_not_grow_without_end(audit_log: AuditLog, store: RedisStore) -> None:
    entry = ["XADD", keys.API_AUDIT, "*", "method", "POST"]
    await store.pipeline([entry] * (ENTRIES_KEPT + 500))

    await audit_log.append(a_change())

    assert await store.command("XLEN", keys.API_AUDIT) < ENTRIES_KEPT + 200


async def test_an_entry_that_is_none_of_ours_is_named_as_damaged(audit_log: AuditLog, store: RedisStore) -> None:
    await store.command("XADD", keys.API_AUDIT, "*", "ids", "no json")

    with pytest.raises(DamagedKeyError, match="taskqueue:api:audit"):
        await audit_log.read(limit=1)
