from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.cron import Cron
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.occurrence import cohort_id, rule_text
from taskqueue.core.task import MAX_CONCURRENCY, Bounded
from taskqueue.errors import InvalidValueError
from tests.support.values import TEN_O_CLOCK, a_task, instants

HOUR = timedelta(hours=1)
HOURLY = Every(kind=EveryKind.HOURLY, value=1)

lengths = st.timedeltas(timedelta(), timedelta(days=90))


def test_without_bounds_the_rule_is_the_interval_itself() -> None:
    assert a_task(interval=HOURLY).rule() is HOURLY


def test_nothing_is_due_before_start_at_nor_after_end_at_but_at_both() -> None:
    rule = a_task(interval=HOURLY, start_at=TEN_O_CLOCK, end_at=TEN_O_CLOCK + HOUR).rule()
    assert rule.next_after(TEN_O_CLOCK - 50 * HOUR) == TEN_O_CLOCK
    assert rule.next_after(TEN_O_CLOCK) == TEN_O_CLOCK + HOUR
    assert rule.next_after(TEN_O_CLOCK + HOUR) is None


def test_bounds_hold_for_the_interval_of_a_cohort_too() -> None:
    task = a_task(interval=HOURLY, start_at=TEN_O_CLOCK)
    own = Cron(expression="30 * * * *")
    assert task.rule(own).next_after(TEN_O_CLOCK - 50 * HOUR) == TEN_O_CLOCK + HOUR / 2


def test_other_bounds_make_another_rule_and_the_same_cohorts() -> None:
    starts = [None, TEN_O_CLOCK, TEN_O_CLOCK + HOUR]
    tasks = [a_task(interval=HOURLY, start_at=start, end_at=end) for start in starts for end in (None, starts[-1])]
    assert len({rule_text(task.rule()) for task in tasks}) == len(tasks)
    assert len({cohort_id(task.interval) for task in tasks}) == 1


@pytest.mark.parametrize("number", [0, -1, MAX_CONCURRENCY + 1])
def test_a_number_of_jobs_at_a_time_that_makes_no_sense_is_refused(number: int) -> None:
    with pytest.raises(InvalidValueError, match=f"max_concurrency {number}: use 1 to 100000, or null"):
        a_task(max_concurrency=number)


def test_a_rule_shows_its_bounds_as_tasks_yaml_would() -> None:
    rule = Bounded(interval=HOURLY, end_at=TEN_O_CLOCK)
    assert rule.as_dict() == {"type": "hourly", "value": 1, "timezone": "UTC", "end_at": "2024-01-15T10:00:00Z"}


@given(asked=instants(2023, 2025), start_at=st.none() | instants(2023, 2024), length=st.none() | lengths)
def test_a_bounded_rule_has_the_instants_of_its_interval_between_the_bounds(
    asked: datetime, start_at: datetime | None, length: timedelta | None
) -> None:
    end_at = None if length is None else (start_at or TEN_O_CLOCK) + length
    found = Bounded(interval=HOURLY, start_at=start_at, end_at=end_at).next_after(asked)
    usual = HOURLY.next_after(asked)
    assert usual is not None
    while start_at is not None and usual < start_at:
        usual = usual + max((start_at - usual) // HOUR, 1) * HOUR
    assert found == (None if end_at is not None and usual > end_at else usual)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"start_at": datetime(2024, 1, 1)}, "start_at .*with its zone"),  # noqa: DTZ001 - it lacks a zone on purpose
        ({"end_at": datetime(9999, 1, 1, tzinfo=UTC)}, "end_at .*1970 to 9998"),
        ({"start_at": TEN_O_CLOCK, "end_at": TEN_O_CLOCK - HOUR}, "end_at .* lies before start_at .*exchange them"),
    ],
)
def test_bounds_out_of_range_or_order_are_refused(bounds: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        a_task(**bounds)
