"""Publishing: persistent, mandatory, confirmed, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiormq import Channel, spec
from aiormq.exceptions import DeliveryError, PublishError

from taskqueue.broker.connection import (
    CLIENT_ERRORS,
    BrokerConnection,
    Session,
    Setup,
    describe,
    ignore_event,
    was_cancelled,
)
from taskqueue.broker.names import APP_ID, DELAY_EXCHANGE, EXCHANGE, READY_ROUTING_KEYS
from taskqueue.broker.topology import LONGEST_DELAY
from taskqueue.errors import BrokerError, BrokerUnavailableError, InvalidValueError, PublishRefusedError
from taskqueue.telemetry.events import Emit

_MILLISECOND = timedelta(milliseconds=1)
_PERSISTENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way out.

    Raises InvalidValueError for a delay above 120 s, which the broker would cut short, and for a delay on the way to
    anything but a ready queue: behind the delayed queue nobody is told that a message has nowhere to go.
    """

    body: bytes
    message_id: str
    #: `names.routing_key(priority)` or `names.FAILED_ROUTING_KEY`
    routing_key: str
    #: how long it waits in the delayed queue first; None or not positive: straight to its queue
    delay: timedelta | None = None
    headers: Mapping[str, str | int] = field(default_factory=dict)
    #: when the message was made
    timestamp: datetime | None = None

    def __post_init__(self) -> None:
        if self.delay is None or self.delay <= timedelta(0):
            return
        if self.delay > LONGEST_DELAY:
            raise InvalidValueError(
                f"delay of {self.delay}: the delayed queue holds messages for at most {LONGEST_DELAY}"
            )
        if self.routing_key not in READY_ROUTING_KEYS:
            raise InvalidValueError(
                f"routing key {self.routing_key!r} with a delay: use {', '.join(READY_ROUTING_KEYS)}"
            )

    @property
    def exchange(self) -> str:
        """The exchange it goes to."""
        return DELAY_EXCHANGE if self.expiration else EXCHANGE

    @property
    def expiration(self) -> str | None:
        """Its time in the delayed queue in whole milliseconds, rounded up so that no job is early."""
        if self.delay is None or self.delay <= timedelta(0):
            return None
        return str(-(-self.delay // _MILLISECOND))


class Publisher:
    """Publishes on a supervised connection of its own (`connection`).

    `prepare` runs on each new connection before the first message, for instance to declare the topology.
    At most `confirm_window` messages of one `publish_all` wait for their confirm at a time.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str,
        confirm_window: int = 500,
        prepare: Setup | None = None,
        emit: Emit = ignore_event,
    ) -> None:
        self.connection = BrokerConnection(urls, name=name, setup=self._open_channel, emit=emit)
        self._window = confirm_window
        self._prepare = prepare
        self._channel: Channel | None = None
        self._unconfirmed: dict[str, asyncio.Future[None]] = {}

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        await self.connection.start()

    async def wait_ready(self, within: float) -> None:
        """Wait up to `within` seconds for the connection. Raises BrokerUnavailableError."""
        await self.connection.wait_ready(within)

    async def stop(self, deadline: float) -> None:
        """Close within `deadline` seconds. What still waits for a confirm gets BrokerUnavailableError."""
        await self.connection.stop(deadline)

    async def publish(self, outgoing: Outgoing, within: float) -> None:
        """Publish one message and wait up to `within` seconds for its confirm.

        Raises PublishRefusedError when it is in no queue for certain, BrokerUnavailableError when that is unknown.
        """
        (error,) = await self.publish_all([outgoing], within)
        if error is not None:
            raise error

    async def publish_all(self, outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        """Publish in the order of the list; return one entry each: None for confirmed, else what `publish` would raise.

        After `within` seconds the messages without a confirm count as unknown. Raises nothing for the broker's sake.
        """
        unknown = BrokerUnavailableError(
            f"no confirm from RabbitMQ within {within:g} s; publish it again with the same id"
        )
        results: list[BrokerError | None] = [unknown] * len(outgoing)
        try:
            channel = self._usable_channel()
        except BrokerUnavailableError as error:
            return [error] * len(outgoing)
        # Every sender takes the next message when its last one is confirmed, so the feed keeps the order on the wire.
        feed = iter(enumerate(outgoing))

        async def send() -> None:
            for index, message in feed:
                results[index] = await self._outcome(channel, message)

        try:
            async with asyncio.timeout(within), asyncio.TaskGroup() as senders:
                for _ in range(min(self._window, len(outgoing))):
                    senders.create_task(send())
        except TimeoutError:
            return results
        return results

    async def _open_channel(self, session: Session) -> None:
        if self._prepare is not None:
            await self._prepare(session)
        self._channel = await session.open_channel(confirms=True)

    def _usable_channel(self) -> Channel:
        session = self.connection.session
        if self.connection.blocked:
            # Sent now it would arrive after the alarm, when nobody waits any more: not sending is the clearer answer.
            raise BrokerUnavailableError(f"{session.place} accepts no messages: free memory or disk of the broker")
        if self._channel is None:
            raise BrokerUnavailableError(f"{session.place}: no channel yet")
        return self._channel

    async def _outcome(self, channel: Channel, outgoing: Outgoing) -> BrokerError | None:
        # The client matches a returned message to its publish by id, so two of one id take turns.
        while earlier := self._unconfirmed.get(outgoing.message_id):
            await asyncio.wait({earlier})
        confirmed = asyncio.get_running_loop().create_future()
        self._unconfirmed[outgoing.message_id] = confirmed
        try:
            await _send(channel, outgoing)
        except BrokerError as error:
            return error
        finally:
            del self._unconfirmed[outgoing.message_id]
            confirmed.set_result(None)
        return None


async def _send(channel: Channel, outgoing: Outgoing) -> None:
    try:
        await channel.basic_publish(
            outgoing.body,
            exchange=outgoing.exchange,
            routing_key=outgoing.routing_key,
            properties=_properties(outgoing),
            mandatory=True,
            wait=False,
        )
    except PublishError:
        raise PublishRefusedError(
            f"message {outgoing.message_id}: no queue for {outgoing.exchange} {outgoing.routing_key}; "
            "run `taskqueue topology apply`"
        ) from None
    except DeliveryError:
        raise PublishRefusedError(
            f"message {outgoing.message_id}: RabbitMQ refused it (nack): "
            f"the queue of {outgoing.routing_key} is full or lacks a quorum"
        ) from None
    except asyncio.CancelledError:
        if was_cancelled():
            raise
        raise BrokerUnavailableError(f"message {outgoing.message_id}: connection lost before the confirm") from None
    except CLIENT_ERRORS as error:
        raise BrokerUnavailableError(f"message {outgoing.message_id}: {describe(error)}") from error


def _properties(outgoing: Outgoing) -> spec.Basic.Properties:
    return spec.Basic.Properties(
        content_type="application/json",
        delivery_mode=_PERSISTENT,
        message_id=outgoing.message_id,
        app_id=APP_ID,
        timestamp=outgoing.timestamp,
        expiration=outgoing.expiration,
        headers=dict(outgoing.headers) if outgoing.headers else None,
    )
