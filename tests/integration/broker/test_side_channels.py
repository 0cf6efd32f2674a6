"""A channel that is closed late must not cost the connection, on which a worker holds jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.broker.connection import Session, connect
from taskqueue.broker.names import READY_QUEUES
from taskqueue.broker.topology import ready_depths
from taskqueue.errors import BrokerUnavailableError
from tests.support.inbox import eventually
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
async def remote(network_url: str) -> AsyncIterator[Session]:
    """A session through the network, whose client gives up its own closes after a second."""
    session = await connect(f"{network_url}?heartbeat=1", "test")
    yield session
    await session.close()


async def assert_usable(session: Session) -> None:
    """For two looks in a row: what comes too late would hit the second."""
    for _ in range(2):
        assert await ready_depths(session) == dict.fromkeys(READY_QUEUES, 0)
    assert session.alive


async def test_a_session_outlives_a_channel_whose_close_is_answered_late(remote: Session, network: TcpProxy) -> None:
    async with asyncio.timeout(4), remote.side_channel("looking"):
        network.hold_answers()
    network.thaw()

    await assert_usable(remote)


async def test_other_channels_are_used_while_one_is_still_being_closed(remote: Session, network: TcpProxy) -> None:
    async with remote.side_channel("looking") as channel:
        network.hold_answers()
    assert not channel.is_closed
    network.thaw()

    async def closed() -> bool:
        return channel.is_closed

    await assert_usable(remote)
    await eventually(closed)


async def test_who_is_cancelled_while_a_channel_is_being_closed_does_not_cost_the_session(
    remote: Session, network: TcpProxy
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), remote.side_channel("looking"):
            network.hold_answers()
    network.thaw()

    await assert_usable(remote)


async def test_a_question_that_is_given_up_is_not_waited_for_and_does_not_cost_the_session(
    remote: Session, network: TcpProxy
) -> None:
    async def ask() -> None:
        async with remote.side_channel("looking") as channel, asyncio.timeout(0.5):
            network.hold_answers()
            await channel.queue_declare(READY_QUEUES[0], passive=True)

    with pytest.raises(BrokerUnavailableError):
        await asyncio.wait_for(ask(), 1.5)
    network.thaw()

    await assert_usable(remote)
