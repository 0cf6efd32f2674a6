"""Queue depths for the status of the API, as RabbitMQ tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.broker.connection import BrokerConnection, Session
from taskqueue.broker.names import queue_name
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.ready_depths import ReadyDepths
from taskqueue.core.task import Priority
from tests.support.inbox import eventually
from tests.support.tcp_proxy import TcpProxy

EMPTY = dict.fromkeys(Priority, 0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def connection(network_url: str) -> AsyncIterator[BrokerConnection]:
    connection = BrokerConnection([network_url], name="test")
    await connection.start()
    await connection.wait_ready(10)
    yield connection
    await connection.stop(5)


async def put(publisher: Publisher, *names: str) -> None:
    messages = [Outgoing(body=b"{}", message_id=name, routing_key=f"jobs.{name}") for name in names]
    assert await publisher.publish_all(messages, 5) == [None] * len(names)


async def test_each_priority_has_the_number_of_messages_that_are_ready_in_its_queue(
    connection: BrokerConnection, publisher: Publisher
) -> None:
    await put(publisher, "high", "normal", "normal")
    clock = Clock()
    depths = ReadyDepths(connection, monotonic_s=clock)

    async def seen() -> bool:
        clock.now_s += 1
        return await depths.read() == {Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 0}

    await eventually(seen)


async def test_for_a_second_the_queues_are_not_looked_at_again(
    connection: BrokerConnection, publisher: Publisher
) -> None:
    clock = Clock()
    depths = ReadyDepths(connection, monotonic_s=clock)
    first = await depths.read()
    await put(publisher, "high")
    clock.now_s = 0.9

    assert first == EMPTY
    assert await depths.read() is first

    clock.now_s = 1.0
    assert await depths.read() is not first


async def test_many_who_ask_at_once_wait_for_one_look(connection: BrokerConnection) -> None:
    depths = ReadyDepths(connection, monotonic_s=Clock())

    answers = await asyncio.gather(*(depths.read() for _ in range(20)))

    assert all(answer is answers[0] for answer in answers)
    assert answers[0] == EMPTY


async def test_without_a_connection_no_queue_has_a_depth(amqp_url: str) -> None:
    assert await ReadyDepths(BrokerConnection([amqp_url], name="never started")).read() == {}


async def test_a_broker_that_hangs_is_waited_for_no_longer_than_a_status_may_take(
    connection: BrokerConnection, network: TcpProxy
) -> None:
    depths = ReadyDepths(connection, monotonic_s=Clock())
    network.freeze()

    async with asyncio.timeout(5):
        assert await depths.read() == {}


async def test_a_queue_that_is_missing_has_no_depth_and_the_others_have(
    connection: BrokerConnection, session: Session
) -> None:
    async with session.passing_channel("deleting a queue") as channel:
        await channel.queue_delete(queue_name(Priority.NORMAL))

    assert await ReadyDepths(connection).read() == {Priority.HIGH: 0, Priority.LOW: 0}
