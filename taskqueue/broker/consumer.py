"""Consuming the ready queues: one channel and one consumer per queue, each with its own prefetch.

Deliveries are handed over at once; jobs never run in the client's callbacks, which are cancelled when a channel closes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Final

from aiormq import Channel
from aiormq.abc import ChannelFrame

from taskqueue.broker.client_errors import unavailable_errors
from taskqueue.broker.connection import BrokerConnection, Session, Setup, ignore_event
from taskqueue.broker.deliveries import RawDelivery
from taskqueue.broker.framing import ack_frame, requeue_frame
from taskqueue.broker.names import APP_ID, queue_name
from taskqueue.core.task import Priority
from taskqueue.core.value import value
from taskqueue.errors import BrokerUnavailableError
from taskqueue.telemetry.events import DeliveryFailed, Emit, SettleLost

#: seconds between two flushes of acks: one for each turn of the event loop is a twentieth of a worker's time
_FLUSH_EVERY_S: Final = 0.005

#: seconds between two looks at whether the client's writer has room, of which it tells nobody
_WRITER_POLL_S: Final = 0.001


@value
class Delivery:
    """One message from a ready queue, to be settled exactly once: by `ack` or by `requeue`.

    It belongs to the channel it came from. When that is gone the broker delivers the message again, and settling this
    one only emits SettleLost.
    """

    body: bytes
    queue: Priority
    message_id: str | None
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
        self.settler.ack(self.tag)

    async def requeue(self) -> None:
        """Give the message back to its queue; counts towards the delivery limit."""
        self.settler.requeue(self.tag)


class Settler:
    """Acks and requeues the deliveries of one channel, and only of that one. Raises nothing for the broker's sake.

    Acks leave at once but, while most deliveries are open, no more often than every 5 ms: then together, as a single
    frame where no older delivery is open. `alive` says whether the session of the channel still is.
    """

    def __init__(self, channel: Channel, queue: Priority, emit: Emit, *, alive: Callable[[], bool]) -> None:
        self.queue = queue
        self._channel = channel
        self._alive = alive
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        #: tags of the deliveries that are neither acked nor requeued on the wire, oldest first
        self._open: dict[int, None] = {}
        self._acked: set[int] = set()
        self._flush_soon: asyncio.Handle | None = None
        self._hurried = False
        self._flushed_at = -math.inf
        #: frames for which the client's writer has no room yet, and how many deliveries they settle
        self._unsent: list[bytes] = []
        self._unsent_count = 0

    @property
    def unsettled(self) -> int:
        """How many deliveries are neither acked nor requeued on the wire."""
        return len(self._open)

    @property
    def stale(self) -> bool:
        """Whether nothing can be settled any more."""
        return not self._alive()

    def took(self, tag: int) -> None:
        """Note the delivery `tag`, before anybody can settle it."""
        self._open[tag] = None

    def ack(self, tag: int) -> None:
        """Ack the delivery `tag` with the next flush; nothing happens for one that is settled already."""
        if tag not in self._open:
            return
        self._acked.add(tag)
        # Where most of what is here is done, the broker may hold back what comes next.
        hurry = 2 * len(self._acked) >= len(self._open)
        if self._flush_soon is None:
            wait_s = 0.0 if hurry else self._flushed_at + _FLUSH_EVERY_S - self._loop.time()
            self._flush_in(wait_s)
        elif hurry and not self._hurried:
            self._flush_soon.cancel()
            self._flush_in(0.0)

    def requeue(self, tag: int) -> None:
        """Return the delivery `tag` to its queue; nothing happens for one that is settled already."""
        if tag not in self._open or tag in self._acked:
            return
        self._send(requeue_frame(self._channel.number, tag), count=1)
        # Only now: while it is open here, no ack of younger deliveries can cover it.
        self._open.pop(tag, None)

    def flush(self) -> None:
        """Hand every ack so far to the client's writer."""
        if self._flush_soon is not None:
            self._flush_soon.cancel()
            self._flush_soon = None
        if not self._acked:
            return
        self._flushed_at = self._loop.time()
        acked, self._acked = self._acked, set()
        number, frames, count = self._channel.number, [], len(acked)
        oldest = 0
        for tag in self._open:
            if tag not in acked:
                break
            oldest = tag
        if oldest:
            frames.append(ack_frame(number, oldest, multiple=True))
        for tag in acked:
            del self._open[tag]
            if tag > oldest:
                frames.append(ack_frame(number, tag, multiple=False))
        self._send(b"".join(frames), count)

    def _flush_in(self, wait_s: float) -> None:
        self._hurried = wait_s <= 0
        soon = self._loop.call_soon(self.flush) if self._hurried else self._loop.call_later(wait_s, self.flush)
        self._flush_soon = soon

    async def flushed(self, within: float) -> None:
        """Hand every ack so far to the client's writer, waiting up to `within` seconds for its room."""
        self.flush()
        until = self._loop.time() + within
        while self._unsent and self._alive() and self._loop.time() < until:  # noqa: ASYNC110 - of this nobody is told
            await asyncio.sleep(_WRITER_POLL_S)

    def _send(self, frames: bytes, count: int) -> None:
        if not self._alive():
            self._lost(count)
            return
        self._unsent.append(frames)
        self._unsent_count += count
        if len(self._unsent) == 1:
            self._write()

    def _write(self) -> None:
        frames, count = b"".join(self._unsent), self._unsent_count
        if self._alive() and self._channel.write_queue.full():
            self._loop.call_later(_WRITER_POLL_S, self._write)
            return
        self._unsent.clear()
        self._unsent_count = 0
        if self._alive():
            # The client's own methods would await its writer for each frame.
            self._channel.write_queue.put_nowait(ChannelFrame(payload=frames, should_close=False))
        else:
            self._lost(count)

    def _lost(self, count: int) -> None:
        self._emit(SettleLost(queue=queue_name(self.queue), count=count, error="the connection was lost"))


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

    def has_room(self, queue: Priority) -> bool:
        """Return whether the broker may send another message of `queue`: its prefetch is not used up."""
        unsettled = sum(settler.unsettled for settler in self._settlers if settler.queue is queue)
        return queue in self._prefetch and unsettled < self._prefetch[queue]

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
        take = self._hand_over(session, channel, queue)
        self._attached[channel] = await session.consume(channel, queue_name(queue), take)

    async def _detach_all(self) -> None:
        while self._attached:
            channel, consumer_tag = self._attached.popitem()
            await channel.basic_cancel(consumer_tag)

    def _hand_over(self, session: Session, channel: Channel, queue: Priority) -> Callable[[RawDelivery], None]:
        """Return what takes the messages of one consumer."""
        settler = Settler(channel, queue, self._emit, alive=lambda: session.alive)
        self._settlers.append(settler)
        now = asyncio.get_running_loop().time

        def hand_over(raw: RawDelivery) -> None:
            settler.took(raw.tag)
            received_at = self._last_delivery_at[queue] = now()
            delivery = Delivery(
                body=raw.body,
                queue=queue,
                message_id=raw.message_id,
                foreign=raw.app_id != APP_ID,
                redelivered=raw.redelivered,
                delivery_count=raw.returns,
                received_at=received_at,
                settler=settler,
                tag=raw.tag,
            )
            try:
                self._on_delivery(delivery)
            except Exception as error:  # noqa: BLE001 - raised on, it would end the connection, with all that is under way
                self._emit(DeliveryFailed(queue=queue_name(queue), error=repr(error)))
                settler.requeue(raw.tag)

        return hand_over
