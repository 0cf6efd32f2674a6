"""How a frame is laid out (AMQP 0-9-1, 2.3.5), and the small ones that settle deliveries."""

from __future__ import annotations

import struct
from typing import Final

from pamqp.commands import Basic

METHOD_FRAME, CONTENT_HEADER_FRAME, BODY_FRAME = 1, 2, 3

#: a frame's head: type (1 byte), channel (2), bytes of the payload (4); behind the payload comes one byte more
_HEAD = struct.Struct(">BHI")
HEAD_BYTES: Final = _HEAD.size
_FRAME_END: Final = b"\xce"

#: Basic.Ack and Basic.Nack: class, method, delivery tag, bits
_SETTLING = struct.Struct(">HHQB")
_ACK, _NACK = 80, 120
_MULTIPLE, _REQUEUE = 1, 2


def framed(kind: int, channel: int, payload: bytes) -> bytes:
    """Return `payload` as a frame of that type on channel number `channel`."""
    return b"".join((_HEAD.pack(kind, channel, len(payload)), payload, _FRAME_END))


def ack_frame(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Return the frame that acks the delivery `tag`, with `multiple` all older ones that are open as well."""
    return _settling_frame(channel, _ACK, tag, _MULTIPLE if multiple else 0)


def requeue_frame(channel: int, tag: int) -> bytes:
    """Return the frame that gives the delivery `tag` back to its queue."""
    return _settling_frame(channel, _NACK, tag, _REQUEUE)


def _settling_frame(channel: int, method: int, tag: int, bits: int) -> bytes:
    return framed(METHOD_FRAME, channel, _SETTLING.pack(Basic.frame_id, method, tag, bits))
