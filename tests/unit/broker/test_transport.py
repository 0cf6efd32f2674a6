from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import cast

import pytest
from aiormq import spec
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.frame import FrameTypes, marshal
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from taskqueue.broker.deliveries import RawDelivery
from taskqueue.broker.transport import FrameReader
from tests.support.raw_properties import FAR_FUTURE, NOT_TEXT, long_text, packed, short, table, timestamp

#: the channel whose deliveries are diverted
OURS = 7


def frame(kind: int, payload: bytes, channel: int = OURS) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def delivery(
    tag: int,
    body: bytes,
    properties: bytes = b"\0\0",
    *,
    channel: int = OURS,
    pieces: int = 1,
    redelivered: bool = False,
) -> list[bytes]:
    """Return the frames of a delivered message, its body in so many pieces."""
    method = (
        struct.pack(">HH", 60, 60) + short(b"ctag") + struct.pack(">QB", tag, redelivered) + short(b"x") + short(b"k")
    )
    step = max(1, -(-len(body) // pieces))
    return [
        frame(1, method, channel),
        frame(2, struct.pack(">HHQ", 60, 0, len(body)) + properties, channel),
        *(frame(3, body[at : at + step], channel) for at in range(0, len(body), step)),
    ]


async def read(data: bytes) -> tuple[list[RawDelivery], list[FrameTypes]]:
    """Return what was diverted, and what the client got."""
    source = asyncio.StreamReader()
    source.feed_data(data)
    source.feed_eof()
    reader = FrameReader(source)
    taken: list[RawDelivery] = []
    reader.divert(OURS, taken.append)
    received: list[FrameTypes] = []
    with suppress(AMQPConnectionError):  # an end behind a diverted frame is one that the client waited for
        async for _, _, each in FrameReceiver(reader):
            received.append(each)
    return taken, received


async def test_the_client_gets_every_frame_and_then_the_end() -> None:
    frames: list[FrameTypes] = [Heartbeat(), ContentBody(b"\xff" * 1000), spec.Basic.Ack(3), spec.Channel.OpenOk()]
    source = asyncio.StreamReader()
    source.feed_data(b"".join(marshal(each, 1) for each in frames))
    source.feed_data(
        frame(2, struct.pack(">HHQ", 60, 0, 42) + packed(message_id=short(NOT_TEXT), app_id=short(b"them")))
    )
    source.feed_eof()

    received = [received async for _, _, received in FrameReceiver(FrameReader(source))]

    assert [each.name for each in received] == [*(each.name for each in frames), "ContentHeader"]
    assert cast(ContentBody, received[1]).value == b"\xff" * 1000
    assert cast(ContentHeader, received[-1]).properties.app_id == "them"


async def test_a_connection_cut_within_a_frame_is_an_incomplete_read() -> None:
    source = asyncio.StreamReader()
    source.feed_data(marshal(ContentBody(b"x" * 100), 1)[:50])
    source.feed_eof()

    with pytest.raises(asyncio.IncompleteReadError):
        await FrameReader(source).readexactly(1)


async def test_a_brokers_answer_to_a_foreign_protocol_version_is_handed_on() -> None:
    source = asyncio.StreamReader()
    source.feed_data(b"AMQP\0\0\x09\x01")
    reader = FrameReader(source)

    assert await reader.readexactly(1) + await reader.readexactly(6) == b"AMQP\0\0\x09"


async def test_deliveries_of_a_diverted_channel_are_handed_over_and_all_else_goes_to_the_client() -> None:
    other = delivery(1, b"theirs", channel=8)
    data = [
        marshal(spec.Basic.ConsumeOk("ctag"), OURS),
        *delivery(5, b"{}"),
        *other,
        marshal(spec.Basic.Cancel("c"), OURS),
    ]

    taken, received = await read(b"".join(data))

    assert [(each.tag, each.body) for each in taken] == [(5, b"{}")]
    assert [each.name for each in received] == [
        *("Basic.ConsumeOk", "Basic.Deliver", "ContentHeader", "ContentBody", "Basic.Cancel")
    ]


async def test_messages_of_two_channels_that_come_mixed_are_told_apart() -> None:
    source = asyncio.StreamReader()
    first, second = delivery(1, b"first", pieces=2), delivery(1, b"second", channel=9, pieces=2)
    source.feed_data(b"".join(piece for pair in zip(first, second, strict=True) for piece in pair))
    source.feed_eof()
    reader = FrameReader(source)
    taken: list[tuple[int, bytes]] = []
    reader.divert(OURS, lambda each: taken.append((OURS, each.body)))
    reader.divert(9, lambda each: taken.append((9, each.body)))

    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)

    assert taken == [(OURS, b"first"), (9, b"second")]


async def test_what_is_read_of_a_message_are_its_id_its_application_and_its_returns() -> None:
    properties = packed(
        content_type=short(b"application/json"),
        headers=table((b"mine", long_text(b"x")), (b"x-delivery-count", b"l" + struct.pack(">q", 3))),
        delivery_mode=b"\x02",
        message_id=short("é".encode()),
        timestamp=timestamp(FAR_FUTURE),
        app_id=short(b"them"),
    )

    (taken,), _ = await read(b"".join(delivery(9, b"", properties, redelivered=True)))

    assert taken == RawDelivery(tag=9, redelivered=True, message_id="é", app_id="them", returns=3, body=b"")


async def test_what_cannot_be_read_of_a_message_is_absent() -> None:
    properties = packed(
        headers=table((NOT_TEXT, b"t\x01"), (b"x-delivery-count", long_text(b"many"))),
        message_id=short(NOT_TEXT),
        app_id=short(b"them"),
    )

    (taken,), _ = await read(b"".join(delivery(1, b"{}", properties)))

    assert (taken.message_id, taken.app_id, taken.returns, taken.body) == (None, "them", 0, b"{}")


@given(st.binary(max_size=80), st.binary(max_size=40), st.integers(1, 4))
async def test_whatever_the_properties_are_body_and_tag_are_read(properties: bytes, body: bytes, pieces: int) -> None:
    data = b"".join([*delivery(3, body, properties.ljust(2, b"\0"), pieces=pieces), *delivery(4, b"next")])

    taken, received = await read(data)

    assert [(each.tag, each.body) for each in taken] == [(3, body), (4, b"next")]
    assert received == []


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
async def test_however_the_bytes_arrive_the_messages_are_the_same(sizes: list[int]) -> None:
    data = b"".join(piece for tag in (1, 2, 3) for piece in delivery(tag, b"body %d" % tag, pieces=2))
    source = asyncio.StreamReader()
    reader = FrameReader(source)
    taken: list[bytes] = []
    reader.divert(OURS, lambda each: taken.append(each.body))
    reading = asyncio.ensure_future(reader.readexactly(1))
    at = 0
    for size in [*sizes, len(data)]:
        source.feed_data(data[at : at + size])
        at += size
        await asyncio.sleep(0)
    source.feed_eof()

    with pytest.raises(asyncio.IncompleteReadError):
        await reading

    assert taken == [b"body 1", b"body 2", b"body 3"]


async def test_a_client_that_sees_no_frame_for_a_second_gets_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    source = asyncio.StreamReader()
    reader = FrameReader(source)
    reader.divert(OURS, lambda _: None)
    later = asyncio.get_running_loop().time() + 1
    monkeypatch.setattr(reader, "_now", lambda: later)
    source.feed_data(b"".join(delivery(1, b"{}")))

    async with asyncio.timeout(5):
        head = await reader.readexactly(8)

    assert head == bytes((8, 0, 0, 0, 0, 0, 0, 0xCE))
