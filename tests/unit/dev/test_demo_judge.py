from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.dev.demo_expectation import ExpectedJob
from taskqueue.dev.demo_judge import Defect, Evidence, Kind, SeenCall, SeenFailure, SeenPlan, judge

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
DUE = AT + timedelta(seconds=15)

JOB = ExpectedJob(
    task_id="report",
    user_id="anna",
    scheduled_from=AT,
    scheduled_until=AT,
    window=timedelta(seconds=30),
    method="POST",
    path="/ok",
    fields={"user_id": "anna"},
    attempts=1,
    succeeds=True,
    triggered=False,
    called=True,
    required=True,
)
CALL = SeenCall(
    at=DUE,
    task_id="report",
    user_id="anna",
    job_id="j1",
    scheduled_at=AT,
    attempt=1,
    method="POST",
    path="/ok",
    fields={"user_id": "anna"},
    status=200,
)
PLAN = SeenPlan(
    key="list",
    task_id="report",
    cohort="",
    user_id="anna",
    scheduled_at=AT,
    slot=0,
    slots=1,
    index=1,
    users=2,
    window=timedelta(seconds=30),
)
FLAKY = replace(JOB, attempts=3)
BROKEN = replace(JOB, attempts=2, succeeds=False)
FAILURE = SeenFailure(task_id="report", user_id="anna", scheduled_at=AT, attempts=2, reason="retries_exhausted")


def attempts(*statuses: int | None) -> list[SeenCall]:
    return [
        replace(CALL, at=DUE + timedelta(seconds=number), attempt=number, status=status)
        for number, status in enumerate(statuses, start=1)
    ]


def verdict(
    job: ExpectedJob | None = JOB,
    *,
    calls: list[SeenCall] | None = None,
    failures: list[SeenFailure] | None = None,
    planned: list[SeenPlan] | None = None,
) -> list[Defect]:
    evidence = Evidence(
        calls=[CALL] if calls is None else calls,
        failures=failures or [],
        planned=[PLAN] if planned is None else planned,
    )
    return judge([job] if job else [], evidence)


def kinds(defects: list[Defect]) -> list[Kind]:
    return [defect.kind for defect in defects]


def test_a_job_that_was_called_once_in_time_is_right() -> None:
    assert verdict() == []


def test_a_job_that_was_never_called_is_lost_and_named() -> None:
    (defect,) = verdict(calls=[])

    assert defect.kind is Kind.LOST
    assert "report for anna at 05:06:00" in str(defect)


def test_a_second_call_after_success_is_doubled_and_named() -> None:
    (defect,) = verdict(calls=[CALL, replace(CALL, at=DUE + timedelta(seconds=1))])

    assert defect.kind is Kind.DOUBLED
    assert "report for anna" in str(defect)
    assert "j1" in str(defect)


def test_two_jobs_for_one_user_and_instant_are_doubled() -> None:
    assert kinds(verdict(calls=[CALL, replace(CALL, job_id="j2")])) == [Kind.DOUBLED]


def test_a_call_before_the_users_place_in_the_window_is_early_and_named() -> None:
    (defect,) = verdict(calls=[replace(CALL, at=DUE - timedelta(milliseconds=50))])

    assert defect.kind is Kind.EARLY
    assert "report for anna" in str(defect)


def test_without_a_plan_a_call_is_early_before_its_occurrence() -> None:
    call = replace(CALL, at=AT - timedelta(seconds=1))

    assert Kind.EARLY in kinds(verdict(calls=[call], planned=[]))


def test_what_the_rounding_to_milliseconds_takes_is_not_early() -> None:
    assert verdict(calls=[replace(CALL, at=DUE - timedelta(milliseconds=1))]) == []


def test_a_first_attempt_long_after_the_window_is_late() -> None:
    assert kinds(verdict(calls=[replace(CALL, at=AT + timedelta(seconds=41))])) == [Kind.LATE]


@pytest.mark.parametrize(
    "change", [{"user_id": "unknown"}, {"task_id": "other"}, {"scheduled_at": AT + timedelta(minutes=1)}]
)
def test_a_call_that_nobody_expected_is_told(change: dict[str, object]) -> None:
    assert kinds(verdict(calls=[CALL, replace(CALL, **change)])) == [Kind.UNEXPECTED]


def test_a_call_for_a_user_who_opted_out_is_told() -> None:
    assert kinds(verdict(replace(JOB, called=False))) == [Kind.UNEXPECTED]


def test_a_user_who_opted_out_and_was_not_called_is_right() -> None:
    assert verdict(replace(JOB, called=False), calls=[]) == []


@pytest.mark.parametrize("change", [{"fields": {}}, {"method": "GET"}, {"path": "/other"}])
def test_a_call_with_other_content_is_wrong(change: dict[str, object]) -> None:
    assert kinds(verdict(calls=[replace(CALL, **change)])) == [Kind.WRONG_CALL]


def test_a_job_that_succeeds_at_its_third_attempt_is_right() -> None:
    assert verdict(FLAKY, calls=attempts(500, 500, 200)) == []


@pytest.mark.parametrize("statuses", [(500, 500), (500, 500, None), (200,), (500, 500, 500, 200)])
def test_other_attempts_than_expected_are_told(statuses: tuple[int | None, ...]) -> None:
    assert kinds(verdict(FLAKY, calls=attempts(*statuses))) == [Kind.ATTEMPTS]


def test_attempts_that_are_not_counted_from_one_are_told() -> None:
    assert kinds(verdict(calls=[replace(CALL, attempt=2)])) == [Kind.ATTEMPTS]


def test_a_job_that_fails_for_good_is_in_the_failed_queue_once() -> None:
    assert verdict(BROKEN, calls=attempts(500, 500), failures=[FAILURE]) == []


@pytest.mark.parametrize("failures", [[], [FAILURE, FAILURE], [replace(FAILURE, attempts=1)]])
def test_a_job_that_is_not_once_in_the_failed_queue_is_told(failures: list[SeenFailure]) -> None:
    assert kinds(verdict(BROKEN, calls=attempts(500, 500), failures=failures)) == [Kind.FAILED_QUEUE]


def test_a_job_that_succeeds_must_not_be_in_the_failed_queue() -> None:
    assert kinds(verdict(failures=[FAILURE])) == [Kind.FAILED_QUEUE]


def test_an_optional_job_need_not_be_called_nor_finished() -> None:
    optional = replace(FLAKY, required=False)

    assert verdict(optional, calls=[], planned=[]) == []
    assert verdict(optional, calls=attempts(500, 500), planned=[]) == []


def test_an_optional_job_must_not_be_doubled() -> None:
    optional = replace(JOB, required=False)

    assert kinds(verdict(optional, calls=attempts(200, 200), planned=[])) == [Kind.DOUBLED]


def test_a_user_who_is_in_no_slot_list_is_told() -> None:
    assert kinds(verdict(planned=[])) == [Kind.PLAN]


@pytest.mark.parametrize("extra", [PLAN, replace(PLAN, user_id="unknown")])
def test_a_user_who_is_in_a_slot_list_and_should_not_be_is_told(extra: SeenPlan) -> None:
    assert kinds(verdict(planned=[PLAN, extra])) == [Kind.PLAN]


def test_slots_that_differ_by_more_than_one_user_are_told() -> None:
    jobs = [replace(JOB, user_id=name, called=False) for name in "ab"]
    planned = [replace(PLAN, user_id=name, slots=2) for name in "ab"]

    assert kinds(judge(jobs, Evidence(planned=planned))) == [Kind.PLAN]


def test_a_trigger_is_found_between_the_instants_at_which_it_was_sent() -> None:
    triggered = replace(JOB, scheduled_until=AT + timedelta(seconds=1), triggered=True)
    call = replace(CALL, scheduled_at=AT + timedelta(milliseconds=400))

    assert verdict(triggered, calls=[call], planned=[]) == []
