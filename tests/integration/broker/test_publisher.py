from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from taskqueue.broker.connection import Session
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import queue_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError, PublishRefusedError
from taskqueue.telemetry.events import ConnectionLost, ConnectionRestored, Event
from tests.support.inbox import Consume, eventually
from tests.support.tcp_proxy import TcpProxy


def message(name: str, routing_key: str = "jobs.normal") -> Outgoing:
    return Outgoing(body=b"{}", message_id=name, routing_key=routing_key)


async def test_a_confirmed_message_is_in_its_queue(publisher: Publisher, session: Session) -> None:
    await publisher.publish(message("one", "jobs.high"), 5)

    assert (await queue_depths(session))["taskqueue.jobs.high"] == 1


async def test_a_message_without_a_queue_is_refused(publisher: Publisher) -> None:
    with pytest.raises(PublishRefusedError, match=r"no queue for taskqueue jobs\.nobody"):
        await publisher.publish(message("one", "jobs.nobody"), 5)


async def test_one_refused_message_does_not_touch_the_others(publisher: Publisher) -> None:
    results = await publisher.publish_all([message("a"), message("b", "jobs.nobody"), message("c")], 5)

    assert [type(result) for result in results] == [type(None), PublishRefusedError, type(None)]


async def test_two_messages_of_one_id_are_told_apart(publisher: Publisher) -> None:
    results = await publisher.publish_all([message("same", "jobs.nobody"), message("same"), message("same")], 5)

    assert [type(result) for result in results] == [PublishRefusedError, type(None), type(None)]


async def test_messages_arrive_in_the_order_of_the_list(publisher: Publisher, consume: Consume) -> None:
    names = [str(number) for number in range(2000)]

    results = await publisher.publish_all([message(name) for name in names], 30)
    inbox = await consume({Priority.NORMAL: 2000})

    assert results == [None] * len(names)
    assert [(await inbox.next()).message_id for _ in names] == names


async def test_the_broker_says_no_when_a_queue_is_full(publisher: Publisher, session: Session) -> None:
    async with session.passing_channel("making a full queue") as channel:
        full = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
        await channel.queue_declare("full", durable=True, arguments=full)
        await channel.queue_bind("full", "taskqueue", "jobs.full")

    results = [(await publisher.publish_all([message(str(i), "jobs.full")], 5))[0] for i in range(10)]

    assert isinstance(results[-1], PublishRefusedError)
    assert "nack" in str(results[-1])


async def test_a_cut_connection_fails_what_waits_and_comes_back(network: TcpProxy, network_url: str) -> None:
    events: list[Event] = []
    publisher = Publisher([network_url], name="cut", emit=events.append)
    await publisher.start()
    await publisher.wait_ready(10)
    network.freeze()
    waiting = asyncio.create_task(publisher.publish_all([message(str(i)) for i in range(800)], 30))
    await asyncio.sleep(0)  # lets it send; nothing comes back

    began = asyncio.get_running_loop().time()
    await network.cut()
    results = await waiting
    took = asyncio.get_running_loop().time() - began
    network.thaw()

    async def published() -> bool:
        return await publisher.publish_all([message("after")], 5) == [None]

    await eventually(published)
    await publisher.stop(5)

    assert took < 5
    assert {type(result) for result in results} == {BrokerUnavailableError}
    assert [type(event) for event in events] == [ConnectionRestored, ConnectionLost, ConnectionRestored]


async def test_a_broker_that_hangs_makes_the_outcome_unknown_in_time(network: TcpProxy, network_url: str) -> None:
    publisher = Publisher([network_url], name="hang")
    await publisher.start()
    await publisher.wait_ready(10)
    network.freeze()

    with pytest.raises(BrokerUnavailableError, match="no confirm"):
        await publisher.publish(message("one"), 0.2)

    network.thaw()
    await publisher.stop(5)


async def test_without_a_connection_publishing_fails_at_once(amqp_url: str) -> None:
    publisher = Publisher([amqp_url], name="never started")

    with pytest.raises(BrokerUnavailableError, match="not connected"):
        await publisher.publish(message("one"), 5)


async def test_the_next_url_is_tried_when_the_first_is_dead(amqp_url: str, session: Session) -> None:
    publisher = Publisher(["amqp://guest:guest@127.0.0.1:1/", amqp_url], name="two urls")
    await publisher.start()
    await publisher.wait_ready(10)

    await publisher.publish(message("one"), 5)

    await publisher.stop(5)


async def test_a_wrong_password_appears_nowhere(amqp_url: str) -> None:
    events: list[Event] = []
    parts = urlsplit(amqp_url)
    url = f"amqp://nobody:hunter2@{parts.hostname}:{parts.port}{parts.path}"
    publisher = Publisher([url], name="stranger", emit=events.append)
    await publisher.start()

    with pytest.raises(BrokerUnavailableError) as caught:
        await publisher.wait_ready(2)
    await publisher.stop(5)

    assert "hunter2" not in f"{caught.value} {events} {publisher.connection.places}"
    assert len(events) == 1
