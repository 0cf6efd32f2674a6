from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from taskqueue.broker.failed import failed_message
from taskqueue.broker.publisher import Outgoing

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
