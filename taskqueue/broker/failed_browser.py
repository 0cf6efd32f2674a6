"""Looking through the failed queue without taking anything out of it.

Messages are held unacknowledged, and go back when their channel closes, whatever ends it. Three habits of quorum queues
shape this (RabbitMQ 3.10 to 4.x, docs/amqp.md): one consumer is given 65,535 messages at most, so further consumers
follow; what goes back stands before what was never taken, in the order in which channels close and messages within
them lie, so each consumer has a channel of its own and the whole queue is always looked through; and each return counts
against the queue's delivery limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from aiormq import Channel, spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from taskqueue.broker.client_errors import describe, unavailable_errors
from taskqueue.broker.connection import Session
from taskqueue.broker.failed import FailedMessage
from taskqueue.broker.names import FAILED_QUEUE
from taskqueue.errors import BrokerError, BrokerUnavailableError, TopologyError

_OPERATION_S = 5.0
_CLOSE_S = 10.0
#: after a close the queue is asked this often whether it has everything back
_MOST_LOOKS, _LOOK_AGAIN_S = 40, 0.05
#: so long nothing may come before the queue is asked whether there is more
_SILENCE_S = 2.0
#: silences in a row after which the broker is taken for stuck, although it says that there is more
_MOST_SILENCES = 5

_FIRST_PREFETCH: Final = 10
_MOST_PREFETCH: Final = 4_000
#: what one consumer may be given at once, going by the largest message of the share before
_PREFETCH_BYTES: Final = 64 * 1024 * 1024
#: RabbitMQ allows 2,047 channels on a connection (channel_max), and each share has its own
_MOST_SHARES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMessage:
    """A message that is held; `channel` and `tag` are for `FailedBrowser.ack`."""

    message: FailedMessage
    channel: Channel
    tag: int


class FailedBrowser:
    """The messages that were ready in the failed queue when it was opened: `depth` of them.

    Use `browse_failed`. Iterate over `messages` once; whatever is not acknowledged goes back. `others`: somebody else
    consumed the queue then. Who holds what a `basic.get` gave cannot be seen.
    """

    def __init__(self, session: Session, depth: int, *, others: bool = False) -> None:
        self.depth = depth
        self.others = others
        self._session = session
        #: in the order in which they are to close
        self._channels: list[tuple[Channel, AsyncExitStack]] = []
        self._seen = 0
        #: of the share before: how many messages, and the bytes of the largest
        self._last = 0
        self._largest = 0
        self._held = 0
        #: of the last share
        self._consumer: str | None = None

    @property
    def short(self) -> bool:
        """Whether others held some of the queue, or took some of it before they came, once all is looked through."""
        return self.others or self._seen < self.depth

    async def messages(self) -> AsyncIterator[HeldMessage]:
        """Yield each message, the oldest first, until `depth` came or there are no more.

        Memory is bounded by one consumer's share, which grows from share to share. Raises BrokerUnavailableError, also
        where the queue says that there is more and gives none for 10 s, and TopologyError where this user may not read
        the queue.
        """
        while self._seen < self.depth:
            wanted = self._prefetch()
            share = await self._share(wanted)
            self._seen += len(share)
            for held in share:
                yield held
            if len(share) < wanted:
                return

    async def ack(self, held: HeldMessage) -> None:
        """Take `held` out of the queue for good; `settled` waits until RabbitMQ has heard of it.

        Raises BrokerUnavailableError: then it may be back in the queue, or gone.
        """
        with unavailable_errors(self._doing):
            async with asyncio.timeout(_OPERATION_S):
                await held.channel.basic_ack(held.tag)
        self._held -= 1

    async def settled(self) -> None:
        """Wait until RabbitMQ has taken note of every ack. Raises BrokerUnavailableError."""
        for channel, _ in self._channels:
            with unavailable_errors(self._doing):
                # What comes back says that all before it on this channel was dealt with.
                async with asyncio.timeout(_OPERATION_S):
                    await channel.basic_qos(prefetch_count=1)

    async def close(self) -> None:
        """Let everything that is held go back, in order; takes at most 10 s and raises nothing."""
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(_CLOSE_S):
                if self._consumer is not None:
                    # Before anything goes back, or it would be given to this one.
                    with suppress(BrokerError), unavailable_errors(self._doing):
                        await self._channels[-1][0].basic_cancel(self._consumer)
                for _, channel in self._channels:
                    await channel.aclose()
                # A closed channel's messages are ready a moment later: whoever looks next is to see them.
                for _ in range(_MOST_LOOKS):
                    if not self._held or await _ready(self._session) >= self._held:
                        break
                    await asyncio.sleep(_LOOK_AGAIN_S)

    @property
    def _doing(self) -> str:
        return f"{self._session.place}: reading the failed queue"

    def _prefetch(self) -> int:
        left = self.depth - self._seen
        if not self._last:
            return min(_FIRST_PREFETCH, left)
        most = min(_MOST_PREFETCH, 2 * self._last, _PREFETCH_BYTES // max(1, self._largest))
        # Where messages are so large and so many that channels would run out, memory has to give.
        least = ceil(left / max(1, _MOST_SHARES - len(self._channels)))
        return min(max(most, least), left)

    async def _share(self, count: int) -> list[HeldMessage]:
        """Return the next `count` messages, or fewer where there are no more.

        They all come before anything is done with the first: an ack would make room for another one, out of order.
        """
        stack = AsyncExitStack()
        channel = await stack.enter_async_context(self._session.side_channel("reading the failed queue"))
        self._channels.append((channel, stack))
        arrived: asyncio.Queue[HeldMessage] = asyncio.Queue()

        async def take(message: DeliveredMessage) -> None:
            arrived.put_nowait(_held(channel, message))

        with unavailable_errors(self._doing):
            consumer = await _consume(channel, count, take)
            share = await self._collect(arrived, count)
            if self._seen + len(share) < self.depth:
                async with asyncio.timeout(_OPERATION_S):
                    await channel.basic_cancel(consumer)
            else:
                # It stays, so that others see that somebody holds messages. What it is given in place of those that
                # are acknowledged has come later, and goes back as well, though maybe before them.
                self._consumer = consumer
        self._last, self._largest = len(share), max((len(held.message.body) for held in share), default=0)
        self._held += len(share)
        return share

    async def _collect(self, arrived: asyncio.Queue[HeldMessage], count: int) -> list[HeldMessage]:
        share: list[HeldMessage] = []
        silences = 0
        while len(share) < count:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    share.append(await arrived.get())
            except TimeoutError:
                silences += 1
                if await self._is_empty(silences):
                    break
            else:
                silences = 0
        return share

    async def _is_empty(self, silences: int) -> bool:
        """Ask whether nothing is left: others may hold some of what was there, or have taken it out."""
        if not self._session.alive:
            raise BrokerUnavailableError(f"{self._doing}: the connection was lost: {self._session.lost.result()}")
        if silences >= _MOST_SILENCES:
            raise BrokerUnavailableError(
                f"{self._session.place}: {FAILED_QUEUE} gives none of its messages; see whether it has a leader"
            )
        return await _ready(self._session) == 0


@asynccontextmanager
async def browse_failed(session: Session) -> AsyncIterator[FailedBrowser]:
    """Open a browser; at the end everything that was not acknowledged is back in the queue.

    Raises TopologyError where there is no such queue or no right to look, BrokerUnavailableError.
    """
    found = await _look(session)
    browser = FailedBrowser(session, found.message_count or 0, others=bool(found.consumer_count))
    try:
        yield browser
    finally:
        await browser.close()


async def _consume(channel: Channel, count: int, take: Callable[[DeliveredMessage], Coroutine[Any, Any, None]]) -> str:
    """Ask for `count` messages; return the consumer's tag."""
    async with asyncio.timeout(_OPERATION_S):
        await channel.basic_qos(prefetch_count=count)
        try:
            return str((await channel.basic_consume(FAILED_QUEUE, take)).consumer_tag)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise _no_queue(error) from None


async def _ready(session: Session) -> int:
    return (await _look(session)).message_count or 0


async def _look(session: Session) -> spec.Queue.DeclareOk:
    async with session.passing_channel("looking at the failed queue") as channel:
        try:
            return await channel.queue_declare(FAILED_QUEUE, passive=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused) as error:
            raise _no_queue(error) from None


def _no_queue(error: Exception) -> TopologyError:
    return TopologyError(
        f"queue {FAILED_QUEUE}: {describe(error)}; run `taskqueue topology apply`, or give this user the right to read"
    )


def _held(channel: Channel, message: DeliveredMessage) -> HeldMessage:
    properties = message.header.properties
    taken = FailedMessage(body=message.body, message_id=properties.message_id, headers=properties.headers or {})
    return HeldMessage(message=taken, channel=channel, tag=message.delivery_tag or 0)
