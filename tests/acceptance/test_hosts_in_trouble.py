"""A host that is down or asks for peace: it is left alone, its jobs wait unharmed, and it gets them back gently."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence

import pytest

from taskqueue.core.host_limit import LONGEST_RAMP_S, host_of
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.waiting import host_limit
from taskqueue.dev.target import Target
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: of the one worker that meets a host again, and how long that one takes to answer
HANDS, ANSWERS_IN_S = 20, 0.05

POOL = {"worker": {"pool_size": 5}}
RETRIES = 8


async def start(system: System, sick: Target) -> tuple[Process, Process, Process]:
    """Run a scheduler and two workers over a task of each endpoint: `sick` calls the one that can be down."""
    path = sick.url + "/ok"
    ill = system.task("sick", retries=RETRIES, retry_delay="1s", config={"endpoint": path})
    system.write_tasks(ill, system.task("well"))
    scheduler, first = await system.scheduler_and_worker(POOL)
    second = await system.worker(POOL)
    await second.wait_ready()
    return scheduler, first, second


async def waiting(system: System, sick: Target) -> int:
    return int(await system.redis.zcard(f"taskqueue:waiting:{host_limit(host_of(sick.url))}"))


async def attempts(system: System, sick: Target) -> list[int]:
    """Return the attempt that is next for each job that waits for the host."""
    job_ids = await system.redis.zrange(f"taskqueue:waiting:{host_limit(host_of(sick.url))}", 0, -1)
    return [int(await system.redis.hget(f"taskqueue:delayed:job:{job_id.decode()}", "attempt")) for job_id in job_ids]


async def test_a_host_that_answers_503_is_left_alone_while_others_run_and_gets_its_backlog_back(
    system: System,
) -> None:
    async with Target() as sick:
        scheduler, *workers = await start(system, sick)
        users = new_users(300)
        for user in users:
            sick.set_user_rule(user, "/status/503")

        await trigger(scheduler, "sick", users)
        await eventually(lambda: _called(sick, 1), 10)
        await trigger(scheduler, "well", new_users(100))
        await eventually(lambda: _called(system.target, 100), 10)
        await eventually(lambda: _closed(workers, closings=4), 30)

        called = len(sick.calls)
        assert called <= 40, "two workers with five hands each, their first few answers, and a probe a second"
        spent = await attempts(system, sick)
        assert sum(attempt - 1 for attempt in spent) <= called

        for user in users:
            sick.set_user_rule(user, "/ok")
        await system.drained(scheduler, *workers, within=60)

        done = [call.headers["x-taskqueue-user"] for call in sick.calls if call.status == 200]
        assert sorted(done) == sorted(users)
        parked = [line for worker in workers for line in worker.events("job_settled", reason="limit_host")]
        assert len(parked) <= 2 * len(users)
        assert await system.redis.exists("taskqueue:waiting") == 0


async def test_a_host_that_names_a_time_is_not_called_before_it(system: System) -> None:
    async with Target() as sick:
        scheduler, *workers = await start(system, sick)
        users = new_users(40)
        for user in users:
            sick.set_user_rule(user, "/status/429?retry_after=4")

        await trigger(scheduler, "sick", users)
        for worker in workers:
            await worker.wait_for("host_closed")
        known_at, last = time.time(), sick.calls[-1].at
        for user in users:
            sick.set_user_rule(user, "/ok")
        await system.drained(scheduler, *workers, within=60)

        early = [call for call in sick.calls if known_at + 0.5 < call.at < last + 3.9]
        assert early == []
        assert {call.headers["x-taskqueue-user"] for call in sick.calls if call.status == 200} == set(users)


async def test_a_host_that_comes_back_gets_its_backlog_over_as_long_as_it_was_away(system: System) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        path = f"http://127.0.0.1:{port}/slow/{ANSWERS_IN_S * 1000:.0f}"
        system.write_tasks(system.task("sick", retries=RETRIES, retry_delay="1s", config={"endpoint": path}))
        scheduler, worker = await system.scheduler_and_worker({"worker": {"pool_size": HANDS}})
        users = new_users(300)
        await trigger(scheduler, "sick", users)
        closed = await worker.wait_for("host_closed", closings=1)
        await worker.wait_for("host_closed", within=20, closings=4)
    async with Target(port=port) as back:
        await worker.wait_for("host_opened", within=20)
        await system.drained(scheduler, worker, within=60)
        calls = back.calls

    refused = worker.events("attempt_ended", error_code="connection_refused")
    assert len(refused) <= 3 * HANDS, "the first few, and a probe for each closing"
    assert sorted(call.headers["x-taskqueue-user"] for call in calls) == sorted(users)
    assert system.failed.messages == []
    opened = parse_rfc3339(worker.events("host_opened")[0]["ts"])
    away_s = (opened - parse_rfc3339(closed["ts"])).total_seconds()
    for number, call in enumerate(calls):
        since_s = call.at - opened.timestamp()
        beside = sum(other.at > call.at - ANSWERS_IN_S for other in calls[:number])
        assert beside <= max(1, HANDS * (since_s + 0.1) / min(away_s, LONGEST_RAMP_S)), f"after {since_s:.2f} s"


async def test_operators_see_which_host_is_closed(system: System) -> None:
    async with Target() as sick:
        scheduler, first, _ = await start(system, sick)
        users = new_users(40)
        for user in users:
            sick.set_user_rule(user, "/status/503?retry_after=30")

        await trigger(scheduler, "sick", users)

        async def told() -> bool:
            return await waiting(system, sick) > 20

        await eventually(told, 10)
        said = [json.loads(text) for text in (await system.redis.hgetall("taskqueue:hosts")).values()]
        closed = [report for each in said for host, report in each["hosts"].items() if host == host_of(sick.url)]
        assert any(report["closed_until"] for report in closed)
        assert all(line["host"] == host_of(sick.url) for line in first.events("host_closed"))


async def _called(target: Target, count: int) -> bool:
    return len(target.calls) >= count


async def _closed(workers: Sequence[Process], *, closings: int) -> bool:
    return any(worker.events("host_closed", closings=closings) for worker in workers)
