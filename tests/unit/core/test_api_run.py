from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.api_run import due_run, is_api_task_id, right_instant, triggered_message
from taskqueue.core.api_task import API_USER, ApiPriority, TaskType
from taskqueue.core.due import GRACE
from taskqueue.core.ids import scheduled_job_id, triggered_jobs
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.job import JobSource
from taskqueue.core.task import Priority
from tests.support.api_values import NOON, an_api_task, numbered_id
from tests.support.values import TEN_O_CLOCK

ONE = numbered_id(1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def test_a_cron_task_runs_for_its_instant_and_is_due_again_at_the_following_one() -> None:
    run = due_run(an_api_task(), NOON, NOON + SECOND)
    assert (run.scheduled_at, run.following) == (NOON, NOON + DAY)


def test_after_an_outage_only_the_latest_instant_is_made_up_for() -> None:
    run = due_run(an_api_task(), NOON, NOON + 3 * DAY + SECOND)
    assert (run.scheduled_at, run.following) == (NOON + 3 * DAY, NOON + 4 * DAY)


def test_a_task_that_runs_once_does_so_however_late_and_never_again() -> None:
    task = an_api_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    run = due_run(task, NOON, NOON + 400 * DAY)
    assert (run.scheduled_at, run.following) == (NOON, None)


def test_an_interval_is_due_again_after_its_value() -> None:
    every = Every(kind=EveryKind.HOURLY, value=2)
    run = due_run(an_api_task(task_type=TaskType.INTERVAL, interval=every), NOON, NOON + SECOND)
    assert run.following == NOON + timedelta(hours=2)


@given(late=st.timedeltas(min_value=timedelta(0), max_value=60 * DAY), minutes=st.sampled_from(["*/7", "*", "30"]))
def test_the_run_is_for_the_last_instant_until_now_and_the_next_one_lies_ahead(late: timedelta, minutes: str) -> None:
    task = an_api_task(schedule_expression=f"{minutes} * * * *")
    due = task.rule().next_after(TEN_O_CLOCK)
    assert due is not None
    now = due + late
    run = due_run(task, due, now)
    assert due <= run.scheduled_at <= now
    assert run.following is not None
    assert run.following > now
    assert task.rule().next_after(run.scheduled_at) == run.following


@pytest.mark.parametrize(
    ("at", "right"),
    [
        (NOON, NOON),
        # That of noon has run while the clock was ahead.
        (NOON + DAY, NOON + DAY),
        (NOON + 2 * DAY, NOON),
        (NOON + 400 * DAY, NOON),
        # By an older database of time zones.
        (NOON + HOUR, NOON),
        (NOON - HOUR, NOON),
        # What has come is being let run.
        (TEN_O_CLOCK, TEN_O_CLOCK),
        (TEN_O_CLOCK - HOUR, TEN_O_CLOCK - HOUR),
    ],
)
def test_a_next_instant_is_right_at_the_first_two_of_the_rule_and_once_it_has_come(
    at: datetime, right: datetime
) -> None:
    assert right_instant(an_api_task(), at, TEN_O_CLOCK) == right


def test_the_only_instant_of_a_task_is_right_whatever_the_clock() -> None:
    task = an_api_task(task_type=TaskType.ONE_TIME, run_at=NOON + 400 * DAY)
    assert right_instant(task, NOON + 400 * DAY, TEN_O_CLOCK) == NOON + 400 * DAY


def test_a_next_instant_is_right_where_the_rule_has_none_any_more() -> None:
    last = datetime(9998, 12, 31, 12, tzinfo=UTC)
    assert right_instant(an_api_task(), last + HOUR, last) == last + HOUR


@given(ahead=st.timedeltas(min_value=timedelta(0), max_value=60 * DAY), minutes=st.sampled_from(["*/7", "*", "30"]))
def test_a_clock_that_was_ahead_leaves_no_task_silent_for_more_than_two_intervals(
    ahead: timedelta, minutes: str
) -> None:
    task = an_api_task(schedule_expression=f"{minutes} * * * *")
    rule = task.rule()
    found = rule.next_after(NOON + ahead)
    first = rule.next_after(NOON)
    assert found is not None
    assert first is not None
    assert right_instant(task, found, NOON) in {first, rule.next_after(first)}


def test_the_job_is_the_same_whoever_lets_it_run_and_belongs_to_the_audience_of_one() -> None:
    run = due_run(an_api_task(priority=ApiPriority.HIGH), NOON, NOON + SECOND)
    job = run.message(b"{}", JobSource.API, NOON + SECOND).job
    assert job.id == run.job_id == scheduled_job_id(ONE, API_USER, NOON)
    assert (job.task_type_id, job.user_id, job.priority) == (ONE, API_USER, Priority.HIGH)
    assert (job.attempt, job.payload, job.created_at) == (1, b"{}", NOON + SECOND)


def test_a_task_that_is_put_back_to_an_instant_it_has_run_for_gets_another_job() -> None:
    once = [an_api_task(task_type=TaskType.ONE_TIME, run_at=NOON, revision=revision) for revision in (1, 2, 3)]
    assert len({due_run(task, NOON, NOON).job_id for task in once}) == 3
    often = [an_api_task(revision=revision) for revision in (1, 2, 3)]
    assert len({due_run(task, NOON, NOON).job_id for task in often}) == 1


def execute_after(now: datetime) -> datetime:
    return due_run(an_api_task(), NOON, now).message(b"", JobSource.API, now).job.execute_after


def test_a_run_that_is_made_up_for_counts_its_age_from_now() -> None:
    assert execute_after(NOON + GRACE) == NOON
    assert execute_after(NOON + GRACE + SECOND) == NOON + GRACE + SECOND


def test_a_run_counts_for_no_occurrence_whatever_let_it_run() -> None:
    run = due_run(an_api_task(), NOON, NOON)
    for source in (JobSource.API, JobSource.DEPENDENCY):
        message = run.message(b"", source, NOON)
        assert (message.metadata.source, message.occurrence) == (source.value, None)


def test_a_triggered_job_is_due_now_and_bears_the_request_that_asked_for_it() -> None:
    message = triggered_message(an_api_task(), b"[1]", "trigger-1", "request-1", NOON)
    assert message.job.id == triggered_jobs(ONE, "trigger-1")(API_USER)
    assert (message.job.scheduled_at, message.job.execute_after) == (NOON, NOON)
    assert (message.metadata.source, message.metadata.correlation_id) == ("trigger", "request-1")


def test_the_ids_of_tasks_of_the_api_are_told_from_those_of_the_file() -> None:
    assert is_api_task_id(ONE)
    assert not is_api_task_id("daily_report")
    assert not is_api_task_id(ONE.upper().replace("0", "A"))
    assert not is_api_task_id(ONE + "\n")
