from __future__ import annotations

import pytest

from taskqueue.broker.connection import Session
from taskqueue.broker.consumer import Delivery
from taskqueue.broker.names import FAILED_QUEUE
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import declare, queue_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError
from taskqueue.telemetry.events import ConnectionLost, ConnectionRestored, DeliveryFailed, SettleLost
from tests.support.inbox import Consume, eventually
from tests.support.tcp_proxy import TcpProxy

NORMAL = "taskqueue.jobs.normal"
LOW = "taskqueue.jobs.low"


def messages(count: int, routing_key: str = "jobs.normal") -> list[Outgoing]:
    return [Outgoing(body=b"{}", message_id=str(number), routing_key=routing_key) for number in range(count)]


async def ready(session: Session, queue: str = NORMAL) -> int | None:
    return (await queue_depths(session, [queue]))[queue]


async def test_a_delivery_carries_what_was_published(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.HIGH: 1})
    await publisher.publish(
        Outgoing(body=b'{"a":1}', message_id="id", routing_key="jobs.high", headers={"why": "é"}), 5
    )

    delivery = await inbox.next()

    assert (delivery.body, delivery.queue, delivery.message_id) == (b'{"a":1}', Priority.HIGH, "id")
    assert (delivery.redelivered, delivery.delivery_count) == (False, 0)


async def test_an_acked_message_is_gone(publisher: Publisher, session: Session, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 10})
    await publisher.publish_all(messages(1), 5)
    await (await inbox.next()).ack()
    await inbox.consumers.stop(5)

    assert await ready(session) == 0


async def test_a_requeued_message_comes_again_and_is_counted(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 10})
    await publisher.publish_all(messages(1), 5)
    await (await inbox.next()).requeue()

    again = await inbox.next()

    assert (again.message_id, again.redelivered, again.delivery_count) == ("0", True, 1)


async def test_a_message_returned_too_often_goes_to_the_failed_queue(
    publisher: Publisher, session: Session, consume: Consume
) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await publisher.publish_all(messages(1), 5)

    for _ in range(11):
        await (await inbox.next()).requeue()

    async def failed() -> bool:
        return await ready(session, FAILED_QUEUE) == 1

    await eventually(failed)
    assert inbox.deliveries.empty()


async def test_unsettled_deliveries_never_exceed_the_prefetch_of_their_queue(
    publisher: Publisher, session: Session, consume: Consume
) -> None:
    await publisher.publish_all(messages(30) + messages(30, "jobs.low"), 5)
    inbox = await consume({Priority.NORMAL: 4, Priority.LOW: 2})

    held = [await inbox.next() for _ in range(6)]

    assert sorted(delivery.queue.name for delivery in held) == ["LOW"] * 2 + ["NORMAL"] * 4
    assert (await ready(session), await ready(session, LOW)) == (26, 28)
    assert inbox.deliveries.empty()


async def test_quiet_stops_deliveries_while_acks_still_work(
    publisher: Publisher, session: Session, consume: Consume
) -> None:
    inbox = await consume({Priority.NORMAL: 2})
    await publisher.publish_all(messages(5), 5)
    held = [await inbox.next(), await inbox.next()]

    await inbox.consumers.quiet(5)
    for delivery in held:
        await delivery.ack()
    await inbox.consumers.stop(5)

    assert not inbox.consumers.live
    assert inbox.deliveries.empty()
    assert await ready(session) == 3
    assert not inbox.events_of(SettleLost)


async def test_a_stale_settling_is_harmless_and_the_message_comes_again(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await publisher.publish_all(messages(1), 5)
    stale = await inbox.next()
    inbox.consumers.rebuild("test")
    again = await inbox.next(10)

    await stale.requeue()

    assert (again.message_id, again.redelivered) == ("0", True)
    assert [getattr(event, "queue", None) for event in inbox.events_of(SettleLost)] == [NORMAL]


async def test_a_delivery_is_stale_as_soon_as_its_session_is_over(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await publisher.publish_all(messages(1), 5)
    first = await inbox.next()
    assert not first.stale

    inbox.consumers.rebuild("test")

    assert first.stale
    assert not (await inbox.next(10)).stale


async def test_the_delivery_after_a_stale_one_can_be_acked(
    publisher: Publisher, session: Session, consume: Consume
) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    await publisher.publish_all(messages(1), 5)
    await inbox.next()
    inbox.consumers.rebuild("test")

    await (await inbox.next(10)).ack()
    await inbox.consumers.stop(5)

    assert await ready(session) == 0
    assert not inbox.events_of(SettleLost)


async def test_a_deleted_queue_rebuilds_the_consumer(publisher: Publisher, session: Session, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1, Priority.LOW: 1}, prepare=declare)
    async with session.passing_channel("deleting a queue") as channel:
        await channel.queue_delete(NORMAL)

    async def restored() -> bool:
        return len(inbox.events) == 3

    await eventually(restored)
    await publisher.publish_all(messages(1), 5)

    assert (await inbox.next()).message_id == "0"
    assert [type(event) for event in inbox.events] == [ConnectionRestored, ConnectionLost, ConnectionRestored]
    assert "cancelled a consumer" in repr(inbox.events[1])
    assert inbox.consumers.live


async def test_while_a_queue_is_missing_nothing_is_live(session: Session, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1})
    async with session.passing_channel("deleting a queue") as channel:
        await channel.queue_delete(NORMAL)

    async def lost() -> bool:
        return not inbox.consumers.live

    await eventually(lost)
    with pytest.raises(BrokerUnavailableError, match="no queue"):
        await inbox.consumers.wait_ready(1)


async def test_a_cut_connection_brings_back_what_was_not_acked(
    publisher: Publisher, network: TcpProxy, network_url: str, consume: Consume
) -> None:
    inbox = await consume({Priority.NORMAL: 10}, url=network_url)
    await publisher.publish_all(messages(3), 5)
    held = [await inbox.next() for _ in range(3)]
    await held[0].ack()
    await queue_depths(inbox.consumers.connection.session)  # an answer behind the ack on the same connection

    await network.cut()
    again = {(await inbox.next(10)).message_id for _ in range(2)}

    assert again == {"1", "2"}


async def test_a_message_whose_taking_over_raises_goes_back(publisher: Publisher, consume: Consume) -> None:
    refused: list[str] = []

    def refuse_once(delivery: Delivery) -> None:
        if not refused:
            refused.append("once")
            raise OverflowError("no room")

    inbox = await consume({Priority.NORMAL: 1}, check=refuse_once)
    await publisher.publish_all(messages(1), 5)

    assert (await inbox.next()).delivery_count == 1
    assert inbox.events_of(DeliveryFailed) == [DeliveryFailed(queue=NORMAL, error="OverflowError('no room')")]


async def test_the_last_delivery_is_timed_per_queue(publisher: Publisher, consume: Consume) -> None:
    inbox = await consume({Priority.NORMAL: 1, Priority.LOW: 1})
    attached = inbox.consumers.last_delivery_at(Priority.LOW)
    await publisher.publish_all(messages(1), 5)
    await inbox.next()

    normal = inbox.consumers.last_delivery_at(Priority.NORMAL)
    assert attached is not None
    assert normal is not None
    assert normal > attached
    assert inbox.consumers.last_delivery_at(Priority.LOW) == attached
    assert inbox.consumers.last_delivery_at(Priority.HIGH) is None
