from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.due import DueEntry
from taskqueue.store.plan import MAX_PARAMETERS_BYTES, PlanStore, SlotUser
from taskqueue.store.scripts import Scripts
from tests.support.values import TEN_O_CLOCK, an_occurrence

HOUR, TEN_SECONDS = timedelta(hours=1), timedelta(seconds=10)
USERS = ["a", "b:{c}*", "d\ne", "日本", "f", "g"]
ENTRY = DueEntry(task_id="daily_report", cohort="", at=TEN_O_CLOCK)
TOMORROW = TEN_O_CLOCK + timedelta(days=1)


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


async def planned(plan: PlanStore, token: str, occurrence: Occurrence, users: list[str], piece: int = 2) -> Progress:
    """Make the occurrence's entry due, begin it and write all of its slot lists."""
    entry = DueEntry(task_id=occurrence.task_id, cohort=occurrence.cohort, at=occurrence.scheduled_at)
    await store_due(plan, entry)
    assert await plan.begin(token, entry, None, occurrence)
    progress = await progress_of(plan, occurrence)
    for start in range(0, max(len(users), 1), piece):
        last = start + piece >= len(users)
        part = users[start : start + piece]
        cursor = part[-1] if part else progress.cursor
        assert await plan.append(token, occurrence, progress, part, cursor, last=last)
        progress = await progress_of(plan, occurrence)
    return progress


async def store_due(plan: PlanStore, entry: DueEntry) -> None:
    await plan._store.command("ZADD", keys.DUE, int(entry.at.timestamp() * 1000), entry.member)


async def progress_of(plan: PlanStore, occurrence: Occurrence) -> Progress:
    return (await plan.read([occurrence.member]))[occurrence.member][1]


async def released(plan: PlanStore, token: str, occurrence: Occurrence, limit: int = 100) -> list[str]:
    """Release the occurrence to its end and return its users in order."""
    users: list[str] = []
    while not (progress := await progress_of(plan, occurrence)).finished:
        head = [user.user_id for user in await plan.read_slot(occurrence, progress, limit)]
        assert await plan.trim_slot(token, occurrence, progress, first_user=head[0], count=len(head))
        users += head
    return users


# --- planning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 3, 100])
async def test_what_an_earlier_occurrence_or_somebody_else_left_in_a_slot_list_is_not_planned(
    plan: PlanStore, store: RedisStore, token: str, piece: int
) -> None:
    for slot in range(3):
        await store.command("RPUSH", keys.slot("daily_report", slot, ""), "left", "over")
    occurrence = an_occurrence(users=len(USERS), window=3 * TEN_SECONDS)
    await planned(plan, token, occurrence, USERS, piece=piece)
    assert await released(plan, token, occurrence) == USERS


async def test_beginning_moves_the_entry_and_opens_the_record(plan: PlanStore, store: RedisStore, token: str) -> None:
    await store_due(plan, ENTRY)
    occurrence = an_occurrence()
    assert await plan.begin(token, ENTRY, TOMORROW, occurrence)
    assert await plan.due.next() == TOMORROW
    assert await plan.read([occurrence.member]) == {occurrence.member: (occurrence, Progress())}
    assert await plan.live(None, 10) == [(occurrence.member, TEN_O_CLOCK)]
    assert await store.command("GET", "taskqueue:schedule:lock:daily_report") == token.encode()
    assert await store.command("PTTL", "taskqueue:schedule:lock:daily_report") > 0


async def test_an_entry_is_begun_once(plan: PlanStore, token: str) -> None:
    await store_due(plan, ENTRY)
    assert await plan.begin(token, ENTRY, TOMORROW, an_occurrence())
    assert not await plan.begin(token, ENTRY, TOMORROW, an_occurrence(users=99))
    assert (await plan.read([an_occurrence().member]))[an_occurrence().member][0].users == 6


async def test_an_entry_that_has_moved_is_not_begun(plan: PlanStore, token: str) -> None:
    await store_due(plan, ENTRY)
    assert await plan.move_due(token, ENTRY, TOMORROW)
    assert not await plan.move_due(token, ENTRY, TOMORROW)
    assert not await plan.begin(token, ENTRY, TOMORROW, an_occurrence())
    assert await plan.live(None, 10) == []


async def test_an_entry_that_is_never_due_again_is_taken_off(plan: PlanStore, token: str) -> None:
    await store_due(plan, ENTRY)
    await plan.begin(token, ENTRY, None, an_occurrence())
    assert await plan.due.next() is None


async def test_an_occurrence_begun_by_an_earlier_leader_is_taken_up_where_it_stands(
    plan: PlanStore, token: str
) -> None:
    await store_due(plan, ENTRY)
    occurrence = an_occurrence()
    await plan.begin(token, ENTRY, TOMORROW, occurrence)
    await plan.append(token, occurrence, Progress(), USERS[:2], "b", last=False)
    await plan.due.sync(token, remove=[], keep=[(ENTRY.member, "a new rule", TEN_O_CLOCK)])

    assert await plan.begin(token, ENTRY, TOMORROW, an_occurrence(users=99))

    assert await plan.read([occurrence.member]) == {occurrence.member: (occurrence, Progress(cursor="b", planned=2))}


async def test_users_stand_in_the_slot_lists_of_the_spec(plan: PlanStore, store: RedisStore, token: str) -> None:
    await planned(plan, token, an_occurrence(), USERS)
    found = sorted(await store.command("KEYS", "taskqueue:distribution:daily_report:*"))
    assert found == [f"taskqueue:distribution:daily_report:{slot}".encode() for slot in range(6)]
    assert [await store.command("LRANGE", key, 0, -1) for key in found] == [[user.encode()] for user in USERS]
    assert all([await store.command("PTTL", key) > 0 for key in found])


async def test_the_planning_lock_goes_with_the_last_piece(plan: PlanStore, store: RedisStore, token: str) -> None:
    await planned(plan, token, an_occurrence(), USERS)
    assert await store.command("EXISTS", keys.planning_lock("daily_report")) == 0


async def test_a_cursor_that_has_moved_refuses_the_piece(plan: PlanStore, store: RedisStore, token: str) -> None:
    await store_due(plan, ENTRY)
    occurrence = an_occurrence()
    await plan.begin(token, ENTRY, TOMORROW, occurrence)
    assert await plan.append(token, occurrence, Progress(), USERS[:2], "b", last=False)
    assert not await plan.append(token, occurrence, Progress(), USERS[:2], "b", last=False)
    assert await store.command("LLEN", keys.slot("daily_report", 0, "")) == 1
    assert (await progress_of(plan, occurrence)).planned == 2


async def test_a_piece_for_a_record_that_is_gone_is_refused(plan: PlanStore, token: str) -> None:
    assert not await plan.append(token, an_occurrence(), Progress(), USERS, "g", last=True)


async def test_an_audience_that_grew_meanwhile_ends_in_the_last_slot(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence(users=2)
    await planned(plan, token, occurrence, USERS)
    assert await released(plan, token, occurrence) == USERS


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    users=st.lists(st.text("abc:", min_size=1, max_size=6), unique=True, max_size=25),
    seconds=st.integers(0, 120),
    piece=st.integers(1, 7),
    limit=st.integers(1, 7),
)
async def test_a_plan_in_pieces_skips_and_doubles_nobody(
    plan: PlanStore, store: RedisStore, token: str, users: list[str], seconds: int, piece: int, limit: int
) -> None:
    await store.command("FLUSHDB")
    await store.command("SET", keys.LEASE, token)
    occurrence = an_occurrence(users=len(users), window=timedelta(seconds=seconds))
    await planned(plan, token, occurrence, users, piece)
    assert await released(plan, token, occurrence, limit) == users
    assert await store.command("KEYS", "taskqueue:distribution:daily_report:*") == []


# --- whose the plain slot lists are -----------------------------------------------------------------------------------


async def test_the_plain_slot_lists_belong_to_one_occurrence_at_a_time(plan: PlanStore, token: str) -> None:
    first = an_occurrence()
    second = an_occurrence(id="20240115T110000Z", scheduled_at=TEN_O_CLOCK + HOUR)
    third = an_occurrence(id="20240115T120000Z", scheduled_at=TEN_O_CLOCK + 2 * HOUR)

    assert (await planned(plan, token, first, USERS)).suffix == ""
    assert (await planned(plan, token, second, USERS)).suffix == ":20240115T110000Z"
    assert await released(plan, token, first) == USERS
    assert await plan.close(token, first.member)
    assert (await planned(plan, token, third, USERS)).suffix == ""
    assert await released(plan, token, second) == USERS
    assert await released(plan, token, third) == USERS


async def test_each_task_has_plain_slot_lists_of_its_own(plan: PlanStore, token: str) -> None:
    assert (await planned(plan, token, an_occurrence(), USERS)).suffix == ""
    assert (await planned(plan, token, an_occurrence(task_id="hourly_sync"), USERS)).suffix == ""


async def test_a_cohort_with_a_custom_interval_never_has_the_plain_ones(plan: PlanStore, token: str) -> None:
    cohort = an_occurrence(id="20240115T100000Z.0123456789abcdef", cohort="0123456789abcdef")
    assert (await planned(plan, token, cohort, USERS)).suffix == ":20240115T100000Z.0123456789abcdef"


async def test_the_plain_ones_of_an_occurrence_whose_record_expired_are_free_once_it_is_closed(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    first, second = an_occurrence(), an_occurrence(id="20240115T110000Z", scheduled_at=TEN_O_CLOCK + HOUR)
    await planned(plan, token, first, [])
    await store.command("DEL", keys.occurrence(first.task_id, first.id))
    assert await plan.close(token, first.member)
    assert (await planned(plan, token, second, USERS)).suffix == ""


# --- release ----------------------------------------------------------------------------------------------------------


async def test_live_occurrences_come_by_their_next_due_instant(plan: PlanStore, token: str) -> None:
    early, late = an_occurrence(), an_occurrence(task_id="hourly_sync", starts_at=TEN_O_CLOCK + HOUR)
    await planned(plan, token, late, USERS)
    await planned(plan, token, early, USERS)
    assert [member for member, _ in await plan.live(None, 10)] == [early.member, late.member]
    assert await plan.live(TEN_O_CLOCK, 10) == [(early.member, TEN_O_CLOCK)]
    assert len(await plan.live(None, 1)) == 1


async def test_users_are_read_with_their_parameters(plan: PlanStore, store: RedisStore, token: str) -> None:
    occurrence = an_occurrence(window=timedelta(0))
    progress = await planned(plan, token, occurrence, USERS)
    await store.command("HSET", keys.user_settings("b:{c}*", "daily_report"), "parameters", '{"lang":"de"}')
    await store.command("SET", keys.user_settings("f", "daily_report"), "another type")
    found = await plan.read_slot(occurrence, progress, 5)
    assert found == [
        SlotUser(user_id=user, parameters='{"lang":"de"}' if user == "b:{c}*" else "") for user in USERS[:5]
    ]


async def test_trimming_moves_the_occurrence_to_its_next_user(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence()
    progress = await planned(plan, token, occurrence, USERS)
    assert await plan.trim_slot(token, occurrence, progress, first_user="a", count=1)
    assert (await progress_of(plan, occurrence)).released == 1
    assert await plan.live(None, 10) == [(occurrence.member, TEN_O_CLOCK + TEN_SECONDS)]


async def test_a_trim_asked_again_takes_nobody_else_off(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence(window=timedelta(0))
    progress = await planned(plan, token, occurrence, USERS)
    trims = [await plan.trim_slot(token, occurrence, progress, first_user="a", count=2) for _ in range(2)]
    assert trims == [True, False]
    assert await released(plan, token, occurrence) == USERS[2:]


async def test_a_trim_whose_head_is_another_user_takes_nobody_off(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence(window=timedelta(0))
    progress = await planned(plan, token, occurrence, USERS)
    assert not await plan.trim_slot(token, occurrence, progress, first_user="f", count=1)
    assert not await plan.trim_slot(token, occurrence, progress, first_user="", count=1)
    assert await released(plan, token, occurrence) == USERS


async def test_a_slot_list_that_is_gone_is_passed_over(plan: PlanStore, store: RedisStore, token: str) -> None:
    occurrence = an_occurrence()
    progress = await planned(plan, token, occurrence, USERS)
    await store.command("DEL", keys.slot("daily_report", 0, ""))
    assert await plan.read_slot(occurrence, progress, 10) == []
    assert await plan.trim_slot(token, occurrence, progress, first_user="", count=1)
    assert await released(plan, token, occurrence) == USERS[1:]


async def test_an_occurrence_is_closed_once_everybody_is_released(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence()
    await planned(plan, token, occurrence, USERS)
    assert not await plan.close(token, occurrence.member)
    assert len(await plan.live(None, 10)) == 1
    await released(plan, token, occurrence)
    assert await plan.close(token, occurrence.member)
    assert await plan.live(None, 10) == []
    assert (await progress_of(plan, occurrence)).finished


async def test_an_occurrence_that_is_still_planned_is_not_closed(plan: PlanStore, token: str) -> None:
    await store_due(plan, ENTRY)
    occurrence = an_occurrence()
    await plan.begin(token, ENTRY, None, occurrence)
    assert not await plan.close(token, occurrence.member)


async def test_an_empty_audience_is_planned_and_closed(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence(users=0)
    progress = await planned(plan, token, occurrence, [])
    assert progress.finished
    assert await plan.close(token, occurrence.member)


async def test_a_finished_occurrence_leaves_no_key_without_an_end_but_the_leaders_own(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    occurrence = an_occurrence()
    await planned(plan, token, occurrence, USERS)
    await plan.open(token, occurrence)
    await released(plan, token, occurrence)
    await plan.close(token, occurrence.member)
    left = {key.decode() for key in await store.command("KEYS", "*") if await store.command("PTTL", key) < 0}
    assert left == {keys.LEASE, keys.last_execution("daily_report"), keys.DUE_ENDED}


# --- last execution ---------------------------------------------------------------------------------------------------


async def test_the_last_execution_is_the_instant_and_only_rises(plan: PlanStore, token: str) -> None:
    assert await plan.last_execution("daily_report") is None
    await planned(plan, token, an_occurrence(), USERS)
    for hours in (0, 1, 0):
        await plan.open(token, an_occurrence(scheduled_at=TEN_O_CLOCK + hours * HOUR))
    assert await plan.last_execution("daily_report") == "2024-01-15T11:00:00Z"


async def test_a_fraction_of_a_second_does_not_upset_the_order_of_last_executions(plan: PlanStore, token: str) -> None:
    await planned(plan, token, an_occurrence(), USERS)
    for milliseconds in (0, 500):
        await plan.open(token, an_occurrence(scheduled_at=TEN_O_CLOCK + timedelta(milliseconds=milliseconds)))
    assert await plan.last_execution("daily_report") == "2024-01-15T10:00:00Z"


async def test_an_occurrence_is_opened_once_its_instant_is_noted(plan: PlanStore, token: str) -> None:
    occurrence = an_occurrence()
    await planned(plan, token, occurrence, USERS)
    await plan.open(token, occurrence)
    assert (await progress_of(plan, occurrence)).opened


async def test_opening_what_is_gone_makes_no_half_of_a_record_and_no_execution(plan: PlanStore, token: str) -> None:
    await plan.open(token, an_occurrence())
    assert await plan.read([an_occurrence().member]) == {}
    assert await plan.last_execution("daily_report") is None


# --- triggers ---------------------------------------------------------------------------------------------------------


def a_trigger(**changes: object) -> Occurrence:
    return an_occurrence(id="3f0c", source=JobSource.TRIGGER, distributed=False, **changes)


async def test_a_trigger_is_live_with_all_of_its_users_and_lists_of_its_own(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    trigger = a_trigger()
    await plan.add_trigger(trigger, USERS, batch_size=4)
    assert await plan.live(None, 10) == [(trigger.member, TEN_O_CLOCK)]
    assert await plan.read([trigger.member]) == {
        trigger.member: (trigger, Progress(suffix=":3f0c", planned=6, complete=True, opened=True))
    }
    assert all(key.endswith(b":3f0c") for key in await store.command("KEYS", "taskqueue:distribution:daily_report:*"))
    assert await released(plan, token, trigger) == USERS
    assert await plan.close(token, trigger.member)


async def test_a_trigger_asked_for_again_adds_only_what_is_missing(plan: PlanStore, token: str) -> None:
    trigger = a_trigger()
    for _ in range(2):
        await plan.add_trigger(trigger, USERS, batch_size=4)
    assert await released(plan, token, trigger) == USERS


async def test_a_trigger_needs_no_lease(plan: PlanStore) -> None:
    await plan.add_trigger(a_trigger(), USERS, batch_size=100)
    assert len(await plan.live(None, 10)) == 1


async def test_parameters_that_no_message_can_carry_are_not_even_read(plan: PlanStore, store: RedisStore) -> None:
    trigger = a_trigger(users=1)
    await plan.add_trigger(trigger, USERS[:1], batch_size=4)
    settings = keys.user_settings(USERS[0], trigger.task_id)
    await store.command("HSET", settings, "parameters", "x" * (MAX_PARAMETERS_BYTES + 1))
    progress = Progress(suffix=f":{trigger.id}", planned=1, complete=True)
    assert await plan.read_slot(trigger, progress, 5) == [SlotUser(user_id=USERS[0], parameters=None)]


async def test_a_trigger_for_nobody_can_be_closed(plan: PlanStore, token: str) -> None:
    trigger = a_trigger(users=0)
    await plan.add_trigger(trigger, [], batch_size=10)
    assert await plan.close(token, trigger.member)


async def test_every_key_of_a_trigger_has_an_end(plan: PlanStore, store: RedisStore) -> None:
    await plan.add_trigger(a_trigger(), USERS, batch_size=1)
    found = await store.command("KEYS", "*")
    assert {key for key in found if await store.command("PTTL", key) < 0} == {keys.OCCURRENCES.encode()}
