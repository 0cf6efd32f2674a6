"""The fixtures of tests/conftest.py and the proxy keep what they promise."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pika
import pytest
import redis

from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.timeout(180)  # the first test that asks starts RabbitMQ


@pytest.mark.parametrize("run", range(3))
def test_each_test_finds_a_virtual_host_without_queues(amqp_url: str, run: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            channel.queue_declare("taskqueue.jobs.normal", passive=True)
        connection.channel().queue_declare("taskqueue.jobs.normal", durable=True, arguments={"x-queue-type": "quorum"})


@pytest.mark.parametrize("run", range(3))
def test_each_test_finds_an_empty_redis_database(redis_address: str, redis_db: int, run: int) -> None:
    host, port = redis_address.split(":")
    with redis.Redis(host=host, port=int(port), db=redis_db) as client:
        assert client.dbsize() == 0
        client.set("left", run)


async def test_the_proxy_passes_bytes_and_cuts_connections(amqp_url: str) -> None:
    parts = urlsplit(amqp_url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with TcpProxy(parts.hostname, parts.port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"AMQP\x00\x00\x09\x01")
        assert await reader.readexactly(1) == b"\x01"

        proxy.cut()

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), timeout=5)
        writer.close()


async def test_a_frozen_proxy_holds_bytes_back_and_loses_none(redis_address: str) -> None:
    host, port = redis_address.split(":")
    async with TcpProxy(host, int(port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.freeze()
        writer.write(b"PING\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), timeout=0.1)

        proxy.thaw()

        assert await asyncio.wait_for(reader.readexactly(7), timeout=5) == b"+PONG\r\n"
        writer.close()


async def test_a_refusing_proxy_resets_new_connections(redis_address: str) -> None:
    host, port = redis_address.split(":")
    async with TcpProxy(host, int(port)) as proxy:
        proxy.refusing = True

        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), timeout=5)
        writer.close()
