"""Messages that the broker delivers, put together from their frames: AMQP 0-9-1, 2.3.5 and 4.2.6.

Only what decides about a job is read: body, delivery tag, message id, application, and how often the message came back.
Whatever cannot be read of a property counts as absent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pamqp.commands import Basic

from taskqueue.broker.framing import BODY_FRAME, CONTENT_HEADER_FRAME, HEAD_BYTES, METHOD_FRAME
from taskqueue.broker.tolerant_properties import FLAGS, end_of_property, readable_headers

_DELIVER: Final = bytes((0, 60, 0, 60))

#: a content header's first bytes: class (2), weight (2), bytes of the body (8), flags of the properties (2)
_CONTENT = struct.Struct(">4xQH")
_TAG = struct.Struct(">QB")

_MESSAGE_ID, _APP_ID = Basic.Properties.flags["message_id"], Basic.Properties.flags["app_id"]
_HEADERS = Basic.Properties.flags["headers"]
_READ: Final = _MESSAGE_ID | _APP_ID | _HEADERS

_RETURNS = "x-delivery-count"


@dataclass(slots=True, kw_only=True)
class RawDelivery:
    """One delivered message. `returns`: how often it came back to its queue before (`x-delivery-count`)."""

    tag: int
    redelivered: bool
    message_id: str | None = None
    app_id: str | None = None
    returns: int = 0
    body: bytes = b""


class Assembler:
    """Puts together what comes on one channel and hands each message to `take`."""

    def __init__(self, take: Callable[[RawDelivery], None]) -> None:
        self._take = take
        self._delivery: RawDelivery | None = None
        #: pieces of the body, and the bytes that are still to come; None before the content header
        self._pieces: list[bytes] = []
        self._missing: int | None = None

    def takes(self, frame: bytes) -> bool:
        """Take a frame of the channel; return False for one that is not part of a delivery."""
        kind = frame[0]
        if kind == METHOD_FRAME:
            self._delivery = _delivery_of(frame) if frame.startswith(_DELIVER, HEAD_BYTES) else None
            self._missing = None
        elif self._delivery is not None and kind == CONTENT_HEADER_FRAME:
            self._missing, flags = _CONTENT.unpack_from(frame, HEAD_BYTES)
            _read_properties(self._delivery, flags, frame[HEAD_BYTES + _CONTENT.size : -1])
        elif self._missing is not None and kind == BODY_FRAME:
            self._pieces.append(frame[HEAD_BYTES:-1])
            self._missing -= len(frame) - HEAD_BYTES - 1
        if self._delivery is None:
            return False
        if self._missing is not None and self._missing <= 0:
            self._hand_over(self._delivery)
        return True

    def _hand_over(self, delivery: RawDelivery) -> None:
        delivery.body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._delivery = self._missing = None
        self._take(delivery)


def _delivery_of(frame: bytes) -> RawDelivery:
    # The consumer tag comes first, a short string.
    tag_at = HEAD_BYTES + len(_DELIVER) + 1 + frame[HEAD_BYTES + len(_DELIVER)]
    tag, redelivered = _TAG.unpack_from(frame, tag_at)
    return RawDelivery(tag=tag, redelivered=bool(redelivered & 1))


def _read_properties(delivery: RawDelivery, flags: int, properties: bytes) -> None:
    at = 0
    for flag, kind in _present(flags):
        end = end_of_property(kind, properties, at)
        if flag == _MESSAGE_ID:
            delivery.message_id = _text(properties[at:end])
        elif flag == _APP_ID:
            delivery.app_id = _text(properties[at:end])
        elif flag == _HEADERS:
            delivery.returns = _returns(properties[at:end])
        at = end


@lru_cache(maxsize=64)
def _present(flags: int) -> Sequence[tuple[int, str]]:
    """Return the properties that a message with these flags has, up to the last one that is read."""
    found = [(flag, kind) for flag, kind in FLAGS if flags & flag]
    while found and not found[-1][0] & _READ:
        found.pop()
    return found


def _text(short_string: bytes) -> str | None:
    try:
        return short_string[1:].decode() if short_string else None
    except UnicodeDecodeError:
        return None


def _returns(table: bytes) -> int:
    if _RETURNS.encode() not in table:
        return 0
    count = readable_headers(table).get(_RETURNS)
    return count if isinstance(count, int) else 0
