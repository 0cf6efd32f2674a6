"""Publishing many messages over one channel, and learning what became of each.

Awaiting the client's own publish costs several futures, locks and turns of the loop per message, more work than the
broker has with it. So messages are encoded here, many at once, and handed to the client's writer in one piece. The
broker's word on each still comes through the client: it completes the future that it finds under the delivery tag in
the channel's `confirmations`, and finds the tag of a returned message in `message_id_delivery_tag`
(tests/integration/broker/test_client_habits.py holds the client to this).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from aiormq import Channel
from aiormq.abc import ChannelFrame, ConfirmationFrameType
from aiormq.exceptions import DeliveryError, PublishError

from taskqueue.broker.client_errors import describe
from taskqueue.broker.connection import Session
from taskqueue.broker.frames import publish_frames
from taskqueue.broker.outgoing import Outgoing
from taskqueue.errors import BrokerError, BrokerUnavailableError, PublishRefusedError

#: at most so much in one piece, so that the confirms of the first do not wait for the encoding of the last
_CHUNK_MESSAGES: Final = 100
_CHUNK_BYTES: Final = 256 * 1024

#: seconds between two looks at what the client announces to nobody: that the broker blocks, that the writer has room
_BLOCKED_POLL, _WRITER_POLL = 0.5, 0.001

_Word = asyncio.Future[ConfirmationFrameType]


class ConfirmChannel:
    """A channel with confirms on which nothing else publishes, or the tags would be counted wrong.

    Several flights may use it at once.
    """

    def __init__(self, session: Session, channel: Channel) -> None:
        self.session = session
        #: by id what was sent last and is without a word from the broker, and its flight
        self.under_way: dict[str, tuple[_Word, Flight]] = {}
        self._channel = channel

    @property
    def has_room(self) -> bool:
        """Whether the client's writer takes another piece."""
        return not self._channel.write_queue.full()

    def frames(self, outgoing: Outgoing) -> list[bytes]:
        """Return the frames of one message, in pieces."""
        return publish_frames(outgoing, self._channel.number, self._channel.max_content_size)

    def send(self, payload: bytes, messages: Sequence[Outgoing], flight: Flight) -> list[_Word]:
        """Send `messages`, whose frames are `payload`; return one future each, completed by the broker's word on it.

        Never cancel one: the client cannot complete it then, and closes the channel over that.
        """
        channel = self._channel
        # No suspension from here on: the tags must count in the order of the wire.
        channel.write_queue.put_nowait(ChannelFrame(payload=payload, should_close=False))
        loop = asyncio.get_running_loop()
        words: list[_Word] = []
        for message in messages:
            word: _Word = loop.create_future()
            channel.delivery_tag += 1
            channel.confirmations[channel.delivery_tag] = word
            channel.message_id_delivery_tag[message.message_id] = channel.delivery_tag
            self.under_way[message.message_id] = (word, flight)
            words.append(word)
        return words

    def forget(self, message_id: str, word: _Word) -> None:
        """Free the id of a message on which the broker's word has come."""
        if (last := self.under_way.get(message_id)) is not None and last[0] is word:
            del self.under_way[message_id]
            self._channel.message_id_delivery_tag.pop(message_id, None)


class Flight:
    """The messages of one `publish_all`, sent in their order, at most `window` without a confirm at a time.

    Two messages of one id are never under way together: the client knows a returned message by its id alone. An
    earlier flight that was given up may have left one. A return may then be meant for either, and counts as unknown.
    """

    def __init__(
        self, channel: ConfirmChannel, outgoing: Sequence[Outgoing], *, window: int, blocked: Callable[[], bool]
    ) -> None:
        #: nobody waits for its messages any more
        self.over = False
        self._channel = channel
        self._outgoing = outgoing
        self._window = window
        self._blocked = blocked
        self._outcomes: dict[int, BrokerError | None] = {}
        self._sent = 0
        #: indices of messages with an id that an earlier flight left under way
        self._ambiguous: set[int] = set()
        #: completes when no more than `_low_water` are unconfirmed
        self._landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._low_water = 0

    async def fly(self, within: float) -> list[BrokerError | None]:
        """Send all messages and return what became of each: None for confirmed.

        Returns early, with the rest unknown, when the session is lost or the broker blocks, at the latest after
        `within` seconds.
        """
        deadline = asyncio.get_running_loop().time() + within
        problem: BrokerUnavailableError | None = None
        try:
            while problem is None and len(self._outcomes) < len(self._outgoing):
                await self._advance(deadline)
                problem = self._problem(deadline, within)
            return [self._outcomes.get(index, problem) for index in range(len(self._outgoing))]
        finally:
            self.over = True

    async def _advance(self, deadline: float) -> None:
        """Send the next chunk, or wait for what is in its way."""
        left = len(self._outgoing) - self._sent
        most = min(left, _CHUNK_MESSAGES, self._window)
        if left == 0:
            await self._wait_landed(0, deadline)
        elif self._unconfirmed + most > self._window:
            await self._wait_landed(self._window - most, deadline)
        elif not self._channel.has_room:
            await self._wait(deadline, at_most=_WRITER_POLL)
        elif (earlier := self._in_the_way(self._outgoing[self._sent])) is not None:
            await self._wait(deadline, earlier)
        else:
            self._send_chunk(most)

    def _send_chunk(self, most: int) -> None:
        pieces: list[bytes] = []
        messages: list[Outgoing] = []
        ids: set[str] = set()
        size = 0
        for message in self._outgoing[self._sent : self._sent + most]:
            if size >= _CHUNK_BYTES or message.message_id in ids or self._in_the_way(message) is not None:
                break
            ids.add(message.message_id)
            messages.append(message)
            pieces += self._channel.frames(message)
            size += len(message.body)
        under_way = self._channel.under_way
        first, self._sent = self._sent, self._sent + len(messages)
        self._ambiguous.update(
            index for index, message in enumerate(messages, first) if message.message_id in under_way
        )
        for index, word in enumerate(self._channel.send(b"".join(pieces), messages, self), first):
            word.add_done_callback(partial(self._on_word, index))

    def _in_the_way(self, message: Outgoing) -> _Word | None:
        """Return what has to come before `message` may be sent."""
        word, flight = self._channel.under_way.get(message.message_id, (None, self))
        return None if flight.over else word

    @property
    def _unconfirmed(self) -> int:
        return self._sent - len(self._outcomes)

    def _on_word(self, index: int, word: _Word) -> None:
        message = self._outgoing[index]
        self._channel.forget(message.message_id, word)
        error = word.exception()
        if self.over:
            return
        self._outcomes[index] = self._outcome(index, error)
        if self._unconfirmed <= self._low_water and not self._landed.done():
            self._landed.set_result(None)

    def _outcome(self, index: int, error: BaseException | None) -> BrokerError | None:
        message = self._outgoing[index]
        match error:
            case None:
                return None
            case PublishError() if index in self._ambiguous:
                return BrokerUnavailableError(f"message {message.message_id}: this one or an earlier one had no queue")
            case PublishError():
                return PublishRefusedError(
                    f"message {message.message_id}: no queue for {message.exchange} {message.routing_key}; "
                    "run `taskqueue topology apply`"
                )
            case DeliveryError():
                return PublishRefusedError(
                    f"message {message.message_id}: RabbitMQ refused it (nack): "
                    f"the queue of {message.routing_key} is full or lacks a quorum"
                )
            case _:
                return BrokerUnavailableError(f"message {message.message_id}: {describe(error)}")

    def _problem(self, deadline: float, within: float) -> BrokerUnavailableError | None:
        """Return why it makes no sense to go on."""
        session = self._channel.session
        if session.lost.done():
            return BrokerUnavailableError(
                f"{session.place}: {session.lost.result()}; publish it again with the same id"
            )
        if self._blocked():
            return blocked_error(session)
        if asyncio.get_running_loop().time() >= deadline:
            return BrokerUnavailableError(
                f"no confirm from RabbitMQ within {within:g} s; publish it again with the same id"
            )
        return None

    async def _wait_landed(self, low_water: int, deadline: float) -> None:
        self._low_water = low_water
        if self._landed.done():
            self._landed = asyncio.get_running_loop().create_future()
        if self._unconfirmed > low_water:
            await self._wait(deadline, self._landed)

    async def _wait(
        self, deadline: float, *wanted: _Word | asyncio.Future[None], at_most: float = _BLOCKED_POLL
    ) -> None:
        left = max(deadline - asyncio.get_running_loop().time(), 0)
        await asyncio.wait(
            {self._channel.session.lost, *wanted}, timeout=min(at_most, left), return_when=asyncio.FIRST_COMPLETED
        )


def blocked_error(session: Session) -> BrokerUnavailableError:
    """Return what is raised while the broker accepts no messages."""
    return BrokerUnavailableError(f"{session.place} accepts no messages: free memory or disk of the broker")
