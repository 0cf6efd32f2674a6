"""What the release does with the jobs of a host in trouble."""

from __future__ import annotations

from taskqueue.core.host_limit import HostReport
from taskqueue.core.waiting import host_limit
from taskqueue.runtime import utc_now
from taskqueue.scheduler.gates import Gates
from taskqueue.store.limits import Limit, Limits
from taskqueue.telemetry.scheduler_events import WaitingJobsLost
from tests.support.release_dock import SECOND, Dock, NewDock, names

HOST = host_limit("http://sick.example.com:80")


def gates_of(limit: HostReport | None) -> Gates:
    """Return gates where `report` calls a host of which this is known."""
    gates = Gates(100_000)
    gates.targets_are({"report": HOST})
    know(gates, limit)
    return gates


def know(gates: Gates, report: HostReport | None) -> None:
    gates.hosts_are({} if report is None else {HOST: report})


def closed_for(seconds: float) -> HostReport:
    now = utc_now().timestamp()
    return HostReport(limit=0, in_flight=0, closed_until=now + seconds, since=now, closings=1)


def opened(limit: int) -> HostReport:
    return HostReport(limit=limit, in_flight=0, closed_until=None, since=utc_now().timestamp())


async def waiting(dock: Dock) -> int:
    return int(await dock.redis.zcard(f"taskqueue:waiting:{HOST}"))


async def test_retries_of_a_closed_host_go_to_its_list_once_and_keep_nobody_else_back(new_dock: NewDock) -> None:
    dock = await new_dock(gates=gates_of(closed_for(60)))
    for user in names(120):
        await dock.delayed(user, utc_now() - 9 * SECOND)
    await dock.planned(names(30, "planned"), utc_now() - SECOND)
    await dock.planned(["ann"], utc_now() - SECOND, task_id="another")

    for _ in range(6):
        await dock.releaser.round()

    assert await dock.take(1) == ["ann"]
    await dock.nothing_came()
    assert await waiting(dock) == 120
    generations = [await dock.redis.hget(f"taskqueue:delayed:job:job-of-{user}", "generation") for user in names(120)]
    assert set(generations) == {"1"}


async def test_a_closed_host_whose_time_is_over_gets_one_job(new_dock: NewDock) -> None:
    dock = await new_dock(gates=gates_of(closed_for(-1)))
    for user in names(20):
        await dock.delayed(user, utc_now() - SECOND)
    await dock.planned(names(20, "planned"), utc_now() - SECOND)

    for _ in range(4):
        await dock.releaser.round()

    assert len(await dock.take(1)) == 1
    await dock.nothing_came()


async def test_a_host_that_opens_gets_its_backlog_as_it_opens_and_all_of_it_once_nobody_limits_it(
    new_dock: NewDock,
) -> None:
    gates = gates_of(closed_for(60))
    dock = await new_dock(gates=gates)
    for user in names(200):
        await dock.delayed(user, utc_now() - SECOND)
    while await waiting(dock) < 200:
        await dock.releaser.round()

    know(gates, opened(3))
    await dock.releaser.round()
    assert len(await dock.take(4)) == 4
    await dock.nothing_came()

    know(gates, None)
    await dock.until_released(200)
    assert len(set(await dock.take(196))) == 196
    assert await dock.redis.keys("taskqueue:waiting*") == []


async def test_jobs_of_a_closed_host_leave_the_list_that_they_share_with_others(new_dock: NewDock) -> None:
    gates = gates_of(None)
    gates.limits_are(Limits(global_=Limit(rate=0.01, burst=1)))
    dock = await new_dock(gates=gates)
    for user in names(10):
        await dock.delayed(user, utc_now() - SECOND)
    await dock.releaser.round()
    assert await dock.redis.zcard("taskqueue:waiting:global") == 9

    know(gates, closed_for(60))
    gates.limits_are(Limits())
    for _ in range(3):
        await dock.releaser.round()

    assert await waiting(dock) == 9


async def test_a_list_of_a_host_whose_name_was_lost_is_found_by_the_next_leader(new_dock: NewDock) -> None:
    dock = await new_dock(gates=Gates(100_000))
    (task,) = [task for task in dock.releaser._catalog.tasks.values() if task.id == "report"]
    parts = task.target.endpoint.split("/")
    limit = host_limit(f"{parts[0]}//{parts[2]}" if ":" in parts[2] else f"{parts[0]}//{parts[2]}:80")
    job_id = await dock.delayed("ann", utc_now() - SECOND)
    await dock.redis.zrem("taskqueue:delayed", job_id)
    await dock.redis.zadd(f"taskqueue:waiting:{limit}", {job_id: 1})
    await dock.redis.hset(f"taskqueue:delayed:job:{job_id}", "list", f"taskqueue:waiting:{limit}")

    await dock.releaser.begin()
    await dock.releaser.round()

    assert await dock.take(1) == ["ann"]


async def test_an_entry_without_its_job_is_told_and_forgotten(new_dock: NewDock) -> None:
    dock = await new_dock(gates=Gates(100_000))
    for user in ("ann", "ben"):
        job_id = await dock.delayed(user, utc_now() - SECOND)
        await dock.redis.delete(f"taskqueue:delayed:job:{job_id}")
    await dock.delayed("cem", utc_now() - SECOND)

    await dock.releaser.round()
    await dock.releaser.round()

    assert await dock.take(1) == ["cem"]
    assert await dock.redis.exists("taskqueue:delayed") == 0
    assert dock.events.of(WaitingJobsLost) == [
        WaitingJobsLost(waits_in="taskqueue:delayed", jobs=2, job_id="job-of-ann")
    ]
