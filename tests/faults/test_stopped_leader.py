"""A leader that is told to stop (SIGTERM) at any moment of its work: another leads within 2 s, nothing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from tests.support.failing_processes import arm
from tests.support.kill_arena import REACHED_WITHIN_S, KillArena
from tests.support.kill_points import PLAIN_POINTS, KillPoint

#: what every run of the tests tries
SMOKE = ("between two pieces of a plan", "after publishing into the lane, before the trim")


async def test_a_leader_that_is_stopped_in_the_middle_of_its_work_hands_it_over_within_two_seconds(
    arena: KillArena,
) -> None:
    points = [point for point in PLAIN_POINTS if point.name in SMOKE]
    assert len(points) == len(SMOKE)

    await stop_at(arena, points)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_a_leader_may_be_stopped_at_every_moment(arena: KillArena) -> None:
    await stop_at(arena, PLAIN_POINTS)


async def stop_at(arena: KillArena, points: Sequence[KillPoint]) -> None:
    """Stop a leader at each of the points, and judge."""
    for point in points:
        for task_id, path, fields in point.tasks:
            arena.set_task(task_id, path, **fields)
    await arena.all_known()
    for point in points:
        took_s = await stop_once(arena, point)
        await arena.settled()

        assert took_s <= 2, point.name
        assert arena.verdict().clean, f"{point.name}: {arena.verdict()}"
    assert (await arena.finish()).clean


async def stop_once(arena: KillArena, point: KillPoint) -> float:
    """Stop the leader there; return seconds until another leads."""
    leader, (follower,) = await arena.new_leader(), arena.followers
    await follower.wait_ready()
    await arm(leader, replace(point.failpoint, action="term"))
    working = asyncio.create_task(partial(point.work, arena)())
    try:
        await leader.wait_for("failpoint_reached", within=REACHED_WITHIN_S)
        began = asyncio.get_running_loop().time()
        await follower.wait_for("leader_changed", leading=True)
        took_s = asyncio.get_running_loop().time() - began
        assert await leader.ended(15) == 0, point.name
        arena.bury(leader)
        await arena.add_scheduler()
        await working
    finally:
        working.cancel()
    return took_s
