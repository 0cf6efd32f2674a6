from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.store.connection import RedisStore
from taskqueue.store.plan import DueEntry, PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.values import TEN_O_CLOCK

HOUR = timedelta(hours=1)
TOMORROW = TEN_O_CLOCK + timedelta(days=1)
ENTRY = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


async def make_due(plan: PlanStore, token: str, *entries: DueEntry) -> None:
    keep = [(entry.member, "rule", entry.at) for entry in entries]
    await plan.sync_due(token, remove=[], keep=keep)


async def test_due_entries_come_earliest_first(plan: PlanStore, token: str) -> None:
    later = DueEntry(task_id="hourly_sync", cohort="0123456789abcdef", at=TEN_O_CLOCK + HOUR)
    await make_due(plan, token, later, ENTRY)
    assert await plan.due_until(TEN_O_CLOCK, 10) == [ENTRY]
    assert await plan.due_until(TEN_O_CLOCK + HOUR, 10) == [ENTRY, later]
    assert await plan.due_until(TEN_O_CLOCK + HOUR, 1) == [ENTRY]
    assert await plan.next_due() == TEN_O_CLOCK


async def test_without_due_work_nothing_is_next(plan: PlanStore) -> None:
    assert await plan.next_due() is None
    assert await plan.due_rules() == {}


async def test_a_sync_keeps_the_instant_of_an_unchanged_rule(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    changed = await plan.sync_due(token, remove=[], keep=[(ENTRY.member, "rule", TOMORROW)])
    assert changed == 0
    assert await plan.next_due() == TEN_O_CLOCK


async def test_a_sync_sets_the_instant_of_a_changed_rule(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    assert await plan.sync_due(token, remove=[], keep=[(ENTRY.member, "another", TOMORROW)]) == 1
    assert await plan.next_due() == TOMORROW
    assert await plan.due_rules() == {ENTRY.member: "another"}


async def test_a_rule_that_is_never_due_again_has_no_entry(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    await plan.sync_due(token, remove=[], keep=[(ENTRY.member, "over", None)])
    assert await plan.next_due() is None
    assert await plan.due_rules() == {ENTRY.member: "over"}


async def test_a_sync_removes_what_is_gone(plan: PlanStore, token: str) -> None:
    other = DueEntry(task_id="hourly_sync", cohort="", at=TOMORROW)
    await make_due(plan, token, ENTRY, other)
    assert await plan.sync_due(token, remove=[ENTRY.member, "never there"], keep=[]) == 1
    assert await plan.due_until(TOMORROW, 10) == [other]
    assert await plan.due_rules() == {other.member: "rule"}
