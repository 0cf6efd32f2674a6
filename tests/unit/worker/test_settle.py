from datetime import timedelta

import pytest

from taskqueue.core.retry import Cancel, Complete, Decision, Drop, Fail, Park, Retry, Skip
from taskqueue.telemetry.worker_events import DuplicateDropped, JobSettled, JobSkipped
from taskqueue.worker.settle import _event_of
from tests.support.fakes import JOB
from tests.support.values import TEN_O_CLOCK

LATER = TEN_O_CLOCK + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("decision", "name", "status", "reason", "next_attempt_at"),
    [
        (Complete(), "complete", "success", None, None),
        (Retry(at=LATER), "retry", None, None, LATER),
        (Park(until=LATER, reason="early"), "park", None, "early", LATER),
        (Fail(reason="permanent", code="http_410", detail="gone"), "fail", "failed", "permanent", None),
        (Cancel(), "cancel", "cancelled", None, None),
    ],
)
def test_what_was_done_is_told_with_the_status_only_where_it_is_the_end(
    decision: Decision, name: str, status: str | None, reason: str | None, next_attempt_at: object
) -> None:
    event = _event_of(JOB, decision)

    assert isinstance(event, JobSettled)
    assert (event.decision, event.status, event.reason) == (name, status, reason)
    assert event.next_attempt_at == next_attempt_at


@pytest.mark.parametrize(("reason", "status"), [("preference_off", "skipped"), ("cancelled", "cancelled")])
def test_a_skip_is_told_as_such(reason: str, status: str) -> None:
    event = _event_of(JOB, Skip(reason=reason))

    assert isinstance(event, JobSkipped)
    assert (event.reason, event.status) == (reason, status)


def test_a_copy_is_told_as_such() -> None:
    assert _event_of(JOB, Drop(reason="success")) == DuplicateDropped(task="daily_report", job_id=JOB.id)
