"""Publishing: persistent, mandatory, confirmed, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from taskqueue.broker.confirms import ConfirmChannel, Flight, blocked_error
from taskqueue.broker.connection import BrokerConnection, Session, Setup, ignore_event
from taskqueue.broker.outgoing import Outgoing
from taskqueue.errors import BrokerError, BrokerUnavailableError
from taskqueue.telemetry.events import Emit

__all__ = ["Outgoing", "Publisher"]


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
        self._channel: ConfirmChannel | None = None
        #: since when nothing was confirmed of what was published, by the loop's clock; None while it is
        self.silent_since: float | None = None
        #: when something was confirmed or refused last, by the loop's clock
        self.answered_at = 0.0

    @property
    def unconfirmed(self) -> int:
        """How many messages of the present connection are without a word from the broker."""
        return 0 if self._channel is None else len(self._channel.under_way)

    @property
    def answering(self) -> bool:
        """Whether RabbitMQ is connected and confirmed something of what was published last.

        A network that swallows everything shows here after the time that a confirm may take, and as a lost connection
        only after three heartbeats.
        """
        return self.connection.connected and self.silent_since is None

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

        After `within` seconds the messages without a confirm count as unknown, and at once when the connection is lost
        or the broker blocks. Raises nothing for the broker's sake.
        """
        try:
            channel = self._usable_channel()
        except BrokerUnavailableError as error:
            return [error] * len(outgoing)
        flight = Flight(channel, outgoing, window=self._window, blocked=lambda: self.connection.blocked)
        clock = asyncio.get_running_loop().time
        began = clock()
        results = await flight.fly(within)
        if any(not isinstance(each, BrokerUnavailableError) for each in results):
            self.answered_at, self.silent_since = clock(), None
        elif clock() - began >= within and self.answered_at < began and self.silent_since is None:
            self.silent_since = clock()
        return results

    async def _open_channel(self, session: Session) -> None:
        if self._prepare is not None:
            await self._prepare(session)
        self.silent_since = None
        self._channel = ConfirmChannel(session, await session.open_channel(confirms=True))

    def _usable_channel(self) -> ConfirmChannel:
        session = self.connection.session
        if self.connection.blocked:
            # Sent now it would arrive after the alarm, when nobody waits any more: not sending is the clearer answer.
            raise blocked_error(session)
        if self._channel is None or self._channel.session is not session:
            raise BrokerUnavailableError(f"{session.place}: no channel yet")
        return self._channel
