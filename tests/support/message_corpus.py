"""Messages as producers with mistakes send them, each with what a worker must make of it."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis.vendor.pretty import RepresentationPrinter

from taskqueue.broker.names import APP_ID
from taskqueue.core.codec import MAX_BODY_BYTES
from taskqueue.core.instants import rfc3339
from tests.support.raw_properties import FAR_FUTURE, NOT_TEXT, array, long_text, nested, short, table, timestamp
from tests.support.system import foreign_message, new_users

#: the task of every message that is not about its task
TASK = "daily_report"

#: whose switches other systems have written
KNOWN_USER = "user_with_preferences"

MALFORMED, OVERSIZED, UNKNOWN_VERSION = "malformed", "oversized", "unknown_version"

#: what a case of the corpus says of a message that is in truth readable
RUNS, WAITS = "runs", "waits"

Document = dict[str, Any]
Properties = Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message on the wire. `properties` are their bytes by name, as tests/support/raw_properties.py writes them."""

    body: bytes
    properties: Properties = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether it says that a scheduler of ours wrote it."""
        return self.properties.get("app_id") == short(APP_ID.encode())

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        # A flood of them must fit into its report of a failed test.
        printer.text(f"{self.body[:500]!r:.550} {dict(self.properties)!r:.100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`ends` is the reason for which the message must stand in the failed queue, or RUNS, or WAITS."""

    sent: Sent
    ends: str


def good_document() -> Document:
    """Return a message of another system that is in order, for a new job of a new user, due since a while."""
    due = rfc3339(datetime.now(UTC) - timedelta(minutes=5))
    return foreign_message(TASK, *new_users(1), execute_after=due)


def encoded(document: object) -> bytes:
    """Return `document` as JSON; half characters are escaped, which alone can carry them."""
    return json.dumps(document).encode()


def changed(**job: object) -> bytes:
    """Return a good message with these values in its job; `...` removes a field."""
    document = good_document()
    document["job"] = {name: value for name, value in (document["job"] | job).items() if value is not ...}
    return encoded(document)


def with_top(**sections: object) -> bytes:
    """Return a good message with these values beside its job; `...` removes one."""
    document = good_document() | sections
    return encoded({name: value for name, value in document.items() if value is not ...})


def with_metadata(**metadata: object) -> bytes:
    """Return a good message with these values in its metadata."""
    document = good_document()
    document["metadata"] |= metadata
    return encoded(document)


def as_planned() -> bytes:
    """Return a good message as a scheduler makes it, for a user who has preferences."""
    document = good_document()
    document["job"]["user_id"] = KNOWN_USER
    document["metadata"] |= {"source": "scheduler", "correlation_id": f"{TASK}:20240115T100000Z"}
    return encoded(document)


def literal(name: str, text: str) -> bytes:
    """Return a good message with `text` as it stands for the value of a field of its job."""
    mark = "the value is to stand here"
    return changed(**{name: mark}).replace(encoded(mark), text.encode())


def sized(size: int) -> bytes:
    """Return a good message of exactly `size` bytes, with a field that nobody knows."""
    short_of = size - len(with_top(padding=""))
    return with_top(padding="x" * short_of)


def twice(name: str, first: object, second: object) -> bytes:
    """Return a good message with a field of its job twice; the second counts."""
    before, pair = encoded({name: first})[1:-1], encoded({name: second})[1:-1]
    return changed(**{name: second}).replace(pair, before + b", " + pair, 1)


# --- bodies -----------------------------------------------------------------------------------------------------------

_GO_ZERO = "0001-01-01T00:00:00Z"

#: what no producer of ours can make, and what it is refused for
_BROKEN: Mapping[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a zero byte": lambda: b"\0",
    "XML": lambda: b"<job/>",
    "a list": lambda: b"[1]",
    "null": lambda: b"null",
    "a text": lambda: b'"job"',
    "a number": lambda: b"1",
    "two documents": lambda: changed() * 2,
    "cut in half": lambda: changed()[:200],
    "without its last byte": lambda: changed()[:-1],
    "a comma too many": lambda: changed().replace(b'"metadata"', b',"metadata"'),
    "single quotes": lambda: changed().replace(b'"', b"'"),
    "a comment": lambda: b"/* job */" + changed(),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + changed(),
    "UTF-16": lambda: changed().decode().encode("utf-16"),
    "UTF-16 without its mark": lambda: changed().decode().encode("utf-16-be"),
    "UTF-32": lambda: changed().decode().encode("utf-32"),
    "Latin-1": lambda: json.dumps(good_document() | {"note": "ü"}, ensure_ascii=False).encode("latin-1"),
    "gzip": lambda: gzip.compress(changed()),
    "base64": lambda: base64.b64encode(changed()),
    "a half character, not escaped": lambda: changed(user_id="MARK").replace(b"MARK", b"\xed\xa0\x80"),
    "an overlong character": lambda: changed(user_id="MARK").replace(b"MARK", b"\xc0\xaf"),
    "a control character, not escaped": lambda: changed(user_id="MARK").replace(b"MARK", b"a\nb"),
    "an escape that is none": lambda: changed(user_id="MARK").replace(b"MARK", b"\\x41"),
    "nested without end": lambda: b"[" * 100_000,
    "objects without end": lambda: b'{"job":' * 30_000,
    "nested deeply in a field that nobody knows": lambda: with_top(x=0).replace(b'"x": 0', b'"x": ' + b"[" * 200_000),
    "a payload that is nested deeply": lambda: literal("payload", "[" * 5000 + "]" * 5000),
    "NaN": lambda: literal("attempt", "NaN"),
    "NaN in a field that nobody knows": lambda: literal("anything", "NaN"),
    "Infinity": lambda: literal("attempt", "-Infinity"),
    "a number without end": lambda: literal("attempt", "9" * 100_000),
    "hexadecimal": lambda: literal("attempt", "0x1"),
    "a leading zero": lambda: literal("attempt", "01"),
    "no version": lambda: with_top(version=...),
    "a number as version": lambda: with_top(version=1.0),
    "null as version": lambda: with_top(version=None),
    "no job": lambda: with_top(job=...),
    "a list as job": lambda: with_top(job=[1]),
    "a text as job": lambda: with_top(job="550e8400-e29b-41d4-a716-446655440000"),
    "a list as metadata": lambda: with_top(metadata=[1]),
    "a number as correlation id": lambda: with_metadata(correlation_id=7),
    "a half character as source": lambda: with_metadata(source="\udfff"),
    "slot minus two": lambda: with_metadata(distribution_slot=-2),
    "a slot and a half": lambda: with_metadata(distribution_slot=1.5),
    "a slot beyond all": lambda: with_metadata(distribution_slot=2**63),
    "no id": lambda: changed(id=...),
    "an empty id": lambda: changed(id=""),
    "a number as id": lambda: changed(id=7),
    "a half character as id": lambda: changed(id="\ud800"),
    "an id of 129 bytes": lambda: changed(id="x" * 129),
    "no task": lambda: changed(task_type_id=...),
    "a task id with a space": lambda: changed(task_type_id="a b"),
    "a task id with a line feed": lambda: changed(task_type_id=TASK + "\n"),
    "a task id of digits that are not ASCII": lambda: changed(task_type_id="٣"),
    "a task id that is reserved": lambda: changed(task_type_id="tasks"),
    "a task id of 65 bytes": lambda: changed(task_type_id="x" * 65),
    "no user": lambda: changed(user_id=...),
    "a number as user": lambda: changed(user_id=12345),
    "an empty user": lambda: changed(user_id=""),
    "a half character as user": lambda: changed(user_id="\ud800"),
    "a user of 513 bytes": lambda: changed(user_id="x" * 513),
    "no time": lambda: changed(scheduled_at=...),
    "a time that was never set": lambda: changed(scheduled_at=_GO_ZERO),
    "unix seconds as time": lambda: changed(scheduled_at=1_705_312_800),
    "a time without zone": lambda: changed(execute_after="2026-01-01T00:00:00"),
    "a time in words": lambda: changed(execute_after="tomorrow"),
    "the thirtieth of February": lambda: changed(execute_after="2026-02-30T00:00:00Z"),
    "an hour that does not exist": lambda: changed(execute_after="2026-01-01T25:00:00Z"),
    "an offset of a hundred hours": lambda: changed(execute_after="2026-01-01T00:00:00+99:59"),
    "the year 10000": lambda: changed(execute_after="10000-01-01T00:00:00Z"),
    "the end of the year 9999": lambda: changed(execute_after="9999-12-31T23:59:59Z"),
    "a time before the year 1": lambda: changed(execute_after="0001-01-01T00:00:00+14:00"),
    "the year zero": lambda: changed(created_at="0000-01-01T00:00:00Z"),
    "a list as time of making": lambda: changed(created_at=[]),
    "attempt zero": lambda: changed(attempt=0),
    "attempt minus one": lambda: changed(attempt=-1),
    "attempt true": lambda: changed(attempt=True),
    "attempt 1.0": lambda: changed(attempt=1.0),
    "a text as attempt": lambda: changed(attempt="1"),
    "attempt two million": lambda: changed(attempt=2_000_000),
    "attempt 2^63": lambda: changed(attempt=2**63),
    "attempt 1e400": lambda: literal("attempt", "1e400"),
    "priority three": lambda: changed(priority=3),
    "priority minus one": lambda: changed(priority=-1),
    "a text as priority": lambda: changed(priority="high"),
    "a payload that is not base64": lambda: changed(payload="%%%"),
    "a payload without its padding": lambda: changed(payload="eyJ1c2VyX2lkIjoiMTIzNDUifQ"),
    "a payload in the alphabet for URLs": lambda: changed(payload="-_-_"),
    "a payload in lines": lambda: changed(payload="eyJ1\nc2Vy"),
    "a payload as it is": lambda: changed(payload={"user_id": "1"}),
    "a payload of other letters": lambda: changed(payload="ÄÖÜ="),
    "the second of two attempts is wrong": lambda: twice("attempt", 1, 0),
    "the second of two ids is wrong": lambda: twice("id", "a", ""),
}

_OTHER_VERSIONS = ("2.0", "0.9", "1", "1.", "1.0.1", "v1.0", "1.\N{ARABIC-INDIC DIGIT THREE}", "", "1.0\n", "1" * 5000)

#: strange, and yet a job: it is called
_STRANGE: Mapping[str, Callable[[], bytes]] = {
    "nothing strange": changed,
    "a later minor version": lambda: with_top(version="1.9999"),
    "no metadata": lambda: with_top(metadata=...),
    "null as metadata": lambda: with_top(metadata=None),
    "only what cannot be derived": lambda: changed(
        execute_after=..., attempt=..., priority=..., payload=..., created_at=...
    ),
    "null where a default stands": lambda: changed(
        execute_after=None, attempt=None, priority=None, payload=None, created_at=None
    ),
    "times that were never set": lambda: changed(execute_after=_GO_ZERO, created_at=_GO_ZERO),
    "years ago": lambda: changed(scheduled_at="1970-01-01T00:00:00Z", execute_after="1970-01-01T00:00:00Z"),
    "in the year two": lambda: changed(scheduled_at="0002-01-01T00:00:00Z", execute_after="0002-01-01T00:00:00Z"),
    "nine fraction digits and an offset": lambda: changed(execute_after="2024-01-15T10:15:30.123456789+05:45"),
    "the last attempt there is": lambda: changed(attempt=1_000_000),
    "fields that nobody knows": lambda: changed(more={"deep": [1, {"er": None}]}, Attempt=7, ID=""),
    "white space": lambda: b" \r\n\t" + json.dumps(good_document(), indent=4).encode() + b"\n\n",
    "escapes": lambda: changed(user_id="\u0000\u001f\u007f\u2028 👩\u200d🚀").replace(b"a", b"\\u0061"),
    "a user of 512 bytes": lambda: changed(user_id=new_users(1)[0].ljust(512, "x")),
    "a user in a key's clothes": lambda: changed(user_id=new_users(1)[0] + ":settings:tasks{}*\r\nGET /"),
    "an id that is no UUID": lambda: changed(id=new_users(1)[0] + " %0d%0a ü:{}"),
    "the second of two attempts counts": lambda: twice("attempt", 0, 1),
    "the second of two versions counts": lambda: changed().replace(b"{", b'{"version": "2.0", ', 1),
    "an attempt of -0 elsewhere": lambda: literal("anything", "-0"),
    "a number beyond all elsewhere": lambda: literal("anything", "1e999"),
    "a payload of no text": lambda: changed(payload=base64.b64encode(bytes(range(256))).decode()),
    "as much as is read": lambda: sized(MAX_BODY_BYTES),
    "nested fifty deep": lambda: literal("anything", "[" * 50 + "]" * 50),
    "the word of a scheduler": as_planned,
    "a half character elsewhere": lambda: with_top(note="\ud800"),
}


def _bodies() -> Iterator[tuple[str, str, bytes]]:
    for name, make in _BROKEN.items():
        yield name, MALFORMED, make()
    for version in _OTHER_VERSIONS:
        yield f"version {version[:10]!r}", UNKNOWN_VERSION, with_top(version=version)
    for name, make in _STRANGE.items():
        yield name, RUNS, make()
    yield "a job of the year 9997", WAITS, changed(execute_after="9997-01-01T00:00:00Z")
    yield "one byte too many", OVERSIZED, sized(MAX_BODY_BYTES + 1)
    yield "300 KB", OVERSIZED, changed(payload="QUFB" * 75_000)
    yield "4 MB", OVERSIZED, b" " * 4_000_000
    yield "a task that nobody knows", "unknown_task", changed(task_type_id="nobody_knows_it")
    yield "a task by its name's other letters", "unknown_task", changed(task_type_id=TASK.upper())


# --- properties -------------------------------------------------------------------------------------------------------

_TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "message_id",
    "message_type",
    "app_id",
    "cluster_id",
)

#: a value of each type that a table of headers can hold; some of them no client of ours could write. Numbers that are
#: not finite are missing: RabbitMQ 3.10 ends the connection of whoever publishes one
VALUES: Mapping[str, bytes] = {
    "true": b"t\x01",
    "a boolean of 7": b"t\x07",
    "int8": b"b\x80",
    "uint8": b"B\xff",
    "int16": b"s\x80\x00",
    "uint16": b"u\xff\xff",
    "int32": b"I\x80\x00\x00\x00",
    "uint32": b"i\xff\xff\xff\xff",
    "int64": b"l" + struct.pack(">q", -(2**63)),
    "a float": b"f" + struct.pack(">f", 0.1),
    "a double": b"d" + struct.pack(">d", -1e308),
    "a decimal": b"D\x02\x00\x00\x01\x00",
    "a decimal of 255 digits": b"D\xff\xff\xff\xff\xff",
    "a time": b"T" + timestamp(1_705_312_800),
    "a time of no year": b"T" + timestamp(FAR_FUTURE),
    "nothing": b"V",
    "a text": long_text("Zürich".encode()),
    "no text": long_text(NOT_TEXT),
    "a long text": long_text(b"x" * 60_000),
    "bytes": b"x" + struct.pack(">I", 3) + NOT_TEXT,
    "an array": array(long_text(b"a"), b"V", b"t\x00"),
    "an array of what is unreadable": array(b"T" + timestamp(FAR_FUTURE)),
    "a table": b"F" + table((b"k", b"V")),
    "an unreadable table": b"F" + table((NOT_TEXT, b"V")),
    "a deep table": b"F" + nested(500),
}


def _properties() -> Iterator[tuple[str, Properties]]:
    for name in _TEXTS:
        yield f"{name} that is no text", {name: short(NOT_TEXT)}
        yield f"{name} of 255 bytes", {name: short(b"x" * 255)}
        yield f"an empty {name}", {name: short(b"")}
    yield "no wish to be kept", {"delivery_mode": b"\x01"}
    yield "priority 255", {"priority": b"\xff"}
    yield "a time of no year", {"timestamp": timestamp(FAR_FUTURE)}
    yield "another content", {"content_type": short(b"text/xml"), "content_encoding": short(b"gzip")}
    for name, value in VALUES.items():
        yield f"a header: {name}", {"headers": table((b"x-theirs", value))}
    for header in (b"x-delivery-count", b"x-death", b"taskqueue-reason", b"", NOT_TEXT, b"k" * 255):
        for name in ("no text", "int64", "an array"):
            yield f"header {header[:20]!r}: {name}", {"headers": table((header, VALUES[name]))}
    yield "300 headers", {"headers": table(*((b"k%d" % number, b"V") for number in range(300)))}
    yield "the same header twice", {"headers": table((b"k", b"V"), (b"k", long_text(b"v")))}
    yield "all there is", {name: short(b"x") for name in _TEXTS} | {"headers": table(*_ONE_OF_EACH)}


_ONE_OF_EACH = [(str(number).encode(), value) for number, value in enumerate(VALUES.values())]


def corpus() -> dict[str, Case]:
    """Return the cases by name: every body by itself, every property beside a body that is good and one that is not.

    The jobs are new in each call.
    """
    cases = {name: Case(sent=Sent(body=body), ends=ends) for name, ends, body in _bodies()}
    for name, properties in _properties():
        # What other systems say of a message changes nothing in what becomes of it.
        cases[f"good, with {name}"] = Case(sent=Sent(body=changed(), properties=properties), ends=RUNS)
        broken = Sent(body=f"broken, with {name}".encode(), properties=properties)
        cases[f"broken, with {name}"] = Case(sent=broken, ends=MALFORMED)
    ours = {"app_id": short(APP_ID.encode())}
    late = changed(execute_after="2024-01-15T10:15:30Z")
    cases["ours and years late"] = Case(sent=Sent(body=late, properties=ours), ends="expired")
    stored = Sent(body=sized(MAX_BODY_BYTES + 1), properties=ours)
    cases["ours and a little larger than theirs may be"] = Case(sent=stored, ends=RUNS)
    return cases
