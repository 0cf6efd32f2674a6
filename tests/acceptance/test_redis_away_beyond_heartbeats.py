"""A Redis that is away for longer than a heartbeat lives: no worker could beat, and none is taken for dead."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskqueue.store.fleet import HEARTBEAT_TTL
from tests.support.inbox import eventually
from tests.support.own_redis import own_redis_servers
from tests.support.raw_properties import publish_raw
from tests.support.system import Place, System, foreign_message, new_users

pytestmark = pytest.mark.timeout(120)

COPIES = 3


@pytest.fixture
async def system(amqp_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """A system whose Redis may be stopped."""
    with own_redis_servers() as own:
        _, address = own.start()
        async with System(Place(amqp_url=amqp_url, redis_address=address, redis_db=0), tmp_path) as system:
            yield system


async def test_a_running_job_is_neither_copied_nor_joined_beyond_max_concurrency(system: System) -> None:
    system.write_tasks(system.task("one", "/block", timeout="60s", max_concurrency=1))
    _, first = await system.scheduler_and_worker()
    workers = first, await system.worker()
    await workers[1].wait_ready()
    server = (await system.redis.info("server"))["process_id"]
    running, other = new_users(2)
    message, another = (json.dumps(foreign_message("one", user)).encode() for user in (running, other))
    amqp_url = system.place.amqp_url

    def parked() -> list[str]:
        lines = (line for worker in workers for line in worker.events("job_settled", decision="park"))
        return sorted(line["user_id"] for line in lines)

    async def judged() -> bool:
        refused = parked().count(running) >= COPIES and other in parked()
        return refused or len(system.target.calls) > 1

    await publish_raw(amqp_url, message, "taskqueue.jobs.normal")
    await system.target.wait_for_calls(1)
    os.kill(server, signal.SIGSTOP)
    try:
        for copy in (*[message] * COPIES, another):
            await publish_raw(amqp_url, copy, "taskqueue.jobs.normal")
        await asyncio.sleep(HEARTBEAT_TTL.total_seconds() + 1)  # how long it is away is what is tested
    finally:
        os.kill(server, signal.SIGCONT)
    await eventually(judged, within=40)
    called_meanwhile = [call.headers["x-taskqueue-user"] for call in system.target.calls]
    system.target.release()
    await system.target.wait_for_calls(2, timeout_s=40)

    assert called_meanwhile == [running]
    assert [call.headers["x-taskqueue-user"] for call in system.target.calls] == [running, other]
