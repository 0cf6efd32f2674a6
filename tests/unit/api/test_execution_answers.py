from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.api.execution_answers import details_answer, result_of, row_answer
from taskqueue.core.execution import ErrorDetail
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status
from taskqueue.store.api_executions import Execution
from tests.support.values import TEN_O_CLOCK, a_job, a_record, an_attempt


def shown(body: bytes, **record: Any) -> object:
    return result_of(a_record(a_job(), response=body, **record))


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"records_processed": 10000}', {"records_processed": 10000}),
        (b"[1, 2.5, null]", [1, 2.5, None]),
        (b'"done"', "done"),
        (b"0", 0),
        (b"null", None),
    ],
)
def test_an_answer_that_is_json_is_the_result(body: bytes, result: object) -> None:
    assert shown(body) == result


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>",
        b"{",
        b"[NaN]",
        b"[1e999]",
        b'{"a": 1, "a": 2}',
        b'"\\ud800"',
        b"[" * 65 + b"]" * 65,
        b"[" * 100_000,
        b"1" * 5000,
    ],
    ids=["html", "half", "nan", "beyond floats", "key twice", "surrogate", "65 deep", "100k deep", "5000 digits"],
)
def test_what_not_every_reader_would_read_alike_is_shown_as_text(body: bytes) -> None:
    assert shown(body) == {"body": body.decode()}


def test_an_answer_that_is_no_text_is_shown_in_base64() -> None:
    assert shown(b"\xff\xfe") == {"body": "//4=", "encoding": "base64"}


def test_an_answer_that_was_cut_says_so_even_where_its_head_is_json() -> None:
    assert shown(b"12", response_truncated=True) == {"body": "12", "truncated": True}
    assert shown(b"\xff", response_truncated=True) == {"body": "/w==", "encoding": "base64", "truncated": True}


@given(st.binary(max_size=200))
def test_any_answer_can_be_shown(body: bytes) -> None:
    json.dumps(shown(body), allow_nan=False, ensure_ascii=False).encode()


def test_an_answer_without_a_body_has_no_result() -> None:
    assert shown(b"") is None


def test_an_execution_that_is_pending_has_no_times_and_no_worker() -> None:
    row = row_answer(Execution(execution_id="e", task_id="t", status=Status.PENDING, queued_at=TEN_O_CLOCK))

    assert row.model_dump(mode="json") == {
        "execution_id": "e",
        "task_id": "t",
        "worker_id": None,
        "started_at": None,
        "completed_at": None,
        "duration_ms": None,
        "status": "pending",
        "retry_number": 0,
        "queued_at": "2024-01-15T10:00:00Z",
    }


def test_the_details_of_a_retrying_execution_say_when_it_is_tried_again_and_why() -> None:
    following = TEN_O_CLOCK + timedelta(seconds=5)
    error = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True)
    execution = Execution(
        execution_id="e",
        task_id="t",
        status=Status.RETRYING,
        worker_id="worker-1",
        started_at=TEN_O_CLOCK,
        retry_number=1,
        record=a_record(a_job(), status=Status.RETRYING, error=error, next_attempt=following),
        attempts=(an_attempt(), an_attempt(attempt=2, next_attempt=following)),
    )

    details = details_answer(execution).model_dump(mode="json")

    assert (details["retry_number"], details["is_retry"]) == (1, True)
    assert details["error"] == {"code": "http_503", "message": "the endpoint answered 503", "retry": True}
    assert details["next_attempt_at"] == "2024-01-15T10:00:05Z"
    assert (details["completed_at"], details["duration_ms"]) == (None, None)
    assert [attempt["attempt"] for attempt in details["attempts"]] == [1, 2]
    assert details["attempts"][1]["next_attempt_at"] == "2024-01-15T10:00:05Z"


def test_an_attempt_that_succeeded_has_no_error() -> None:
    attempt = an_attempt(outcome=OutcomeClass.SUCCESS, http_status=200, code="", message="")
    execution = Execution(execution_id="e", task_id="t", status=Status.SUCCESS, attempts=(attempt,))

    view = details_answer(execution).attempts[0]

    assert (view.error_code, view.error_message, view.duration_ms) == (None, None, 250)
