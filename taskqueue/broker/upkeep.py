"""For whoever borrows a virtual host for a while: is it in use, and leave nothing in its queues."""

from __future__ import annotations

from aiormq.exceptions import ChannelNotFoundEntity

from taskqueue.broker.connection import Session
from taskqueue.broker.names import QUEUES


async def queues_in_use(session: Session) -> list[str]:
    """Return those of our queues that hold messages or have consumers. Raises BrokerUnavailableError."""
    return [queue for queue in QUEUES if await _in_use(session, queue)]


async def purge_queues(session: Session) -> None:
    """Drop every message of our queues; queues that do not exist are left out. Raises BrokerUnavailableError."""
    for queue in QUEUES:
        async with session.passing_channel(f"purging {queue}") as channel:
            try:
                await channel.queue_purge(queue)
            except ChannelNotFoundEntity:
                continue


async def _in_use(session: Session, queue: str) -> bool:
    # A channel of its own: asking for a missing queue closes the channel.
    async with session.passing_channel(f"looking at {queue}") as channel:
        try:
            found = await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return False
        return bool(found.message_count or found.consumer_count)
