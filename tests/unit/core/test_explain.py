from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskqueue.core.dependency import DependencyType
from taskqueue.core.explain import KEPT, Run, Share, explain_run, explain_share, job_verdict, presumed_slot
from taskqueue.core.explain_texts import TEXTS
from taskqueue.core.explanation import (
    DependencyFacts,
    Explanation,
    JobFacts,
    OccurrenceState,
    Place,
    PreferenceFacts,
    SlotFacts,
    TaskFacts,
)
from taskqueue.core.file_task import in_slot_order
from taskqueue.core.occurrence import Progress
from taskqueue.core.preference import Enablement, Rule
from taskqueue.core.skipped import SkippedInstants
from taskqueue.core.state import Status
from taskqueue.core.task import TaskSource
from taskqueue.core.verdict import Verdict
from tests.support.values import TEN_O_CLOCK, an_attempt, an_occurrence

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
NOW = TEN_O_CLOCK + 5 * MINUTE
USER = "user-1"

TASK = TaskFacts(
    task_id="daily_report", source=TaskSource.FILE, enabled=True, interval={"type": "daily"}, max_age=24 * HOUR
)
ON = PreferenceFacts(decided=Enablement(enabled=True, rule=Rule.OWN_SWITCH), switch=True)
NOTHING = JobFacts(job_id="job-1")
OCCURRENCE = an_occurrence(users=100)
OPEN = Progress(planned=100, released=40, complete=True)
DUE = SlotFacts(number=3, planned_at=TEN_O_CLOCK + 30 * SECOND)


def a_share(**changes: Any) -> Share:
    """Return a user's share of the occurrence at ten, of which nothing is known."""
    return replace(Share(scheduled_at=TEN_O_CLOCK, job=NOTHING), **changes)


def a_job(status: Status | None = None, place: Place = Place.ENDED, **changes: Any) -> JobFacts:
    return replace(NOTHING, status=status, place=place, attempt=1, **changes)


def skipped(reason: str, noted_after: timedelta = HOUR) -> SkippedInstants:
    return SkippedInstants(
        first=TEN_O_CLOCK, until=TEN_O_CLOCK + HOUR, reason=reason, noted_at=TEN_O_CLOCK + noted_after
    )


def decided(rule: Rule) -> PreferenceFacts:
    return PreferenceFacts(decided=Enablement(enabled=False, rule=rule))


def explained(
    share: Share | None,
    *,
    task: TaskFacts = TASK,
    preference: PreferenceFacts = ON,
    following: Share | None = None,
    now: Any = NOW,
) -> Explanation:
    return explain_share(user_id=USER, now=now, task=task, preference=preference, latest=share, following=following)


def run(*, following: Any = TEN_O_CLOCK + HOUR, dependencies: Any = (), **facts: Any) -> Explanation:
    task = replace(TASK, source=TaskSource.API)
    return explain_run(now=NOW, task=task, run=Run(**facts), following=following, dependencies=dependencies)


#: what a job comes to by itself
JOBS: Mapping[Verdict, JobFacts] = {
    Verdict.SUCCEEDED: a_job(Status.SUCCESS),
    Verdict.FAILED: a_job(Status.FAILED, error_code="http_500"),
    Verdict.EXPIRED: a_job(Status.FAILED, error_code="expired"),
    Verdict.CANCELLED: a_job(None, Place.QUEUE, cancelled=True),
    Verdict.SKIPPED_PREFERENCE_OFF: a_job(Status.SKIPPED, reason="preference_off"),
    Verdict.SKIPPED_TASK_DISABLED: a_job(Status.SKIPPED, reason="task_disabled"),
    Verdict.SKIPPED_TASK_REMOVED: a_job(Status.SKIPPED, reason="task_removed"),
    Verdict.RUNNING: a_job(Status.RUNNING, Place.WORKER, worker_id="worker-1"),
    Verdict.CANCELLING: a_job(Status.RUNNING, Place.WORKER, worker_id="worker-1", cancelled=True),
    Verdict.WORKER_LOST: a_job(Status.PENDING, Place.QUEUE, worker_id="worker-1", worker_lost=True),
    Verdict.RETRYING: a_job(Status.RETRYING, Place.DELAYED, next_attempt_at=NOW, attempts=(an_attempt(),)),
    Verdict.HOST_CLOSED: a_job(Status.PENDING, Place.WAITING_LIST, waits_for="host:http%3A%2F%2Fa%3A80"),
    Verdict.WAITS_FOR_LIMIT: a_job(Status.PENDING, Place.WAITING_LIST, waits_for="task:daily_report"),
    Verdict.WAITS_FOR_TIME: a_job(Status.PENDING, Place.DELAYED, next_attempt_at=NOW),
}

#: it was the last instant before it was passed over
TOO_OLD = replace(skipped("missed", noted_after=25 * HOUR), until=TEN_O_CLOCK + 26 * HOUR)

#: what an occurrence comes to in which nothing is known of the user's job
SHARES: Mapping[Verdict, Share] = {
    Verdict.PLANNED: a_share(in_slot=True, slot=replace(DUE, planned_at=NOW + MINUTE), planned=(OCCURRENCE, OPEN)),
    Verdict.HELD_BACK: a_share(in_slot=True, slot=DUE, planned=(OCCURRENCE, OPEN)),
    Verdict.IN_QUEUE: a_share(slot=DUE, planned=(OCCURRENCE, OPEN)),
    Verdict.PLANNING: a_share(behind_cursor=True, planned=(OCCURRENCE, replace(OPEN, complete=False))),
    Verdict.NOT_IN_AUDIENCE: a_share(in_slot=False, planned=(OCCURRENCE, OPEN)),
    Verdict.NO_TRACE: a_share(slot=replace(DUE, planned_at=NOW - 25 * HOUR), planned=(OCCURRENCE, OPEN)),
    Verdict.NOT_DUE_YET: a_share(scheduled_at=NOW + HOUR, due_at=NOW + HOUR),
    Verdict.NOT_PLANNED_YET: a_share(due_at=TEN_O_CLOCK),
    Verdict.WAITS_FOR_PREVIOUS: a_share(due_at=TEN_O_CLOCK, waited=True),
    Verdict.OVERLAP_SKIPPED: a_share(skipped=skipped("overlap")),
    Verdict.MISSED: a_share(skipped=skipped("missed")),
    Verdict.TOO_OLD: a_share(skipped=TOO_OLD),
    Verdict.RULE_CHANGED: a_share(skipped=skipped("rule_changed")),
    Verdict.NOT_PLANNED: a_share(due_at=TEN_O_CLOCK + HOUR),
    Verdict.FORGOTTEN: a_share(scheduled_at=NOW - timedelta(days=8)),
}

#: what keeps the task from the user now
BLOCKED: Mapping[Verdict, Explanation] = {
    Verdict.TASK_REMOVED: explained(a_share(), task=replace(TASK, enabled=False, removed=True)),
    Verdict.TASK_PAUSED: explained(a_share(), task=replace(TASK, enabled=False, paused=True)),
    Verdict.TASK_DISABLED: explained(a_share(), task=replace(TASK, enabled=False)),
    Verdict.USER_OFF: explained(a_share(), preference=decided(Rule.OWN_SWITCH)),
    Verdict.USER_NOT_ON: explained(a_share(), preference=decided(Rule.DEFAULT_ENABLED)),
    Verdict.USER_UNKNOWN: explained(a_share(), preference=decided(Rule.NO_PREFERENCES)),
    Verdict.BEFORE_START: explained(None, task=replace(TASK, start_at=NOW + HOUR)),
    Verdict.AFTER_END: explained(None, task=replace(TASK, end_at=NOW - HOUR)),
    Verdict.NEVER_DUE: explained(None),
}

PARENT = DependencyFacts(
    task_id="parent-id", task_name="parent", type=DependencyType.SUCCESS, satisfied=False, ended_at=None
)

#: of tasks made through the API
RUNS: Mapping[Verdict, Explanation] = {
    Verdict.DEPENDENCY_OPEN: run(waiting_since=TEN_O_CLOCK, dependencies=(PARENT,)),
    Verdict.NEVER_RAN: run(),
    Verdict.TASK_OVER: run(over=True, following=None),
}


def test_every_verdict_has_a_case_here_and_a_text() -> None:
    assert {*JOBS, *SHARES, *BLOCKED, *RUNS} == set(Verdict) == set(TEXTS)


def test_the_page_lists_every_verdict() -> None:
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(Verdict)


@pytest.mark.parametrize(("verdict", "job"), JOBS.items(), ids=JOBS)
def test_a_job_of_which_something_is_known_says_what_became_of_it(verdict: Verdict, job: JobFacts) -> None:
    found = explained(a_share(job=job, planned=(OCCURRENCE, OPEN)))

    assert found.verdict is verdict
    assert found.job == job


@pytest.mark.parametrize(("verdict", "share"), SHARES.items(), ids=SHARES)
def test_without_a_trace_of_the_job_the_plan_says_what_became_of_it(verdict: Verdict, share: Share) -> None:
    assert explained(share).verdict is verdict


@pytest.mark.parametrize(("verdict", "found"), {**BLOCKED, **RUNS}.items(), ids={**BLOCKED, **RUNS})
def test_what_keeps_a_task_from_running_is_the_verdict(verdict: Verdict, found: Explanation) -> None:
    assert found.verdict is verdict


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_run_of_an_api_task_is_told_as_a_job_of_a_user_is(job: JobFacts) -> None:
    assert run(job=job, queued_at=TEN_O_CLOCK).verdict is job_verdict(job)


def test_a_run_that_is_due_and_not_queued_comes_before_the_one_that_ended() -> None:
    found = run(due_since=TEN_O_CLOCK, job=JOBS[Verdict.SUCCEEDED], queued_at=TEN_O_CLOCK - HOUR)

    assert (found.verdict, found.job) == (Verdict.NOT_PLANNED_YET, None)
    assert found.occurrence is not None
    assert (found.occurrence.scheduled_at, found.occurrence.state) == (TEN_O_CLOCK, OccurrenceState.UNPLANNED)


@pytest.mark.parametrize(("ago", "verdict"), [(KEPT + HOUR, Verdict.FORGOTTEN), (HOUR, Verdict.NO_TRACE)])
def test_a_run_without_a_record_is_in_no_queue(ago: timedelta, verdict: Verdict) -> None:
    found = run(job=NOTHING, queued_at=NOW - ago)

    assert (found.verdict, found.job) == (verdict, None)
    assert "user" not in found.reasons[0].message


def test_a_job_that_may_stand_in_rabbitmq_is_not_taken_for_lost_before_its_max_age() -> None:
    share = a_share(slot=DUE, planned=(OCCURRENCE, OPEN))

    assert explained(share, now=DUE.planned_at + 24 * HOUR).verdict is Verdict.IN_QUEUE
    assert explained(share, now=DUE.planned_at + 24 * HOUR + SECOND).verdict is Verdict.NO_TRACE


def test_of_a_job_that_only_the_plan_tells_of_it_is_said_when_there_is_none() -> None:
    condition = "if the user was switched on by 2024-01-15T09:59:00Z"

    assert condition in explained(SHARES[Verdict.IN_QUEUE]).reasons[0].message
    assert condition not in explained(a_share(job=a_job(Status.PENDING, Place.QUEUE))).reasons[0].message


@pytest.mark.parametrize(
    ("catch_up", "until", "verdict"),
    [
        ("all", 1, Verdict.TOO_OLD),
        ("latest", 26, Verdict.TOO_OLD),
        ("latest", 24, Verdict.MISSED),  # a later one was made up for
        ("none", 26, Verdict.MISSED),
    ],
)
def test_an_instant_is_too_old_only_where_a_longer_max_age_would_have_helped(
    catch_up: str, until: int, verdict: Verdict
) -> None:
    share = a_share(skipped=replace(TOO_OLD, until=TEN_O_CLOCK + until * HOUR))

    assert explained(share, task=replace(TASK, catch_up=catch_up)).verdict is verdict


def test_of_several_instants_that_are_too_old_latest_makes_up_for_the_last_alone() -> None:
    following = a_share(scheduled_at=TEN_O_CLOCK + HOUR)

    assert explained(a_share(skipped=TOO_OLD), following=following).verdict is Verdict.MISSED


def test_a_task_that_waits_names_what_it_waits_for() -> None:
    assert "parent (parent-id)" in RUNS[Verdict.DEPENDENCY_OPEN].reasons[0].message


def test_what_has_ended_is_told_without_what_holds_now() -> None:
    found = explained(a_share(job=JOBS[Verdict.SUCCEEDED]), preference=decided(Rule.OWN_SWITCH))

    assert [reason.code for reason in found.reasons] == [Verdict.SUCCEEDED]


def test_what_waits_is_told_with_what_will_keep_it_from_running() -> None:
    found = explained(a_share(job=JOBS[Verdict.WAITS_FOR_LIMIT]), preference=decided(Rule.OWN_SWITCH))

    assert [reason.code for reason in found.reasons] == [Verdict.WAITS_FOR_LIMIT, Verdict.USER_OFF]


def test_a_job_in_a_slot_whose_user_is_off_now_tells_that_first() -> None:
    found = explained(SHARES[Verdict.PLANNED], preference=decided(Rule.OWN_SWITCH))

    assert [reason.code for reason in found.reasons] == [Verdict.USER_OFF, Verdict.PLANNED]


def test_what_was_skipped_is_told_before_what_holds_now() -> None:
    found = explained(SHARES[Verdict.OVERLAP_SKIPPED], preference=decided(Rule.OWN_SWITCH))

    assert [reason.code for reason in found.reasons] == [Verdict.OVERLAP_SKIPPED, Verdict.USER_OFF]


def test_a_task_that_is_off_for_a_user_who_is_off_has_two_reasons() -> None:
    found = explained(a_share(), task=replace(TASK, enabled=False), preference=decided(Rule.OWN_SWITCH))

    assert [reason.code for reason in found.reasons] == [Verdict.TASK_DISABLED, Verdict.USER_OFF]


@pytest.mark.parametrize(
    ("share", "state"),
    [
        (a_share(planned=(OCCURRENCE, replace(OPEN, complete=False))), OccurrenceState.PLANNING),
        (a_share(planned=(OCCURRENCE, OPEN)), OccurrenceState.OPEN),
        (a_share(planned=(OCCURRENCE, replace(OPEN, released=100))), OccurrenceState.RELEASED),
        (a_share(skipped=skipped("missed")), OccurrenceState.SKIPPED),
        (a_share(due_at=TEN_O_CLOCK, waited=True), OccurrenceState.HELD),
        (a_share(scheduled_at=NOW + HOUR), OccurrenceState.UPCOMING),
        (a_share(), OccurrenceState.UNPLANNED),
    ],
)
def test_an_occurrence_says_how_far_it_has_got(share: Share, state: OccurrenceState) -> None:
    occurrence = explained(share).occurrence

    assert occurrence is not None
    assert occurrence.state is state


@pytest.mark.parametrize(
    ("share", "place"),
    [
        (SHARES[Verdict.PLANNED], Place.SLOT),
        (SHARES[Verdict.IN_QUEUE], Place.NOWHERE),
        (SHARES[Verdict.NOT_IN_AUDIENCE], None),
        (SHARES[Verdict.OVERLAP_SKIPPED], None),
    ],
)
def test_a_job_that_only_the_plan_tells_of_has_its_place(share: Share, place: Place | None) -> None:
    job = explained(share).job

    assert (None if job is None else job.place) is place


def test_the_job_says_how_late_it_began() -> None:
    job = a_job(Status.SUCCESS, started_at=DUE.planned_at + 3 * SECOND)

    assert job.as_dict(NOW, DUE)["late_ms"] == 3000


def test_the_next_occurrence_says_when_the_task_begins() -> None:
    found = explained(None, task=replace(TASK, start_at=NOW + MINUTE), following=a_share(scheduled_at=NOW + HOUR))

    assert [reason.code for reason in found.next.reasons] == [Verdict.NOT_DUE_YET, Verdict.BEFORE_START]


def test_after_the_last_occurrence_none_is_next() -> None:
    following = explained(a_share(), task=replace(TASK, end_at=NOW)).next

    assert (following.scheduled_at, following.reasons[0].code) == (None, Verdict.AFTER_END)


def test_a_user_id_stands_in_a_remedy_as_a_shell_takes_it() -> None:
    found = explain_share(
        user_id="a b;{x}", now=NOW, task=TASK, preference=decided(Rule.OWN_SWITCH), latest=a_share(), following=None
    )

    assert found.reasons[0].remedy == "taskqueue users enable daily_report 'a b;{x}'"


def test_texts_are_sentences_without_an_end() -> None:
    for message, remedy in TEXTS.values():
        for text in (message, remedy or "x"):
            assert text == text.strip(" .")
            assert all(name is None or name.isidentifier() for _, name, _, _ in Formatter().parse(text))


# --- about when it is a user's turn -----------------------------------------------------------------------------------


def test_the_presumed_turn_is_within_its_margin_for_99_of_100_users() -> None:
    users = in_slot_order("daily_report", [f"user-{number}" for number in range(2000)])
    occurrence = an_occurrence(users=len(users), window=HOUR)
    hits = 0
    for index, user in enumerate(users):
        slot = presumed_slot(occurrence, user)
        assert slot is not None
        hits += abs(slot.planned_at - occurrence.execute_after(index)) <= slot.margin

    assert hits >= 0.97 * len(users)


@settings(max_examples=50)
@given(users=st.integers(0, 1000), window_s=st.integers(0, 7200), user=st.text("abc", min_size=1, max_size=8))
def test_the_presumed_turn_lies_in_the_window(users: int, window_s: int, user: str) -> None:
    occurrence = an_occurrence(users=users, window=window_s * SECOND)
    slot = presumed_slot(occurrence, user)

    assert (slot is None) is (users == 0)
    if slot is not None:
        assert occurrence.starts_at <= slot.planned_at <= occurrence.starts_at + occurrence.window
        assert slot.number < occurrence.spread.slots
        assert slot.margin <= occurrence.window


@pytest.mark.parametrize(("users", "window"), [(1, HOUR), (50, timedelta(0))])
def test_with_one_user_or_no_window_the_turn_is_known(users: int, window: timedelta) -> None:
    slot = presumed_slot(an_occurrence(users=users, window=window), USER)

    assert slot is not None
    assert (slot.exact, slot.margin) == (True, timedelta(0))
