"""What lies between the client and its socket: frames are read here first, many at a time.

The client (aiormq) decodes every frame, passes it through two queues and starts a task for each message: most of what a
worker would spend on a job. So the deliveries of a channel can be diverted: they are put together here and handed over
directly, and the client sees everything else. What it cannot decode is mended on the way (`tolerant_properties`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from taskqueue.broker.deliveries import Assembler, RawDelivery
from taskqueue.broker.framing import HEAD_BYTES
from taskqueue.broker.tolerant_properties import mended

#: what a broker answers to a version that it does not speak is no frame
_PROTOCOL_HEADER: Final = b"AMQP"

_HEARTBEAT_FRAME: Final = b"\x08\0\0\0\0\0\0\xce"

#: the client takes a broker for dead of which it sees nothing for some heartbeats: one of ours tells it so often that
#: diverted deliveries came
_TOLD_EVERY_S: Final = 1.0

_READ_BYTES: Final = 256 * 1024


class Transport(TransportFactory):
    """Opens the client's usual transport, plain or TLS as the URL says; `reader` is what the client reads from."""

    def __init__(self) -> None:
        self.reader: FrameReader | None = None

    async def create(self, url: URL, **kwargs: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. Raises what the client's own transport does."""
        usual = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        source, writer = await usual.create(url, **kwargs)
        self.reader = FrameReader(source)
        return self.reader, writer


class FrameReader(asyncio.StreamReader):
    """Reads whole frames from `source` and hands them out in pieces as the client asks for them.

    The client uses `readexactly` and `at_eof`, never across the end of a frame.
    """

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._now = asyncio.get_running_loop().time
        #: what was read and is not split into frames yet, from `_at` on
        self._buffer = b""
        self._at = 0
        #: what the client is reading, from `_taken` on
        self._frame = b""
        self._taken = 0
        self._told_at = self._now()
        self._diverted: dict[int, Assembler] = {}

    def divert(self, channel: int, take: Callable[[RawDelivery], None]) -> None:
        """From here on hand the deliveries of the channel with this number to `take`, which raises nothing."""
        self._diverted[channel] = Assembler(take)

    async def readexactly(self, n: int) -> bytes:
        """Return the next `n` bytes. Raises asyncio.IncompleteReadError and OSError as the source does."""
        if self._at_frame_end:
            self._frame, self._taken = await self._next_frame(), 0
        begin, self._taken = self._taken, self._taken + n
        return self._frame[begin : self._taken]

    def at_eof(self) -> bool:
        """Return whether nothing can follow."""
        return self._at_frame_end and self._at >= len(self._buffer) and self._source.at_eof()

    @property
    def _at_frame_end(self) -> bool:
        return self._taken >= len(self._frame)

    async def _next_frame(self) -> bytes:
        """Return the next frame that is not diverted."""
        while True:
            if len(self._buffer) - self._at < HEAD_BYTES:
                await self._read(HEAD_BYTES)
            head = self._buffer[self._at : self._at + HEAD_BYTES]
            if head.startswith(_PROTOCOL_HEADER):
                self._at += HEAD_BYTES
                return head
            size = HEAD_BYTES + int.from_bytes(head[3:]) + 1
            if len(self._buffer) - self._at < size:
                await self._read(size)
            frame = self._buffer[self._at : self._at + size]
            self._at += size
            assembler = self._diverted.get(int.from_bytes(head[1:3]))
            if assembler is None or not assembler.takes(frame):
                self._told_at = self._now()
                return mended(frame)
            if self._now() - self._told_at >= _TOLD_EVERY_S:
                self._told_at = self._now()
                return _HEARTBEAT_FRAME

    async def _read(self, size: int) -> None:
        """Read on until `size` bytes are there."""
        pieces = [self._buffer[self._at :]]
        found = len(pieces[0])
        self._buffer, self._at = pieces[0], 0
        while found < size:
            piece = await self._source.read(_READ_BYTES)
            if not piece:
                raise asyncio.IncompleteReadError(b"".join(pieces), size)
            pieces.append(piece)
            found += len(piece)
        self._buffer = b"".join(pieces)
