from __future__ import annotations

import pytest

from taskqueue.core.instants import from_unix_ms
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys, pulse
from taskqueue.store.connection import RedisStore
from taskqueue.store.pulse import read_pulse


async def ended_today(store: RedisStore, **counts: int) -> None:
    seconds, _ = await store.command("TIME")
    day = keys.executions_of_day(from_unix_ms(int(seconds) * 1000))
    for task_id, count in counts.items():
        await store.command("HSET", day, task_id, count)


async def test_ends_of_all_tasks_of_the_day_are_added_up(store: RedisStore) -> None:
    await ended_today(store, one=3, two=4)
    await store.command("ZADD", keys.DELAYED, 1, "a")

    found = await read_pulse(store)

    assert (found.ended, found.failed, found.delayed, found.occurrences, found.api_waiting) == (7, 0, 1, 0, 0)


async def test_counts_of_too_many_tasks_are_not_read(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_MOST_TASKS", 1)
    await ended_today(store, one=3, two=4)

    found = await read_pulse(store)

    assert (found.ended, found.failed) == (None, None)


async def test_a_key_of_another_type_is_named(store: RedisStore) -> None:
    await store.command("SET", keys.DELAYED, "x")

    with pytest.raises(DamagedKeyError, match=keys.DELAYED):
        await read_pulse(store)


async def test_a_count_that_is_no_number_leaves_the_others(store: RedisStore) -> None:
    await ended_today(store, one=3)
    seconds, _ = await store.command("TIME")
    day = from_unix_ms(int(seconds) * 1000)
    await store.command("HSET", keys.failures_of_day(day), "one", "many")
    await store.command("ZADD", keys.DELAYED, 1, "a")

    found = await read_pulse(store)

    assert (found.ended, found.failed, found.delayed) == (3, None, 1)
