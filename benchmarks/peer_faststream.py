"""FastStream's worker for `worker_throughput.py`: consume, call, acknowledge. `fill N` puts N jobs into its queue."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from peer_job import JSON_HEADERS, amqp_url, encoded, endpoint, payloads, peer_queue

#: its callbacks run at once, as many as there are messages without an acknowledgement
_CONCURRENCY = 100
_PUBLISHED_AT_ONCE = 500

queue = RabbitQueue(peer_queue("faststream"), queue_type=QueueType.QUORUM)
# Without types to apply, and with bodies handed on as they came: a quarter less for each job than with its defaults.
broker = RabbitBroker(amqp_url(), default_channel=Channel(prefetch_count=_CONCURRENCY), logger=None, apply_types=False)
sessions: list[aiohttp.ClientSession] = []


async def undecoded(message: RabbitMessage) -> bytes:
    """Return the body as it came."""
    return message.body


@broker.subscriber(queue, decoder=undecoded)
async def call(body: bytes) -> None:
    """Post the body; the message is acknowledged when this returns."""
    async with sessions[0].post(endpoint(), data=body, headers=JSON_HEADERS) as response:
        await response.read()


async def work() -> None:
    """Consume until a signal comes."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sessions.append(session)
        await FastStream(broker, logger=None).run()


async def fill(jobs: int) -> None:
    """Publish the jobs, each confirmed."""
    await broker.connect()
    await broker.declare_queue(queue)
    bodies = [encoded(payload) for payload in payloads(jobs)]
    for start in range(0, jobs, _PUBLISHED_AT_ONCE):
        some = bodies[start : start + _PUBLISHED_AT_ONCE]
        await asyncio.gather(*(broker.publish(body, queue, persist=True) for body in some))
    await broker.stop()


if __name__ == "__main__":
    uvloop.run(fill(int(sys.argv[2])) if sys.argv[1:2] == ["fill"] else work())
