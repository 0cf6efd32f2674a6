from __future__ import annotations

import asyncio
from datetime import timedelta

from aiormq import spec

from taskqueue.broker.connection import Session
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import queue_depths
from taskqueue.core.task import Priority
from tests.support.inbox import Consume

ALL = {Priority.HIGH: 10, Priority.NORMAL: 10, Priority.LOW: 10}


async def test_a_delayed_message_reaches_its_own_queue_when_due(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume(ALL)
    began = asyncio.get_running_loop().time()
    waiting = [
        Outgoing(body=b"{}", message_id=key, routing_key=key, delay=timedelta(milliseconds=700))
        for key in ("jobs.low", "jobs.high", "jobs.normal")
    ]

    await publisher.publish_all(waiting, 5)
    deliveries = [await inbox.next() for _ in waiting]
    took = asyncio.get_running_loop().time() - began

    assert {(delivery.message_id, delivery.queue) for delivery in deliveries} == {
        ("jobs.low", Priority.LOW),
        ("jobs.high", Priority.HIGH),
        ("jobs.normal", Priority.NORMAL),
    }
    assert 0.7 <= took < 1.7


async def test_a_due_message_arrives_although_a_later_one_waits(
    publisher: Publisher, session: Session, consume: Consume
) -> None:
    inbox = await consume(ALL)
    soon = Outgoing(body=b"", message_id="soon", routing_key="jobs.low", delay=timedelta(milliseconds=200))
    later = Outgoing(body=b"", message_id="later", routing_key="jobs.high", delay=timedelta(seconds=60))

    await publisher.publish_all([soon, later], 5)

    assert (await inbox.next()).message_id == "soon"
    assert (await queue_depths(session))["taskqueue.jobs.delayed"] == 1


async def test_a_message_of_another_system_with_a_queue_name_as_key_arrives(
    publisher: Publisher, consume: Consume
) -> None:
    inbox = await consume(ALL)

    await publisher.publish(Outgoing(body=b"{}", message_id="m", routing_key="taskqueue.jobs.high"), 5)

    assert (await inbox.next()).queue is Priority.HIGH


async def test_what_another_system_puts_into_the_delayed_queue_comes_out_as_normal(
    session: Session, consume: Consume
) -> None:
    inbox = await consume(ALL)
    expiring = spec.Basic.Properties(expiration="200", delivery_mode=2)
    async with session.passing_channel("writing like another system") as channel:
        await channel.basic_publish(b"{}", routing_key="taskqueue.jobs.delayed", properties=expiring)

    delivery = await inbox.next()

    assert delivery.queue is Priority.NORMAL
    assert delivery.message_id is not None
