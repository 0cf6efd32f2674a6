"""Consuming the ready queues: one channel and one consumer per queue, each with its own prefetch.

Deliveries are handed over at once; jobs never run in the client's callbacks, which are cancelled when a channel closes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

from aiormq import Channel
from aiormq.abc import DeliveredMessage

from taskqueue.broker.connection import (
    BrokerConnection,
    Session,
    Setup,
    ignore_event,
    unavailable_errors,
)
from taskqueue.broker.names import APP_ID, queue_name
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError
from taskqueue.telemetry.events import DeliveryFailed, Emit, SettleLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message from a ready queue, to be settled exactly once: by `ack` or by `requeue`.

    It belongs to the channel it came from. When that is gone the broker delivers the message again, and settling this
    one only emits SettleLost.
    """

    body: bytes
    queue: Priority
    message_id: str | None
    #: as other clients wrote them: values may be of any AMQP type
    headers: Mapping[str, object]
    #: whether another system published it: what we publish carries our app_id
    foreign: bool
    redelivered: bool
    #: how often it came back to the queue before (`x-delivery-count`); above 10 the broker moves it to the failed queue
    delivery_count: int
    #: when it came, in the loop's time (monotonic seconds)
    received_at: float
    settler: Settler = field(repr=False)
    #: the delivery's number on its channel
    tag: int

    @property
    def stale(self) -> bool:
        """Whether its session is over: it cannot be settled any more, and the broker delivers the message again."""
        return self.settler.stale

    async def ack(self) -> None:
        """Tell the broker that the message is done. Returns before the broker knows."""
        await self.settler.ack(self.tag)

    async def requeue(self) -> None:
        """Give the message back to its queue; counts towards the delivery limit."""
        await self.settler.requeue(self.tag)


class Settler:
    """Acks and requeues the deliveries of one channel, and only of that one. Raises nothing for the broker's sake.

    Acks of one turn of the event loop leave together, as a single frame where no older delivery is open. `alive` says
    whether the session of the channel still is.
    """

    def __init__(self, channel: Channel, queue: Priority, emit: Emit, *, alive: Callable[[], bool]) -> None:
        self._channel = channel
        self._alive = alive
        self._queue = queue
        self._emit = emit
        #: tags of the deliveries that are neither acked nor requeued on the wire, oldest first
        self._open: dict[int, None] = {}
        self._acked: set[int] = set()
        self._flushing: asyncio.Task[None] | None = None

    @property
    def stale(self) -> bool:
        """Whether nothing can be settled any more."""
        return not self._alive()

    def took(self, tag: int) -> None:
        """Note the delivery `tag`, before anybody can settle it."""
        self._open[tag] = None

    async def ack(self, tag: int) -> None:
        """Ack the delivery `tag` with the next flush; nothing happens for one that is settled already."""
        if tag not in self._open:
            return
        self._acked.add(tag)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def requeue(self, tag: int) -> None:
        """Return the delivery `tag` to its queue; nothing happens for one that is settled already."""
        if tag not in self._open or tag in self._acked:
            return
        await self._send(self._channel.basic_nack(tag, requeue=True), count=1)
        # Only now: while it is open here, no ack of younger deliveries can cover it.
        self._open.pop(tag, None)

    async def flushed(self, within: float) -> None:
        """Wait up to `within` seconds until every ack so far is on the wire."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=within)

    async def _flush(self) -> None:
        while self._acked:
            acked, self._acked = self._acked, set()
            oldest = list(itertools.takewhile(acked.__contains__, self._open))
            for tag in acked:
                del self._open[tag]
            if oldest:
                await self._send(self._channel.basic_ack(oldest[-1], multiple=True), count=len(oldest))
            for tag in acked.difference(oldest):
                await self._send(self._channel.basic_ack(tag), count=1)

    async def _send(self, settling: Awaitable[None], count: int) -> None:
        try:
            with unavailable_errors("settling"):
                await settling
        except BrokerUnavailableError as error:
            self._emit(SettleLost(queue=queue_name(self._queue), count=count, error=str(error)))


class Consumers:
    """Consumes the queues of `prefetch` on a supervised connection of its own (`connection`).

    `on_delivery` is called in the event loop for every message and must return at once; a message for which it raises
    goes back to its queue. `prepare` runs on each new session before anything is consumed (such as `topology.declare`).
    Emits what BrokerConnection does, SettleLost and DeliveryFailed.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str,
        prefetch: Mapping[Priority, int],
        on_delivery: Callable[[Delivery], None],
        prepare: Setup | None = None,
        emit: Emit = ignore_event,
    ) -> None:
        self.connection = BrokerConnection(urls, name=name, setup=self._attach_all, emit=emit)
        self._prefetch = dict(prefetch)
        self._on_delivery = on_delivery
        self._prepare = prepare
        self._emit = emit
        self._quiet = False
        #: held while consumers are attached or cancelled
        self._attaching = asyncio.Lock()
        self._session: Session | None = None
        #: the consumer tag on each channel of the present session
        self._attached: dict[Channel, str] = {}
        self._settlers: list[Settler] = []
        self._last_delivery_at: dict[Priority, float] = {}

    @property
    def live(self) -> bool:
        """Whether every queue has its consumer, so that new deliveries can come."""
        return self.connection.connected and not self._quiet and len(self._attached) == len(self._prefetch)

    def last_delivery_at(self, queue: Priority) -> float | None:
        """Return the loop's time (monotonic seconds) of the last delivery of `queue` or, when later, of its attaching.

        None before the first attaching.
        """
        return self._last_delivery_at.get(queue)

    async def start(self) -> None:
        """Begin to connect and consume; returns at once."""
        await self.connection.start()

    async def wait_ready(self, within: float) -> None:
        """Wait up to `within` seconds for all consumers. Raises BrokerUnavailableError."""
        await self.connection.wait_ready(within)

    async def quiet(self, within: float) -> None:
        """Cancel the consumers for good, within `within` seconds: no new deliveries; those handed over can be settled.

        Where the broker does not answer in time the session is given up, which returns what is unsettled to the queues.
        """
        self._quiet = True
        try:
            with unavailable_errors("cancelling the consumers"):
                async with asyncio.timeout(within), self._attaching:
                    await self._detach_all()
        except BrokerUnavailableError as error:
            # The session may be one that is still being set up, which the connection does not count as present yet.
            if self._session is not None:
                self._session.lose(str(error))

    async def stop(self, deadline: float) -> None:
        """Send the acks so far and close, within `deadline` seconds; what is unsettled goes back to its queue."""
        now = asyncio.get_running_loop().time
        end = now() + deadline
        for settler in self._settlers:
            await settler.flushed(max(0.0, end - now()))
        await self.connection.stop(max(0.0, end - now()))

    def rebuild(self, reason: str) -> None:
        """Give up the session and attach all consumers anew: for a watchdog that sees work but no deliveries."""
        self.connection.rebuild(reason)

    async def _attach_all(self, session: Session) -> None:
        async with self._attaching:
            self._session, self._attached, self._settlers = session, {}, []
            if self._prepare is not None:
                await self._prepare(session)
            for queue in self._prefetch:
                await self._attach(session, queue)
            if self._quiet:
                await self._detach_all()

    async def _attach(self, session: Session, queue: Priority) -> None:
        channel = await session.open_channel()
        await channel.basic_qos(prefetch_count=self._prefetch[queue])
        if self._quiet:
            return  # told so while the broker answered
        self._last_delivery_at[queue] = asyncio.get_running_loop().time()
        reply = await channel.basic_consume(queue_name(queue), self._hand_over(session, channel, queue))
        self._attached[channel] = str(reply.consumer_tag)

    async def _detach_all(self) -> None:
        while self._attached:
            channel, consumer_tag = self._attached.popitem()
            await channel.basic_cancel(consumer_tag)

    def _hand_over(
        self, session: Session, channel: Channel, queue: Priority
    ) -> Callable[[DeliveredMessage], Coroutine[None, None, None]]:
        """Return the client's callback for one consumer."""
        settler = Settler(channel, queue, self._emit, alive=lambda: session.alive)
        self._settlers.append(settler)
        now = asyncio.get_running_loop().time

        async def hand_over(message: DeliveredMessage) -> None:
            tag = message.delivery_tag or 0
            settler.took(tag)
            self._last_delivery_at[queue] = now()
            try:
                self._on_delivery(_delivery(message, queue, settler, tag))
            except Exception as error:  # noqa: BLE001 - the client would only log it, and the message would stay with us
                self._emit(DeliveryFailed(queue=queue_name(queue), error=repr(error)))
                await settler.requeue(tag)

        return hand_over


def _delivery(message: DeliveredMessage, queue: Priority, settler: Settler, tag: int) -> Delivery:
    properties = message.header.properties
    headers: Mapping[str, object] = properties.headers or {}
    returns = headers.get("x-delivery-count", 0)
    return Delivery(
        body=message.body,
        queue=queue,
        message_id=properties.message_id,
        headers=headers,
        foreign=properties.app_id != APP_ID,
        redelivered=bool(message.redelivered),
        delivery_count=returns if isinstance(returns, int) else 0,
        received_at=asyncio.get_running_loop().time(),
        settler=settler,
        tag=tag,
    )
