"""HTTP/1.1 for the scripted target: as much of it as a worker speaks, at the price of one callback per request."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

#: a head or body beyond these is not one of our workers talking
_MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 16 * 1024 * 1024

#: these never have a body (RFC 9110 section 6.4.1)
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status after `delay_s`."""

    status: int = 200
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"ok":true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are in lower case, `path` includes the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the answer."""
        return self.headers.get("connection", "").lower() != "close"


class Connection(asyncio.Protocol):
    """One client. Requests are served one after the other; bodies come with Content-Length.

    `serve` gets each request and sees to it that `answer` is called, now or later or never. The connection is in
    `connections` while it is open.
    """

    def __init__(self, serve: Callable[[Connection, Request], None], connections: set[Connection]) -> None:
        self._serve = serve
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._current: Request | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio.Protocol)."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take what came in (asyncio.Protocol)."""
        self._received += data
        self._serve_next()

    def answer(self, answer: Answer) -> None:
        """Send `answer`, after its delay, and go on with the next request."""
        if answer.delay_s > 0:
            self._timer = asyncio.get_running_loop().call_later(answer.delay_s, self._send, answer)
        else:
            self._send(answer)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        if self._transport is not None:
            peer: socket.socket = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _serve_next(self) -> None:
        if self._current is not None or self._transport is None:
            return
        try:
            self._current = self._take_request()
        except ValueError:
            self.abort()
            return
        if self._current is not None:
            self._serve(self, self._current)

    def _take_request(self) -> Request | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_HEAD_BYTES:
                raise ValueError("head too large")
            return None
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _MAX_BODY_BYTES or "transfer-encoding" in headers:
            raise ValueError("body of unknown or excessive length")
        start, stop = end + 4, end + 4 + length
        if len(self._received) < stop:
            return None
        body = bytes(self._received[start:stop])
        del self._received[:stop]
        return Request(method=method, path=path, headers=headers, body=body)

    def _send(self, answer: Answer) -> None:
        request, self._current = self._current, None
        if self._transport is None or request is None:
            return
        body = b"" if answer.status in _BODILESS else answer.body
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head = (
            f"HTTP/1.1 {answer.status} {_phrase(answer.status)}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{extra}\r\n"
        )
        self._transport.write(head.encode("latin-1") + body)
        if not request.keep_alive:
            self._transport.close()
        elif self._received:
            # Not from here: a thousand pipelined requests would be a thousand frames deep.
            asyncio.get_running_loop().call_soon(self._serve_next)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
