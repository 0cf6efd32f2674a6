"""Messages that other systems publish, with properties that our client cannot decode."""

from __future__ import annotations

import pytest

from taskqueue.broker.connection import Session
from taskqueue.broker.failed import take_failed
from taskqueue.broker.names import FAILED_ROUTING_KEY
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import queue_depths
from taskqueue.core.task import Priority
from taskqueue.telemetry.events import ConnectionLost
from tests.support.inbox import Consume
from tests.support.raw_properties import (
    FAR_FUTURE,
    NOT_TEXT,
    array,
    long_text,
    nested,
    publish_raw,
    short,
    table,
    timestamp,
)

BROKEN = {
    "content type": {"content_type": short(NOT_TEXT)},
    "content encoding": {"content_encoding": short(NOT_TEXT)},
    "correlation id": {"correlation_id": short(NOT_TEXT)},
    "reply to": {"reply_to": short(NOT_TEXT)},
    "message id": {"message_id": short(NOT_TEXT)},
    "timestamp": {"timestamp": timestamp(FAR_FUTURE)},
    "type": {"message_type": short(NOT_TEXT)},
    "app id": {"app_id": short(NOT_TEXT)},
    "cluster id": {"cluster_id": short(NOT_TEXT)},
    "header key": {"headers": table((NOT_TEXT, b"t\x01"))},
    "header timestamp": {"headers": table((b"when", b"T" + timestamp(FAR_FUTURE)))},
    "header in a header": {"headers": table((b"inner", b"F" + table((NOT_TEXT, b"t\x01"))))},
    "headers nested deeply": {"headers": nested(2000)},
}


@pytest.mark.parametrize("properties", BROKEN.values(), ids=BROKEN)
async def test_an_unreadable_property_harms_neither_its_message_nor_the_neighbours(
    amqp_url: str, publisher: Publisher, consume: Consume, properties: dict[str, bytes]
) -> None:
    before, after = (Outgoing(body=name, message_id=name.decode(), routing_key="jobs.normal") for name in (b"a", b"c"))
    await publisher.publish(before, 5)
    await publish_raw(amqp_url, b"b", "jobs.normal", **properties)
    await publisher.publish(after, 5)
    inbox = await consume({Priority.NORMAL: 10})

    held = [await inbox.next() for _ in range(3)]
    for delivery in held:
        await delivery.ack()
    await queue_depths(inbox.consumers.connection.session)  # an answer behind the acks on the same connection

    assert [(each.body, each.redelivered, each.delivery_count) for each in held] == [
        (body, False, 0) for body in (b"a", b"b", b"c")
    ]
    assert (held[1].message_id, held[1].foreign) == (None, True)
    assert inbox.consumers.live
    assert not inbox.events_of(ConnectionLost)


async def test_the_brokers_count_of_returns_is_read_beside_an_unreadable_header(
    amqp_url: str, consume: Consume
) -> None:
    await publish_raw(amqp_url, b"{}", "jobs.normal", headers=table((NOT_TEXT, b"t\x01"), (b"mine", long_text(b"x"))))
    inbox = await consume({Priority.NORMAL: 1})
    await (await inbox.next()).requeue()

    again = await inbox.next()

    assert again.delivery_count == 1


async def test_a_copy_that_came_under_an_unreadable_routing_key_is_delivered(amqp_url: str, consume: Consume) -> None:
    carbon_copies = table((b"CC", array(long_text(b"jobs.normal"))))
    await publish_raw(amqp_url, b"{}", NOT_TEXT, headers=carbon_copies)
    inbox = await consume({Priority.NORMAL: 1})

    assert (await inbox.next()).body == b"{}"
    assert inbox.consumers.live


async def test_the_failed_queue_is_read_past_an_unreadable_message(amqp_url: str, session: Session) -> None:
    await publish_raw(amqp_url, b"{}", FAILED_ROUTING_KEY, message_id=short(NOT_TEXT), timestamp=timestamp(FAR_FUTURE))

    [failed] = await take_failed(session, 5)

    assert (failed.body, failed.message_id) == (b"{}", None)
