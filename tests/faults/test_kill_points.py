"""SIGKILL of a real leader at every step of its work, judged at the endpoint: nothing is lost, no job runs twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.support.failing_processes import ForkServer
from tests.support.kill_arena import LANES, KillArena
from tests.support.kill_points import POINTS, KillPoint
from tests.support.kill_table import KillTable
from tests.support.system import Place

#: crashes at each point in the full form
KILLS = 20

#: what every run of the tests tries: a point of each kind of work
SMOKE = (
    "between two pieces of a plan",
    "after an instant is noted as come",
    "between two instants of a catch-up",
    "after half of the confirms",
    "after all confirms, before the trim",
    "after the trim, before the next piece",
    "after publishing into the lane, before the trim",
    "after a retry is published, before it is removed",
    "before the due work is brought in line",
    "between two pieces of a trigger",
)


@pytest.mark.timeout(240)
async def test_a_leader_may_die_in_the_middle_of_any_kind_of_work(arena: KillArena, kill_table: KillTable) -> None:
    points = [point for point in POINTS if point.name in SMOKE]
    assert len(points) == len(SMOKE)

    await prepare(arena, points)
    for point in points:
        await kill_at(arena, point, kill_table)

    assert (await arena.finish()).clean


@pytest.mark.faults
@pytest.mark.timeout(7200)
async def test_a_leader_may_die_twenty_times_at_every_point(
    lanes: list[Place], tmp_path: Path, fork_server: ForkServer, kill_table: KillTable
) -> None:
    waiting = deque(POINTS)

    async def lane(place: Place, number: int) -> None:
        while waiting:
            point = waiting.popleft()
            directory = tmp_path / f"{len(waiting)}-{number}"
            directory.mkdir()
            arena = KillArena(place, directory, fork_server, scheduler=point.scheduler, worker=point.worker)
            await judge_point(arena, point, kill_table)
            async with place.client() as client:
                await client.flushdb()

    async with asyncio.TaskGroup() as group:
        for number in range(LANES):
            group.create_task(lane(lanes[number], number))

    assert [point.name for point in POINTS if len(kill_table.row(point.name).takeovers_s) < KILLS] == []
    assert {name: row for name, row in kill_table.rows.items() if not row.clean} == {}


async def judge_point(system: KillArena, point: KillPoint, table: KillTable) -> None:
    """Kill a new system's leaders at one point, and write down what was seen, whatever it is."""
    try:
        async with system as arena:
            await prepare(arena, [point])
            for _ in range(KILLS):
                await kill_at(arena, point, table)
            table.row(point.name).verdict = await arena.finish()
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        # The other points shall be judged all the same.
        table.row(point.name).error = f"{type(error).__name__}: {error}"


async def prepare(arena: KillArena, points: Sequence[KillPoint]) -> None:
    """Let tasks be there for the work of these points."""
    for point in points:
        for task_id, path, fields in point.tasks:
            arena.set_task(task_id, path, **fields)
    await arena.all_known()


async def kill_at(arena: KillArena, point: KillPoint, table: KillTable) -> None:
    """Kill a leader once, wait until the work is done, and judge."""
    row = table.row(point.name)
    began = asyncio.get_running_loop().time()
    took_s = await arena.crash(point.failpoint, partial(point.work, arena), successor=point.successor, then=point.then)
    await arena.settled()
    row.takeovers_s.append(took_s)
    row.done_s.append(asyncio.get_running_loop().time() - began)
    row.verdict = arena.verdict()
    assert row.verdict.clean, f"{point.name}: {row.verdict}"
