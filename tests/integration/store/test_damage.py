"""A key that holds what does not belong there is named, moved out of the way, and nothing is half done by it."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.errors import DamagedKeyError, LeaseLostError, StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.due import DueEntry
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.scheduler_events import DamagedKeySetAside
from tests.support.values import TEN_O_CLOCK, an_occurrence

OCCURRENCE = an_occurrence()
ENTRY = DueEntry(task_id=OCCURRENCE.task_id, cohort="", at=TEN_O_CLOCK)
RECORD = keys.occurrence(OCCURRENCE.task_id, OCCURRENCE.id)


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def damaged(store: RedisStore, scripts: Scripts, events: list[Event]) -> DamagedKeys:
    return DamagedKeys(scripts, events.append)


async def _begin(plan: PlanStore, store: RedisStore, token: str, occurrence: Occurrence = OCCURRENCE) -> None:
    await store.command("ZADD", keys.DUE, 1_705_312_800_000, ENTRY.member)
    assert await plan.begin(token, ENTRY, TEN_O_CLOCK + timedelta(days=1), occurrence)


@pytest.mark.parametrize("key", [RECORD, keys.OCCURRENCES, keys.PLAIN_SLOT_OWNERS])
async def test_an_occurrence_is_begun_as_a_whole_or_not_at_all(
    plan: PlanStore, store: RedisStore, token: str, key: str
) -> None:
    await store.command("ZADD", keys.DUE, 1_705_312_800_000, ENTRY.member)
    await store.command("SET", key, "not ours")

    with pytest.raises(DamagedKeyError) as caught:
        await plan.begin(token, ENTRY, TEN_O_CLOCK + timedelta(days=1), OCCURRENCE)

    assert caught.value.key == key
    assert f"redis-cli DEL {key}" in str(caught.value)
    assert await store.command("ZSCORE", keys.DUE, ENTRY.member) == 1_705_312_800_000


async def test_users_are_appended_to_all_slot_lists_or_to_none(plan: PlanStore, store: RedisStore, token: str) -> None:
    await _begin(plan, store, token)
    await store.command("SET", keys.slot(OCCURRENCE.task_id, 2, ""), "not ours")

    with pytest.raises(DamagedKeyError):
        await plan.append(token, OCCURRENCE, Progress(), ["a", "b", "c"], "cursor", last=True)

    assert await store.command("EXISTS", keys.slot(OCCURRENCE.task_id, 0, "")) == 0
    assert await store.command("HGET", RECORD, "planned") == b"0"


async def test_the_content_is_kept_for_a_while_and_told(
    damaged: DamagedKeys, store: RedisStore, token: str, events: list[Event]
) -> None:
    await store.command("SET", keys.DUE, "not ours")

    await damaged.set_aside(token, DamagedKeyError(keys.DUE, "holds another type"))

    kept_as = "taskqueue:damaged:due"
    assert events == [DamagedKeySetAside(key=keys.DUE, problem="held a string, not a zset", kept_as=kept_as)]
    assert await store.command("EXISTS", keys.DUE) == 0
    assert await store.command("GET", kept_as) == b"not ours"
    assert 0 < await store.command("PTTL", kept_as) <= 7 * 24 * 3600 * 1000


async def test_a_key_that_was_mended_meanwhile_stays(
    damaged: DamagedKeys, store: RedisStore, token: str, events: list[Event]
) -> None:
    await store.command("ZADD", keys.DUE, 1, "report")
    await damaged.set_aside(token, DamagedKeyError(keys.DUE, "holds another type"))
    assert await store.command("ZCARD", keys.DUE) == 1
    assert events == []


@pytest.mark.parametrize("key", [keys.user_tasks("u"), keys.worker("w"), "taskqueue:catalog:of:somebody", "another"])
async def test_what_is_not_the_leaders_is_left_alone(
    damaged: DamagedKeys, store: RedisStore, token: str, events: list[Event], key: str
) -> None:
    await store.command("SET", key, "1")
    await damaged.set_aside(token, DamagedKeyError(key, "holds another type"))
    assert await store.command("GET", key) == b"1"
    assert events == []


async def test_only_the_leader_moves_anything(damaged: DamagedKeys, store: RedisStore, token: str) -> None:
    await store.command("SET", keys.DUE, "not ours")
    with pytest.raises(LeaseLostError):
        await damaged.set_aside(f"not-{token}", DamagedKeyError(keys.DUE, "holds another type"))
    assert await store.command("GET", keys.DUE) == b"not ours"


@pytest.mark.parametrize(
    ("member", "score"),
    [(b"\xff", 1), (b"report:1", "inf"), (b"report:1", "-inf"), (b"no-task", 1), (b"report:1", 1e300)],
)
async def test_an_entry_that_cannot_be_read_is_taken_out_and_the_others_stay(
    plan: PlanStore, damaged: DamagedKeys, store: RedisStore, token: str, member: bytes, score: float
) -> None:
    await store.command("ZADD", keys.OCCURRENCES, 5, "report:well", score, member)

    with pytest.raises(DamagedKeyError) as caught:
        await plan.live(None, 10)
    await damaged.set_aside(token, caught.value)

    assert [found for found, _ in await plan.live(None, 10)] == ["report:well"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(("window_ms", "scheduled_at", "source", "planned", "users"), (b"much", b"\xff", b"")),
        *product(("window_ms", "scheduled_at"), (b"9" * 30, b"-" + b"9" * 30)),
    ],
)
async def test_a_record_that_cannot_be_read_is_set_aside(
    plan: PlanStore, damaged: DamagedKeys, store: RedisStore, token: str, field: str, value: bytes
) -> None:
    await _begin(plan, store, token)
    await store.command("HSET", RECORD, field, value)

    with pytest.raises(DamagedKeyError) as caught:
        await plan.read([OCCURRENCE.member])
    await damaged.set_aside(token, caught.value)

    assert caught.value.key == RECORD
    assert await plan.read([OCCURRENCE.member]) == {}


async def test_a_slot_list_keeps_the_places_of_entries_that_are_no_users(
    plan: PlanStore, store: RedisStore, token: str
) -> None:
    await _begin(plan, store, token, an_occurrence(window=timedelta()))
    occurrence, progress = (await plan.read([OCCURRENCE.member]))[OCCURRENCE.member]
    slot = keys.slot(occurrence.task_id, 0, progress.suffix)
    await store.command("RPUSH", slot, "ada", b"\xff\xfe", "", "x" * 600, "ben")

    found = await plan.read_slot(occurrence, progress, 10)
    assert [user.is_user for user in found] == [True, False, False, False, True]
    assert await plan.trim_slot(token, occurrence, progress, first_user="ada", count=1)
    _, progress = (await plan.read([OCCURRENCE.member]))[OCCURRENCE.member]
    assert await plan.trim_slot(token, occurrence, progress, first_user=found[1].user_id, count=3)
    assert await store.command("LRANGE", slot, 0, -1) == [b"ben"]


async def test_a_refusal_that_is_no_damage_stays_what_it_was(store: RedisStore) -> None:
    with pytest.raises(StoreError) as caught:
        await store.command("INCRBY", keys.PROBE, "much")
    assert not isinstance(caught.value, DamagedKeyError)
