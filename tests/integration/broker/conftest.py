"""A declared topology, a publisher, consumers and a network to cut, all on this test's own virtual host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from taskqueue.broker.connection import Session, connect
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from tests.support.inbox import Consume
from tests.support.publishers import connected_publisher
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture
async def session(amqp_url: str) -> AsyncIterator[Session]:
    """A connection on which the topology is declared."""
    session = await connect(amqp_url, "test")
    await declare(session)
    yield session
    await session.close()


@pytest.fixture
async def publisher(amqp_url: str, session: Session) -> AsyncIterator[Publisher]:
    """A publisher that is connected."""
    async with connected_publisher(amqp_url, name="test publisher", within=10) as publisher:
        yield publisher


@pytest.fixture
async def consume(amqp_url: str, session: Session) -> AsyncIterator[Consume]:
    """Call it with a prefetch per queue to get an Inbox."""
    consume = Consume(url=amqp_url)
    async with consume.stack:
        yield consume


@pytest.fixture
async def network(amqp_url: str, session: Session) -> AsyncIterator[TcpProxy]:
    """What lies between `network_url` and RabbitMQ."""
    parts = urlsplit(amqp_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        yield proxy


@pytest.fixture
def network_url(network: TcpProxy, amqp_url: str) -> str:
    """The AMQP URL that leads through `network`."""
    parts = urlsplit(amqp_url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}").geturl()
