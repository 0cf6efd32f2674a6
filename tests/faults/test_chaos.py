"""Everything happens to a whole system, from a seed: who had to be called was, once, and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskqueue.dev.services import RabbitMQ
from tests.support.chaos_events import Planned, happen, schedule
from tests.support.chaos_services import alarm_rabbitmq, restart_rabbitmq
from tests.support.chaos_system import ChaosSystem
from tests.support.failing_processes import ForkServer
from tests.support.own_redis import OwnRedis, own_redis_servers
from tests.support.system import Place

#: of the full form: `CHAOS_SEEDS=7,8 pytest -m faults tests/faults/test_chaos.py` tries others
SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1,2,3,4,5").split(",")]

#: of the short form
SMOKE = int(os.environ.get("CHAOS_SMOKE", "5"))


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    with own_redis_servers() as own:
        yield own


@pytest.fixture
def place(own_redis: OwnRedis, amqp_url: str, rabbitmq: RabbitMQ) -> Place:
    """A virtual host of its own, and a Redis that loses nothing it has answered."""
    if not rabbitmq.restartable:
        pytest.skip("this RabbitMQ is not ours to kill")
    _, address = own_redis.start("--appendfsync", "always")
    return Place(amqp_url=amqp_url, redis_address=address, redis_db=0)


async def test_a_dozen_things_happen_within_a_dozen_seconds(
    place: Place, own_redis: OwnRedis, rabbitmq: RabbitMQ, tmp_path: Path, fork_server: ForkServer
) -> None:
    chaos = ChaosSystem(
        place, tmp_path, fork_server, redis_server=own_redis.servers[0], rabbitmq=rabbitmq, seed=SMOKE, lasts_s=12
    )
    await judge(chaos, schedule(SMOKE, lasts_s=12, every_s=0.9, leave_out=[restart_rabbitmq, alarm_rabbitmq]))


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_or_done_twice_whatever_happens(
    seed: int, place: Place, own_redis: OwnRedis, rabbitmq: RabbitMQ, tmp_path: Path, fork_server: ForkServer
) -> None:
    chaos = ChaosSystem(
        place,
        tmp_path,
        fork_server,
        redis_server=own_redis.servers[0],
        rabbitmq=rabbitmq,
        seed=seed,
        lasts_s=60,
    )
    await judge(chaos, schedule(seed, lasts_s=60, every_s=0.9))


async def judge(chaos: ChaosSystem, planned: list[Planned]) -> None:
    """Let it happen; where anything is wrong then, the error says what happened when."""
    try:
        async with chaos:
            await happen(chaos, planned)
            await chaos.settle()
            complaints = await chaos.complaints()
        verdict = chaos.verdict()
        assert verdict.clean, verdict
        assert complaints == []
    except BaseException as error:
        error.add_note("\n".join(chaos.notes))
        raise
