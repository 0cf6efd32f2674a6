"""Messages as other systems may send them: with properties that our own client could not even write."""

from __future__ import annotations

import asyncio
import struct
from contextlib import closing

import pika

from taskqueue.broker.names import EXCHANGE

#: no UTF-8
NOT_TEXT = b"\xff\xfe\xfd"

#: seconds since 1970, far beyond the year 9999
FAR_FUTURE = 2**62

#: by name, in their order on the wire
FLAGS = {
    name: 0x8000 >> number
    for number, name in enumerate(
        [
            "content_type",
            "content_encoding",
            "headers",
            "delivery_mode",
            "priority",
            "correlation_id",
            "reply_to",
            "expiration",
            "message_id",
            "timestamp",
            "message_type",
            "user_id",
            "app_id",
            "cluster_id",
        ]
    )
}


def short(text: bytes) -> bytes:
    """Return a short string."""
    return bytes((len(text),)) + text


def timestamp(seconds: int) -> bytes:
    """Return a timestamp."""
    return struct.pack(">Q", seconds)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """Return a field table of keys and values, each value beginning with its type."""
    packed = b"".join(short(key) + value for key, value in entries)
    return struct.pack(">I", len(packed)) + packed


def long_text(text: bytes) -> bytes:
    """Return a long string, as the value of a table."""
    return b"S" + struct.pack(">I", len(text)) + text


def array(*values: bytes) -> bytes:
    """Return an array, as the value of a table."""
    packed = b"".join(values)
    return b"A" + struct.pack(">I", len(packed)) + packed


def nested(depth: int) -> bytes:
    """Return a table that holds a table that holds a table..."""
    value = table()
    for _ in range(depth):
        value = table((b"k", b"F" + value))
    return value


def packed(**properties: bytes) -> bytes:
    """Return flags and values of these properties."""
    present = {name: value for name, value in properties.items() if value}
    flags = sum(FLAGS[name] for name in present)
    return struct.pack(">H", flags) + b"".join(present[name] for name in FLAGS if name in present)


class RawProperties(pika.BasicProperties):
    """Properties that are sent as the bytes of `packed`."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw

    def encode(self) -> list[bytes]:
        return [self._raw]


async def publish_raw(amqp_url: str, body: bytes, routing_key: str | bytes, **properties: bytes) -> None:
    """Publish a message with these properties and wait until the broker has it."""

    def publish() -> None:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(EXCHANGE, routing_key, body, RawProperties(packed(**properties)))

    await asyncio.to_thread(publish)
