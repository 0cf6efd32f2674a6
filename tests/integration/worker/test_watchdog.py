"""Consumers that have died without a word, and all that only looks like it, on a real RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from taskqueue.broker import connection
from taskqueue.broker.consumer import Consumers
from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import ready_depths
from taskqueue.core.task import Priority
from taskqueue.runtime import Supervisor
from taskqueue.telemetry.worker_events import ConsumersRebuilt
from taskqueue.worker.watchdog import Watchdog
from tests.support.fakes import Clock
from tests.support.inbox import Consume, Inbox
from tests.support.tcp_proxy import TcpProxy

NORMAL = "taskqueue.jobs.normal"
LOW = "taskqueue.jobs.low"

PATIENCE = timedelta(seconds=20)


@pytest.fixture
async def network(amqp_url: str) -> AsyncIterator[TcpProxy]:
    """What lies between the consumers of a test and RabbitMQ."""
    parts = urlsplit(amqp_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        yield proxy


async def publish(publisher: Publisher, count: int, routing_key: str = "jobs.normal") -> None:
    messages = [Outgoing(body=b"{}", message_id=str(number), routing_key=routing_key) for number in range(count)]
    assert await publisher.publish_all(messages, 5) == [None] * count


async def kill_in_silence(consumers: Consumers, queue: Priority) -> None:
    """End the consumer of `queue` at the broker without a word to its owner."""
    position = list(consumers._prefetch).index(queue)
    channel, consumer_tag = list(consumers._attached.items())[position]
    await channel.basic_cancel(consumer_tag)


async def look_for(watchdog: Watchdog, clock: Clock, seconds: int) -> None:
    """Look every five seconds for so long, by a clock that is moved."""
    for _ in range(seconds // 5):
        await watchdog.look()
        clock.seconds += 5
    await watchdog.look()


def rebuilt(inbox: Inbox) -> list[ConsumersRebuilt]:
    return [event for event in inbox.events if isinstance(event, ConsumersRebuilt)]


async def test_a_consumer_that_died_in_silence_is_replaced(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 5})
    await kill_in_silence(inbox.consumers, Priority.NORMAL)
    await publish(publisher, 3)
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    await look_for(watchdog, clock, 20)
    came = {(await inbox.next(10)).message_id for _ in range(3)}

    assert came == {"0", "1", "2"}
    (event,) = rebuilt(inbox)
    assert (event.reason, event.queue, event.ready, event.silent_s) == ("no_deliveries", NORMAL, 3, 20)


async def test_a_dead_consumer_shows_although_another_queue_is_served(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 5, Priority.LOW: 5})
    await kill_in_silence(inbox.consumers, Priority.LOW)
    await publish(publisher, 1, "jobs.low")
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    for _ in range(5):
        await publish(publisher, 1)
        await (await inbox.next()).ack()
        await watchdog.look()
        clock.seconds += 5

    assert [event.queue for event in rebuilt(inbox)] == [LOW]
    assert (await inbox.next(10)).queue is Priority.LOW


async def test_a_running_watchdog_brings_a_dead_consumer_back_by_itself(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 5})
    await kill_in_silence(inbox.consumers, Priority.NORMAL)
    await publish(publisher, 1)
    watchdog = Watchdog(
        inbox.consumers,
        clock=asyncio.get_running_loop().time,
        emit=inbox.events.append,
        interval=timedelta(milliseconds=50),
        patience=timedelta(milliseconds=200),
    )
    supervisor = Supervisor(inbox.events.append)

    supervisor.start("watchdog", watchdog.run)
    delivery = await inbox.next(10)
    await supervisor.stop()

    assert delivery.message_id == "0"


async def test_a_broker_that_answers_nothing_is_left(
    publisher: Publisher,
    consume: Consume,
    network: TcpProxy,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_OPERATION_TIMEOUT", 0.3)
    monkeypatch.setattr(connection, "_CLOSE_TIMEOUT", 0.1)
    parts = urlsplit(amqp_url)
    through = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}").geturl()
    inbox = await consume({Priority.NORMAL: 5}, url=through)
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    network.freeze()
    await look_for(watchdog, clock, 20)
    network.thaw()
    await publish(publisher, 1)

    assert (await inbox.next(15)).message_id == "0"
    assert [event.reason for event in rebuilt(inbox)] == ["no_answer"]


async def test_hands_that_are_all_busy_are_no_reason(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 2})
    await publish(publisher, 10)
    held = [await inbox.next() for _ in range(2)]
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    await look_for(watchdog, clock, 300)

    assert (await ready_depths(inbox.consumers.connection.session))[NORMAL] == 8
    assert rebuilt(inbox) == []
    assert not any(delivery.stale for delivery in held)


async def test_another_worker_that_takes_everything_is_no_reason(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await publish(publisher, 1)
    await inbox.next()
    other = await consume({Priority.NORMAL: 1000})
    await publish(publisher, 50)
    for _ in range(50):
        await other.next()
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    await look_for(watchdog, clock, 300)

    assert rebuilt(inbox) == []


async def test_an_empty_queue_is_no_reason(consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1, Priority.HIGH: 1, Priority.LOW: 1})
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    await look_for(watchdog, clock, 300)

    assert rebuilt(inbox) == []


async def test_a_quiet_worker_is_left_in_peace(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await inbox.consumers.quiet(5)
    await publish(publisher, 5)
    clock = Clock()
    watchdog = Watchdog(inbox.consumers, clock=clock, emit=inbox.events.append, patience=PATIENCE)

    await look_for(watchdog, clock, 300)

    assert rebuilt(inbox) == []
