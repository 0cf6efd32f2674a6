from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from taskqueue.broker.failed import failed_message, with_request
from taskqueue.broker.publisher import Outgoing
from taskqueue.core.task import Target
from tests.support.values import a_task, an_attempt

FAILED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def failed(*, body: bytes = b"\xff not json", message_id: str | None = "job", error_message: str = "boom") -> Outgoing:
    return failed_message(
        body,
        message_id=message_id,
        reason="exhausted",
        error_code="http_500",
        error_message=error_message,
        attempts=4,
        failed_at=FAILED_AT,
        queue="taskqueue.jobs.low",
    )


def test_the_body_and_the_id_are_those_of_the_job() -> None:
    message = failed()

    assert (message.body, message.message_id, message.routing_key) == (b"\xff not json", "job", "jobs.failed")


def test_the_headers_say_why_when_and_where() -> None:
    assert failed().headers == {
        "taskqueue-reason": "exhausted",
        "taskqueue-error-code": "http_500",
        "taskqueue-error-message": "boom",
        "taskqueue-attempts": 4,
        "taskqueue-failed-at": "2026-01-02T03:04:05Z",
        "taskqueue-queue": "taskqueue.jobs.low",
    }


def test_a_message_without_an_id_gets_one_of_its_own() -> None:
    assert failed(message_id=None).message_id != failed(message_id=None).message_id


@given(st.text(alphabet=st.characters(codec=None), max_size=2000))
def test_the_error_message_is_at_most_a_kibibyte_of_valid_text(text: str) -> None:
    cut = str(failed(error_message=text).headers["taskqueue-error-message"])

    assert len(cut.encode()) <= 1024
    assert text.encode(errors="replace").decode().startswith(cut)


def test_the_request_stands_there_as_its_definition_has_it() -> None:
    endpoint = "https://${env:HOST}/users/{user_id}?key=${env:KEY}"
    task = a_task(target=Target(endpoint=endpoint, method="PUT", headers={"Authorization": "${env:TOKEN}"}))

    headers = with_request(failed(), task, ()).headers

    assert headers == {
        **failed().headers,
        "taskqueue-task": "daily_report",
        "taskqueue-method": "PUT",
        "taskqueue-endpoint": endpoint,
        "taskqueue-host": "https://${env:HOST}",
        "taskqueue-outcomes": "[]",
    }


def test_the_last_ten_outcomes_are_told_by_status_or_code() -> None:
    attempts = [an_attempt(attempt=number) for number in range(1, 15)]
    attempts.append(an_attempt(attempt=15, http_status=None, code="connect_refused"))

    outcomes = json.loads(str(with_request(failed(), a_task(), attempts).headers["taskqueue-outcomes"]))

    at = "2024-01-15T10:00:00.250000Z"
    assert [outcome["attempt"] for outcome in outcomes] == list(range(6, 16))
    assert outcomes[0] == {"attempt": 6, "at": at, "status": 503}
    assert outcomes[-1] == {"attempt": 15, "at": at, "code": "connect_refused"}


def test_a_long_endpoint_is_cut() -> None:
    task = a_task(target=Target(endpoint="https://api.example.com/" + "ä" * 5000))

    headers = with_request(failed(), task, ()).headers

    assert len(str(headers["taskqueue-endpoint"]).encode()) == 2048
