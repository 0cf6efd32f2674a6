"""Consumers that are told to be quiet while they are still being attached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiormq import Channel

from taskqueue.broker.connection import Session
from taskqueue.broker.consumer import Consumers, Delivery
from taskqueue.broker.names import READY_QUEUES
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.task import Priority
from taskqueue.telemetry.events import Event, SettleLost
from tests.support.inbox import eventually


class Attaching:
    """Consumers of all queues that stop half-way: `reached` is set when the second is to be attached."""

    def __init__(self, amqp_url: str) -> None:
        self.reached, self.proceed = asyncio.Event(), asyncio.Event()
        self.deliveries: list[Delivery] = []
        self.delivered = asyncio.Event()
        self.events: list[Event] = []
        self.consumers = Consumers(
            [amqp_url],
            name="test",
            prefetch=dict.fromkeys(reversed(Priority), 5),
            on_delivery=self._take,
            prepare=self._stop_half_way,
            emit=self.events.append,
        )

    def _take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.delivered.set()

    async def _stop_half_way(self, session: Session) -> None:
        open_channel = session.open_channel
        opened: list[Channel] = []

        async def open_when_allowed(*, confirms: bool = False) -> Channel:
            if opened:
                self.reached.set()
                await self.proceed.wait()
            opened.append(await open_channel(confirms=confirms))
            return opened[-1]

        session.open_channel = open_when_allowed  # type: ignore[method-assign]  # its own, on the way to the broker's


@pytest.fixture
async def attaching(amqp_url: str, session: Session) -> AsyncIterator[Attaching]:
    """Consumers that have attached to one queue of three."""
    attaching = Attaching(amqp_url)
    await attaching.consumers.start()
    async with asyncio.timeout(10):
        await attaching.reached.wait()
    yield attaching
    attaching.proceed.set()
    await attaching.consumers.stop(5)


async def consumer_counts(session: Session) -> list[int]:
    async with session.passing_channel("counting consumers") as channel:
        replies = [await channel.queue_declare(queue, passive=True) for queue in READY_QUEUES]
    return [reply.consumer_count or 0 for reply in replies]


async def test_no_consumer_is_left(session: Session, attaching: Attaching) -> None:
    assert sum(await consumer_counts(session)) == 1

    quieting = asyncio.create_task(attaching.consumers.quiet(5))
    await asyncio.sleep(0)
    attaching.proceed.set()
    await quieting

    assert await consumer_counts(session) == [0, 0, 0]
    assert not attaching.consumers.live


async def test_what_was_handed_over_can_still_be_settled(
    session: Session, publisher: Publisher, attaching: Attaching
) -> None:
    await publisher.publish_all(
        [Outgoing(body=b"{}", message_id=queue, routing_key=queue) for queue in READY_QUEUES], 5
    )
    await asyncio.wait_for(attaching.delivered.wait(), 5)
    quieting = asyncio.create_task(attaching.consumers.quiet(5))
    await asyncio.sleep(0)
    attaching.proceed.set()
    await quieting

    [delivery] = attaching.deliveries
    await delivery.ack()
    await attaching.consumers.stop(5)

    async with session.passing_channel("counting messages") as channel:
        replies = [await channel.queue_declare(queue, passive=True) for queue in READY_QUEUES]
    assert sum(reply.message_count or 0 for reply in replies) == 2
    assert not [event for event in attaching.events if isinstance(event, SettleLost)]


async def test_a_session_that_does_not_come_up_in_time_is_given_up(
    session: Session, publisher: Publisher, attaching: Attaching
) -> None:
    await publisher.publish_all(
        [Outgoing(body=b"{}", message_id=queue, routing_key=queue) for queue in READY_QUEUES], 5
    )
    await asyncio.wait_for(attaching.delivered.wait(), 5)

    await attaching.consumers.quiet(0.05)
    attaching.proceed.set()

    async def nobody_consumes() -> bool:
        return await consumer_counts(session) == [0, 0, 0]

    await eventually(nobody_consumes)
    assert [delivery.stale for delivery in attaching.deliveries] == [True]
