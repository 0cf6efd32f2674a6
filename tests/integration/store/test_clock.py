"""Every process reads one clock, that of Redis, and goes on by itself while Redis is away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.errors import StoreUnavailableError
from taskqueue.store import clock as clock_module
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.health import StoreHealth
from taskqueue.telemetry.events import ClockDiffers, Event

HOUR = timedelta(hours=1)


class OtherTime(RedisStore):
    """A Redis whose clock is off by `by`; its answers take no time."""

    by = timedelta()

    async def command(self, *arguments: object) -> object:
        if arguments != ("TIME",):
            return await super().command(*arguments)  # type: ignore[arg-type]  # passed on as they came
        now = datetime.now(UTC) + self.by
        return [b"%d" % int(now.timestamp()), b"%d" % now.microsecond]


@pytest.fixture
def other(store: RedisStore) -> OtherTime:
    store.__class__ = OtherTime
    assert isinstance(store, OtherTime)
    return store


async def test_the_time_is_that_of_redis(store: RedisStore) -> None:
    clock = ServerClock(store)
    await clock.sync()
    seconds, microseconds = await store.command("TIME")
    server = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(microseconds))
    assert abs(server - clock()) < timedelta(seconds=1)


async def test_before_redis_has_answered_it_is_that_of_the_host(store: RedisStore) -> None:
    clock = ServerClock(store)
    assert not clock.known.is_set()
    assert abs(datetime.now(UTC) - clock()) < timedelta(seconds=1)
    assert clock.ahead_s == pytest.approx(0, abs=1)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_it_follows_when_the_clock_of_redis_jumps(other: OtherTime, by: timedelta) -> None:
    clock = ServerClock(other)
    await clock.sync()
    other.by = by
    await clock.sync()
    assert abs(clock() - (datetime.now(UTC) + by)) < timedelta(seconds=1)
    assert clock.ahead_s == pytest.approx(-by.total_seconds(), abs=1)


async def test_it_does_not_follow_when_the_clock_of_its_host_jumps(
    other: OtherTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ServerClock(other)
    await clock.sync()
    monkeypatch.setattr(clock_module, "utc_now", lambda: datetime.now(UTC) + HOUR)
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=1)
    assert clock.ahead_s == pytest.approx(3600, abs=1)


async def test_it_never_goes_back_for_a_few_milliseconds(other: OtherTime) -> None:
    clock = ServerClock(other)
    await clock.sync()
    before = clock()
    other.by = timedelta(milliseconds=-4)
    await clock.sync()
    assert clock() >= before


async def test_it_goes_on_while_redis_is_away(other: OtherTime, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ServerClock(other)
    await clock.sync()
    before = clock()

    async def gone(*_: object) -> object:
        raise StoreUnavailableError("Redis: gone")

    monkeypatch.setattr(other, "command", gone)
    with pytest.raises(StoreUnavailableError):
        await clock.sync()
    assert before <= clock() < before + timedelta(seconds=2)


async def test_a_clock_that_differs_is_told_once(other: OtherTime) -> None:
    other.by = -HOUR
    events: list[Event] = []
    told = asyncio.Event()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, ClockDiffers):
            told.set()

    health = StoreHealth(other, emit)
    running = asyncio.create_task(health.run())
    async with asyncio.timeout(10):
        await told.wait()
    running.cancel()
    await asyncio.wait([running])
    assert [event for event in events if isinstance(event, ClockDiffers)] == [ClockDiffers(ahead_s=3600.0)]
