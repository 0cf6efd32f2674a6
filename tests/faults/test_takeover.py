"""How long nobody leads after the leader has gone."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.support.kill_arena import KillArena, NewArena, leads
from tests.support.kill_points import spread, trigger
from tests.support.kill_table import KillTable


@pytest.mark.parametrize("lease_s", [2, pytest.param(10, marks=pytest.mark.faults)])
async def test_a_crashed_leader_is_followed_within_its_lease_and_five_seconds(
    lease_s: int, new_arena: NewArena, kill_table: KillTable
) -> None:
    async with new_arena(scheduler={"scheduler": {"lease_ttl": f"{lease_s}s"}}) as arena:
        leader, (follower,) = arena.leader, arena.followers
        await leader.kill()
        killed = asyncio.get_running_loop().time()
        arena.bury(leader)
        await follower.wait_for("leader_changed", leading=True, within=lease_s + 10)
        took_s = asyncio.get_running_loop().time() - killed
        await trigger(arena)
        await arena.settled()
        verdict = await arena.finish()

    kill_table.row(f"idle, with a lease of {lease_s} s").takeovers_s.append(took_s)
    assert took_s <= lease_s + 5
    assert verdict.clean


async def test_a_stopped_leader_is_followed_within_two_seconds(arena: KillArena) -> None:
    leader, (follower,) = arena.leader, arena.followers

    assert await leader.terminate() == 0
    gone = leader.events("leader_changed", leading=False)[-1]
    followed = await follower.wait_for("leader_changed", leading=True)

    gap = datetime.fromisoformat(followed["ts"]) - datetime.fromisoformat(gone["ts"])
    assert gap.total_seconds() <= 2
    assert not leads(leader)


@pytest.mark.faults
async def test_five_schedulers_are_restarted_one_after_the_other_while_the_work_goes_on(arena: KillArena) -> None:
    arena.set_task("spread", distribution_window="4s")
    await arena.all_known()
    old = [arena.leader, *arena.followers, *[await arena.add_scheduler() for _ in range(3)]]
    for scheduler in old:
        await scheduler.wait_ready()

    for scheduler in old:
        await spread(arena)
        led, began = leads(scheduler), asyncio.get_running_loop().time()
        assert await scheduler.terminate() == 0
        arena.bury(scheduler)
        await arena.new_leader()
        assert not led or asyncio.get_running_loop().time() - began <= 2
        await (await arena.add_scheduler()).wait_ready()
        assert sum(map(leads, [arena.leader, *arena.followers])) == 1

    await arena.settled()
    assert (await arena.finish()).clean
