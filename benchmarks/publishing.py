"""Jobs per second into RabbitMQ, persistent and confirmed, and what one costs this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractQueue
from rounds import compare

from taskqueue.broker.names import EXCHANGE, queue_name, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.settings import process_environment
from taskqueue.core.task import Priority
from taskqueue.runtime import run

BODY = b"x" * 500
OURS, WINDOWED, ONE_BY_ONE = 10_000, 5_000, 1_500
WINDOW = 500
QUEUE = queue_name(Priority.LOW)
KEY = routing_key(Priority.LOW)


class Sides:
    """The ways to publish into one quorum queue, which each round leaves empty again."""

    def __init__(self, publisher: Publisher, exchange: AbstractExchange, queue: AbstractQueue) -> None:
        #: by side: microseconds of this process's CPU per job, round by round
        self.cpu: dict[str, list[float]] = {}
        self._publisher = publisher
        self._exchange = exchange
        self._queue = queue

    async def ours(self) -> float:
        """Return jobs per second through our publisher, with the making of the messages."""

        async def publish() -> int:
            messages = [Outgoing(body=BODY, message_id=str(uuid4()), routing_key=KEY) for _ in range(OURS)]
            results = await self._publisher.publish_all(messages, 60)
            return sum(error is None for error in results)

        return await self._rate("publish_all", OURS, publish)

    async def windowed(self) -> float:
        """Return jobs per second through aio-pika's publish, a window of them awaited at a time."""

        async def publish() -> int:
            feed = iter(range(WINDOWED))
            async with asyncio.TaskGroup() as senders:
                for _ in range(WINDOW):
                    senders.create_task(self._send_each(feed))
            return WINDOWED

        return await self._rate("aio-pika, windowed", WINDOWED, publish)

    async def one_by_one(self) -> float:
        """Return jobs per second through aio-pika's publish, each awaited."""

        async def publish() -> int:
            await self._send_each(iter(range(ONE_BY_ONE)))
            return ONE_BY_ONE

        return await self._rate("aio-pika, one by one", ONE_BY_ONE, publish)

    async def expect(self, sent: int, *, confirmed: int) -> None:
        """Empty the queue; end the benchmark unless what was sent is what is there."""
        purged = (await self._queue.purge()).message_count
        if not sent == confirmed == purged:
            raise SystemExit(f"sent {sent}, confirmed {confirmed}, found {purged} in {QUEUE}")

    async def _send_each(self, feed: Iterator[int]) -> None:
        for _ in feed:
            message = aio_pika.Message(BODY, delivery_mode=2, message_id=str(uuid4()))
            await self._exchange.publish(message, KEY)

    async def _rate(self, side: str, count: int, publish: Callable[[], Awaitable[int]]) -> float:
        began, cpu_began = time.perf_counter(), time.process_time()
        confirmed = await publish()
        rate = count / (time.perf_counter() - began)
        self.cpu.setdefault(side, []).append((time.process_time() - cpu_began) / count * 1e6)
        await self.expect(count, confirmed=confirmed)
        return rate


async def main() -> None:
    """Compare ours with each of the others, round by round."""
    url = process_environment()["TASKQUEUE_QUEUE__URL"]
    publisher = Publisher([url], name="benchmark", confirm_window=WINDOW, prepare=declare)
    await publisher.start()
    await publisher.wait_ready(30)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    sides = Sides(publisher, exchange, await channel.get_queue(QUEUE, ensure=False))
    await sides.expect(0, confirmed=0)
    print("publishing: 500 B, persistent, confirmed, quorum queue")
    ours = (f"publish_all, at most {WINDOW} unconfirmed", sides.ours)
    await compare("jobs/s", ours, ("aio-pika, awaited one by one", sides.one_by_one))
    await compare("jobs/s", ours, (f"aio-pika, {WINDOW} awaited at a time", sides.windowed))
    print("CPU of this process per job, median")
    for side, figures in sides.cpu.items():
        print(f"  {side:<46} {median(figures):>10.1f} us")
    await connection.close()
    await publisher.stop(5)


if __name__ == "__main__":
    run(main)
