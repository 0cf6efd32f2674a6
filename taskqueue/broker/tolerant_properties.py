"""Reading messages whose properties the client cannot decode: what is unreadable is treated as absent.

RabbitMQ passes on what it does not look at: a message id that is not UTF-8, a timestamp beyond the year 9999. The
client (aiormq 7, pamqp 4) decodes every property while it reads the frame, and a frame that it cannot decode ends its
connection. The message then comes again, and again ends the connection, and each time everything that was prefetched
beside it counts as returned, until the broker takes all of it for poison. But only the body decides what becomes of a
message.

So the bytes are mended on their way in, where the client lets its transport be replaced: a frame that it can decode is
passed on as it is, any other without what is unreadable in it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp import decode
from pamqp.frame import unmarshal
from yarl import URL

#: of every frame: type (1 byte), channel (2), length of the payload (4); behind the payload comes one byte more
_HEAD_BYTES: Final = 7
#: what a broker answers to a version that it does not speak is no frame
_PROTOCOL_HEADER: Final = b"AMQP"

_METHOD, _CONTENT_HEADER = 1, 2

#: class and method, and how many bytes lie between them and the names; Deliver has its consumer tag there first
_DELIVER, _GET_OK = bytes((0, 60, 0, 60)), bytes((0, 60, 0, 71))
_TAG_AND_REDELIVERED_BYTES: Final = 9

#: class (2), weight (2) and size of the body (8), before the flags (2)
_CONTENT_HEADER_BYTES: Final = 12

#: the properties in their order on the wire; the first has the highest of the 16 flags (AMQP 0-9-1, 4.2.6.1)
_PROPERTIES: Final = (
    *("shortstr", "shortstr", "table", "octet", "octet", "shortstr", "shortstr"),
    *("shortstr", "shortstr", "timestamp", "shortstr", "shortstr", "shortstr", "shortstr"),
)

_FLAGS: Final = tuple((0x8000 >> number, kind) for number, kind in enumerate(_PROPERTIES))

_TAG_BYTES: Final = 8
_FRAME_END: Final = b"\xce"

#: the end of the year 9999, in unix seconds
_LAST_SECOND: Final = 253_402_300_799

#: bytes of a table's value behind its type: RabbitMQ's types (https://www.rabbitmq.com/docs/amqp-0-9-1-errata)
_FIXED_BYTES: Final[Mapping[int, int]] = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"su", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"D", 5),
    **dict.fromkeys(b"lLdT", 8),
    **dict.fromkeys(b"V", 0),
}
#: these begin with their length in 4 bytes
_MEASURED: Final = frozenset(b"SxAF")


class TolerantTransport(TransportFactory):
    """Opens the client's usual transport, plain or TLS as the URL says, and mends what is read from it."""

    async def create(self, url: URL, **kwargs: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. Raises what the client's own transport does."""
        usual = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await usual.create(url, **kwargs)
        return MendingReader(reader), writer


class MendingReader(asyncio.StreamReader):
    """Reads whole frames from `source` and hands them out mended, in pieces as the client asks for them.

    The client uses `readexactly` and `at_eof`, never across the end of a frame.
    """

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._frame = b""
        self._taken = 0

    async def readexactly(self, n: int) -> bytes:
        """Return the next `n` bytes. Raises asyncio.IncompleteReadError and OSError as the source does."""
        if self.at_frame_end:
            self._frame, self._taken = mended(await self._next_frame()), 0
        begin, self._taken = self._taken, self._taken + n
        return self._frame[begin : self._taken]

    @property
    def at_frame_end(self) -> bool:
        """Whether everything that was read from the source is handed out."""
        return self._taken >= len(self._frame)

    def at_eof(self) -> bool:
        """Return whether nothing can follow."""
        return self.at_frame_end and self._source.at_eof()

    async def _next_frame(self) -> bytes:
        head = await self._source.readexactly(_HEAD_BYTES)
        if head.startswith(_PROTOCOL_HEADER):
            return head
        return head + await self._source.readexactly(int.from_bytes(head[3:]) + 1)


def mended(frame: bytes) -> bytes:
    """Return `frame` without what the client cannot decode in it; the same bytes where there is nothing such."""
    payload = frame[_HEAD_BYTES:-1]
    mend = _mend_of(frame[0], payload[:4])
    if mend is None or _is_plain(frame[0], payload) or _is_readable(unmarshal, frame):
        return frame
    mended_frame = _with_payload(frame, mend(payload))
    if frame[0] != _CONTENT_HEADER or _is_readable(unmarshal, mended_frame):
        return mended_frame
    return _with_payload(frame, payload[:_CONTENT_HEADER_BYTES] + bytes(2))


def _is_plain(frame_type: int, payload: bytes) -> bool:
    """Return whether the client can decode the frame for certain; decoding it to find out would take as long again.

    That is so for nearly all messages: what stands in them is ASCII, and the rest of them has been seen before.
    """
    if frame_type == _CONTENT_HEADER:
        return _has_plain_properties(payload)
    if not payload.startswith(_DELIVER):
        return False
    tag_at = 5 + payload[4]
    return _is_readable_delivery(payload[:tag_at], payload[tag_at + _TAG_BYTES :])


def _has_plain_properties(payload: bytes) -> bool:
    (flags,) = struct.unpack_from(">H", payload, _CONTENT_HEADER_BYTES)
    at = _CONTENT_HEADER_BYTES + 2
    for flag, kind in _FLAGS:
        if flags & flag:
            flags ^= flag
            end = _end_of_property(kind, payload, at)
            if not _is_plain_value(kind, payload[at:end]):
                return False
            at = end
    return flags == 0 and at == len(payload)


def _is_plain_value(kind: str, value: bytes) -> bool:
    match kind:
        case "shortstr":
            return value[1:].isascii()
        case "table":
            return _is_readable_table(value)
        case "timestamp":
            return int.from_bytes(value) <= _LAST_SECOND
        case _:
            return True


@lru_cache(maxsize=1024)
def _is_readable_table(value: bytes) -> bool:
    # What came through the delayed queue in the same second carries the same table.
    return _is_readable(decode.field_table, value)


@lru_cache(maxsize=1024)
def _is_readable_delivery(before_tag: bytes, behind_tag: bytes) -> bool:
    payload = before_tag + bytes(_TAG_BYTES) + behind_tag
    return _is_readable(unmarshal, bytes((_METHOD, 0, 1)) + _measured(payload) + _FRAME_END)


def _mend_of(frame_type: int, method: bytes) -> Callable[[bytes], bytes] | None:
    if frame_type == _CONTENT_HEADER:
        return _with_readable_properties
    if frame_type == _METHOD and method in {_DELIVER, _GET_OK}:
        return _with_readable_names
    return None


def _with_payload(frame: bytes, payload: bytes) -> bytes:
    return frame[:3] + _measured(payload) + frame[-1:]


def _with_readable_properties(payload: bytes) -> bytes:
    (flags,) = struct.unpack_from(">H", payload, _CONTENT_HEADER_BYTES)
    at = _CONTENT_HEADER_BYTES + 2
    kept_flags, kept = 0, b""
    for flag, kind in _FLAGS:
        if not flags & flag:
            continue
        end = _end_of_property(kind, payload, at)
        value = payload[at:end]
        at = end
        if kind == "table":
            value = _measured(_readable_entries(value[4:]))
        if _is_readable(decode.METHODS[kind], value):
            kept_flags |= flag
            kept += value
    return payload[:_CONTENT_HEADER_BYTES] + struct.pack(">H", kept_flags) + kept


def _end_of_property(kind: str, payload: bytes, at: int) -> int:
    match kind:
        case "shortstr":
            return at + 1 + int.from_bytes(payload[at : at + 1])
        case "table":
            return at + 4 + int.from_bytes(payload[at : at + 4])
        case "timestamp":
            return at + 8
        case _:
            return at + 1


def _readable_entries(entries: bytes) -> bytes:
    # Entry by entry: the broker's own count of the returns stands in the same table.
    kept, at = [], 0
    while at < len(entries):
        end = _end_of_entry(entries, at)
        entry = entries[at:end]
        if _is_readable(decode.field_table, _measured(entry)):
            kept.append(entry)
        at = end
    return b"".join(kept)


def _end_of_entry(entries: bytes, at: int) -> int:
    """Return where the entry at `at` ends; of one whose type is unknown, the end of them all."""
    type_at = at + 1 + entries[at]
    kind = int.from_bytes(entries[type_at : type_at + 1])
    if kind in _MEASURED:
        return type_at + 5 + int.from_bytes(entries[type_at + 1 : type_at + 5])
    if kind in _FIXED_BYTES:
        return type_at + 1 + _FIXED_BYTES[kind]
    return len(entries)


def _with_readable_names(payload: bytes) -> bytes:
    """Return a Basic.Deliver or Basic.GetOk with empty names for an exchange or a routing key that is unreadable."""
    at = 4
    if payload.startswith(_DELIVER):
        at = _end_of_property("shortstr", payload, at)
    at += _TAG_AND_REDELIVERED_BYTES
    parts = [payload[:at]]
    for _ in ("exchange", "routing key"):
        end = _end_of_property("shortstr", payload, at)
        name = payload[at:end]
        parts.append(name if _is_readable(decode.short_str, name) else bytes(1))
        at = end
    return b"".join((*parts, payload[at:]))


def _measured(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _is_readable(decoder: Callable[[bytes], object], data: bytes) -> bool:
    try:
        decoder(data)
    except Exception:  # noqa: BLE001 - the client raises what comes: its own errors, ValueError, even RecursionError
        return False
    return True
