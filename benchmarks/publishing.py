"""Jobs per second into RabbitMQ, persistent and confirmed."""

from __future__ import annotations

import time
from uuid import uuid4

import aio_pika
from rounds import compare

from taskqueue.broker.names import queue_name, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.settings import process_environment
from taskqueue.core.task import Priority
from taskqueue.runtime import run

BODY = b"x" * 500
OURS, ONE_BY_ONE = 10_000, 1_500
QUEUE = queue_name(Priority.LOW)


async def main() -> None:
    """Publish into one quorum queue, emptied before each round."""
    url = process_environment()["TASKQUEUE_QUEUE__URL"]
    publisher = Publisher([url], name="benchmark", prepare=declare)
    await publisher.start()
    await publisher.wait_ready(30)
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    queue = await channel.get_queue(QUEUE, ensure=False)

    async def ours() -> float:
        messages = [
            Outgoing(body=BODY, message_id=str(uuid4()), routing_key=routing_key(Priority.LOW)) for _ in range(OURS)
        ]
        began = time.perf_counter()
        results = await publisher.publish_all(messages, 60)
        rate = OURS / (time.perf_counter() - began)
        await expect(OURS, sum(error is None for error in results))
        return rate

    async def one_by_one() -> float:
        exchange = await channel.get_exchange("taskqueue", ensure=False)
        began = time.perf_counter()
        for _ in range(ONE_BY_ONE):
            message = aio_pika.Message(BODY, delivery_mode=2, message_id=str(uuid4()))
            await exchange.publish(message, routing_key(Priority.LOW))
        rate = ONE_BY_ONE / (time.perf_counter() - began)
        await expect(ONE_BY_ONE, ONE_BY_ONE)
        return rate

    async def expect(sent: int, confirmed: int) -> None:
        purged = (await queue.purge()).message_count
        if not sent == confirmed == purged:
            raise SystemExit(f"sent {sent}, confirmed {confirmed}, found {purged} in {QUEUE}")

    await queue.purge()
    print("publishing: 500 B, persistent, confirmed, quorum queue")
    await compare(
        "jobs/s", ("publish_all, at most 500 unconfirmed", ours), ("aio-pika, awaited one by one", one_by_one)
    )
    await connection.close()
    await publisher.stop(5)


if __name__ == "__main__":
    run(main)
