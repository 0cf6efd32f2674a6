"""Is the delayed queue alive? A leader sends a message of its own through it every few seconds and sees how late it is.

The broker does not tell: messages that are due and cannot be moved on are neither ready nor unacked, and a passive
declare counts none. With one full target queue, or one without a quorum, the jobs of all priorities stand still.

A probe is due with the last job that was sent before it, so it fits the queue's order and delays nobody behind it. It
comes back through a queue of the watch's own, which ends with its connection. What is due while nobody watches must
reach a queue too: the broker keeps a dead letter that has none and tries again for ever, and some dozens of those hold
the whole queue up. So all probes have one key, and `taskqueue.lane` is always bound to it: a durable queue in which a
message expires at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from secrets import token_hex
from typing import Any, Final, NoReturn

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from taskqueue.broker.connection import Session, ignore_event
from taskqueue.broker.names import EXCHANGE, LANE_WATCH_QUEUE, LANE_WATCH_ROUTING_KEY
from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.errors import BrokerError, BrokerUnavailableError, PublishRefusedError
from taskqueue.telemetry.events import Emit, LaneStuck, LaneUnwatched

_SINK_ARGUMENTS: Final[Mapping[str, str | int]] = {"x-queue-type": "quorum", "x-message-ttl": 0}

#: seconds
_ATTACH_TIMEOUT = 10.0
_RETRY_FORBIDDEN = 300.0

#: probes of which none came back, before the oldest is given up: more than an hour's
_MOST_UNDER_WAY = 1000


async def attach(channel: Channel, queue: str, take: Callable[[DeliveredMessage], Coroutine[Any, Any, None]]) -> None:
    """Have every probe that comes out of the delayed queue handed to `take`, through an exclusive queue of this name.

    Its name is to be new each time: an old one is locked until the broker has noticed the end of its connection. Makes
    the queue that swallows what nobody watches. Raises what the client does.
    """
    await channel.queue_declare(LANE_WATCH_QUEUE, durable=True, arguments=dict(_SINK_ARGUMENTS))
    await channel.queue_bind(LANE_WATCH_QUEUE, EXCHANGE, LANE_WATCH_ROUTING_KEY)
    await channel.queue_declare(queue, exclusive=True, auto_delete=True)
    await channel.queue_bind(queue, EXCHANGE, LANE_WATCH_ROUTING_KEY)
    await channel.basic_consume(queue, take, no_ack=True)


class LaneWatch:
    """Measures the delayed queue while `run` runs: probes go out on `lane`, and come back to where `publisher` is.

    `ahead` says how long it is until the last job in the queue is due: 0 when it is due already, at most 120 s. It
    answers only while no jobs are on their way there, so that the probe, sent at once, stands behind all of them.

    A probe goes out every `interval`. The queue counts as stuck while one is more than `patience` overdue, and when
    RabbitMQ confirms none within `confirm_within` though it confirms what goes around the queue: then until one comes
    back in time. Without the right to declare a queue nothing is measured, which is told once (LaneUnwatched).
    """

    def __init__(
        self,
        publisher: Publisher,
        lane: Publisher,
        *,
        instance: str,
        ahead: Callable[[], Awaitable[timedelta]],
        interval: timedelta = timedelta(seconds=5),
        patience: timedelta = timedelta(seconds=5),
        confirm_within: timedelta = timedelta(seconds=5),
        emit: Emit = ignore_event,
    ) -> None:
        self._publisher = publisher
        self._lane = lane
        self._instance = instance
        self._ahead = ahead
        self._interval_s = interval.total_seconds()
        self._patience_s = patience.total_seconds()
        self._confirm_within_s = confirm_within.total_seconds()
        self._emit = emit
        #: by body, in the order sent: when the probe is due, by the loop's clock
        self._under_way: dict[bytes, float] = {}
        self._last_lag_s: float | None = None
        #: the last that came back was late, or was not taken, or none had come by the end of its session; until one is
        #: in time again
        self._late = False
        self._told_stuck = False
        self._told_unwatched = False

    @property
    def lag(self) -> timedelta | None:
        """How late the last probe came back, or how overdue the next one is if that is more; None before the first."""
        overdue = self._overdue_s()
        if self._last_lag_s is None and overdue <= 0:
            return None
        return timedelta(seconds=max(self._last_lag_s or 0.0, overdue))

    @property
    def stuck(self) -> bool:
        """Whether jobs in the delayed queue do not come out in time; False while that is not known."""
        return self._late or self._overdue_s() > self._patience_s

    async def run(self) -> NoReturn:
        """Measure until cancelled, on one session of the publisher after the other."""
        try:
            while True:
                pause = self._interval_s
                # The publisher's connection tells of its outages, and a side channel that fails is opened again.
                with suppress(BrokerUnavailableError):
                    pause = await self._watch(self._publisher.connection.session)
                await asyncio.sleep(pause)
        finally:
            self._reset()

    async def _watch(self, session: Session) -> float:
        """Measure until the session or the channel ends; return seconds to wait before the next try."""
        token = token_hex(8)
        async with session.side_channel("watching the delayed queue") as channel:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(_ATTACH_TIMEOUT):
                    await self._attach(channel, f"{LANE_WATCH_QUEUE}.{self._instance}.{token}", ended)
            except (ChannelAccessRefused, ChannelPreconditionFailed) as error:
                self._give_up(str(error))
                return _RETRY_FORBIDDEN
            self._told_unwatched = False
            try:
                await self._measure(token, {session.lost, channel.closing, ended})
            finally:
                # These go to the sink: only a new probe can tell what is.
                self._late = self.stuck
                self._under_way.clear()
        return self._interval_s

    async def _attach(self, channel: Channel, queue: str, ended: asyncio.Future[None]) -> None:
        def on_cancelled(_: object) -> None:
            if not ended.done():
                ended.set_result(None)

        channel.on_consumer_cancel_callbacks.add(on_cancelled)
        await attach(channel, queue, self._on_probe)

    async def _measure(self, token: str, ends: set[asyncio.Future[Any]]) -> None:
        number = 0
        while not any(end.done() for end in ends):
            number += 1
            await self._send(f"{token}:{number}")
            self._tell()
            await asyncio.wait(ends, timeout=self._interval_s, return_when=asyncio.FIRST_COMPLETED)

    async def _send(self, name: str) -> None:
        # Without any delay it would go around the lane.
        delay = max(await self._ahead(), timedelta(milliseconds=1))
        if len(self._under_way) >= _MOST_UNDER_WAY:
            del self._under_way[next(iter(self._under_way))]
        probe = _message(name, delay)
        self._under_way[probe.body] = _now() + delay.total_seconds()
        try:
            await self._lane.publish(probe, self._confirm_within_s)
        except PublishRefusedError:
            self._under_way.pop(probe.body, None)  # it is in no queue, so that it does not come back says nothing
        except BrokerError:
            if self._lane.connection.connected and await self._flows_around(name):
                self._late = True  # the queue does not take anything: it lacks a quorum, or does not answer
            else:
                self._under_way.pop(probe.body, None)

    async def _flows_around(self, name: str) -> bool:
        """Return whether RabbitMQ confirms a message that does not go through the lane."""
        try:
            await self._publisher.publish(_message(f"{name}:around", None), self._confirm_within_s)
        except BrokerError:
            return False
        return True

    async def _on_probe(self, message: DeliveredMessage) -> None:
        due = self._under_way.get(message.body)
        if due is None:
            return  # another leader's, or anybody's
        # Earlier ones that have not come back were lost, as in a purge; this one says how things are.
        for earlier in list(self._under_way):
            del self._under_way[earlier]
            if earlier == message.body:
                break
        self._last_lag_s = max(_now() - due, 0.0)
        self._late = self._last_lag_s > self._patience_s
        self._tell()

    def _overdue_s(self) -> float:
        due = next(iter(self._under_way.values()), None)
        return 0.0 if due is None else max(_now() - due, 0.0)

    def _tell(self) -> None:
        if self.stuck != self._told_stuck:
            self._told_stuck = self.stuck
            self._emit(LaneStuck(stuck=self._told_stuck, lag_s=(self.lag or timedelta(0)).total_seconds()))

    def _give_up(self, error: str) -> None:
        self._reset()
        if not self._told_unwatched:
            self._told_unwatched = True
            self._emit(LaneUnwatched(error=error))

    def _reset(self) -> None:
        self._under_way.clear()
        self._last_lag_s = None
        self._late = False
        self._tell()


def _message(name: str, delay: timedelta | None) -> Outgoing:
    return Outgoing(
        body=name.encode(),
        message_id=f"lane:{name}",
        routing_key=LANE_WATCH_ROUTING_KEY,
        delay=delay,
        persistent=False,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
