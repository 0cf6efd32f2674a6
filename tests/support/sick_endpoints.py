"""Endpoints that are not there, break off, never end or talk nonsense: each is a context that yields its URL."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

from tests.support.raw_endpoint import Script, after_request, raw_endpoint

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "authority.pem"

Endpoint = Callable[[], AbstractAsyncContextManager[str]]

#: leaves no time between two pieces in which a test's deadline could pass unnoticed, and no core busy
_DRIP_EVERY_S = 0.01


def scripted(script: Script) -> Endpoint:
    """Return an endpoint that does as the script says."""
    return lambda: raw_endpoint(script)


def answering(answer: bytes) -> Endpoint:
    """Return an endpoint that reads a request, writes these bytes and closes."""
    return scripted(after_request(answer))


def at(url: str) -> Endpoint:
    """Return the endpoint of which there is nothing but a URL."""

    @asynccontextmanager
    async def context() -> AsyncIterator[str]:
        yield url

    return context


@asynccontextmanager
async def nobody() -> AsyncIterator[str]:
    """Give the URL of a port on which nothing listens any more."""
    async with raw_endpoint(after_request(b"")) as url:
        pass
    yield url


@asynccontextmanager
async def full_backlog() -> AsyncIterator[str]:
    """Give the URL of a port that has taken all the connections it can, and accepts none."""
    with ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def over_tls(certificate: str, answer: bytes) -> Endpoint:
    """Return an endpoint with that certificate, which reads a request, writes `answer` and closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    return lambda: raw_endpoint(after_request(answer), context)


def called_as_https(endpoint: Endpoint) -> Endpoint:
    """Return `endpoint`, which does not speak TLS, to be called as if it did."""

    @asynccontextmanager
    async def context() -> AsyncIterator[str]:
        async with endpoint() as url:
            yield url.replace("http://", "https://")

    return context


def refuses_and_lingers(answer: bytes) -> Endpoint:
    """Return an endpoint that answers after the head, says that nothing follows, and reads no more."""

    @asynccontextmanager
    async def context() -> AsyncIterator[str]:
        over = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.write_eof()
            await over.wait()

        async with raw_endpoint(script) as url:
            yield url
            over.set()

    return context


# --- scripts ----------------------------------------------------------------------------------------------------------


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read whatever comes and never answer."""
    while await reader.read(1 << 16):
        pass


def resets(before: bytes = b"", *, after: int = 0) -> Script:
    """Return a script that writes `before`, then resets; first it reads a request's head, or `after` bytes if given."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (reader.readexactly(after) if after else reader.readuntil(b"\r\n\r\n"))
        writer.write(before)
        await writer.drain()
        _reset(writer)

    return script


async def resets_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection before anything is asked."""
    _reset(writer)


def says(words: bytes) -> Script:
    """Return a script that takes the first bytes of anything for a request, writes `words` and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        await writer.drain()

    return script


def speaks_first(greeting: bytes) -> Script:
    """Return a script that writes before it is asked, and closes."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    return script


def drips(head: bytes, piece: bytes) -> Script:
    """Return a script that answers with `head` and then slowly with `piece`, again and again."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            await asyncio.sleep(_DRIP_EVERY_S)
            writer.write(piece)
            await writer.drain()

    return script


def floods(head: bytes, piece: bytes) -> Script:
    """Return a script that answers with `head` and then with `piece` as fast as it is read, without an end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return script


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
