from __future__ import annotations

from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.core.ids import scheduled_job_id, triggered_jobs
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import Progress, cohort_id, rule_text, scheduled_occurrence_id
from tests.support.values import TEN_O_CLOCK, an_occurrence

AT_SEVEN = Every(kind=EveryKind.DAILY, value=1, timezone="Europe/Paris", at_time=time(7))


@given(users=st.integers(1, 500), seconds=st.integers(0, 3600))
def test_the_users_of_an_occurrence_start_in_order_within_its_window(users: int, seconds: int) -> None:
    window = timedelta(seconds=seconds)
    occurrence = an_occurrence(users=users, window=window)
    starts = [occurrence.execute_after(index) for index in range(users)]
    assert starts == sorted(starts)
    assert starts[0] == TEN_O_CLOCK
    assert starts[-1] < TEN_O_CLOCK + window or window == timedelta(0)


def test_offsets_count_from_the_late_start_of_a_late_occurrence() -> None:
    late = an_occurrence(starts_at=TEN_O_CLOCK + timedelta(hours=2))
    assert late.execute_after(3) == TEN_O_CLOCK + timedelta(hours=2, seconds=30)
    assert late.scheduled_at == TEN_O_CLOCK


def test_a_late_start_does_not_change_the_jobs_ids() -> None:
    late = an_occurrence(starts_at=TEN_O_CLOCK + timedelta(hours=2))
    assert late.job_id("u") == an_occurrence().job_id("u") == scheduled_job_id("daily_report", "u", TEN_O_CLOCK)


def test_the_jobs_of_a_trigger_are_known_by_the_trigger() -> None:
    trigger = an_occurrence(source=JobSource.TRIGGER, id="t-1")
    assert trigger.job_id("u") == triggered_jobs("daily_report", "t-1")("u")
    assert trigger.job_id("u") != an_occurrence(source=JobSource.TRIGGER, id="t-2").job_id("u")


def test_an_occurrence_is_named_so_that_the_task_parses_from_the_left() -> None:
    assert an_occurrence().member.split(":", 1) == ["daily_report", "20240115T100000Z"]


def test_an_occurrence_id_names_instant_and_cohort() -> None:
    assert scheduled_occurrence_id("", TEN_O_CLOCK) == "20240115T100000Z"
    assert scheduled_occurrence_id("0123456789abcdef", TEN_O_CLOCK) == "20240115T100000Z.0123456789abcdef"


def test_equal_rules_make_one_cohort() -> None:
    again = Every(kind=EveryKind.DAILY, value=1, timezone="Europe/Paris", at_time=time(7))
    assert cohort_id(again) == cohort_id(AT_SEVEN)
    assert cohort_id(Cron(expression="0  7 * * *")) == cohort_id(Cron(expression="0 7 * * *"))


@pytest.mark.parametrize(
    "other",
    [
        Every(kind=EveryKind.DAILY, value=2, timezone="Europe/Paris", at_time=time(7)),
        Every(kind=EveryKind.DAILY, value=1, timezone="Europe/Berlin", at_time=time(7)),
        Every(kind=EveryKind.DAILY, value=1, timezone="Europe/Paris", at_time=time(8)),
        Cron(expression="0 7 * * *", timezone="Europe/Paris"),
    ],
    ids=rule_text,
)
def test_another_rule_makes_another_cohort(other: Every | Cron) -> None:
    assert cohort_id(other) != cohort_id(AT_SEVEN)


def test_a_cohort_id_never_changes() -> None:
    # It stands in occurrence ids and due entries that outlive an upgrade.
    assert rule_text(AT_SEVEN) == '{"at_time":"07:00","timezone":"Europe/Paris","type":"daily","value":1}'
    assert cohort_id(AT_SEVEN) == "fcae85ec280f7535"


@pytest.mark.parametrize(
    ("progress", "finished"),
    [
        (Progress(), False),
        (Progress(complete=True), True),
        (Progress(planned=3, released=3), False),
        (Progress(planned=3, released=2, complete=True), False),
        (Progress(planned=3, released=3, complete=True), True),
    ],
    ids=str,
)
def test_an_occurrence_is_finished_when_all_are_planned_and_all_planned_released(
    progress: Progress, finished: bool
) -> None:
    assert progress.finished is finished
