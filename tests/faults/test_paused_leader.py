"""A leader that is stopped (SIGSTOP) for longer than its lease and goes on: nothing of what it then does counts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.support.failing_processes import arm
from tests.support.failpoints import Failpoint, script
from tests.support.kill_arena import LEASE_S, REACHED_WITHIN_S, KillArena
from tests.support.kill_points import PLAIN_POINTS, due, trigger
from tests.support.processes import Process
from tests.support.redis_monitor import RedisMonitor

#: between the leader's last look at its lease and the first message
PUBLISHING = Failpoint(target="taskqueue.broker.publisher:Publisher.publish_all", when="before", count=1, action="stop")

Work = Callable[[KillArena], Awaitable[None]]


async def rest(_: KillArena) -> None:
    """Ask for nothing: what a leader has done before it sleeps it tells when it wakes."""


@pytest.mark.parametrize(
    ("failpoint", "work"),
    [
        pytest.param(
            script("plan_begin", "before", action="stop"), due, id="before it plans", marks=pytest.mark.faults
        ),
        pytest.param(script("plan_append", "after", action="stop"), due, id="in the middle of a plan"),
        pytest.param(
            script("slot_trim", "before", action="stop"),
            trigger,
            id="after publishing, before the trim",
            marks=pytest.mark.faults,
        ),
        pytest.param(
            script("lease", "before", action="stop"), rest, id="before it renews its lease", marks=pytest.mark.faults
        ),
    ],
)
async def test_a_leader_that_slept_past_its_lease_neither_plans_nor_writes_nor_publishes(
    failpoint: Failpoint, work: Work, arena: KillArena
) -> None:
    paused, token = await pause(arena, failpoint, work)
    async with RedisMonitor(arena.system.place) as monitor:
        woken = len(paused.lines)
        paused.send(signal.SIGCONT)
        await paused.wait_for("leader_changed", leading=False, after=woken)
        await arena.settled()

        assert monitor.scripts(token) > 0, "the paused leader did not try anything: this test shows nothing"
        assert monitor.writes(token) == []
    assert [
        line["event"] for line in paused.lines[woken:] if line["event"] in {"jobs_released", "occurrence_planned"}
    ] == []
    assert (await arena.finish()).clean


@pytest.mark.faults
async def test_messages_of_a_leader_that_slept_in_the_middle_of_publishing_are_known_to_the_workers(
    arena: KillArena,
) -> None:
    paused, token = await pause(arena, PUBLISHING, trigger)
    async with RedisMonitor(arena.system.place) as monitor:
        woken = len(paused.lines)
        paused.send(signal.SIGCONT)
        await paused.wait_for("leader_changed", leading=False, after=woken)
        await arena.settled()

        assert monitor.writes(token) == []
    assert (await arena.finish()).clean


@pytest.mark.faults
async def test_a_leader_that_slept_past_its_lease_is_a_follower_and_may_lead_again(arena: KillArena) -> None:
    paused, _ = await pause(arena, script("lease", "before", action="stop"), trigger)
    woken = len(paused.lines)
    paused.send(signal.SIGCONT)
    await paused.wait_for("leader_changed", leading=False, after=woken)

    await arena.leader.terminate()
    await paused.wait_for("leader_changed", leading=True, after=woken)
    await trigger(arena)
    await arena.settled()

    assert (await arena.finish()).clean


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_a_leader_may_sleep_past_its_lease_at_any_moment(arena: KillArena) -> None:
    for point in PLAIN_POINTS:
        for task_id, path, fields in point.tasks:
            arena.set_task(task_id, path, **fields)
    await arena.all_known()
    for point in PLAIN_POINTS:
        paused, token = await pause_at(arena, replace(point.failpoint, action="stop"), partial(point.work, arena))
        async with RedisMonitor(arena.system.place) as monitor:
            woken = len(paused.lines)
            paused.send(signal.SIGCONT)
            await paused.wait_for("leader_changed", leading=False, after=woken)
            await arena.settled()

            assert monitor.writes(token) == [], point.name
        assert arena.verdict().clean, f"{point.name}: {arena.verdict()}"
    assert (await arena.finish()).clean


async def pause(arena: KillArena, failpoint: Failpoint, work: Work) -> tuple[Process, str]:
    """Stop the leader at `failpoint`, and let another lead and do the work; return the stopped one and its token."""
    arena.set_task("due", distribution_window="1s")
    await arena.all_known()
    return await pause_at(arena, failpoint, partial(work, arena))


async def pause_at(arena: KillArena, failpoint: Failpoint, work: Callable[[], Awaitable[None]]) -> tuple[Process, str]:
    leader, (follower,) = arena.leader, arena.followers
    token = await arena.lease_token()
    led, followed = len(leader.lines), len(follower.lines)
    await arm(leader, failpoint)
    working = asyncio.create_task(work())
    try:
        await leader.wait_for("failpoint_reached", after=led, within=REACHED_WITHIN_S)
        await follower.wait_for("leader_changed", leading=True, after=followed, within=LEASE_S + 5)
        await working
    finally:
        working.cancel()
    await arena.settled()
    return leader, token
