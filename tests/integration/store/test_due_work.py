from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from taskqueue.core.instants import to_unix_ms
from taskqueue.core.skipped import SkippedInstants
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueChanges, DueCounts, DueEntry, Missing
from taskqueue.store.plan import PlanStore
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
    await plan.due.sync(token, remove=[], keep=keep)


async def test_due_entries_come_earliest_first(plan: PlanStore, token: str) -> None:
    later = DueEntry(task_id="hourly_sync", cohort="0123456789abcdef", at=TEN_O_CLOCK + HOUR)
    await make_due(plan, token, later, ENTRY)
    assert await plan.due.until(TEN_O_CLOCK, 10) == [ENTRY]
    assert await plan.due.until(TEN_O_CLOCK + HOUR, 10) == [ENTRY, later]
    assert await plan.due.until(TEN_O_CLOCK + HOUR, 1) == [ENTRY]
    assert await plan.due.next() == TEN_O_CLOCK


async def test_without_due_work_nothing_is_next(plan: PlanStore) -> None:
    assert await plan.due.next() is None
    assert await plan.due.rules() == {}


async def test_a_sync_keeps_the_instant_of_an_unchanged_rule(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    changed = await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "rule", TOMORROW)])
    assert changed == DueChanges(changed=0)
    assert await plan.due.next() == TEN_O_CLOCK


async def test_a_sync_sets_the_instant_of_a_changed_rule(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    assert await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "another", TOMORROW)]) == DueChanges(
        changed=1, dropped=(ENTRY,)
    )
    assert await plan.due.next() == TOMORROW
    assert await plan.due.rules() == {ENTRY.member: "another"}


async def test_a_rule_that_is_never_due_again_has_no_entry(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "over", None)])
    assert await plan.due.next() is None
    assert await plan.due.rules() == {ENTRY.member: "over"}


async def test_what_is_never_due_again_is_not_lost(plan: PlanStore, token: str) -> None:
    over = DueEntry(task_id="over", cohort="", at=TEN_O_CLOCK)
    await make_due(plan, token, ENTRY)
    await plan.move_due(token, ENTRY, None)
    await plan.due.sync(token, remove=[], keep=[(over.member, "rule", None)])
    counts = await plan.due.counts()
    assert (counts, counts.lost) == (DueCounts(entries=0, scored=0, rules=2, ended=2), False)
    assert await plan.due.missing([ENTRY.member, over.member]) == Missing(lost=(), ended=(ENTRY.member, over.member))


@pytest.mark.parametrize(
    "changes",
    [
        {"remove": [ENTRY.member], "keep": []},
        {"remove": [], "keep": [(ENTRY.member, "new", TOMORROW)]},
        {"remove": [], "keep": [(ENTRY.member, "rule", TOMORROW)]},
    ],
)
async def test_what_goes_or_begins_anew_has_not_ended(
    plan: PlanStore, token: str, changes: dict[str, list[Any]]
) -> None:
    await make_due(plan, token, ENTRY)
    await plan.move_due(token, ENTRY, None)
    await plan.due.sync(token, **changes)
    counts = await plan.due.counts()
    assert (counts.ended, counts.lost) == (0, False)


async def test_a_lost_entry_without_an_instant_is_noted_and_no_change(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    await make_due(plan, token, ENTRY)
    assert await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "rule", None)]) == DueChanges(changed=0)
    assert (await plan.due.counts()).ended == 0
    await store.command("ZREM", keys.DUE, ENTRY.member)
    assert await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "rule", None)]) == DueChanges(changed=0)
    assert (await plan.due.counts()).ended == 1


async def test_a_sync_removes_what_is_gone(plan: PlanStore, token: str) -> None:
    other = DueEntry(task_id="hourly_sync", cohort="", at=TOMORROW)
    await make_due(plan, token, ENTRY, other)
    changes = await plan.due.sync(token, remove=[ENTRY.member, "never there"], keep=[])
    assert changes == DueChanges(changed=1, dropped=(ENTRY,))
    assert await plan.due.until(TOMORROW, 10) == [other]
    assert await plan.due.rules() == {other.member: "rule"}


async def test_a_held_entry_is_due_no_more_but_looked_at_at_its_instant(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    assert await plan.due.hold(token, ENTRY)
    assert (await plan.due.until(TOMORROW, 10), await plan.due.next()) == ([], None)
    assert await plan.due.held_until(TEN_O_CLOCK - HOUR, 10) == []
    assert await plan.due.held_until(TEN_O_CLOCK, 10) == [replace(ENTRY, held=True)]
    assert await plan.due.next_held() == TEN_O_CLOCK


async def test_an_entry_that_has_moved_is_not_held(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, replace(ENTRY, at=TOMORROW))
    assert not await plan.due.hold(token, ENTRY)
    assert await plan.due.next() == TOMORROW


async def test_a_held_entry_moves_on_as_any_other(plan: PlanStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    await plan.due.hold(token, ENTRY)
    assert await plan.move_due(token, replace(ENTRY, held=True), TOMORROW)
    assert not await plan.move_due(token, replace(ENTRY, held=True), TOMORROW)
    assert (await plan.due.next(), await plan.due.next_held()) == (TOMORROW, None)


@pytest.mark.parametrize(
    "changes", [{"remove": [ENTRY.member], "keep": []}, {"remove": [], "keep": [(ENTRY.member, "new", TOMORROW)]}]
)
async def test_a_held_entry_goes_with_its_rule(plan: PlanStore, token: str, changes: dict[str, list[Any]]) -> None:
    await make_due(plan, token, ENTRY)
    await plan.due.hold(token, ENTRY)
    assert await plan.due.sync(token, **changes) == DueChanges(changed=1, dropped=(ENTRY,))
    assert await plan.due.next_held() is None
    assert await plan.due.next() == (TOMORROW if changes["keep"] else None)


async def test_a_sync_sets_what_has_a_rule_but_no_entry(plan: PlanStore, store: RedisStore, token: str) -> None:
    held = DueEntry(task_id="held", cohort="", at=TEN_O_CLOCK)
    await make_due(plan, token, ENTRY, held)
    await plan.due.hold(token, held)
    await store.command("ZREM", keys.DUE, ENTRY.member)
    counts = await plan.due.counts()
    assert (counts, counts.lost) == (DueCounts(entries=1, scored=1, rules=2, ended=0), True)
    assert await plan.due.missing([ENTRY.member, held.member]) == Missing(lost=(ENTRY.member,), ended=())
    await make_due(plan, token, replace(ENTRY, at=TOMORROW), replace(held, at=TOMORROW))
    assert (await plan.due.next(), await plan.due.next_held()) == (TOMORROW, TEN_O_CLOCK)


@pytest.mark.parametrize("instant", [None, "soon", "-1", "9" * 15, "٣"])
async def test_a_held_entry_without_a_readable_instant_is_damaged(
    plan: PlanStore, store: RedisStore, instant: str | None
) -> None:
    await store.command("ZADD", keys.DUE_HELD, 1, "report")
    if instant is not None:
        await store.command("HSET", keys.DUE_HELD_INSTANTS, "report", instant)
    assert await plan.due.held_until(TOMORROW, 10) == []
    (damaged,) = plan.due.take_damaged()
    assert f"ZREM {keys.DUE_HELD} 'report'" in str(damaged)
    assert plan.due.take_damaged() == []


async def test_entries_that_are_none_hide_no_other(plan: PlanStore, store: RedisStore, token: str) -> None:
    await make_due(plan, token, ENTRY)
    await store.command("ZADD", keys.DUE, "-inf", "before time", "inf", "after time", 1, b"\xff", 2, "report:")
    assert await plan.due.until(TEN_O_CLOCK, 10) == [ENTRY]
    assert [damaged.member for damaged in plan.due.take_damaged()] == [b"before time", b"\xff", b"report:"]
    assert await plan.due.piece(0, 10) == [ENTRY]


@pytest.mark.parametrize("held", [False, True])
async def test_an_entry_at_a_fraction_of_a_millisecond_moves_as_any_other(
    plan: PlanStore, store: RedisStore, token: str, held: bool
) -> None:
    await store.command("ZADD", keys.DUE, f"{to_unix_ms(TEN_O_CLOCK)}.5", ENTRY.member)
    (found,) = await plan.due.until(TOMORROW, 10)
    assert found == ENTRY
    if held:
        assert await plan.due.hold(token, found)
    assert await plan.move_due(token, replace(found, held=held), TOMORROW)
    assert await plan.due.next() == TOMORROW


async def test_a_piece_holds_the_latest_entries_and_held_ones(plan: PlanStore, token: str) -> None:
    later, held = DueEntry(task_id="later", cohort="", at=TOMORROW), DueEntry(task_id="held", cohort="", at=TEN_O_CLOCK)
    await make_due(plan, token, ENTRY, later, held)
    await plan.due.hold(token, held)
    assert await plan.due.piece(0, 1) == [later, replace(held, held=True)]
    assert await plan.due.piece(1, 1) == [ENTRY]
    assert await plan.due.piece(2, 1) == []


async def test_a_held_entry_whose_instant_is_none_is_lost_and_no_longer_held(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    await make_due(plan, token, ENTRY)
    await plan.due.hold(token, ENTRY)
    await store.command("HSET", keys.DUE_HELD_INSTANTS, ENTRY.member, "soon")
    await store.command("ZREM", keys.DUE_HELD, ENTRY.member)
    await plan.due.look_again(token)
    assert await plan.due.missing([ENTRY.member]) == Missing(lost=(ENTRY.member,), ended=())


async def test_a_key_of_another_type_gets_no_note_and_no_end(plan: PlanStore, token: str, store: RedisStore) -> None:
    skipped = SkippedInstants(first=TEN_O_CLOCK, until=TOMORROW, reason="missed", noted_at=TOMORROW)
    await store.command("SET", keys.skipped("daily_report"), "nonsense")

    await plan.due.note_skipped(token, [("daily_report", skipped), ("other", skipped)])

    assert await store.command("PTTL", keys.skipped("daily_report")) == -1
    assert await store.command("LLEN", keys.skipped("other")) == 1
