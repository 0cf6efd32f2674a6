"""SIGKILL of the leader around the moment at which a task made through the API runs: it runs, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskqueue.core.api_task import TaskStatus
from taskqueue.core.dependency import DependencyType
from tests.support.api_desk import ApiDesk, in_seconds
from tests.support.failing_processes import FailingProcesses, ForkServer, arm
from tests.support.failpoints import Failpoint, script
from tests.support.processes import Process
from tests.support.system import Place, System

pytestmark = pytest.mark.timeout(120)

#: crashes at each point in the full form
KILLS = 20

_KILLED = -9
_LEASE = {"scheduler": {"lease_ttl": "2s"}}

_PUBLISH = Failpoint(target="taskqueue.broker.publisher:Publisher.publish_all", when="before")
_PUBLISHED = Failpoint(target="taskqueue.broker.publisher:Publisher.publish_all", when="after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A leader to kill, another scheduler, a worker, and the desk."""

    system: System
    desk: ApiDesk
    leader: Process
    follower: Process
    worker: Process


@pytest.fixture
async def stage(place: Place, tmp_path: Path, fork_server: ForkServer) -> AsyncIterator[Stage]:
    system = System(place, tmp_path)
    system.processes = FailingProcesses(tmp_path, fork_server)
    async with system, ApiDesk(system) as desk:
        system.write_tasks()
        leader, worker = await system.scheduler_and_worker(desk.guard(), scheduler=_LEASE, watch_failed=False)
        await (follower := await system.scheduler(_LEASE)).wait_ready()
        yield Stage(system=system, desk=desk, leader=leader, follower=follower, worker=worker)


_POINTS = [
    script("api_fire", "before"),
    script("api_fire", "after"),
    _PUBLISH,
    _PUBLISHED,
    script("delayed_remove", "after"),
]


@pytest.mark.parametrize("failpoint", _POINTS, ids=str)
async def test_a_task_whose_leader_dies_while_it_runs_it_runs_once(stage: Stage, failpoint: Failpoint) -> None:
    await arm(stage.leader, failpoint)
    task = await stage.desk.once(at=in_seconds(0.5))

    assert await stage.leader.ended(20) == _KILLED
    await stage.desk.reaches(task, TaskStatus.COMPLETED)

    assert len(stage.system.calls(task=task.task_id)) == 1
    assert len(await stage.desk.executions(task)) == 1
    assert (await stage.desk.counts(task))["total"] == 1


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("failpoint", _POINTS, ids=str)
async def test_twenty_leaders_die_while_they_run_a_task_and_each_task_runs_once(
    stage: Stage, failpoint: Failpoint
) -> None:
    victim, follower = stage.leader, stage.follower
    for _ in range(KILLS):
        await arm(victim, failpoint)
        task = await stage.desk.once(at=in_seconds(0.5))
        assert await victim.ended(20) == _KILLED
        await follower.wait_for("leader_changed", leading=True, within=10)
        victim, follower = follower, await stage.system.scheduler(_LEASE)
        await stage.desk.reaches(task, TaskStatus.COMPLETED)
        await follower.wait_ready()

        assert len(stage.system.calls(task=task.task_id)) == 1
        assert len(await stage.desk.executions(task)) == 1
    assert len(stage.system.target.calls) == KILLS


async def test_a_task_that_waits_for_another_runs_once_though_the_leader_dies_when_it_may(stage: Stage) -> None:
    parent = await stage.desk.once(at=in_seconds(1.5))
    child = await stage.desk.make(due=in_seconds(0.2))
    await stage.desk.depend(child, parent, DependencyType.SUCCESS)
    await stage.desk.reaches(child, TaskStatus.WAITING)
    # The parent is the first that it fires from here on, the child the second.
    await arm(stage.leader, script("api_fire", "before", count=2))

    assert await stage.leader.ended(20) == _KILLED
    await stage.desk.ended(child)

    assert [len(stage.system.calls(task=task.task_id)) for task in (parent, child)] == [1, 1]
