"""What RabbitMQ says of its queues to whoever asks for them passively: without the management plugin, making none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from taskqueue.broker.connection import Session
from taskqueue.broker.names import QUEUES


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCount:
    """How many messages are ready in a queue, and how many consumers it has. Unacked messages are not counted."""

    ready: int
    consumers: int


async def queue_counts(session: Session, queues: Iterable[str] = QUEUES) -> dict[str, QueueCount | None]:
    """Return the counts of each of `queues`; None where there is no such queue, or no right to look.

    Raises BrokerUnavailableError.
    """
    return {queue: await _count(session, queue) for queue in queues}


async def _count(session: Session, queue: str) -> QueueCount | None:
    # A channel of its own: asking for a missing queue closes the channel.
    async with session.passing_channel("counting messages") as channel:
        try:
            said = await channel.queue_declare(queue, passive=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused):
            return None
        return QueueCount(ready=said.message_count or 0, consumers=said.consumer_count or 0)
