"""A user is found in the slot lists where the planner has put them, without reading all lists."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.core.file_task import in_slot_order
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.slots import order_key
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.explain_slots import Sought, seek_user
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from tests.support.values import TEN_O_CLOCK, an_occurrence

ENTRY = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
USERS = in_slot_order("daily_report", [f"user-{number}" for number in range(300)])


async def planned(
    store: RedisStore, scripts: Scripts, token: str, occurrence: Occurrence, users: list[str], *, last: bool = True
) -> tuple[PlanStore, Progress]:
    """Put the users into slot lists as the planner does."""
    plan = PlanStore(store, scripts)
    await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "rule", TEN_O_CLOCK)])
    await plan.begin(token, ENTRY, None, occurrence)
    cursor = f"{order_key(occurrence.task_id, users[-1]):016x}:{users[-1]}"
    await plan.append(token, occurrence, Progress(), users, cursor, last=last)
    return plan, (await plan.read([occurrence.member]))[occurrence.member][1]


@pytest.mark.parametrize("window", [timedelta(0), timedelta(minutes=5), timedelta(hours=2), timedelta(days=2)], ids=str)
async def test_every_user_is_found_at_the_instant_of_the_plan(
    store: RedisStore, scripts: Scripts, token: str, window: timedelta
) -> None:
    occurrence = an_occurrence(users=len(USERS), window=window)
    _, progress = await planned(store, scripts, token, occurrence, USERS)

    for index, user in list(enumerate(USERS))[::13]:
        found = await seek_user(store, occurrence, progress, user)
        assert found.slot is not None
        assert (found.slot.number, found.slot.planned_at) == (
            occurrence.spread.slot(index),
            occurrence.execute_after(index),
        )


async def test_of_the_rest_of_a_slot_the_instants_stay_the_same(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(seconds=15))
    plan, progress = await planned(store, scripts, token, occurrence, USERS)
    await plan.trim_slot(token, occurrence, progress, first_user=USERS[0], count=150)
    progress = (await plan.read([occurrence.member]))[occurrence.member][1]

    found = await seek_user(store, occurrence, progress, USERS[160])

    assert found.slot is not None
    assert found.slot.planned_at == occurrence.execute_after(160)


async def test_whoever_was_not_planned_is_in_no_list(store: RedisStore, scripts: Scripts, token: str) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(hours=1))
    _, progress = await planned(store, scripts, token, occurrence, USERS)

    assert await seek_user(store, occurrence, progress, "somebody") == Sought(absent=True)


async def test_of_whoever_may_have_been_released_nothing_is_certain(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(0))
    plan, progress = await planned(store, scripts, token, occurrence, USERS)
    await plan.trim_slot(token, occurrence, progress, first_user=USERS[0], count=len(USERS))
    progress = (await plan.read([occurrence.member]))[occurrence.member][1]

    assert await seek_user(store, occurrence, progress, USERS[0]) == Sought()


async def test_only_the_piece_is_read_in_which_the_user_can_stand(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    users = in_slot_order("daily_report", [f"user-{number}" for number in range(20_000)])
    occurrence = an_occurrence(users=len(users), window=timedelta(0))
    _, progress = await planned(store, scripts, token, occurrence, users)
    before = await bytes_sent(store)

    found = await seek_user(store, occurrence, progress, users[10_000])

    assert found.slot is not None
    assert await bytes_sent(store) - before < 20_000 * len("user-10000") / 5


async def bytes_sent(store: RedisStore) -> int:
    info = await store.command("INFO", "stats")
    return int(info["total_net_output_bytes"])


async def test_a_list_that_was_deleted_is_no_place(store: RedisStore, scripts: Scripts, token: str) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(0))
    _, progress = await planned(store, scripts, token, occurrence, USERS)
    await store.command("DEL", keys.slot(occurrence.task_id, 0, progress.suffix))

    assert (await seek_user(store, occurrence, progress, USERS[7])).slot is None


async def test_users_in_lists_behind_the_release_are_found_although_it_has_gone_on(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(minutes=30))
    plan, before = await planned(store, scripts, token, occurrence, USERS)
    await plan.trim_slot(token, occurrence, before, first_user=USERS[0], count=1)

    found = await seek_user(store, occurrence, before, USERS[250])

    assert found.slot is not None
    assert found.slot.planned_at == occurrence.execute_after(250)


async def test_users_in_the_list_that_is_being_released_are_found_where_they_stand_now(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(seconds=5))
    plan, before = await planned(store, scripts, token, occurrence, USERS)
    await plan.trim_slot(token, occurrence, before, first_user=USERS[0], count=150)

    found = await seek_user(store, occurrence, before, USERS[160])

    assert found.slot is not None
    assert found.slot.planned_at == occurrence.execute_after(160)


@pytest.mark.parametrize("expected", [40_000, 20_000, 10_000], ids=["planning", "complete", "grown"])
async def test_whatever_the_audience_was_to_be_little_is_read(
    store: RedisStore, scripts: Scripts, token: str, expected: int
) -> None:
    audience = in_slot_order("daily_report", [f"user-{number}" for number in range(max(expected, 20_000))])
    users = audience[:20_000]
    occurrence = an_occurrence(users=expected, window=timedelta(minutes=1))
    complete = expected <= len(users)
    _, progress = await planned(store, scripts, token, occurrence, users, last=complete)
    before = await bytes_sent(store)

    for index in (0, 9_000, 19_999):
        found = await seek_user(store, occurrence, progress, users[index])
        assert found.slot is not None
        assert found.slot.planned_at == occurrence.execute_after(index)
    assert await bytes_sent(store) - before < 3 * 20_000 * len("user-10000") / 5


async def test_whoever_stands_before_the_cursor_in_no_list_is_in_none_while_others_are_planned(
    store: RedisStore, scripts: Scripts, token: str
) -> None:
    occurrence = an_occurrence(users=2 * len(USERS), window=timedelta(hours=1))
    _, progress = await planned(store, scripts, token, occurrence, USERS, last=False)

    assert await seek_user(store, occurrence, progress, "somebody") == Sought(absent=True)


async def test_of_a_plan_that_is_gone_nothing_is_certain(store: RedisStore, scripts: Scripts, token: str) -> None:
    occurrence = an_occurrence(users=len(USERS), window=timedelta(hours=1))
    _, progress = await planned(store, scripts, token, occurrence, USERS)
    await store.command("FLUSHDB")

    assert await seek_user(store, occurrence, progress, USERS[7]) == Sought()
