"""The release when the clock of Redis jumps."""

from __future__ import annotations

from taskqueue.runtime import utc_now
from tests.support.release_dock import SECOND, NewDock


async def test_the_delayed_queue_is_used_again_a_minute_after_the_clock_was_set_back(new_dock: NewDock) -> None:
    dock = await new_dock()
    await dock.lane_reaches(utc_now() + 3600 * SECOND)
    await dock.releaser.round()
    dock.ahead = 40 * SECOND
    await dock.planned(["ann"], utc_now() + dock.ahead + 30 * SECOND)

    await dock.releaser.round()

    assert dock.released() == {"lane": 1}


async def test_what_is_in_the_delayed_queue_when_the_clock_is_set_back_is_not_held_up_by_what_follows(
    new_dock: NewDock,
) -> None:
    dock = await new_dock()
    await dock.lane_reaches(utc_now() + 3600 * SECOND)
    await dock.releaser.round()
    await dock.planned(["ann"], utc_now() + 30 * SECOND)

    await dock.releaser.round()

    assert dock.released() == {}
