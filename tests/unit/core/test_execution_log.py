from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.execution import ErrorDetail
from taskqueue.core.execution_log import log_of, only_attempt
from taskqueue.core.log_line import Level, LogLine
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status
from tests.support.values import TEN_O_CLOCK, a_job, a_record, an_attempt

LATER = TEN_O_CLOCK + timedelta(seconds=30)
UNAVAILABLE = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=False)


def said(lines: tuple[LogLine, ...]) -> list[tuple[str, str]]:
    return [(line.level.value, line.message) for line in lines]


def test_a_job_that_succeeded_at_once_has_the_lines_of_its_one_attempt() -> None:
    record = a_record(a_job())
    only = only_attempt(record)
    assert only is not None

    assert said(log_of(record, [only], [])) == [
        ("INFO", "attempt 1 began on worker-1"),
        ("INFO", "answered 2xx in 250 ms"),
    ]


def test_an_attempt_that_is_followed_by_another_says_when() -> None:
    attempt = an_attempt(http_status=503, next_attempt=LATER)

    assert said(log_of(None, [attempt], []))[1] == (
        "WARNING",
        "answered 503 in 250 ms; attempt 2 is due at 2024-01-15T10:00:30Z",
    )


def test_an_attempt_without_an_answer_says_why() -> None:
    attempt = an_attempt(http_status=None, code="dns_failure", message="reports.example: the name cannot be resolved")

    assert said(log_of(None, [attempt], []))[1] == (
        "WARNING",
        "dns_failure in 250 ms: reports.example: the name cannot be resolved",
    )


@pytest.mark.parametrize(
    ("status", "error", "reason", "line"),
    [
        (Status.FAILED, UNAVAILABLE, None, ("ERROR", "failed for good: http_503: the endpoint answered 503")),
        (Status.SKIPPED, None, "preference_off", ("INFO", "skipped: preference_off")),
        (Status.SKIPPED, None, None, ("INFO", "skipped")),
        (Status.CANCELLED, None, "cancelled", ("WARNING", "cancelled")),
        (Status.CANCELLED, UNAVAILABLE, None, ("WARNING", "cancelled: the endpoint answered 503")),
    ],
)
def test_the_end_of_a_job_is_a_line(
    status: Status, error: ErrorDetail | None, reason: str | None, line: tuple[str, str]
) -> None:
    record = a_record(a_job(), status=status, error=error, reason=reason)

    assert said(log_of(record, [], [])) == [line]


@pytest.mark.parametrize("status", [Status.RETRYING, Status.SUCCESS])
def test_what_is_no_end_or_was_told_by_its_answer_has_no_line_of_its_own(status: Status) -> None:
    assert log_of(a_record(a_job(), status=status), [], []) == ()


def test_of_one_instant_returned_lines_stand_before_the_answer_that_brought_them() -> None:
    attempt = an_attempt(outcome=OutcomeClass.SUCCESS, http_status=200)
    returned = LogLine(timestamp=attempt.completed_at, level=Level.INFO, message="12 reports")

    messages = [line.message for line in log_of(None, [attempt], [returned])]

    assert messages == ["attempt 1 began on worker-1", "12 reports", "answered 200 in 250 ms"]


def test_of_a_job_of_which_nothing_is_kept_nothing_is_said() -> None:
    assert log_of(None, [], []) == ()


@given(st.lists(st.timedeltas(timedelta(-1), timedelta(1)), max_size=10), st.integers(0, 5))
def test_lines_are_in_the_order_of_their_time_and_none_is_lost(offsets: list[timedelta], attempts: int) -> None:
    returned = [
        LogLine(timestamp=TEN_O_CLOCK + offset, level=Level.INFO, message=str(number))
        for number, offset in enumerate(offsets)
    ]
    lines = log_of(None, [an_attempt(attempt=number + 1) for number in range(attempts)], returned)

    assert [line.timestamp for line in lines] == sorted(line.timestamp for line in lines)
    assert len(lines) == len(offsets) + 2 * attempts


@pytest.mark.parametrize("changes", [{"status": Status.FAILED}, {"status": Status.SKIPPED}, {"attempt": 2}])
def test_only_a_success_at_once_is_told_from_its_record(changes: dict[str, object]) -> None:
    assert only_attempt(a_record(a_job(), **changes)) is None
