"""How many messages wait in queues, as RabbitMQ says at once; its management API is seconds behind."""

from __future__ import annotations

import pika


def depths_of(amqp_url: str, *queues: str) -> dict[str, int]:
    """Return how many messages are ready in each of the queues, which are there."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        return {queue: channel.queue_declare(queue, passive=True).method.message_count for queue in queues}
