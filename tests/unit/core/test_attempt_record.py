from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.outcome import OutcomeClass
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, an_attempt, texts


@given(
    attempt=st.integers(1, 100),
    outcome=st.sampled_from(OutcomeClass),
    http_status=st.none() | st.integers(100, 599),
    message=texts,
    wait=st.none() | st.timedeltas(timedelta(0), timedelta(days=1)),
)
def test_what_is_written_is_read_again(
    attempt: int, outcome: OutcomeClass, http_status: int | None, message: str, wait: timedelta | None
) -> None:
    record = an_attempt(
        attempt=attempt,
        outcome=outcome,
        http_status=http_status,
        message=message[:500],
        next_attempt=None if wait is None else TEN_O_CLOCK + wait,
    )

    assert AttemptRecord.from_json(record.to_json().encode()) == record


def test_what_there_is_not_is_left_out() -> None:
    record = an_attempt(outcome=OutcomeClass.SUCCESS, http_status=None, code="", message="")

    assert record.as_dict().keys() == {"attempt", "started_at", "completed_at", "outcome", "worker_id"}


def test_a_long_message_is_cut_for_the_history() -> None:
    assert len(str(an_attempt(message="x" * 1000).as_dict()["message"])) == 500


def test_it_is_written_in_ascii() -> None:
    assert an_attempt(message="später \x1b[2J").to_json().isascii()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"spoilt",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        an_attempt().to_json().replace('"attempt":1', '"attempt":"x"').encode(),
        an_attempt().to_json().replace("retryable", "unheard-of").encode(),
        an_attempt().to_json().replace("2024-01-15", "yesterday").encode(),
    ],
)
def test_what_another_hand_wrote_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValueError, match="something else wrote it"):
        AttemptRecord.from_json(text)
