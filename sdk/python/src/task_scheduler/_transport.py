"""HTTP for the blocking client, with one deadline over connecting, sending, head and body.

httpx bounds each read of a socket, and an answer that drips may take any number of those.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any, cast

import httpcore
import httpx

from task_scheduler._settings import MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS

#: bytes that are written with one look at the clock
_PIECE = 16 * 1024

_deadline: ContextVar[float] = ContextVar("_deadline", default=float("inf"))


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Let everything that this thread does through a DeadlineTransport end within so many seconds."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late("the deadline has passed")
    return left if timeout is None else min(timeout, left)


class DeadlineTransport(httpx.BaseTransport):
    """A pool of connections whose every wait ends at the deadline. Its errors are those of httpcore."""

    def __init__(self, proxy: str | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            proxy=None if proxy is None else _proxy(httpx.Proxy(proxy)),
            network_backend=_Network(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=5.0,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, of which the body is still to be read."""
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=cast(httpx.SyncByteStream, request.stream),
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(cast(httpx.SyncByteStream, answer.stream)),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def _proxy(proxy: httpx.Proxy) -> httpcore.Proxy:
    url = proxy.url
    return httpcore.Proxy(
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
    )


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Network(httpcore.NetworkBackend):
    """The network of httpcore, where no wait goes beyond the deadline."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        ends = time.monotonic() + _left(timeout, httpcore.ConnectTimeout)
        addresses = _addresses(host, port)
        for untried, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            # Each gets its share of what is left, so that one that swallows everything does not stand for all.
            share = max(0.001, (ends - time.monotonic()) / untried)
            try:
                left = _left(share, httpcore.ConnectTimeout)
                return _Stream(self._network.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if untried == 1:
                    raise
        raise httpcore.ConnectError("the host has no address")


def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as numbers. Raises httpcore.ConnectError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        return list(dict.fromkeys(socket.getnameinfo(each[4], numbers)[0] for each in found))
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from None


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # The stream waits so long for each part that the other side takes, and it may take a little at a time.
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
