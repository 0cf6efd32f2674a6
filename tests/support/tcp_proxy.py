"""A TCP proxy that breaks connections the way networks do, without touching the service behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

#: SO_LINGER of no time: closing the socket sends a reset instead of an orderly end
_RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes bytes to and from `host`:`port`.

        async with TcpProxy("127.0.0.1", 5672) as proxy:
            ...  # connect to 127.0.0.1:proxy.port
            proxy.cut()

    While `refusing` is true, new connections are reset at once. Whatever passes takes `delay_s` in each direction.
    """

    def __init__(self, host: str, port: int) -> None:
        self.refusing = False
        self.delay_s = 0.0
        self._target = (host, port)
        self._flowing, self._answering = asyncio.Event(), asyncio.Event()
        self.thaw()
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The local port."""
        return self._port

    @property
    def links(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def freeze(self) -> None:
        """Forward nothing any more, without closing anything: a peer that hangs, a network that is split."""
        self._flowing.clear()
        self._answering.clear()

    def hold_answers(self) -> None:
        """Forward nothing any more of what the service says: one that is slow."""
        self._answering.clear()

    def thaw(self) -> None:
        """Forward again, what has waited first."""
        self._flowing.set()
        self._answering.set()

    def cut(self) -> asyncio.Future[list[BaseException | None]]:
        """Reset every connection that is open now, on both sides; new ones are served.

        Await what is returned to know that it has happened.
        """
        links = list(self._links)
        for link in links:
            link.cancel()
        return asyncio.gather(*links, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.refusing = True
        self._server.close()
        await self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(writer)
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        # A task that is cancelled before its first step closes nothing itself.
        link.add_done_callback(lambda _: _reset(writer))

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, self._flowing))
                pumps.create_task(self._pump(far_reader, writer, self._answering))
        finally:
            _reset(writer)
            _reset(far_writer)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await asyncio.sleep(self.delay_s)
                await flowing.wait()
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError):  # it may be closed already
            sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
