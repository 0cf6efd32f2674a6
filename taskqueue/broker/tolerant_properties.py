"""Reading messages whose properties the client cannot decode: what is unreadable is treated as absent.

RabbitMQ passes on what it does not look at: a message id that is not UTF-8, a timestamp beyond the year 9999. The
client (aiormq 7, pamqp 4) decodes every property while it reads the frame, and a frame that it cannot decode ends its
connection. The message then comes again, and again ends the connection, and each time everything that was prefetched
beside it counts as returned, until the broker takes all of it for poison. But only the body decides what becomes of a
message.

So the bytes are mended on their way in: a frame that the client can decode is passed on as it is, any other without
what is unreadable in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from pamqp import decode
from pamqp.frame import unmarshal

from taskqueue.broker.framing import CONTENT_HEADER_FRAME, HEAD_BYTES, METHOD_FRAME

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

#: the flag and the type of each
FLAGS: Final = tuple((0x8000 >> number, kind) for number, kind in enumerate(_PROPERTIES))

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


def mended(frame: bytes) -> bytes:
    """Return `frame` without what the client cannot decode in it; the same bytes where there is nothing such."""
    payload = frame[HEAD_BYTES:-1]
    mend = _mend_of(frame[0], payload[:4])
    if mend is None or _is_readable(unmarshal, frame):
        return frame
    mended_frame = _with_payload(frame, mend(payload))
    if frame[0] != CONTENT_HEADER_FRAME or _is_readable(unmarshal, mended_frame):
        return mended_frame
    return _with_payload(frame, payload[:_CONTENT_HEADER_BYTES] + bytes(2))


def readable_headers(value: bytes) -> Mapping[str, object]:
    """Return the entries of a table that can be read; `value` is the table as it stands on the wire."""
    return decode.field_table(_measured(_readable_entries(value[4:])))[1]


def _mend_of(frame_type: int, method: bytes) -> Callable[[bytes], bytes] | None:
    if frame_type == CONTENT_HEADER_FRAME:
        return _with_readable_properties
    if frame_type == METHOD_FRAME and method in {_DELIVER, _GET_OK}:
        return _with_readable_names
    return None


def _with_payload(frame: bytes, payload: bytes) -> bytes:
    return frame[:3] + _measured(payload) + frame[-1:]


def _with_readable_properties(payload: bytes) -> bytes:
    (flags,) = struct.unpack_from(">H", payload, _CONTENT_HEADER_BYTES)
    at = _CONTENT_HEADER_BYTES + 2
    kept_flags, kept = 0, b""
    for flag, kind in FLAGS:
        if not flags & flag:
            continue
        end = end_of_property(kind, payload, at)
        value = payload[at:end]
        at = end
        if kind == "table":
            value = _measured(_readable_entries(value[4:]))
        if _is_readable(decode.METHODS[kind], value):
            kept_flags |= flag
            kept += value
    return payload[:_CONTENT_HEADER_BYTES] + struct.pack(">H", kept_flags) + kept


def end_of_property(kind: str, payload: bytes, at: int) -> int:
    """Return where the property at `at` ends; beyond the end of a payload that is cut short."""
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
        # One that is cut short would be read on into what follows the table.
        whole = at + 1 + entries[at] < end <= len(entries)
        if whole and _is_readable(decode.field_table, _measured(entry)):
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
        at = end_of_property("shortstr", payload, at)
    at += _TAG_AND_REDELIVERED_BYTES
    parts = [payload[:at]]
    for _ in ("exchange", "routing key"):
        end = end_of_property("shortstr", payload, at)
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
