"""More live occurrences than one round looks at."""

from __future__ import annotations

import asyncio

from taskqueue.runtime import utc_now
from taskqueue.scheduler.slot_heads import SOURCES_PER_ROUND
from tests.support.release_dock import SECOND, Dock, names


async def test_jobs_that_are_due_within_one_millisecond_all_go_out(dock: Dock) -> None:
    at = utc_now() - 10 * SECOND
    for number in range(SOURCES_PER_ROUND + 6):
        # User i of seven is due three sevenths of a second behind the one before.
        await dock.planned(names(7), at, task_id=f"task-{number:02}", window=3 * SECOND)

    await dock.until_released(within=10)

    assert sum(dock.released().values()) == 7 * (SOURCES_PER_ROUND + 6)


async def test_occurrences_without_users_delay_nobody_by_a_rest_for_each_look(dock: Dock) -> None:
    at = utc_now() - 10 * SECOND
    for number in range(10 * SOURCES_PER_ROUND):
        await dock.planned([], at, task_id=f"task-{number:03}")
    await dock.planned(["ann"], utc_now() - SECOND)

    rests = SECOND * 0
    async with asyncio.timeout(10):
        while not dock.released():
            rests += await dock.releaser.round()

    assert rests < SECOND / 2


async def test_occurrences_whose_record_is_gone_delay_nobody_by_a_rest_for_each_look(dock: Dock) -> None:
    gone = {f"task:{number}": 1 for number in range(10 * SOURCES_PER_ROUND)}
    await dock.redis.zadd("taskqueue:occurrences", gone)
    await dock.planned(["ann"], utc_now() - SECOND)

    rests = SECOND * 0
    async with asyncio.timeout(10):
        while not dock.released():
            rests += await dock.releaser.round()

    assert rests < SECOND / 2
    assert await dock.live() == []
