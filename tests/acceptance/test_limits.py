"""What holds a task back: its limit and its `max_concurrency`, over all workers, without a job lost or called twice."""

from __future__ import annotations

import json

import pytest

from tests.support.inbox import eventually
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)


def most_at_a_time(starts: list[float], length: float) -> int:
    return max(sum(start <= other < start + length for other in starts) for start in starts)


async def test_no_more_jobs_of_a_task_run_at_a_time_than_it_allows_over_all_workers(system: System) -> None:
    system.write_tasks(system.task("careful", "/slow/200", max_concurrency=3))
    scheduler, first = await system.scheduler_and_worker({"worker": {"pool_size": 10}})
    second = await system.worker({"worker": {"pool_size": 10}})
    await second.wait_ready()
    users = new_users(60)

    await trigger(scheduler, "careful", users)
    await system.drained(scheduler, first, second, within=45)

    calls = system.target.calls
    assert sorted(call.headers["x-taskqueue-user"] for call in calls) == sorted(users)
    # A little less than the endpoint takes to answer: its clock and its timer tick on their own.
    assert most_at_a_time([call.at for call in calls], 0.19) == 3
    assert await system.redis.zcard("taskqueue:running:careful") == 0


async def test_a_killed_worker_takes_no_place_of_its_tasks_with_it(system: System) -> None:
    system.write_tasks(system.task("careful", "/slow/1000", max_concurrency=2))
    scheduler, first = await system.scheduler_and_worker({"worker": {"pool_size": 5}})
    users = new_users(6)

    await trigger(scheduler, "careful", users)
    await system.target.wait_for_calls(2)
    await first.kill()
    second = await system.worker({"worker": {"pool_size": 5}})
    await second.wait_ready()
    await system.drained(scheduler, second, within=60)

    assert {call.headers["x-taskqueue-user"] for call in system.target.calls} == set(users)
    assert await system.redis.zcard("taskqueue:running:careful") == 0


async def test_a_backlog_is_called_at_its_limit_s_rate_and_delays_no_other_task(system: System) -> None:
    rate, count = 20, 160
    limits = {"worker": {"pool_size": 20}, "rate_limit": {"global": None, "per_task": {"slow": rate}}}
    system.write_tasks(system.task("slow"), system.task("free"))
    scheduler, first = await system.scheduler_and_worker(limits)
    second = await system.worker(limits)
    await second.wait_ready()

    await trigger(scheduler, "slow", new_users(count))
    await system.target.wait_for_calls(1)
    await trigger(scheduler, "free", new_users(50))
    await eventually(lambda: _called(system, "free", 50), 5)
    assert len(system.calls(task="slow")) < count / 2
    await system.drained(scheduler, first, second, within=30)

    starts = sorted(call.at for call in system.calls(task="slow"))
    assert len(starts) == len({call.headers["x-taskqueue-user"] for call in system.calls(task="slow")}) == count
    for number, start in enumerate(starts):
        assert len(starts) - number <= rate + rate * (starts[-1] - start) + 1
    # A leader that has just learnt of the limit holds one token, not a burst; from there on it uses up the rate.
    assert (count - 1) / (starts[-1] - starts[0]) >= 0.9 * rate
    put_back = [line for worker in (first, second) for line in worker.events("job_settled", decision="park")]
    assert len(put_back) <= count / 20
    assert await system.redis.keys("taskqueue:waiting*") == []


async def _called(system: System, task_id: str, count: int) -> bool:
    return len(system.calls(task=task_id)) >= count


async def test_a_worker_tells_the_limits_that_it_holds(system: System) -> None:
    limits = {"global": 50, "per_task": {"careful": 0.5, "free": None}}
    worker = await system.worker({"rate_limit": limits})
    await worker.wait_ready()

    async def told() -> bool:
        return bool(await system.redis.exists("taskqueue:limits"))

    await eventually(told)
    found = {name.decode(): json.loads(text) for name, text in (await system.redis.hgetall("taskqueue:limits")).items()}
    assert found == {"global": {"rate": 50.0, "burst": 50.0}, "task:careful": {"rate": 0.5, "burst": 1.0}}
