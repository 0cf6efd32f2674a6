"""kill -9 of RabbitMQ or Redis in the middle of a release: all goes on by itself, nothing is lost or repeated."""

from __future__ import annotations

import asyncio

import pytest

from taskqueue.dev.services import RabbitMQ
from taskqueue.dev.services import Redis as RedisService
from tests.support.kill_arena import NewArena

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

#: enough for a few seconds of work at both moments: when the service ends and when it is back
USERS = 240

#: the leader has published some of them when the service ends, not all
SETTINGS = {"scheduler": {"lead": "1s", "lease_ttl": "10s"}}


async def test_a_restart_of_rabbitmq_in_the_middle_of_a_release_costs_nothing(
    rabbitmq: RabbitMQ, new_arena: NewArena
) -> None:
    if not rabbitmq.restartable:
        pytest.skip("this RabbitMQ is not ours to kill")
    await judge_restart(rabbitmq, new_arena)


async def test_a_restart_of_redis_in_the_middle_of_a_release_costs_nothing(
    redis_server: RedisService, new_arena: NewArena
) -> None:
    if not redis_server.restartable:
        pytest.skip("this Redis is not ours to kill")
    await judge_restart(redis_server, new_arena)


async def judge_restart(service: RabbitMQ | RedisService, new_arena: NewArena) -> None:
    async with new_arena(scheduler=SETTINGS) as arena:
        arena.set_task("slow", distribution_window="8s")
        await arena.all_known()
        await arena.trigger("slow", immediately=False, users=USERS)
        await arena.system.target.wait_for_calls(USERS // 8)
        await asyncio.to_thread(service.kill)
        await asyncio.to_thread(service.start)
        await arena.settled(within=90)

        assert (await arena.finish()).clean
