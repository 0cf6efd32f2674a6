"""HTTP/1.1 connections: dialling, one exchange at a time on each, kept alive between them (RFC 9112).

httptools (llhttp, the parser of Node.js) reads the answers. Everything else that a client library does by itself is the
worker's to decide and is not here: cookies, redirects, proxies, decompression, sending again.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import aiohappyeyeballs
import httptools

from taskqueue.worker.guard import Guard

#: below the 5 s after which common servers (uvicorn, Node.js) close an idle connection: a request written to one that
#: is just being closed is lost with an unknown effect
_KEEP_ALIVE_S: Final = 4.0

#: limits for the head of an answer, which bound memory; those of the common servers
_MAX_HEAD_LINE_BYTES: Final = 8190
_MAX_HEADERS: Final = 128
#: bytes that may come without a byte of a body among them: an endless line is noticed only at its end
_MAX_BARREN_BYTES: Final = 64 * 1024

#: a name is looked up again after so long, or so long after a failure; the next address family is tried after so long
#: without a connection
_RESOLVED_FOR_S: Final = 10.0
_UNRESOLVED_FOR_S: Final = 1.0
_MOST_RESOLVED: Final = 10_000
_NEXT_ADDRESS_AFTER_S: Final = 0.25

_SWITCHING_PROTOCOLS: Final = 101

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

#: from a name and a port to where to connect, as loop.getaddrinfo; it raises OSError
Resolve = Callable[[str, int], Coroutine[Any, Any, Sequence[AddressInfo]]]


class BrokenAnswerError(Exception):
    """The answer is not valid HTTP, too large in its head, or ended early. The text holds nothing of the answer."""


class BrokenConnectionError(Exception):
    """The connection ended before an answer had begun, or was reset."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a connection leads to, and who judges that: calls that are judged otherwise share nothing."""

    secure: bool
    host: str
    port: int
    guard: Guard | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Answer:
    """What came so far. At most `max_body` bytes of the body are kept; `truncated` says that there were more."""

    max_body: int
    kept_headers: frozenset[bytes]
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    truncated: bool = False


class Connection(asyncio.Protocol):
    """One established connection. `on_idle` is called with it when it can take another request."""

    def __init__(self, origin: Origin, on_idle: Callable[[Connection], None], on_end: Callable[[Connection], None]):
        self.origin = origin
        self.idle_since = 0.0
        self._on_idle = on_idle
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._done: asyncio.Future[None] | None = None
        # of the present answer:
        self._headers = 0
        self._barren = 0
        self._interim = False
        self._head_complete = False
        self._ends_with_connection = True
        self._complete = False
        self._reusable = False

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._done is None

    def send(self, request: bytes, answer: Answer) -> asyncio.Future[None]:
        """Send the bytes of one request; return what completes when `answer` is.

        It raises BrokenAnswerError or BrokenConnectionError. Whoever stops waiting for it calls `give_up` with it.
        """
        assert self._transport is not None  # noqa: S101 - for mypy: `usable` says so
        self._reset()
        self._answer = answer
        self._done = done = self._loop.create_future()
        self._transport.write(request)
        return done

    def give_up(self, done: asyncio.Future[None]) -> None:
        """End the connection unless that answer is complete: another call may have it by now."""
        if self._done is done:
            self.close()

    def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse a part of the answer."""
        answer = self._answer
        if answer is None:
            self.close()  # nobody asked for this
            return
        known = len(answer.body)
        broken: Exception | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            broken = cause if isinstance(cause, BrokenAnswerError) else BrokenAnswerError("is not valid HTTP")
        self._barren = self._barren + len(data) if len(answer.body) == known else 0
        if self._complete:
            self._end(reusable=broken is None and self._reusable)
        elif broken is not None:
            self._fail(broken)
        elif self._barren > _MAX_BARREN_BYTES:
            self._fail(BrokenAnswerError("has a head without an end"))

    def eof_received(self) -> None:
        """Take the end for the end of both directions, also where a part of the request was not sent yet."""
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer, which is complete here where nothing else said how long it is."""
        self._on_end(self)
        if self._done is None:
            return
        if exc is None and self._head_complete and self._ends_with_connection:
            self._finish()
        elif exc is None and self._answer is not None and self._answer.status is not None:
            self._fail(BrokenAnswerError("ended early"))
        else:
            self._fail(BrokenConnectionError())

    # --- httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note an answer that nobody asked for: whatever comes behind it is not to be trusted either."""
        if self._complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what is wanted of a header."""
        self._headers += 1
        if self._headers > _MAX_HEADERS or len(name) + len(value) > _MAX_HEAD_LINE_BYTES:
            raise BrokenAnswerError("has too many or too long headers")
        lower = name.lower()
        if self._head_complete:
            return  # a trailer
        if lower == b"content-length":
            self._ends_with_connection = False
        elif lower == b"transfer-encoding":
            # RFC 9112, 6.3: only chunks as the last coding say where a body ends.
            self._ends_with_connection = value.lower().split(b",")[-1].strip() != b"chunked"
        if self._answer is not None and lower in self._answer.kept_headers:
            self._answer.headers.setdefault(lower.decode("ascii"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Take note of the status."""
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200 and status != _SWITCHING_PROTOCOLS
        if self._interim:
            return
        if not 100 <= status <= 599:
            raise BrokenAnswerError("has a status that does not exist")
        if self._answer is not None and not self._complete:
            self._head_complete = True
            self._answer.status = status

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        answer = self._answer
        if answer is None or self._complete:
            return
        answer.body += data
        if len(answer.body) > answer.max_body:
            del answer.body[answer.max_body :]
            answer.truncated = True
            # Reading on only to keep the connection could mean gigabytes.
            self._complete, self._reusable = True, False

    def on_message_complete(self) -> None:
        """End the exchange; an interim answer (1xx) is none."""
        if not self._interim:
            if not self._complete:
                self._reusable = self._parser.should_keep_alive() and self._sent_all()
            self._complete = True
            return
        self._headers = 0
        if self._answer is not None:
            self._answer.headers.clear()

    # --- within -------------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._headers = 0
        self._barren = 0
        self._interim = False
        self._head_complete = False
        self._ends_with_connection = True
        self._complete = False
        self._reusable = False

    def _sent_all(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def _end(self, *, reusable: bool) -> None:
        self._finish()
        if not reusable:
            self.close()
        elif self.usable:
            self._on_idle(self)

    def _finish(self) -> None:
        done, self._done, self._answer = self._done, None, None
        if done is not None and not done.done():
            done.set_result(None)

    def _fail(self, error: Exception) -> None:
        done, self._done, self._answer = self._done, None, None
        self.close()
        if done is not None and not done.done():
            done.set_exception(error)


@dataclass(slots=True, eq=False)
class _Lookup:
    """One look-up of a name, for all who dial it until it is old. What hangs takes one thread of the resolver."""

    task: asyncio.Task[Sequence[AddressInfo]]
    until: float = math.inf


class Pool:
    """Connections by origin. How many there are is the caller's to bound. `resolve`: None for the loop's own."""

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._addresses = resolve or self._getaddrinfo
        self._lookups: dict[tuple[str, int, Guard | None], _Lookup] = {}
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._sweeping: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Connection | None:
        """Return an idle connection, or None; the one that was used last, so that the others can go."""
        idle = self._idle.get(origin)
        latest = self._loop.time() - _KEEP_ALIVE_S
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since > latest:
                return connection
            connection.close()
        return None

    async def dial(self, origin: Origin) -> Connection:
        """Return a new connection.

        Raises OSError, which ssl.SSLError and socket.gaierror are, and BlockedAddressError.
        """
        guard = origin.guard
        addresses = await (self._resolve(origin) if guard is None else self._resolve_guarded(origin, guard))
        found = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S, loop=self._loop
        )
        try:
            if guard is not None:
                # The kernel has the last word on where a connection leads, and nothing has been sent yet.
                guard.check_addresses(origin.host, (found.getpeername(),))
            _, connection = await self._loop.create_connection(
                lambda: Connection(origin, self._put_back, self._open.discard),
                sock=found,
                ssl=self._tls_context() if origin.secure else None,
                server_hostname=origin.host if origin.secure else None,
            )
        except BaseException:
            found.close()
            raise
        self._open.add(connection)
        return connection

    def close(self) -> None:
        """Close every connection; who still waits for one gets OSError."""
        for lookup in self._lookups.values():
            lookup.task.cancel()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.close()
        self._idle.clear()

    def _put_back(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(_KEEP_ALIVE_S / 2, self._sweep)

    def _sweep(self) -> None:
        latest = self._loop.time() - _KEEP_ALIVE_S
        for origin, idle in list(self._idle.items()):
            fresh = [connection for connection in idle if connection.usable and connection.idle_since > latest]
            for connection in set(idle).difference(fresh):
                connection.close()
            if fresh:
                self._idle[origin] = fresh
            else:
                del self._idle[origin]
        self._sweeping = self._loop.call_later(_KEEP_ALIVE_S / 2, self._sweep) if self._idle else None

    async def _resolve_guarded(self, origin: Origin, guard: Guard) -> Sequence[AddressInfo]:
        """Return addresses that have all been judged. They are literals, so nobody looks a name up after this."""
        guard.check_host(origin.host, origin.port)
        addresses = await self._resolve(origin)
        guard.check_addresses(origin.host, (info[4] for info in addresses))
        return addresses

    async def _resolve(self, origin: Origin) -> Sequence[AddressInfo]:
        lookup = self._lookups.get((origin.host, origin.port, origin.guard))
        if lookup is None or self._loop.time() >= lookup.until:
            lookup = self._look_up(origin)
        if not lookup.task.done():
            await asyncio.wait((lookup.task,))  # which leaves it to the others when this call is cancelled
        if lookup.task.cancelled():
            raise OSError("closed")
        return lookup.task.result()

    def _look_up(self, origin: Origin) -> _Lookup:
        if len(self._lookups) >= _MOST_RESOLVED:
            self._lookups = {name: known for name, known in self._lookups.items() if not known.task.done()}
        lookup = _Lookup(self._loop.create_task(self._addresses(origin.host, origin.port)))
        self._lookups[origin.host, origin.port, origin.guard] = lookup

        def keep(task: asyncio.Task[Sequence[AddressInfo]]) -> None:
            failed = task.cancelled() or task.exception() is not None
            lookup.until = self._loop.time() + (_UNRESOLVED_FOR_S if failed else _RESOLVED_FOR_S)

        lookup.task.add_done_callback(keep)
        return lookup

    async def _getaddrinfo(self, host: str, port: int) -> Sequence[AddressInfo]:
        return await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
