"""The frames of a published message, as bytes: what the client's own encoder would write, at an eighth of the work.

Of one message to the next only its id, size, time and expiration differ; the rest is encoded once. Layouts:
AMQP 0-9-1, 4.2.6 (content) and the method Basic.Publish; broker/framing has that of a frame.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from pamqp import encode
from pamqp.commands import Basic
from pamqp.frame import marshal

from taskqueue.broker.framing import BODY_FRAME, CONTENT_HEADER_FRAME, framed
from taskqueue.broker.names import APP_ID
from taskqueue.broker.outgoing import Outgoing

#: a content header's first bytes: class (2), weight (2), bytes of the body (8), flags of the properties (2)
_CONTENT = struct.Struct(">HHQH")
_TIMESTAMP = struct.Struct(">Q")

_FLAGS = Basic.Properties.flags
_EVERY_MESSAGE: Final = _FLAGS["content_type"] | _FLAGS["delivery_mode"] | _FLAGS["message_id"] | _FLAGS["app_id"]
_HEADERS, _EXPIRATION, _TIME = _FLAGS["headers"], _FLAGS["expiration"], _FLAGS["timestamp"]

_CONTENT_TYPE = encode.short_string("application/json")
_APP_ID = encode.short_string(APP_ID)
_TRANSIENT, _PERSISTENT = b"\x01", b"\x02"


def publish_frames(outgoing: Outgoing, channel: int, max_body: int) -> list[bytes]:
    """Return the pieces that publish `outgoing` as mandatory on channel number `channel`; joined they are its frames.

    `max_body` is how many bytes of a body one frame may carry; not positive: any number. Raises what pamqp raises for
    header values that AMQP cannot hold.
    """
    body = outgoing.body
    pieces = [
        _method_frame(channel, outgoing.exchange, outgoing.routing_key),
        framed(CONTENT_HEADER_FRAME, channel, _content_header(outgoing)),
    ]
    step = max_body if max_body > 0 else max(len(body), 1)
    pieces += [framed(BODY_FRAME, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return pieces


@lru_cache(maxsize=256)
def _method_frame(channel: int, exchange: str, routing_key: str) -> bytes:
    return marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel)


def _content_header(outgoing: Outgoing) -> bytes:
    """Return the content header's payload. The properties stand in the order of their flags, the highest first."""
    flags = _EVERY_MESSAGE
    headers = expiration = timestamp = b""
    if outgoing.headers:
        flags |= _HEADERS
        headers = encode.field_table(dict(outgoing.headers))
    if (milliseconds := outgoing.expiration) is not None:
        flags |= _EXPIRATION
        expiration = _short_string(milliseconds)
    if outgoing.timestamp is not None:
        flags |= _TIME
        timestamp = _TIMESTAMP.pack(int(outgoing.timestamp.timestamp()))
    return b"".join(
        (
            _CONTENT.pack(Basic.frame_id, 0, len(outgoing.body), flags),
            _CONTENT_TYPE,
            headers,
            _PERSISTENT if outgoing.persistent else _TRANSIENT,
            expiration,
            _short_string(outgoing.message_id),
            timestamp,
            _APP_ID,
        )
    )


def _short_string(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data
