"""Messages made worse by chance: strategies that change a good message in one or two ways, and its properties too."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from taskqueue.broker.names import APP_ID
from taskqueue.core.codec import MAX_BODY_BYTES
from tests.support.message_corpus import TASK, VALUES, Document, Properties, Sent, encoded, good_document, sized
from tests.support.raw_properties import NOT_TEXT, short, table, timestamp

#: from a document in order to the bytes that are sent
Encode = Callable[[Document], bytes]

_FIELDS = (
    *(("version",), ("job",), ("metadata",)),
    *(("job", name) for name in ("id", "task_type_id", "user_id", "scheduled_at", "execute_after", "attempt")),
    *(("job", name) for name in ("priority", "payload", "created_at", "unknown")),
    *(("metadata", name) for name in ("correlation_id", "source", "distribution_slot")),
)
_fields = st.sampled_from(_FIELDS)
_TIMES = ("scheduled_at", "execute_after", "created_at")

_MARK = "here is to stand something else"

#: as they stand in the JSON, which a JSON encoder would never write
_LITERALS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e-999", "9" * 4300, "9" * 5000, "-0", "1.0", "0x1", "01", "+1"),
    *("1e0", "10E-1", "tru", "undefined", "None", "True", "'a'", '"\\ud800"', '"\\udc00\\ud800"', '"\\x41"', '"\\u12"'),
    *('"a\tb"', '"a\0b"', '"\\u0000"', '""', "{}", "[]", "[,]", '{"a":}', '{"a":1,}', "[" * 3000, "[" * 50 + "]" * 50),
)

_STRANGE_TIMES = (
    *("", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "0002-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
    *("9998-12-31T23:59:59Z", "9998-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999999Z", "10000-01-01T00:00:00Z"),
    *("2024-01-15", "2024-01-15T10", "20240115T100000Z", "2024-W03-1T10:00:00Z", "2024-015T10:00:00Z", "10:00:00Z"),
    *("2024-01-15T24:00:00Z", "2024-01-15T10:00:60Z", "2024-02-30T00:00:00Z", "2024-01-15T10:00:00", "1705312800"),
    *("2024-01-15T10:00:00z", "2024-01-15 10:00:00Z", "2024-01-15T10:00:00,5Z", "2024-01-15T10:00:00+24:00"),
    *(
        "2024-01-15T10:00:00.1234567890123Z",
        "2024-01-15T10:00:00+05:45:30",
        "\N{ARABIC-INDIC DIGIT TWO}024-01-15T10:00:00Z",
        "now",
    ),
)

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["", "0", "1.0", "true", "null", "a" * 129, "a" * 513, "\0", "\ud800", "ä" * 64, "tasks", TASK])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_positions = st.integers(0, MAX_BODY_BYTES)

#: what lies between is read or not, by the interpreter's limit of recursion, which hypothesis raises in this process
_depths = st.sampled_from([1, 2, 20, 500, 20_000])


def _set(document: Document, path: Sequence[str], value: object) -> Document:
    *sections, name = path
    holder: Any = document
    for section in sections:
        holder = holder[section]
    holder[name] = value
    return document


# --- ways to go wrong -------------------------------------------------------------------------------------------------


def _flipped(changes: Sequence[tuple[int, int]]) -> Encode:
    def encode(document: Document) -> bytes:
        body = bytearray(encoded(document))
        for position, mask in changes:
            body[position % len(body)] ^= mask
        return bytes(body)

    return encode


def _cut(begin: int, length: int, instead: bytes) -> Encode:
    def encode(document: Document) -> bytes:
        body = encoded(document)
        at = begin % len(body)
        return body[:at] + instead + body[at + length :]

    return encode


def _truncated(at: int) -> Encode:
    return lambda document: (body := encoded(document))[: at % len(body)]


def _swapped(changes: Sequence[tuple[Sequence[str], object]]) -> Encode:
    def encode(document: Document) -> bytes:
        # The parts before the whole, so that there is something to put them into.
        for path, value in sorted(changes, key=lambda change: -len(change[0])):
            _set(document, path, value)
        return encoded(document)

    return encode


def _removed(path: Sequence[str]) -> Encode:
    def encode(document: Document) -> bytes:
        *sections, name = path
        holder: Any = document[sections[0]] if sections else document
        holder.pop(name, None)
        return encoded(document)

    return encode


def _literal(path: Sequence[str], text: str) -> Encode:
    return lambda document: encoded(_set(document, path, _MARK)).replace(encoded(_MARK), text.encode())


def _doubled(path: Sequence[str], value: object) -> Encode:
    """Name a field twice in its object; the last one counts."""

    def encode(document: Document) -> bytes:
        copy = encoded({path[-1]: value})[1:-1]
        body = encoded(document)
        return (body[:-1] if len(path) == 1 else body.partition(b"}")[0]) + b", " + copy + _rest(body, len(path))

    return encode


def _rest(body: bytes, depth: int) -> bytes:
    return b"}" if depth == 1 else b"}" + body.partition(b"}")[2]


def _nested(path: Sequence[str], depth: int, opening: bytes, closing: bytes) -> Encode:
    def encode(document: Document) -> bytes:
        return encoded(_set(document, path, _MARK)).replace(encoded(_MARK), opening * depth + b"1" + closing * depth)

    return encode


def _recoded(encoding: str) -> Encode:
    def encode(document: Document) -> bytes:
        document["note"] = "Zürich"
        return json.dumps(document, ensure_ascii=False).encode(encoding)

    return encode


def _payload(data: bytes, spoil: Callable[[bytes], bytes]) -> Encode:
    return lambda document: encoded(
        _set(document, ("job", "payload"), spoil(base64.b64encode(data)).decode("latin-1")),
    )


_SPOILED: Sequence[Callable[[bytes], bytes]] = (
    lambda text: text,
    lambda text: text.rstrip(b"="),
    lambda text: text + b"=",
    lambda text: text + b"\n",
    lambda text: text[1:],
    lambda text: text.replace(b"+", b"-").replace(b"/", b"_"),
    lambda text: b"\xe4" + text,
    lambda text: b" " + text,
)

_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp037", "utf-7")

#: what a JSON document may be surrounded by, and what it may not
_around = st.binary(max_size=4) | st.sampled_from([b"", b" ", b"\r\n\t ", b"\xef\xbb\xbf", b"\0", b"{}", b"//"])

_encodes: st.SearchStrategy[Encode] = st.one_of(
    st.builds(_flipped, st.lists(st.tuples(_positions, st.integers(1, 255)), min_size=1, max_size=4)),
    st.builds(_cut, _positions, st.integers(0, 12), st.binary(max_size=8)),
    st.builds(_truncated, _positions),
    st.builds(_swapped, st.lists(st.tuples(_fields, _values), min_size=1, max_size=2)),
    st.builds(_removed, _fields),
    st.builds(_literal, _fields, st.sampled_from(_LITERALS)),
    st.builds(_doubled, _fields, _values),
    st.builds(_nested, _fields, _depths, st.just(b"["), st.sampled_from([b"]", b""])),
    st.builds(_nested, _fields, _depths, st.just(b'{"a":'), st.just(b"}")),
    st.builds(
        _swapped,
        st.tuples(st.tuples(st.tuples(st.just("job"), st.sampled_from(_TIMES)), st.sampled_from(_STRANGE_TIMES))),
    ),
    st.builds(_payload, st.binary(max_size=40), st.sampled_from(_SPOILED)),
    st.builds(_recoded, st.sampled_from(_ENCODINGS)),
    st.builds(lambda before, behind: lambda document: before + encoded(document) + behind, _around, _around),
    st.builds(lambda noise: lambda _document: noise, st.binary(max_size=60)),
    st.builds(lambda value: lambda _document: encoded(value), _values),
)

#: these are large, so they are few
_large: st.SearchStrategy[Encode] = st.integers(-2, 40_000).map(
    lambda beyond: lambda _document: sized(MAX_BODY_BYTES + beyond)
)

_some_text = st.binary(max_size=40).map(short)
_headers = st.lists(
    st.tuples(
        st.sampled_from([b"x-delivery-count", b"x-death", b"traceparent", b"", NOT_TEXT])
        | st.binary(max_size=12).filter(lambda name: name not in {b"CC", b"BCC"}),
        st.sampled_from([*VALUES.values()]),
    ),
    max_size=4,
).map(lambda entries: table(*entries))

#: a wrong user id, expiration or delivery mode is refused by the broker itself, and CC is an order to it
_properties: st.SearchStrategy[Properties] = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("content_type", "content_encoding", "correlation_id", "reply_to", "message_id"), _some_text),
        **dict.fromkeys(("message_type", "cluster_id"), _some_text),
        "app_id": _some_text | st.just(short(APP_ID.encode())),
        "headers": _headers,
        "timestamp": st.integers(0, 2**64 - 1).map(timestamp),
        "delivery_mode": st.sampled_from([b"\x01", b"\x02"]),
        "priority": st.integers(0, 255).map(lambda priority: bytes((priority,))),
    },
)


@st.composite
def mutated_messages(draw: st.DrawFn) -> Sent:
    """Return messages of new jobs, most of them with a body that is wrong, some with properties that are."""
    chance = draw(st.integers(0, 99))
    if chance == 50:
        encode = draw(_large)
    elif chance < 10:
        encode = encoded
    else:
        encode = draw(_encodes)
    body = encode(good_document())
    return Sent(body=body, properties=draw(_properties) if chance % 4 == 1 else {})
