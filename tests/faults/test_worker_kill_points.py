"""SIGKILL of a real worker at every arrow of a job's way, judged at the endpoint, in Redis and in the failed queue."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import pytest

from tests.support import seeded_bugs
from tests.support.failing_processes import ForkServer
from tests.support.failpoints import Failpoint
from tests.support.kill_arena import LANES
from tests.support.kill_table import KillTable
from tests.support.system import Place
from tests.support.worker_arena import CLAIM_TTL_S, WorkerArena
from tests.support.worker_kill_points import POINTS, WorkerKillPoint
from tests.support.worker_ledger import Allowed

#: crashes at each point in the full form, with another worker alive and with none
KILLS = 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("survivor", [True, False], ids=["another worker lives", "no other worker lives"])
async def test_a_worker_may_die_at_any_arrow_of_a_jobs_way(
    place: Place, tmp_path: Path, fork_server: ForkServer, kill_table: KillTable, survivor: bool
) -> None:
    async with WorkerArena(place, tmp_path, fork_server, survivor=survivor) as arena:
        # Each point once; the full form tries every one of them both ways.
        for point in POINTS[survivor::2]:
            await kill_at(arena, point, kill_table, row_name(point, survivor))

        assert (await arena.finish()).clean


@pytest.mark.faults
@pytest.mark.timeout(5400)
async def test_a_worker_may_die_twenty_times_at_every_arrow(
    lanes: list[Place], tmp_path: Path, fork_server: ForkServer, kill_table: KillTable
) -> None:
    waiting = deque((point, survivor) for survivor in (True, False) for point in POINTS)
    names = [row_name(point, survivor) for point, survivor in waiting]

    async def lane(place: Place) -> None:
        while waiting:
            point, survivor = waiting.popleft()
            directory = tmp_path / str(len(waiting))
            directory.mkdir()
            arena = WorkerArena(place, directory, fork_server, survivor=survivor)
            await judge_point(arena, point, kill_table, row_name(point, survivor))
            async with place.client() as client:
                await client.flushdb()

    async with asyncio.TaskGroup() as group:
        for place in lanes[:LANES]:
            group.create_task(lane(place))

    rows = {name: kill_table.row(name) for name in names}
    assert [name for name, row in rows.items() if len(row.takeovers_s) < KILLS] == []
    assert {name: row for name, row in rows.items() if not row.clean} == {}


@pytest.mark.parametrize(
    ("bug", "point_name"),
    [
        ("ack_before_record", "after a job is claimed, before its call"),
        ("record_before_call", "after a job is claimed, before its call"),
        pytest.param("claim_for_ever", "after a job is claimed, before its call", marks=pytest.mark.faults),
        pytest.param("mark_before_message", "after a failure's record, before its message", marks=pytest.mark.faults),
    ],
)
async def test_a_crash_of_a_worker_with_a_mistake_loses_a_job(
    bug: str, point_name: str, place: Place, tmp_path: Path, fork_server: ForkServer
) -> None:
    (point,) = [point for point in POINTS if point.name == point_name]
    environment = {seeded_bugs.VARIABLE: bug}
    async with WorkerArena(place, tmp_path, fork_server, survivor=False, environment=environment) as arena:
        await arena.crash(point.failpoint, point.kind, jobs=1, allowed=point.allowed, within_s=CLAIM_TTL_S + 3)

        assert len((await arena.verdict()).lost) == 1


@pytest.mark.faults
@pytest.mark.timeout(180)
async def test_a_worker_with_many_jobs_in_hand_may_die(place: Place, tmp_path: Path, fork_server: ForkServer) -> None:
    in_hand = 8
    amid = Failpoint(target="taskqueue.store.jobs:JobStore.finish", when="after", count=3)
    async with WorkerArena(place, tmp_path, fork_server, survivor=True, pool_size=in_hand) as arena:
        for _ in range(3):
            await arena.crash(amid, "slow", jobs=4 * in_hand, allowed=Allowed(again=(0, in_hand)))

        assert (await arena.finish()).clean


async def judge_point(system: WorkerArena, point: WorkerKillPoint, table: KillTable, name: str) -> None:
    """Kill a new system's workers at one point, and write down what was seen, whatever it is."""
    try:
        async with system as arena:
            for _ in range(KILLS):
                await kill_at(arena, point, table, name)
            table.row(name).verdict = await arena.finish()
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        # The other points shall be judged all the same.
        table.row(name).error = f"{type(error).__name__}: {error}"


async def kill_at(arena: WorkerArena, point: WorkerKillPoint, table: KillTable, name: str) -> None:
    """Kill a worker once, wait until its jobs have ended, and judge."""
    row = table.row(name)
    took_s = await arena.crash(point.failpoint, point.kind, jobs=point.jobs, allowed=point.allowed)
    row.takeovers_s.append(took_s)
    row.done_s.append(took_s)
    row.verdict = await arena.verdict()
    assert row.verdict.clean, f"{name}: {row.verdict}"


def row_name(point: WorkerKillPoint, survivor: bool) -> str:
    """Return the name of the point in the table."""
    return f"{point.name} ({'another lives' if survivor else 'alone'})"
