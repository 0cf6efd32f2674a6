"""What can cut a worker off from RabbitMQ: it consumes again within a bounded time, and each job is called once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from taskqueue.broker.connection import connect
from taskqueue.dev.services import RabbitMQ
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.rabbitmq_control import set_consumer_timeout, set_memory_alarm
from tests.support.system import Place, System, new_users, trigger
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.timeout(120)

#: a silent peer is noticed after three heartbeats of 5 s and three seconds more
HALF_OPEN_NOTICED_S = 25.0

#: the longest backoff, a handshake, and the setting up of the consumers
BACK_WITHIN_S = 10.0

#: a redelivered job that its worker is still running is looked at again when its claim may have lapsed
CLAIM_S = 40.0


@pytest.fixture
async def network(place: Place) -> AsyncIterator[TcpProxy]:
    """What lies between the worker of a test and RabbitMQ."""
    parts = urlsplit(place.amqp_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def impatient_rabbitmq(rabbitmq: RabbitMQ) -> AsyncIterator[None]:
    """A RabbitMQ that lets a consumer hold a message for three seconds."""
    await set_consumer_timeout(rabbitmq, timeout_ms=3000, looked_at_every_ms=500)
    yield
    await set_consumer_timeout(rabbitmq, timeout_ms=1_800_000, looked_at_every_ms=60_000)


def write_tasks(system: System) -> None:
    system.write_tasks(system.task("ok"), system.task("block", "/block"))


def _through(network: TcpProxy, place: Place) -> str:
    parts = urlsplit(place.amqp_url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}").geturl()


async def judge(system: System, scheduler: Process, worker: Process, users: list[str]) -> None:
    """Let the blocked jobs end, and check that every user was called once."""
    system.target.release()
    await system.drained(scheduler, worker, within=CLAIM_S)
    assert sorted(call.headers["x-taskqueue-user"] for call in system.target.calls) == sorted(users)
    assert system.failed.messages == []


async def settled(worker: Process, users: list[str], within: float = BACK_WITHIN_S) -> None:
    for user in users:
        await worker.wait_for("job_settled", user_id=user, status="success", within=within)


async def test_a_queue_that_is_deleted_is_declared_and_consumed_again(system: System) -> None:
    write_tasks(system)
    scheduler, worker = await system.scheduler_and_worker()
    running, later = new_users(2)
    await trigger(scheduler, "block", [running])
    await system.target.wait_for_calls(1)

    session = await connect(system.place.amqp_url, "test")
    seen = len(worker.lines)
    async with session.passing_channel("deleting a queue") as channel:
        await channel.queue_delete("taskqueue.jobs.normal")
    await session.close()
    lost = await worker.wait_for("connection_lost", after=seen)
    await worker.wait_for("connection_restored", after=seen, within=BACK_WITHIN_S)
    await trigger(scheduler, "ok", [later])
    await settled(worker, [later])

    assert "cancelled a consumer" in lost["error"]
    await judge(system, scheduler, worker, [running, later])


@pytest.mark.faults
async def test_a_channel_that_the_broker_closes_for_a_slow_job_is_opened_again(
    impatient_rabbitmq: None, system: System
) -> None:
    write_tasks(system)
    scheduler, worker = await system.scheduler_and_worker()
    slow, later = new_users(2)

    await trigger(scheduler, "block", [slow])
    await system.target.wait_for_calls(1)
    seen = len(worker.lines)
    lost = await worker.wait_for("connection_lost", after=seen)
    await worker.wait_for("connection_restored", after=seen, within=BACK_WITHIN_S)
    await trigger(scheduler, "ok", [later])
    await settled(worker, [later])

    assert "timeout" in lost["error"].lower()
    await judge(system, scheduler, worker, [slow, later])


async def test_during_a_memory_alarm_a_worker_goes_on_calling_and_acking(rabbitmq: RabbitMQ, system: System) -> None:
    write_tasks(system)
    scheduler, worker = await system.scheduler_and_worker({"queue": {"prefetch": 2}, "worker": {"pool_size": 1}})
    first, *others = new_users(20)
    await trigger(scheduler, "block", [first])
    await system.target.wait_for_calls(1)
    await trigger(scheduler, "ok", others)

    async with asyncio.timeout(BACK_WITHIN_S):
        while (await system.depths())["taskqueue.jobs.normal"] != len(others) - 1:  # noqa: ASYNC110 - the broker announces nothing
            await asyncio.sleep(0.05)
    seen = len(worker.lines)
    await set_memory_alarm(rabbitmq, on=True)
    try:
        system.target.release()
        await settled(worker, [first, *others])
    finally:
        await set_memory_alarm(rabbitmq, on=False)

    assert [line for line in worker.lines[seen:] if line["event"] == "connection_lost"] == []
    await judge(system, scheduler, worker, [first, *others])


@pytest.mark.faults
async def test_a_half_open_connection_is_noticed_and_replaced(system: System, network: TcpProxy) -> None:
    write_tasks(system)
    scheduler, worker = await system.scheduler_and_worker({"queue": {"url": _through(network, system.place)}})
    running, *later = new_users(6)
    await trigger(scheduler, "block", [running])
    await system.target.wait_for_calls(1)

    seen = len(worker.lines)
    network.freeze()
    await trigger(scheduler, "ok", later)
    await worker.wait_for("connection_lost", after=seen, within=HALF_OPEN_NOTICED_S)
    network.thaw()
    await settled(worker, later, within=2 * BACK_WITHIN_S)

    await judge(system, scheduler, worker, [running, *later])


async def test_health_is_503_and_names_what_is_away(system: System, network: TcpProxy) -> None:
    write_tasks(system)
    _, worker = await system.scheduler_and_worker({"queue": {"url": _through(network, system.place)}})

    network.refusing = True
    await network.cut()

    async def told() -> bool:
        health = await worker.http.get("/health")
        assert health.status_code == (200 if health.json()["status"] == "healthy" else 503)
        away = {name for name, well in health.json()["checks"].items() if not well}
        return away == {"rabbitmq_publish", "rabbitmq_consume"}

    await eventually(told)
    network.refusing = False
    await worker.wait_ready(2 * BACK_WITHIN_S)
    back = await worker.http.get("/health")

    assert (back.status_code, back.json()["status"]) == (200, "healthy")


async def test_a_drain_ends_in_time_although_the_broker_does_not_answer(system: System, network: TcpProxy) -> None:
    write_tasks(system)
    settings = {"queue": {"url": _through(network, system.place)}, "worker": {"shutdown_timeout": "4s"}}
    scheduler, first = await system.scheduler_and_worker(settings)
    users = new_users(3)
    await trigger(scheduler, "block", users)
    await system.target.wait_for_calls(3)

    network.freeze()
    began = asyncio.get_running_loop().time()
    first.send(signal.SIGTERM)
    await first.wait_for("process_draining")
    system.target.release()
    code = await first.ended(10)
    took_s = asyncio.get_running_loop().time() - began
    network.thaw()
    second = await system.worker()
    await second.wait_ready()

    assert code == 0
    assert took_s < 6
    await judge(system, scheduler, second, users)


@pytest.mark.faults
async def test_a_restart_of_the_broker_is_outlived(rabbitmq: RabbitMQ, system: System) -> None:
    if not rabbitmq.restartable:
        pytest.skip("this RabbitMQ is not ours to stop")
    write_tasks(system)
    scheduler, worker = await system.scheduler_and_worker()
    running, *later = new_users(6)
    await trigger(scheduler, "block", [running])
    await system.target.wait_for_calls(1)

    await asyncio.to_thread(rabbitmq.kill)
    await worker.wait_for("connection_lost", within=BACK_WITHIN_S)
    await asyncio.to_thread(rabbitmq.start)
    await worker.wait_ready(2 * BACK_WITHIN_S)
    await trigger(scheduler, "ok", later)
    await settled(worker, later, within=2 * BACK_WITHIN_S)

    await judge(system, scheduler, worker, [running, *later])
