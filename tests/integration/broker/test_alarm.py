"""RabbitMQ short of memory: publishers are told at once, consumers go on, and its end needs nobody's help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.core.task import Priority
from taskqueue.dev.services import RabbitMQ
from taskqueue.errors import BrokerUnavailableError
from taskqueue.telemetry.events import Event, PublishingBlocked
from tests.support.inbox import Consume, eventually
from tests.support.rabbitmq_control import set_memory_alarm

Alarm = Callable[[bool], Awaitable[None]]


def messages(count: int, name: str = "m") -> list[Outgoing]:
    return [Outgoing(body=b"{}", message_id=f"{name}{number}", routing_key="jobs.normal") for number in range(count)]


@pytest.fixture
async def alarm(rabbitmq: RabbitMQ) -> AsyncIterator[Alarm]:
    """Call it with whether the broker is to be short of memory; the alarm ends with the test."""

    async def raise_or_end(on: bool) -> None:
        await set_memory_alarm(rabbitmq, on=on)

    yield raise_or_end
    await raise_or_end(False)


async def test_a_memory_alarm_from_its_beginning_to_its_end(amqp_url: str, consume: Consume, alarm: Alarm) -> None:
    events: list[Event] = []
    publisher = Publisher([amqp_url], name="blocked", emit=events.append)
    await publisher.start()
    await publisher.wait_ready(10)
    assert await publisher.publish_all(messages(20), 5) == [None] * 20
    inbox = await consume({Priority.NORMAL: 10})
    first = [await inbox.next() for _ in range(10)]
    clock = asyncio.get_running_loop().time

    await alarm(True)
    # The broker says that it blocks when the first message comes, which it takes in only after the alarm.
    began = clock()
    into_the_alarm = await publisher.publish_all(messages(1000, "early"), 30)
    noticed_after = clock() - began
    began = clock()
    later = await publisher.publish_all(messages(1000, "late"), 30)
    answered_after = clock() - began

    for delivery in first:
        await delivery.ack()
    rest = [await inbox.next() for _ in range(10)]  # the prefetch lets them come only when the acks have arrived
    await alarm(False)

    async def published() -> bool:
        return await publisher.publish_all(messages(1, "after"), 5) == [None]

    await eventually(published)
    await publisher.stop(5)

    assert all("accepts no messages" in str(error) for error in into_the_alarm + later)
    assert {type(error) for error in into_the_alarm + later} == {BrokerUnavailableError}
    assert noticed_after < 5
    assert answered_after < 0.2
    assert len(rest) == 10
    assert [event.blocked for event in events if isinstance(event, PublishingBlocked)] == [True, False]
