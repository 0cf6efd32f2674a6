"""What we wrote ourselves is read by its shape, with what the careful way finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.codec import decode_any, decode_own, encode_message
from taskqueue.core.job import Job, JobMessage, Metadata
from taskqueue.core.task import Priority
from taskqueue.errors import MessageError
from tests.support.values import a_job, a_message, instants

usual_jobs = st.builds(
    Job,
    id=st.uuids().map(str),
    task_type_id=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    user_id=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40),
    scheduled_at=instants(),
    execute_after=instants(),
    attempt=st.integers(1, 20),
    priority=st.sampled_from(Priority),
    payload=st.binary(max_size=60),
    created_at=instants(),
)
usual_messages = st.builds(
    JobMessage,
    job=usual_jobs,
    metadata=st.builds(Metadata, correlation_id=st.text(max_size=5), source=st.sampled_from(["scheduler", "trigger"])),
)

#: pieces of JSON, of times and numbers that are nearly right, and of what no field may hold
SPLINTERS = (
    *(
        b'"',
        b"\\",
        b"\x00",
        b"\xff",
        b"\xc3\xa9",
        b"{",
        b"}",
        b",",
        b":",
        b" ",
        b"=",
        b"-",
        b".",
        b"Z",
        b"T",
        b"0",
        b"9",
    ),
    *(
        b"1.1",
        b"00",
        b"-1",
        b"true",
        b"null",
        b"1e3",
        b"+00:00",
        b"24:00:00",
        b"02-30",
        b"0001-01-01T00:00:00Z",
        b"tasks",
    ),
)


def read_carefully(body: bytes) -> JobMessage | None:
    try:
        return decode_any(body)
    except MessageError:
        return None


def test_a_message_as_the_scheduler_writes_it_is_read_by_its_shape() -> None:
    message = JobMessage(job=replace(a_job(), user_id="o'neil [7] ~"), metadata=a_message().metadata)
    assert decode_own(encode_message(message)) == message


@given(usual_messages)
def test_reading_by_the_shape_finds_what_careful_reading_does_or_nothing(message: JobMessage) -> None:
    body = encode_message(message)
    assert decode_own(body) in {None, read_carefully(body)}


@given(usual_messages, st.data())
def test_a_damaged_message_is_read_by_its_shape_only_where_careful_reading_agrees(
    message: JobMessage, data: st.DataObject
) -> None:
    body = encode_message(message)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        gone = data.draw(st.integers(0, 4))
        body = body[:place] + data.draw(st.sampled_from(SPLINTERS)) + body[place + gone :]
    assert decode_own(body) in {None, read_carefully(body)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"user_12345"', '"josé"'),
        ('"user_12345"', '"a\\u0020b"'),
        ('"attempt":1', '"attempt":01'),
        ('"attempt":1', '"attempt": 1'),
        ('"version":"1.0"', '"version":"1.7"'),
        ('"priority":1', '"priority":1,"more":1'),
        ("2024-01-15T10:00:00Z", "2024-02-30T10:00:00Z"),
        ("2024-01-15T10:00:00Z", "2024-01-15T10:00:00"),
    ],
)
def test_what_has_another_shape_is_left_to_careful_reading(old: str, new: str) -> None:
    body = encode_message(a_message()).decode()
    assert decode_own(body.encode()) is not None
    assert old in body
    assert decode_own(body.replace(old, new).encode()) is None
