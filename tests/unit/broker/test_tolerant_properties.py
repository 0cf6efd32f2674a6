from __future__ import annotations

import struct

import pytest
from aiormq import spec
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp.frame import unmarshal
from pamqp.header import ContentHeader

from taskqueue.broker.tolerant_properties import mended
from tests.support.raw_properties import (
    FAR_FUTURE,
    FLAGS,
    NOT_TEXT,
    array,
    long_text,
    nested,
    packed,
    short,
    table,
    timestamp,
)

COUNT = (b"x-delivery-count", b"l" + struct.pack(">q", 3))
TEXTS = sorted(FLAGS.keys() - {"headers", "delivery_mode", "priority", "timestamp"})


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 7, len(payload)) + payload + b"\xce"


def content_header(properties: bytes) -> bytes:
    return frame(2, struct.pack(">HHQ", 60, 0, 42) + properties)


def deliver(exchange: bytes, routing_key: bytes) -> bytes:
    names = short(exchange) + short(routing_key)
    return frame(1, struct.pack(">HH", 60, 60) + short(b"ctag") + struct.pack(">QB", 9, 1) + names)


def properties_of(data: bytes) -> spec.Basic.Properties:
    consumed, channel, header = unmarshal(mended(data))
    assert isinstance(header, ContentHeader)
    assert (consumed, channel, header.body_size) == (len(mended(data)), 7, 42)
    return header.properties


def everything() -> dict[str, bytes]:
    good: dict[str, bytes] = {name: short(name.encode()) for name in TEXTS}
    return {
        **good,
        "headers": table(COUNT),
        "delivery_mode": b"\x02",
        "priority": b"\x05",
        "timestamp": timestamp(1_700_000_000),
    }


def test_a_frame_that_can_be_decoded_stays_as_it_is() -> None:
    data = content_header(packed(**everything()))

    assert mended(data) is data


@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, short(NOT_TEXT)) for name in TEXTS), ("timestamp", timestamp(FAR_FUTURE)), ("timestamp", b"\xff" * 8)],
)
def test_an_unreadable_property_is_absent_and_all_others_are_there(name: str, value: bytes) -> None:
    whole = properties_of(content_header(packed(**everything())))

    left = properties_of(content_header(packed(**{**everything(), name: value})))

    assert dict(left) == {**dict(whole), name: getattr(spec.Basic.Properties(), name)}


@pytest.mark.parametrize(
    "entry",
    [
        (NOT_TEXT, b"t\x01"),
        (b"when", b"T" + timestamp(FAR_FUTURE)),
        (b"list", array(long_text(b"fine"), b"T" + timestamp(FAR_FUTURE))),
        (b"inner", b"F" + table((NOT_TEXT, b"V"))),
        (b"deep", b"F" + nested(5000)),
    ],
)
def test_an_unreadable_header_is_absent_and_all_others_are_there(entry: tuple[bytes, bytes]) -> None:
    others = [(b"text", long_text("é".encode())), (b"bytes", long_text(NOT_TEXT)), (b"none", b"V"), COUNT]

    left = properties_of(content_header(packed(headers=table(*others[:2], entry, *others[2:]), app_id=short(b"them"))))

    assert left.headers == {"text": "é", "bytes": NOT_TEXT, "none": None, "x-delivery-count": 3}
    assert left.app_id == "them"


def test_headers_of_an_unknown_type_hide_those_behind_them_only() -> None:
    data = content_header(packed(headers=table(COUNT, (b"odd", b"?1"), (b"last", b"t\x01")), app_id=short(b"them")))

    left = properties_of(data)

    assert (left.headers, left.app_id) == ({"x-delivery-count": 3}, "them")


@pytest.mark.parametrize(
    ("exchange", "routing_key", "told"),
    [
        (b"taskqueue", b"jobs.low", ("taskqueue", "jobs.low")),
        (NOT_TEXT, b"jobs.low", ("", "jobs.low")),
        (b"taskqueue", NOT_TEXT, ("taskqueue", "")),
    ],
)
def test_an_unreadable_name_is_empty(exchange: bytes, routing_key: bytes, told: tuple[str, str]) -> None:
    _, _, method = unmarshal(mended(deliver(exchange, routing_key)))

    assert isinstance(method, spec.Basic.Deliver)
    assert (method.exchange, method.routing_key) == told
    assert (method.consumer_tag, method.delivery_tag, method.redelivered) == ("ctag", 9, True)


def test_the_message_count_behind_unreadable_names_is_kept() -> None:
    payload = struct.pack(">HHQB", 60, 71, 9, 0) + short(NOT_TEXT) + short(b"key") + struct.pack(">I", 12)

    _, _, method = unmarshal(mended(frame(1, payload)))

    assert isinstance(method, spec.Basic.GetOk)
    assert (method.exchange, method.routing_key, method.message_count) == ("", "key", 12)


@given(st.binary(max_size=80))
def test_whatever_the_properties_are_the_frame_can_be_decoded(properties: bytes) -> None:
    properties_of(content_header(properties.ljust(2, b"\0")))


@given(st.binary(max_size=60), st.binary(max_size=8))
@example(entries=b"\x00", app_id=b"")
@example(entries=b"\x01aS\x00\x00\x00\x09x", app_id=b"them")
def test_whatever_the_headers_are_what_follows_them_is_read(entries: bytes, app_id: bytes) -> None:
    headers = struct.pack(">I", len(entries)) + entries

    left = properties_of(content_header(packed(headers=headers, message_id=short(b"id"), app_id=short(app_id))))

    assert left.message_id == "id"
