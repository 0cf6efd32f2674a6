"""The message format of the spec: a job as JSON bytes, and back.

Decoding accepts whatever a foreign producer may reasonably write in that format: unknown fields are ignored, the
fields that follow from others may be missing, times may carry any offset and up to nine fraction digits, Go's zero time
stands for a time that was never set, and a nil byte slice may be null. What cannot be read raises MessageError with a
stable reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Never

from taskqueue.core.ids import MAX_JOB_ID_BYTES, check_task_id, check_user_id
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.job import NOT_DISTRIBUTED, Job, JobMessage, Metadata
from taskqueue.core.task import Priority
from taskqueue.core.zones import LAST_INSTANT
from taskqueue.errors import InvalidValueError, MessageError

VERSION = "1.0"

#: bodies above this are refused unread: a job is an order to call, not a transport for data
MAX_BODY_BYTES = 256 * 1024

#: what we wrote ourselves may be larger: a message of another system gains the fields that it lacked
MAX_STORED_BYTES = MAX_BODY_BYTES + 4096

_READABLE_VERSION = re.compile(r"1\.[0-9]{1,4}", re.ASCII)
_MAX_ATTEMPT = 1_000_000
_LOWEST, _HIGHEST = min(Priority), max(Priority)
_GO_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


#: json.dumps makes an encoder for each value
_encoded: Callable[[object], str] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

#: text as a JSON string, every character as itself where JSON allows it
quoted: Callable[[str], str] = encode_basestring


def encode_message(message: JobMessage) -> bytes:
    """Return `message` as UTF-8 JSON in the spec's field order."""
    job, metadata = message.job, message.metadata
    document = {
        "version": VERSION,
        "job": {
            "id": job.id,
            "task_type_id": job.task_type_id,
            "user_id": job.user_id,
            "scheduled_at": rfc3339(job.scheduled_at),
            "execute_after": rfc3339(job.execute_after),
            "attempt": job.attempt,
            "priority": int(job.priority),
            "payload": base64.b64encode(job.payload).decode(),
            "created_at": rfc3339(job.created_at),
        },
        "metadata": {
            "correlation_id": metadata.correlation_id,
            "source": metadata.source,
            "distribution_slot": metadata.distribution_slot,
        },
    }
    return _encoded(document).encode()


class MessageMold:
    """Encodes the messages of one occurrence: they differ in user, job id, due instant, payload and slot alone.

    What is the same in all of them is encoded once, which makes it several times as fast as `encode_message`.
    """

    __slots__ = ("_after_id", "_after_payload", "_after_time", "_after_user", "_before_id")

    def __init__(self, example: JobMessage) -> None:
        job, metadata = example.job, example.metadata
        self._before_id = f'{{"version":{quoted(VERSION)},"job":{{"id":"'
        self._after_id = f'","task_type_id":{quoted(job.task_type_id)},"user_id":'
        self._after_user = f',"scheduled_at":"{rfc3339(job.scheduled_at)}","execute_after":"'
        self._after_time = f'","attempt":{job.attempt},"priority":{int(job.priority)},"payload":"'
        self._after_payload = (
            f'","created_at":"{rfc3339(job.created_at)}"}},"metadata":{{'
            f'"correlation_id":{quoted(metadata.correlation_id)},"source":{quoted(metadata.source)},'
            '"distribution_slot":'
        )

    def encode(self, *, job_id: str, user_id: str, execute_after: datetime, payload: bytes, slot: int) -> bytes:
        """Return what `encode_message` would; `job_id` is a UUID."""
        encoded = base64.b64encode(payload).decode()
        return (
            f"{self._before_id}{job_id}{self._after_id}{quoted(user_id)}{self._after_user}{rfc3339(execute_after)}"
            f"{self._after_time}{encoded}{self._after_payload}{slot}}}}}"
        ).encode()


#: what `encode_message` writes of a job whose texts are printable ASCII without escapes, in this millennium: nearly all
#: that a worker ever gets. Each part holds only what the careful way below accepts as well.
_OWN_SHAPE = re.compile(
    r'\{"version":"1\.0","job":\{"id":"([0-9a-f-]{36})","task_type_id":"([A-Za-z0-9._-]{1,64})",'
    r'"user_id":"([ !#-\[\]-~]{1,512})","scheduled_at":"(2[0-9T:.-]{18,25}Z)","execute_after":"(2[0-9T:.-]{18,25}Z)",'
    r'"attempt":([1-9][0-9]{0,5}),"priority":([012]),"payload":"([A-Za-z0-9+/]*={0,2})",'
    r'"created_at":"(2[0-9T:.-]{18,25}Z)"\},"metadata":\{"correlation_id":"([ !#-\[\]-~]*)",'
    r'"source":"([ !#-\[\]-~]*)","distribution_slot":(-1|0|[1-9][0-9]{0,5})\}\}'
)
_PRIORITIES = {str(int(priority)): priority for priority in Priority}


def decode_message(body: bytes, max_bytes: int = MAX_BODY_BYTES) -> JobMessage:
    """Return the message in `body`, of at most `max_bytes`.

    Raises MessageError: `oversized`, `unknown_version` or `malformed` with the field that is wrong.
    """
    if len(body) > max_bytes:
        raise MessageError("oversized", f"body of {len(body)} bytes; at most {max_bytes} are read")
    return decode_own(body) or decode_any(body)


def decode_own(body: bytes) -> JobMessage | None:
    """Return what `decode_any` would, several times as fast, of a message as we write it ourselves; None of others."""
    found = _OWN_SHAPE.fullmatch(body.decode("latin-1"))
    if found is None:
        return None
    job_id, task_id, user_id, scheduled_at, execute_after, attempt, priority, payload, created_at, *metadata = (
        found.groups()
    )
    try:
        job = Job(
            id=job_id,
            task_type_id=check_task_id(task_id),
            user_id=user_id,
            scheduled_at=parse_rfc3339(scheduled_at),
            execute_after=parse_rfc3339(execute_after),
            attempt=int(attempt),
            priority=_PRIORITIES[priority],
            payload=binascii.a2b_base64(payload, strict_mode=True),
            created_at=parse_rfc3339(created_at),
        )
    except ValueError:  # InvalidValueError is one
        return None  # the careful way says what is wrong
    correlation_id, source, slot = metadata
    return JobMessage(
        job=job, metadata=Metadata(correlation_id=correlation_id, source=source, distribution_slot=int(slot))
    )


def decode_any(body: bytes) -> JobMessage:
    """Return the message in `body`, whoever wrote it. Raises MessageError as `decode_message`."""
    document = _load_object(body)
    _check_version(document)
    try:
        return JobMessage(job=_job(_Fields(document, "")), metadata=_metadata(_Fields(document, "")))
    except InvalidValueError as error:
        raise MessageError("malformed", str(error)) from None


def _load_object(body: bytes) -> Mapping[str, object]:
    try:
        document = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MessageError("malformed", f"not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise MessageError("malformed", "not a JSON object")
    return document


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


#: json.loads would make one for each message
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_version(document: Mapping[str, object]) -> None:
    version = document.get("version")
    if not isinstance(version, str):
        raise MessageError("malformed", 'version: expected the text "1.0"')
    if not _READABLE_VERSION.fullmatch(version):
        raise MessageError("unknown_version", f"version {version[:40]!r}; this worker reads 1.x")


def _job(document: _Fields) -> Job:
    job = document.section("job")
    job_id = job.text("id")
    if not 1 <= len(job_id if job_id.isascii() else job_id.encode()) <= MAX_JOB_ID_BYTES:
        raise InvalidValueError(f"job.id: use 1 to {MAX_JOB_ID_BYTES} bytes")
    scheduled_at = job.instant("scheduled_at")
    return Job(
        id=job_id,
        task_type_id=check_task_id(job.text("task_type_id")),
        user_id=check_user_id(job.text("user_id")),
        scheduled_at=scheduled_at,
        execute_after=job.instant("execute_after", default=scheduled_at),
        attempt=job.integer("attempt", 1, _MAX_ATTEMPT, default=1),
        priority=Priority(job.integer("priority", _LOWEST, _HIGHEST, default=Priority.NORMAL)),
        payload=job.data("payload"),
        created_at=job.instant("created_at", default=scheduled_at),
    )


def _metadata(document: _Fields) -> Metadata:
    metadata = document.section("metadata", default={})
    return Metadata(
        correlation_id=metadata.text("correlation_id", default=""),
        source=metadata.text("source", default=""),
        distribution_slot=metadata.integer("distribution_slot", NOT_DISTRIBUTED, _MAX_ATTEMPT, default=NOT_DISTRIBUTED),
    )


class _Fields:
    """Typed access to the fields of one JSON object; every failure names the field by its path."""

    def __init__(self, values: Mapping[str, object], path: str) -> None:
        self._values = values
        self._path = path

    def section(self, name: str, default: Mapping[str, object] | None = None) -> _Fields:
        value = self._get(name, default)
        if not isinstance(value, dict):
            self._refuse(name, "an object")
        return _Fields(value, f"{self._path}{name}.")

    def text(self, name: str, default: str | None = None) -> str:
        value = self._get(name, default)
        if not isinstance(value, str):
            self._refuse(name, "a text")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                self._refuse(name, "valid Unicode")
        return value

    def integer(self, name: str, lowest: int, highest: int, *, default: int) -> int:
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self._refuse(name, f"a whole number from {int(lowest)} to {int(highest)}")
        return value

    def instant(self, name: str, default: datetime | None = None) -> datetime:
        if default is not None and self._values.get(name) is None:
            return default
        text = self.text(name)
        try:
            instant = parse_rfc3339(text)
        except InvalidValueError as error:
            raise InvalidValueError(f"{self._path}{name}: {error}") from None
        if instant == _GO_ZERO_TIME and default is not None:
            return default
        if instant == _GO_ZERO_TIME or instant > LAST_INSTANT:
            self._refuse(name, f"a time until {LAST_INSTANT.year}")
        return instant

    def data(self, name: str) -> bytes:
        try:
            return binascii.a2b_base64(self.text(name, default=""), strict_mode=True)
        except ValueError:
            self._refuse(name, "base64")

    def _get(self, name: str, default: object) -> object:
        value = self._values.get(name)
        return default if value is None else value

    def _refuse(self, name: str, expected: str) -> Never:
        raise InvalidValueError(f"{self._path}{name}: expected {expected}")
