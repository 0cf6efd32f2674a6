"""Jobs per second into RabbitMQ, persistent and confirmed."""

from __future__ import annotations

import time
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
OURS, ONE_BY_ONE = 10_000, 1_500
QUEUE = queue_name(Priority.LOW)


class Sides:
    """The two ways to publish into one quorum queue, which each round leaves empty again."""

    def __init__(self, publisher: Publisher, exchange: AbstractExchange, queue: AbstractQueue) -> None:
        self._publisher = publisher
        self._exchange = exchange
        self._queue = queue

    async def ours(self) -> float:
        """Return jobs per second through our publisher."""
        key = routing_key(Priority.LOW)
        messages = [Outgoing(body=BODY, message_id=str(uuid4()), routing_key=key) for _ in range(OURS)]
        began = time.perf_counter()
        results = await self._publisher.publish_all(messages, 60)
        rate = OURS / (time.perf_counter() - began)
        await self.expect(OURS, confirmed=sum(error is None for error in results))
        return rate

    async def one_by_one(self) -> float:
        """Return jobs per second through aio-pika's own publish, each awaited."""
        began = time.perf_counter()
        for _ in range(ONE_BY_ONE):
            message = aio_pika.Message(BODY, delivery_mode=2, message_id=str(uuid4()))
            await self._exchange.publish(message, routing_key(Priority.LOW))
        rate = ONE_BY_ONE / (time.perf_counter() - began)
        await self.expect(ONE_BY_ONE, confirmed=ONE_BY_ONE)
        return rate

    async def expect(self, sent: int, *, confirmed: int) -> None:
        """Empty the queue; end the benchmark unless what was sent is what is there."""
        purged = (await self._queue.purge()).message_count
        if not sent == confirmed == purged:
            raise SystemExit(f"sent {sent}, confirmed {confirmed}, found {purged} in {QUEUE}")


async def main() -> None:
    """Compare the two, round by round."""
    url = process_environment()["TASKQUEUE_QUEUE__URL"]
    publisher = Publisher([url], name="benchmark", prepare=declare)
    await publisher.start()
    await publisher.wait_ready(30)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    sides = Sides(publisher, exchange, await channel.get_queue(QUEUE, ensure=False))
    await sides.expect(0, confirmed=0)
    print("publishing: 500 B, persistent, confirmed, quorum queue")
    ours = ("publish_all, at most 500 unconfirmed", sides.ours)
    await compare("jobs/s", ours, ("aio-pika, awaited one by one", sides.one_by_one))
    await connection.close()
    await publisher.stop(5)


if __name__ == "__main__":
    run(main)
