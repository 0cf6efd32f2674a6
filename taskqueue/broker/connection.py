"""One connection to RabbitMQ, kept by a supervisor that cycles through several URLs.

A `Session` is one established connection, from handshake to loss. Whatever ends a part of it (the socket, missed
heartbeats, a channel that the broker closes, a consumer that it cancels) ends all of it; the supervisor then connects
to the next URL and runs the setup again on a fresh session. aio_pika's own recovery is not used: it knows a single URL,
and it restores all consumers with the last prefetch.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import SystemRandom
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import aio_pika
from aio_pika.connection import make_url
from aiormq import Channel, spec
from aiormq.abc import AbstractConnection, DeliveredMessage

from taskqueue.broker.client_errors import describe, unavailable_errors
from taskqueue.broker.deliveries import RawDelivery
from taskqueue.broker.transport import FrameReader, Transport
from taskqueue.errors import BrokerAccessError, BrokerError, BrokerUnavailableError, ConfigError
from taskqueue.telemetry.events import ConnectionLost, ConnectionRestored, Emit, Event, PublishingBlocked

#: seconds; a silent broker counts as lost after three of these and three more seconds
HEARTBEAT: Final = 5

_SERVICE = "rabbitmq"
_CONNECT_TIMEOUT = 5.0
#: for all nodes together, where somebody waits at a terminal
_CONNECT_ANY_TIMEOUT = 8.0
_OPERATION_TIMEOUT = 5.0
_SETUP_TIMEOUT = 15.0
_CLOSE_TIMEOUT = 2.0
#: a reply code (AMQP 0-9-1, 1.2)
_REPLY_SUCCESS = 200
#: the client has no callback for `connection.blocked`, so its state is read this often
_BLOCKED_POLL = 0.5
#: a shorter life does not reset the backoff, or a broker that drops us at once would be asked five times a second
_STABLE_AFTER = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0


def ignore_event(event: Event) -> None:
    """Do nothing: for who does not listen."""


def endpoint(url: str) -> str:
    """Return where an AMQP URL points, without credentials: `amqp://host:port/vhost`.

    Raises ConfigError, whose text holds no part of a URL that cannot be parsed: any part may be a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"amqp", "amqps"}:
        raise ConfigError(
            "queue.url: not an AMQP URL; write amqp://user:password@host:5672/vhost, "
            "with / @ : # ? percent-encoded in user and password"
        ) from None
    default_port = 5671 if parts.scheme == "amqps" else 5672
    return f"{parts.scheme}://{host}:{port or default_port}{parts.path or '/'}"


class Session:
    """One established connection. `lost` completes with the reason when it ends."""

    def __init__(
        self, connection: aio_pika.Connection, client: AbstractConnection, reader: FrameReader, place: str
    ) -> None:
        self.place = place
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._client = client
        self._reader = reader
        self._closings = set[asyncio.Task[None]]()
        self._end_with(client, "connection")

    @property
    def alive(self) -> bool:
        """Whether the connection and all channels from `open_channel` are still open, as far as is known."""
        return not self.lost.done()

    @property
    def server_version(self) -> tuple[int, ...]:
        """What the broker says it is, such as `(3, 10, 8)`; empty where it does not say."""
        said = str(self._client.server_properties.get("version", ""))
        return tuple(int(part) for part in said.split(".") if part.isdecimal())

    def lose(self, reason: str) -> None:
        """Declare the session over; the supervisor builds the next one."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def open_channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel that the session stands and falls with.

        Its closing is a loss, and so is a consumer on it that the broker cancels. With `confirms` a returned message
        raises PublishError from its publish. Raises BrokerUnavailableError.
        """
        channel = await self._open(confirms=confirms)
        channel.on_consumer_cancel_callbacks.add(
            lambda _: self.lose("RabbitMQ cancelled a consumer (is its queue gone?)")
        )
        self._end_with(channel, "channel")
        return channel

    async def consume(self, channel: Channel, queue: str, take: Callable[[RawDelivery], None]) -> str:
        """Consume `queue` on a channel that does nothing else; return the consumer tag.

        Each message is handed to `take` at once, which raises nothing. Raises what the client does.
        """
        self._reader.divert(channel.number, take)
        reply = await channel.basic_consume(queue, _not_called)
        return str(reply.consumer_tag)

    @asynccontextmanager
    async def side_channel(self, doing: str, *, confirms: bool = False) -> AsyncIterator[Channel]:
        """Open a channel that the broker may close without an end to the session.

        `doing` starts the text of the BrokerUnavailableError raised when what is done on it fails; `confirms` as above.
        """
        channel = await self._open(confirms=confirms)
        try:
            with unavailable_errors(f"{self.place}: {doing}"):
                yield channel
        finally:
            await self._close_channel(channel)

    @asynccontextmanager
    async def passing_channel(self, doing: str) -> AsyncIterator[Channel]:
        """Open a side channel for one operation of at most 5 s."""
        async with self.side_channel(doing) as channel, asyncio.timeout(_OPERATION_TIMEOUT):
            yield channel

    async def is_blocked(self) -> bool:
        """Return whether the broker accepts no messages at the moment (memory or disk alarm)."""
        try:
            # Completes without waiting where the connection is not blocked, so nothing can expire.
            async with asyncio.timeout(0):
                await self._client.ready()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        """Close the connection; takes at most 2 s and raises nothing."""
        self.lose("closed")
        with suppress(BrokerError), unavailable_errors("closing"):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.close()
        # After a close that was cut short this only marks the connection closed, so that its destructor does nothing.
        await self._connection.close()

    async def _open(self, *, confirms: bool) -> Channel:
        with unavailable_errors(f"{self.place}: opening a channel"):
            async with asyncio.timeout(_OPERATION_TIMEOUT):
                channel = await self._client.channel(publisher_confirms=confirms, on_return_raises=confirms)
                return cast(Channel, channel)  # the client's abstract class lacks some parameters of its only subclass

    async def _close_channel(self, channel: Channel) -> None:
        """Ask the broker to close a channel, and wait for that for at most 2 s; raises nothing.

        Who asks is never cancelled. The client makes up for each cancelled request, a close as well, by a close of its
        own; and to a second close of a channel the broker answers by closing the connection. The client's own close
        cancels itself after one heartbeat.
        """
        if not channel.is_closed:
            closing = asyncio.create_task(_ask_to_close(channel), name=f"close channel {channel.number}")
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
            await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT)

    def _end_with(self, part: Channel | AbstractConnection, what: str) -> None:
        def on_closed(closing: asyncio.Future[object]) -> None:
            error = None if closing.cancelled() else closing.exception()
            self.lose(f"{what} closed" + (f": {describe(error)}" if error else ""))

        part.closing.add_done_callback(on_closed)


async def _ask_to_close(channel: Channel) -> None:
    """End when the channel is closed; at once where the client is closing it already, after a cancelled request."""
    close = spec.Channel.Close(reply_code=_REPLY_SUCCESS, class_id=0, method_id=0)
    with suppress(BrokerError), unavailable_errors("closing a channel"):
        await channel.rpc(close)


async def _not_called(_message: DeliveredMessage) -> None:
    """Stand for the client's own way to hand over a message, of which its deliveries never get to see anything."""


#: prepares a fresh session (channels, consumers); what it raises ends the session and is retried with backoff
Setup = Callable[[Session], Awaitable[None]]


async def connect(url: str, name: str, *, within: float = _CONNECT_TIMEOUT) -> Session:
    """Connect once, in `within` seconds; `name` is what the management page shows.

    Raises BrokerUnavailableError, ConfigError.
    """
    place = endpoint(url)
    heartbeat = parse_qs(urlsplit(url).query).get("heartbeat", [str(HEARTBEAT)])[-1]
    with unavailable_errors(f"{place}: connecting"):
        connection = aio_pika.Connection(
            make_url(url, heartbeat=heartbeat), client_properties={"connection_name": name}
        )
        # The client hands these on to aiormq, and has no parameter of its own for the transport.
        connection.kwargs["transport_factory"] = transport = Transport()
        try:
            await connection.connect(timeout=within)
        except BaseException:
            # Left open, its destructor would close it: in whatever loop runs by then, or in none.
            await connection.close()
            raise
        if connection.transport is None or transport.reader is None:
            raise BrokerUnavailableError(f"{place}: connecting: the connection was lost")
        return Session(connection, connection.transport.connection, transport.reader, place)


async def connect_any(urls: Sequence[str], name: str) -> Session:
    """Connect once to the first of `urls` that answers, or give up within 8 s.

    Raises BrokerUnavailableError with each one's problem; BrokerAccessError where all refused user name or password.
    """
    problems = list[BrokerUnavailableError]()
    for url in urls:
        try:
            return await connect(url, name, within=min(_CONNECT_TIMEOUT, _CONNECT_ANY_TIMEOUT / len(urls)))
        except BrokerUnavailableError as error:
            problems.append(error)
    refused = bool(problems) and all(isinstance(each, BrokerAccessError) for each in problems)
    raise (BrokerAccessError if refused else BrokerUnavailableError)("; ".join(map(str, problems)))


def reconnect_delays() -> Iterator[float]:
    """Yield seconds to wait before each further attempt: 0.2 doubling to 5, each times 0.5 to 1.5 at random."""
    random = SystemRandom()
    delay = _FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.5)
        delay = min(delay * 2, _LONGEST_DELAY)


class BrokerConnection:
    """Keeps a session with one of `urls` and runs `setup` on each new one.

    Emits ConnectionLost once per outage, ConnectionRestored, and PublishingBlocked. Raises ConfigError for a bad URL.
    """

    def __init__(
        self, urls: Sequence[str], *, name: str, setup: Setup | None = None, emit: Emit = ignore_event
    ) -> None:
        if not urls:
            raise ConfigError("queue.url: empty; give at least one amqp:// URL")
        self.places = tuple(endpoint(url) for url in urls)
        self._urls = tuple(urls)
        self._name = name
        self._setup = setup
        self._emit = emit
        self._session: Session | None = None
        self._ready = asyncio.Event()
        self._blocked = False
        self._problem = "not started"
        #: the loop's time when the present outage was told
        self._lost_at: float | None = None
        self._was_connected = False
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def session(self) -> Session:
        """The established, set-up session. Raises BrokerUnavailableError while there is none."""
        if self._session is None or not self._session.alive:
            raise BrokerUnavailableError(f"RabbitMQ ({self._name}): not connected: {self._problem}")
        return self._session

    @property
    def connected(self) -> bool:
        """Whether a session is established and set up."""
        return self._session is not None and self._session.alive

    @property
    def blocked(self) -> bool:
        """Whether the broker accepts no messages at the moment; known at most half a second late."""
        return self.connected and self._blocked

    async def start(self) -> None:
        """Begin to connect; returns at once. See `wait_ready`."""
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name=f"broker {self._name}")

    async def wait_ready(self, within: float) -> None:
        """Wait up to `within` seconds for a session. Raises BrokerUnavailableError with the last problem seen."""
        try:
            async with asyncio.timeout(within):
                await self._ready.wait()
        except TimeoutError:
            raise BrokerUnavailableError(
                f"RabbitMQ at {', '.join(self.places)}: not connected within {within:g} s: {self._problem}; "
                "check queue.url"
            ) from None

    def rebuild(self, reason: str) -> None:
        """Give up the present session, if any, and build a new one."""
        if self._session is not None:
            self._session.lose(reason)

    async def stop(self, deadline: float) -> None:
        """Close for good, within `deadline` seconds."""
        if self._supervisor is None:
            return
        self._supervisor.cancel()
        await asyncio.wait({self._supervisor}, timeout=deadline)
        self._problem = "stopped"

    async def _supervise(self) -> None:
        delays = reconnect_delays()
        for url in itertools.cycle(self._urls):
            began = _now()
            try:
                await self._live_once(url)
            except Exception as error:  # noqa: BLE001 - whatever ends one session must not end the supervision
                self._tell_outage(describe(error))
            if _now() - began >= _STABLE_AFTER:
                delays = reconnect_delays()
            await asyncio.sleep(next(delays))

    async def _live_once(self, url: str) -> None:
        """Connect, set up, and stay until the session is lost."""
        session = await connect(url, self._name)
        try:
            if self._setup is not None:
                with unavailable_errors(f"{session.place}: setting up"):
                    async with asyncio.timeout(_SETUP_TIMEOUT):
                        await self._setup(session)
            self._enter(session)
            while session.alive:
                await asyncio.wait({session.lost}, timeout=_BLOCKED_POLL)
                blocked = await session.is_blocked()
                if session.alive and blocked != self._blocked:
                    self._blocked = blocked
                    self._emit(PublishingBlocked(connection=self._name, blocked=blocked))
            self._leave()
            self._tell_outage(f"{session.place}: {session.lost.result()}")
        finally:
            self._leave()
            await session.close()

    def _enter(self, session: Session) -> None:
        self._session = session
        self._ready.set()
        outage = _now() - self._lost_at if self._was_connected and self._lost_at is not None else 0.0
        self._lost_at = None
        self._was_connected = True
        self._emit(ConnectionRestored(service=_SERVICE, outage_s=outage))

    def _leave(self) -> None:
        self._session = None
        self._ready.clear()
        self._blocked = False

    def _tell_outage(self, problem: str) -> None:
        self._problem = problem
        if self._lost_at is None:
            self._lost_at = _now()
            self._emit(ConnectionLost(service=_SERVICE, error=f"{self._name}: {problem}"))


def _now() -> float:
    return asyncio.get_running_loop().time()
