from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.codec import MAX_BODY_BYTES, MAX_STORED_BYTES, MessageMold, decode_message, encode_message
from taskqueue.core.ids import RESERVED_TASK_IDS
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.task import Priority
from taskqueue.errors import MessageError
from tests.support.values import TEN_O_CLOCK, a_job, a_message, instants, texts

GOLDEN = Path(__file__).parents[2] / "contract" / "messages"

jobs = st.builds(
    Job,
    id=texts.filter(lambda text: 1 <= len(text.encode()) <= 128),
    task_type_id=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).filter(lambda t: t not in RESERVED_TASK_IDS),
    user_id=texts.filter(bool),
    scheduled_at=instants(),
    execute_after=instants(),
    attempt=st.integers(1, 1_000_000),
    priority=st.sampled_from(Priority),
    payload=st.binary(max_size=200),
    created_at=instants(),
)
messages = st.builds(
    JobMessage,
    job=jobs,
    metadata=st.builds(Metadata, correlation_id=texts, source=texts, distribution_slot=st.integers(-1, 1_000_000)),
)
minimal_job = Job(
    id="job-1",
    task_type_id="daily_report",
    user_id="user_12345",
    scheduled_at=TEN_O_CLOCK,
    execute_after=TEN_O_CLOCK,
    attempt=1,
    priority=Priority.NORMAL,
    payload=b"",
    created_at=TEN_O_CLOCK,
)
nobody_said = Metadata(correlation_id="", source="", distribution_slot=-1)

GOLDEN_MESSAGES = {
    "spec_example": a_message(),
    "fractions_and_offsets": JobMessage(
        job=Job(
            id="01890a5d-ac96-774b-bcce-b302099a8057",
            task_type_id="hourly_sync",
            user_id="user_1",
            scheduled_at=datetime(2024, 3, 10, 7, tzinfo=UTC),
            execute_after=datetime(2024, 3, 10, 7, 0, 0, 123456, tzinfo=UTC),
            attempt=2,
            priority=Priority.HIGH,
            payload=b"\x00\xff",
            created_at=datetime(2024, 3, 10, 6, 59, 0, 500000, tzinfo=UTC),
        ),
        metadata=Metadata(correlation_id="hourly_sync:20240310T070000Z", source="scheduler", distribution_slot=0),
    ),
    "unicode": JobMessage(
        job=a_job(
            id="auftrag-größe-1",
            user_id="Zoë:{日本}*\n🦊",
            execute_after=TEN_O_CLOCK,
            priority=Priority.LOW,
            payload='{"name":"Zoë"}'.encode(),
            created_at=TEN_O_CLOCK - timedelta(minutes=1),
        ),
        metadata=Metadata(correlation_id="запрос-7", source="trigger", distribution_slot=17),
    ),
    "null_payload": a_message(payload=b""),
    "go_zero_time": JobMessage(
        job=a_job(execute_after=TEN_O_CLOCK, created_at=TEN_O_CLOCK, priority=Priority.LOW, payload=b""),
        metadata=replace(nobody_said, distribution_slot=0),
    ),
    "minimal": JobMessage(job=minimal_job, metadata=nobody_said),
    "later_minor_version": JobMessage(job=minimal_job, metadata=nobody_said),
}


def document(**job: Any) -> dict[str, Any]:
    """Return the spec's example as a dict, with changes to its job; `...` removes a field."""
    example: dict[str, Any] = json.loads((GOLDEN / "spec_example.json").read_bytes())
    example["job"] = {name: value for name, value in (example["job"] | job).items() if value is not ...}
    return example


def refused(body: bytes | dict[str, Any]) -> MessageError:
    with pytest.raises(MessageError) as caught:
        decode_message(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def test_every_golden_message_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(GOLDEN_MESSAGES)


@pytest.mark.parametrize("name", GOLDEN_MESSAGES)
def test_a_golden_message_reads_as_it_should(name: str) -> None:
    assert decode_message((GOLDEN / f"{name}.json").read_bytes()) == GOLDEN_MESSAGES[name]


def test_the_specs_example_is_written_field_for_field_as_it_stands_there() -> None:
    text = (GOLDEN / "spec_example.json").read_text(encoding="utf-8")
    written = encode_message(a_message())
    assert list(json.loads(written, object_pairs_hook=list)) == list(json.loads(text, object_pairs_hook=list))


@given(message=messages)
def test_a_message_survives_its_bytes(message: JobMessage) -> None:
    assert decode_message(encode_message(message)) == message


@given(message=messages)
def test_a_message_is_compact_json_in_utf_8(message: JobMessage) -> None:
    body = encode_message(message)
    assert b"\n" not in body
    assert json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode() == body


@given(message=messages, job_id=st.uuids().map(str))
def test_a_mold_encodes_what_encode_message_does(message: JobMessage, job_id: str) -> None:
    job, metadata = replace(message.job, id=job_id), message.metadata
    mold = MessageMold(JobMessage(job=replace(job, id="", user_id="", payload=b""), metadata=metadata))

    molded = mold.encode(
        job_id=job_id,
        user_id=job.user_id,
        execute_after=job.execute_after,
        payload=job.payload,
        slot=metadata.distribution_slot,
    )

    assert molded == encode_message(replace(message, job=job))


@given(message=messages, attempt=st.integers(1, 1000))
def test_the_message_of_another_attempt_differs_in_the_attempt_alone(message: JobMessage, attempt: int) -> None:
    following = message.for_attempt(attempt)
    assert following.job.attempt == attempt
    assert following.for_attempt(message.job.attempt) == message


@given(body=st.binary(max_size=300))
def test_arbitrary_bytes_are_malformed(body: bytes) -> None:
    assert refused(body).reason == "malformed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from([*document()["job"]])


@given(name=fields, value=json_values)
def test_whatever_stands_in_a_field_is_read_or_refused(name: str, value: object) -> None:
    body = json.dumps(document(**{name: value})).encode()
    try:
        message = decode_message(body)
    except MessageError:
        error = refused(body)
        assert error.reason == "malformed"
        assert f"job.{name}" in error.detail or name in {"task_type_id", "user_id"}
    else:
        assert decode_message(encode_message(message)) == message


@given(name=fields, value=json_values)
def test_what_was_read_can_be_published_under_its_id(name: str, value: object) -> None:
    try:
        message = decode_message(json.dumps(document(**{name: value})).encode())
    except MessageError:
        return
    # AMQP's shortstr, which message_id is, holds 255 bytes.
    assert len(message.job.id.encode()) <= 255


def test_a_body_that_is_too_long_is_oversized_and_not_read() -> None:
    error = refused(b" " * (MAX_BODY_BYTES + 1))
    assert error.reason == "oversized"
    assert str(MAX_BODY_BYTES) in error.detail


def test_a_body_of_the_longest_size_is_read() -> None:
    body = json.dumps(document()).encode()
    assert decode_message(body + b" " * (MAX_BODY_BYTES - len(body))) == a_message()


@pytest.mark.parametrize("version", ["2.0", "0.9", "1", "1.", "1.0.1", "1.٣", "one", "", "1.0\n"])
def test_another_major_version_is_unknown(version: str) -> None:
    assert refused(document() | {"version": version}).reason == "unknown_version"


@pytest.mark.parametrize("version", [None, 1.0, 1, ["1.0"]])
def test_a_version_that_is_no_text_is_malformed(version: object) -> None:
    error = refused(document() | {"version": version})
    assert error.reason == "malformed"
    assert error.detail.startswith("version:")


def test_a_missing_version_is_malformed() -> None:
    without = document()
    del without["version"]
    assert refused(without).reason == "malformed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"version": NaN}',
        b'{"version": Infinity}',
        b"[" * 100_000,
        b'{"version":' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "null", "list", "text", "open", "utf-16", "bom", "nan", "infinity", "deep", "long number"],
)
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    error = refused(body)
    assert error.reason == "malformed"
    assert len(error.detail) < 300


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": ...}, "job.id"),
        ({"id": ""}, "job.id"),
        ({"id": 7}, "job.id"),
        ({"id": "x" * 129}, "job.id"),
        ({"id": "日" * 43}, "job.id"),
        ({"id": "a\ud800"}, "job.id"),
        ({"task_type_id": ...}, "job.task_type_id"),
        ({"task_type_id": "a:b"}, "task id"),
        ({"task_type_id": "tasks"}, "reserved"),
        ({"user_id": ...}, "job.user_id"),
        ({"user_id": ""}, "user id"),
        ({"user_id": 12345}, "job.user_id"),
        ({"user_id": "x" * 513}, "user id"),
        ({"scheduled_at": ...}, "job.scheduled_at"),
        ({"scheduled_at": None}, "job.scheduled_at"),
        ({"scheduled_at": 1705312800}, "job.scheduled_at"),
        ({"scheduled_at": "2024-01-15T10:00:00"}, "job.scheduled_at"),
        ({"scheduled_at": "0001-01-01T00:00:00Z"}, "job.scheduled_at"),
        ({"execute_after": "tomorrow"}, "job.execute_after"),
        ({"execute_after": "9999-12-31T23:59:59Z"}, "job.execute_after"),
        ({"created_at": []}, "job.created_at"),
        ({"attempt": 0}, "job.attempt"),
        ({"attempt": 1.0}, "job.attempt"),
        ({"attempt": True}, "job.attempt"),
        ({"attempt": "1"}, "job.attempt"),
        ({"attempt": 10**30}, "job.attempt"),
        ({"priority": 3}, "job.priority"),
        ({"priority": -1}, "job.priority"),
        ({"priority": "high"}, "job.priority"),
        ({"payload": "not base64!"}, "job.payload"),
        ({"payload": "eyJ1"[:-1]}, "job.payload"),
        ({"payload": "ä"}, "job.payload"),
        ({"payload": {"user_id": "1"}}, "job.payload"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_malformed_and_named(change: dict[str, Any], named: str) -> None:
    error = refused(document(**change))
    assert error.reason == "malformed"
    assert named in error.detail


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"job": None}, "job: expected an object"),
        ({"job": []}, "job: expected an object"),
        ({"metadata": "none"}, "metadata: expected an object"),
        ({"metadata": {"correlation_id": 7}}, "metadata.correlation_id"),
        ({"metadata": {"source": []}}, "metadata.source"),
        ({"metadata": {"distribution_slot": -2}}, "metadata.distribution_slot"),
        ({"metadata": {"distribution_slot": 1.5}}, "metadata.distribution_slot"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_section_is_malformed_and_named(change: dict[str, Any], named: str) -> None:
    error = refused(document() | change)
    assert error.reason == "malformed"
    assert named in error.detail


@pytest.mark.parametrize("name", ["attempt", "priority", "payload", "execute_after", "created_at"])
def test_a_field_that_follows_from_others_may_be_missing_or_null(name: str) -> None:
    missing, null = document(**{name: ...}), document(**{name: None})
    assert decode_message(json.dumps(missing).encode()) == decode_message(json.dumps(null).encode())


def test_the_error_shows_little_of_what_was_sent() -> None:
    secret = base64.b64encode(b"canary").decode()
    makers: list[Callable[[], dict[str, Any]]] = [
        lambda: document(payload=secret + "!"),
        lambda: document(attempt=secret),
        lambda: document(id=secret * 100),
    ]
    assert all(secret not in str(refused(maker())) for maker in makers)


def test_what_we_wrote_ourselves_may_be_a_little_larger_than_what_others_may_send() -> None:
    body = encode_message(a_message(payload=b"x" * (MAX_BODY_BYTES * 3 // 4)))

    assert MAX_BODY_BYTES < len(body) < MAX_STORED_BYTES
    assert decode_message(body, MAX_STORED_BYTES).job.payload[:1] == b"x"
    with pytest.raises(MessageError, match="oversized"):
        decode_message(body)
