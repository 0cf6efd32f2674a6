"""Priorities with real processes: high goes ahead of any backlog, and low is not forgotten under a flood of high."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from taskqueue.broker.connection import connect
from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.dev.target import Call
from tests.support.system import System, foreign_message, new_users

pytestmark = pytest.mark.timeout(120)

#: how long a job takes at the endpoint, and how many run at a time
JOB_S = 0.3
POOL = 4

SMALL_WORKER = {"worker": {"pool_size": POOL}}


async def publish(system: System, task_id: str, users: Sequence[str], queue: str) -> None:
    """Put a job for each user straight into a ready queue, as another system would."""
    publisher = Publisher([system.place.amqp_url], name="test", prepare=declare)
    await publisher.start()
    await publisher.wait_ready(10)
    jobs = [
        Outgoing(body=json.dumps(foreign_message(task_id, user)).encode(), message_id=user, routing_key=f"jobs.{queue}")
        for user in users
    ]
    results = await publisher.publish_all(jobs, 60)
    await publisher.stop(5)
    assert not any(results)


def of(calls: Sequence[Call], users: Sequence[str]) -> list[Call]:
    wanted = set(users)
    return [call for call in calls if call.headers["x-taskqueue-user"] in wanted]


async def called(system: System, user: str) -> Call:
    """Return the call for `user` when it has come."""
    calls: Sequence[Call] = ()
    while not (found := of(calls, [user])):
        calls = await system.target.wait_for_calls(len(calls) + 1)
    return found[0]


async def test_a_high_job_overtakes_ten_thousand_low_ones(system: System) -> None:
    system.write_tasks(system.task("slow", f"/slow/{JOB_S * 1000:.0f}"))
    await system.scheduler_and_worker(SMALL_WORKER)
    low, high = new_users(10_000), new_users(3)
    await publish(system, "slow", low, "low")
    await system.target.wait_for_calls(3 * POOL)

    behind = []
    for user in high:
        await publish(system, "slow", [user], "high")
        before = len(system.target.calls)
        call = await called(system, user)
        behind.append(len(system.target.calls[before : system.target.calls.index(call)]))

    # Until it is delivered some hands come free and take low ones; of the next picks one may be low's.
    assert max(behind) <= 2 * POOL, behind
    assert len(of(system.target.calls, low)) < 500


async def test_low_gets_its_share_under_a_flood_of_high(system: System) -> None:
    system.write_tasks(system.task("quick", "/slow/10"))
    await system.scheduler()
    session = await connect(system.place.amqp_url, "test")
    await declare(session)
    await session.close()
    high, low = new_users(1000), new_users(1000)
    await publish(system, "quick", high, "high")
    await publish(system, "quick", low, "low")

    worker = await system.worker(SMALL_WORKER)
    await worker.wait_ready()
    calls = (await system.target.wait_for_calls(600, timeout_s=60))[:600]

    share = len(of(calls, low)) / len(calls)
    assert 0.07 <= share <= 0.2, share
