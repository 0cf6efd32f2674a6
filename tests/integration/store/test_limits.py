from __future__ import annotations

import pytest

from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.limits import LIMITS_KEPT, Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts

LIMITS = Limits(global_=Limit(rate=100, burst=100), tasks={"daily_report": Limit(rate=0.5, burst=1)})


@pytest.fixture
def limits(store: RedisStore, scripts: Scripts) -> LimitStore:
    return LimitStore(store, scripts)


async def test_what_a_worker_holds_is_what_the_leader_reads(limits: LimitStore) -> None:
    await limits.write(LIMITS)
    assert await limits.read() == LIMITS
    assert limits.unreadable == {}


async def test_before_any_worker_told_its_limits_there_are_none(limits: LimitStore) -> None:
    assert await limits.read() == Limits()


@pytest.mark.parametrize("now", [Limits(tasks={"weekly": Limit(rate=1, burst=1)}), Limits()], ids=["others", "none"])
async def test_the_limits_are_replaced_as_a_whole(limits: LimitStore, now: Limits) -> None:
    await limits.write(LIMITS)
    await limits.write(now)
    assert await limits.read() == now


async def test_limits_that_no_worker_tells_any_more_end(limits: LimitStore, store: RedisStore) -> None:
    await limits.write(LIMITS)
    assert 0 < await store.command("TTL", keys.LIMITS) <= LIMITS_KEPT.total_seconds()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("task:broken", "{"),
        ("task:broken", '"a text"'),
        ("task:broken", "[1, 2]"),
        ("task:broken", "[" * 20_000),
        ("task:broken", '{"rate": 1}'),
        ("task:broken", '{"rate": "fast", "burst": 1}'),
        ("task:broken", '{"rate": null, "burst": 1}'),
        ("task:broken", '{"rate": 0, "burst": 1}'),
        ("task:broken", '{"rate": -1, "burst": 1}'),
        ("task:broken", '{"rate": NaN, "burst": 1}'),
        ("task:broken", '{"rate": Infinity, "burst": 1}'),
        ("task:broken", '{"rate": 1, "burst": 0.5}'),
        ("task:broken", '{"rate": 1, "burst": 1' + "0" * 400 + "}"),
        ("task:broken", b"\xff\xfe"),
        ("task:", '{"rate": 1, "burst": 1}'),
        ("task:a b", '{"rate": 1, "burst": 1}'),
        ("concurrency:broken", '{"rate": 1, "burst": 1}'),
        ("GLOBAL", '{"rate": 1, "burst": 1}'),
        (b"task:\xff", '{"rate": 1, "burst": 1}'),
    ],
)
async def test_what_cannot_be_read_limits_nothing_and_is_named(
    limits: LimitStore, store: RedisStore, name: str | bytes, text: str | bytes
) -> None:
    await limits.write(LIMITS)
    await store.command("HSET", keys.LIMITS, name, text)
    assert await limits.read() == LIMITS
    (reason,) = limits.unreadable.values()
    assert "use" in reason


async def test_a_field_that_was_mended_is_named_no_more(limits: LimitStore, store: RedisStore) -> None:
    await store.command("HSET", keys.LIMITS, "global", "?")
    await limits.read()
    await limits.write(LIMITS)
    await limits.read()
    assert limits.unreadable == {}
