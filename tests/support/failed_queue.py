"""What arrives in `taskqueue.jobs.failed`, as an operator's own consumer sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedMessage:
    """One message there."""

    body: bytes
    message_id: str | None
    headers: Mapping[str, object]

    @property
    def reason(self) -> object:
        """Why it is there."""
        return self.headers.get("taskqueue-reason")


class FailedQueue:
    """Consumes the failed queue; `messages` is what has come so far."""

    def __init__(self) -> None:
        self.messages: list[FailedMessage] = []
        self._news = asyncio.Condition()
        self._connection: aio_pika.abc.AbstractConnection | None = None

    async def open(self, amqp_url: str) -> None:
        """Begin to consume. The queue must exist."""
        self._connection = await aio_pika.connect(amqp_url)
        channel = await self._connection.channel()
        queue = await channel.get_queue("taskqueue.jobs.failed")
        await queue.consume(self._take)

    async def close(self) -> None:
        """Stop consuming."""
        if self._connection is not None:
            await self._connection.close()

    def of(self, message_id: str) -> list[FailedMessage]:
        """Return the messages with this AMQP message id."""
        return [message for message in self.messages if message.message_id == message_id]

    async def wait_for(self, message_id: str, within: float = 15.0) -> FailedMessage:
        """Return the first message with this AMQP message id, when it is there."""
        return await self.wait_until(lambda message: message.message_id == message_id, within)

    async def wait_until(self, fits: Callable[[FailedMessage], bool], within: float = 15.0) -> FailedMessage:
        """Return the first message that fits, when it is there."""
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: any(map(fits, self.messages)))
        except TimeoutError:
            raise AssertionError(f"the message did not come within {within} s; there are {self.messages}") from None
        return next(filter(fits, self.messages))

    async def _take(self, message: AbstractIncomingMessage) -> None:
        async with self._news:
            taken = FailedMessage(body=message.body, message_id=message.message_id, headers=dict(message.headers))
            self.messages.append(taken)
            self._news.notify_all()
        await message.ack()
