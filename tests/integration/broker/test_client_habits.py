"""What `broker/confirms.py` takes for granted about aiormq beyond its documentation.

When one of these fails after an upgrade of the client, publishing would lose track of its confirms: read the client's
`Channel.basic_publish`, `_on_confirm_frame` and `_on_return_frame`, and adapt `ConfirmChannel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiormq import Channel
from aiormq.abc import ChannelFrame
from aiormq.exceptions import PublishError
from pamqp.commands import Basic

from taskqueue.broker.connection import Session
from taskqueue.broker.frames import publish_frames
from taskqueue.broker.outgoing import Outgoing


@pytest.fixture
async def channel(session: Session) -> AsyncIterator[Channel]:
    """A channel with confirms and nothing published."""
    channel = await session.open_channel(confirms=True)
    yield channel
    await channel.close()


def frames(channel: Channel, *routing_keys: str) -> ChannelFrame:
    pieces = [
        piece
        for number, key in enumerate(routing_keys, 1)
        for piece in publish_frames(
            Outgoing(body=b"{}", message_id=f"m{number}", routing_key=key), channel.number, channel.max_content_size
        )
    ]
    return ChannelFrame(payload=b"".join(pieces), should_close=False)


def test_a_frame_for_the_writer_is_bytes_and_whether_to_close() -> None:
    frame = ChannelFrame(payload=b"bytes", should_close=False)

    assert (frame.payload, frame.should_drain) == (b"bytes", False)


async def test_a_fresh_channel_counts_from_zero_and_knows_its_frame_size(channel: Channel) -> None:
    assert (channel.delivery_tag, dict(channel.confirmations), dict(channel.message_id_delivery_tag)) == (0, {}, {})
    assert channel.max_content_size == 131_072 - 8


async def test_the_client_counts_its_own_publishes_in_the_same_place(channel: Channel) -> None:
    await channel.basic_publish(b"{}", exchange="taskqueue", routing_key="jobs.low")

    assert channel.delivery_tag == 1


async def test_what_the_writer_is_handed_is_confirmed_in_the_future_under_its_tag(channel: Channel) -> None:
    words = [asyncio.get_running_loop().create_future() for _ in range(3)]
    channel.write_queue.put_nowait(frames(channel, "jobs.low", "jobs.low", "jobs.low"))
    channel.confirmations.update(enumerate(words, 1))

    async with asyncio.timeout(5):
        answers = [await word for word in words]

    assert all(isinstance(answer, Basic.Ack) for answer in answers)
    assert not channel.confirmations


async def test_a_returned_message_fails_the_future_that_its_id_leads_to(channel: Channel) -> None:
    words = [asyncio.get_running_loop().create_future() for _ in range(2)]
    channel.write_queue.put_nowait(frames(channel, "jobs.nobody", "jobs.low"))
    channel.confirmations.update(enumerate(words, 1))
    channel.message_id_delivery_tag.update(m1=1, m2=2)

    async with asyncio.timeout(5):
        with pytest.raises(PublishError):
            await words[0]
        assert isinstance(await words[1], Basic.Ack)
