"""kill -9, and leaders that go: nothing is lost, nothing is planned or published twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from taskqueue.core.instants import parse_rfc3339
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: jobs go to RabbitMQ shortly before they are due, so that a leader is always in the middle of its work
SHORT_LEAD = {"scheduler": {"lead": "1s"}}


async def test_the_job_of_a_killed_worker_is_taken_over_with_the_same_key(system: System) -> None:
    system.write_tasks(system.task("block", "/block"))
    scheduler, first = await system.scheduler_and_worker()
    (user,) = new_users(1)

    await trigger(scheduler, "block", [user])
    await system.target.wait_for_calls(1)
    second = await system.worker()
    await second.wait_ready()
    await first.kill()
    system.target.set_user_rule(user, "/ok")
    await second.wait_for("job_settled", decision="park", reason="claimed")
    await second.wait_for("job_settled", status="success", within=25)
    await system.drained(scheduler, second)

    lost, taken_over = system.calls(user=user)
    assert lost.headers["idempotency-key"] == taken_over.headers["idempotency-key"]
    assert [call.headers["x-taskqueue-attempt"] for call in (lost, taken_over)] == ["1", "1"]
    assert taken_over.at - lost.at < 25
    assert system.failed.messages == []


@pytest.mark.faults
async def test_a_follower_goes_on_where_a_killed_leader_stopped(system: System) -> None:
    system.write_tasks(system.task("spread", distribution_window="16s"))
    leader, worker = await system.scheduler_and_worker(scheduler=SHORT_LEAD)
    follower = await _follower(system)
    users = new_users(32)

    await trigger(leader, "spread", users, immediately=False)
    await system.target.wait_for_calls(6)
    await leader.kill()
    killed_at = asyncio.get_running_loop().time()
    await follower.wait_for("leader_changed", leading=True, within=15)
    took_s = asyncio.get_running_loop().time() - killed_at
    await system.drained(follower, worker, within=30)

    assert took_s < 15
    assert _released(leader) < len(users) <= _released(leader) + _released(follower)
    assert sorted(call.headers["x-taskqueue-user"] for call in system.target.calls) == sorted(users)
    assert system.failed.messages == []


async def test_a_leader_that_is_stopped_hands_over_within_two_seconds(system: System) -> None:
    system.write_tasks(system.task("spread", distribution_window="5s"))
    leader, worker = await system.scheduler_and_worker(scheduler=SHORT_LEAD)
    follower = await _follower(system)
    users = new_users(20)

    await trigger(leader, "spread", users, immediately=False)
    await system.target.wait_for_calls(4)
    code = await leader.terminate()
    asked = await leader.wait_for("process_draining")
    followed = await follower.wait_for("leader_changed", leading=True)
    await system.drained(follower, worker)

    assert code == 0
    assert parse_rfc3339(followed["ts"]) - parse_rfc3339(asked["ts"]) < timedelta(seconds=2)
    assert _released(leader) < len(users) <= _released(leader) + _released(follower)
    assert sorted(call.headers["x-taskqueue-user"] for call in system.target.calls) == sorted(users)
    assert [line for line in leader.lines if line["level"] in {"warning", "error"}] == []


async def _follower(system: System) -> Process:
    follower = await system.scheduler(SHORT_LEAD)
    await follower.wait_ready()
    assert follower.events("leader_changed", leading=True) == []
    return follower


def _released(scheduler: Process) -> int:
    return sum(line["count"] for line in scheduler.events("jobs_released"))
