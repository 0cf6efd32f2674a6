from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.state import Status
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, a_job, a_record

GOLDEN = Path(__file__).parents[2] / "contract" / "execution_result.json"


def test_a_full_record_is_written_as_in_the_golden_file() -> None:
    record = a_record(
        a_job(),
        status=Status.RETRYING,
        error=ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True),
        response="später\n".encode(),
        next_attempt=TEN_O_CLOCK + timedelta(seconds=30, microseconds=500_000),
    )
    assert json.loads(record.to_json()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_what_there_is_not_is_left_out_as_by_gos_omitempty() -> None:
    document = json.loads(a_record(a_job()).to_json())
    assert not {"error", "response", "next_attempt", "occurrence"} & document.keys()


def test_a_record_before_the_end_says_what_the_end_will_count_for() -> None:
    record = a_record(a_job(), status=Status.RETRYING, occurrence="20240115T100000Z")
    assert json.loads(record.to_json())["occurrence"] == "20240115T100000Z"


def test_an_empty_answer_is_an_answer() -> None:
    assert json.loads(a_record(a_job(), response=b"").to_json())["response"] == ""


@given(microseconds=st.integers(0, 10**12))
def test_the_duration_is_whole_nanoseconds_between_start_and_end(microseconds: int) -> None:
    record = a_record(a_job(), completed_at=TEN_O_CLOCK + timedelta(microseconds=microseconds))
    document = json.loads(record.to_json())
    assert document["duration"] == microseconds * 1000
    assert parse_rfc3339(document["completed_at"]) - parse_rfc3339(document["started_at"]) == record.duration


@given(response=st.binary(max_size=100))
def test_any_bytes_survive_as_base64(response: bytes) -> None:
    document = json.loads(a_record(a_job(), response=response).to_json())
    assert base64.b64decode(document["response"], validate=True) == response


def test_a_record_is_read_as_it_was_written() -> None:
    record = a_record(
        a_job(),
        status=Status.RETRYING,
        error=ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True),
        response=b"\xff",
        response_truncated=True,
        next_attempt=TEN_O_CLOCK,
        occurrence="20240115T100000Z",
        reason="preference_off",
    )

    assert ExecutionResult.from_json(record.to_json().encode()) == record
    assert ExecutionResult.from_json(GOLDEN.read_bytes()).error == record.error


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"{}", b"[" * 100_000, a_record(a_job(), response=b"abc").to_json()[:-2].encode()],
)
def test_a_record_of_another_hand_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValueError, match="something else wrote it"):
        ExecutionResult.from_json(text)
