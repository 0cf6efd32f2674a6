from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.limit_overrides import LimitOverrides, Override, overridden
from taskqueue.store.limits import Bucket, Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts

TEN = Limit(rate=10, burst=10)
NONE_AT_ALL = Limit(rate=0, burst=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def overrides(store: RedisStore, scripts: Scripts) -> LimitOverrides:
    return LimitOverrides(store, scripts)


@pytest.fixture
async def now(store: RedisStore) -> datetime:
    """The present instant of Redis, whole milliseconds."""
    clock = ServerClock(store)
    await clock.sync()
    return clock().replace(microsecond=0)


async def test_what_was_set_holds_until_its_end(overrides: LimitOverrides, now: datetime) -> None:
    stopped = Override(limit=NONE_AT_ALL, until=now + MINUTE)
    raised = Override(limit=TEN, until=now + 2 * MINUTE)
    assert not await overrides.set("global", stopped)
    assert not await overrides.set("task:daily_report", raised)

    assert await overrides.read(now) == {"global": stopped, "task:daily_report": raised}
    assert await overrides.read(now + MINUTE) == {"task:daily_report": raised}
    assert await overrides.read(now + 2 * MINUTE) == {}


async def test_setting_a_limit_again_replaces_it(overrides: LimitOverrides, now: datetime) -> None:
    await overrides.set("global", Override(limit=TEN, until=now + MINUTE))
    shorter = Override(limit=NONE_AT_ALL, until=now + MINUTE / 2)

    assert await overrides.set("global", shorter)

    assert await overrides.read(now) == {"global": shorter}


@pytest.mark.parametrize("until", ["1e999", "1e300", "-1e300", "1795300000000.5", "{}", '"x"'])
async def test_an_end_that_is_none_keeps_no_other_limit_from_being_set(
    overrides: LimitOverrides, store: RedisStore, now: datetime, until: str
) -> None:
    await store.command("HSET", keys.LIMIT_OVERRIDES, "task:strange", f'{{"rate": 1, "burst": 1, "until": {until}}}')
    override = Override(limit=TEN, until=now + MINUTE)

    assert not await overrides.set("global", override)

    assert (await overrides.read(now))["global"] == override


async def test_what_was_cleared_holds_no_more(overrides: LimitOverrides, store: RedisStore, now: datetime) -> None:
    await overrides.set("global", Override(limit=TEN, until=now + MINUTE))

    assert await overrides.clear("global")
    assert not await overrides.clear("global")

    assert await overrides.read(now) == {}
    assert await store.command("EXISTS", keys.LIMIT_OVERRIDES) == 0


async def test_the_key_ends_with_the_last_of_them(overrides: LimitOverrides, store: RedisStore, now: datetime) -> None:
    await overrides.set("global", Override(limit=TEN, until=now + 60 * MINUTE))
    await overrides.set("task:daily_report", Override(limit=TEN, until=now + MINUTE))
    assert 3590 < await store.command("TTL", keys.LIMIT_OVERRIDES) <= 3600

    await overrides.clear("global")
    assert 50 < await store.command("TTL", keys.LIMIT_OVERRIDES) <= 60


async def test_what_has_lapsed_goes_when_something_is_set(
    overrides: LimitOverrides, store: RedisStore, now: datetime
) -> None:
    lapsed = {"rate": 1, "burst": 1, "until": round((now - MINUTE).timestamp() * 1000)}
    await store.command("HSET", keys.LIMIT_OVERRIDES, "task:old", json.dumps(lapsed), "task:broken", "{")

    await overrides.set("global", Override(limit=TEN, until=now + MINUTE))

    assert await store.command("HKEYS", keys.LIMIT_OVERRIDES) == [b"global"]


@pytest.mark.parametrize("text", ["{", "[]", '{"rate": 1, "burst": 1}', '{"rate": -1, "burst": 1, "until": 1}'])
async def test_what_cannot_be_read_changes_nothing_and_is_named(
    overrides: LimitOverrides, store: RedisStore, now: datetime, text: str
) -> None:
    await store.command("HSET", keys.LIMIT_OVERRIDES, "task:broken", text)

    assert await overrides.read(now) == {}
    assert "use" in overrides.unreadable["task:broken"]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("concurrency:a", TEN),
        ("daily_report", TEN),
        ("global", Limit(rate=-1, burst=1)),
        ("global", Limit(rate=1, burst=0.5)),
        ("global", Limit(rate=float("nan"), burst=1)),
    ],
)
async def test_what_is_no_limit_cannot_be_set(
    overrides: LimitOverrides, now: datetime, name: str, limit: Limit
) -> None:
    with pytest.raises(InvalidValueError, match="use"):
        await overrides.set(name, Override(limit=limit, until=now + MINUTE))


def test_what_is_set_stands_before_worker_yaml_and_the_rest_stays() -> None:
    own = Limits(global_=TEN, tasks={"a": TEN, "b": TEN})
    until = datetime.max.replace(tzinfo=UTC)
    set_now = {name: Override(limit=NONE_AT_ALL, until=until) for name in ("task:a", "task:c")}

    assert overridden(own, set_now) == Limits(global_=TEN, tasks={"a": NONE_AT_ALL, "b": TEN, "c": NONE_AT_ALL})
    assert overridden(own, {}) is own


async def test_a_bucket_is_read_as_it_stands_now(store: RedisStore, scripts: Scripts) -> None:
    await store.command("HSET", keys.GLOBAL_LIMIT, "tokens", "2.5", "last_refill", "100")
    await store.command("HSET", keys.task_limit("broken"), "tokens", "x")

    found = await LimitStore(store, scripts).buckets(["global", "task:broken", "task:full"])

    assert found == {"global": Bucket(tokens=2.5, last_refill=100)}
    assert [found["global"].level(TEN, now) for now in (99, 100.5, 200)] == [2.5, 7.5, 10]
