from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.api_task import (
    ApiPriority,
    ApiTaskState,
    TaskStatus,
    TaskType,
    new_state,
    next_instant,
    paused,
    resumed,
    to_task,
)
from taskqueue.core.interval import Every, EveryKind, Once
from taskqueue.core.task import Priority, TaskSource
from taskqueue.errors import InvalidValueError
from tests.support.api_values import NOON, an_api_task
from tests.support.values import TEN_O_CLOCK, instants

ONCE: dict[str, Any] = {"task_type": TaskType.ONE_TIME, "run_at": NOON}
EVERY_TWO_HOURS: dict[str, Any] = {
    "task_type": TaskType.INTERVAL,
    "interval": Every(kind=EveryKind.HOURLY, value=2),
}
TOMORROW = NOON + timedelta(days=1)

kinds = st.sampled_from([{}, ONCE, EVERY_TWO_HOURS, {"schedule_expression": "*/7 1-3 * * mon"}])


def test_the_example_of_the_document_is_due_at_midnight_in_new_york() -> None:
    task = an_api_task(schedule_expression="0 0 * * *", timezone="America/New_York")
    asked = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)
    assert next_instant(task, asked) == datetime(2024, 1, 9, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, NOON), (ONCE, NOON), (EVERY_TWO_HOURS, NOON), ({**ONCE, "run_at": TEN_O_CLOCK}, None)],
)
def test_each_type_has_its_next_instant(changes: dict[str, Any], expected: datetime | None) -> None:
    assert next_instant(an_api_task(**changes), TEN_O_CLOCK) == expected


@given(kinds, instants(first_year=1971, last_year=9000))
def test_the_next_instant_is_in_the_future_and_that_of_the_task_of_workers(
    changes: dict[str, Any], after: datetime
) -> None:
    task = an_api_task(**changes)
    following = next_instant(task, after)
    assert following is None or following > after
    assert following == to_task(task).rule().next_after(after)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"task_name": ""}, "task_name: 0 characters"),
        ({"task_name": "x" * 201}, "task_name: 201 characters"),
        ({"task_name": "two\nlines"}, "task_name: has a control character"),
        ({"task_name": "a\x00"}, "task_name: has a control character"),
        ({"task_name": "\ud800"}, "task_name: has a lone surrogate"),
        ({"timezone": "Mars/Olympus"}, "^timezone: 'Mars/Olympus': unknown"),
        ({"timezone": ""}, "^timezone: '': unknown"),
        ({"timezone": "../../etc/passwd"}, "^timezone: '../../etc/passwd': unknown"),
        ({"timeout_seconds": 0}, "timeout_seconds: 0; use 1 to 900"),
        ({"timeout_seconds": 901}, "timeout_seconds: 901; use 1 to 900"),
        ({"max_retries": -1}, "max_retries: -1; use 0 to 100"),
        ({"max_retries": 10**30}, "max_retries: 10{30}; use 0 to 100"),
        ({"schedule_expression": None}, "schedule_expression: a task of type cron needs it"),
        ({"task_type": TaskType.ONE_TIME}, "next_execution_time: a task of type one_time needs it"),
        ({"task_type": TaskType.INTERVAL}, "interval: a task of type interval needs it"),
        ({"run_at": NOON}, "next_execution_time: a task of type cron has none"),
        ({**ONCE, "schedule_expression": "* * * * *"}, "schedule_expression: a task of type one_time has none"),
        ({**ONCE, "interval": EVERY_TWO_HOURS["interval"]}, "interval: a task of type one_time has none"),
        ({**ONCE, "run_at": datetime(2024, 1, 1)}, "next_execution_time: at .* zone is missing"),  # noqa: DTZ001  # the point
        ({**ONCE, "run_at": datetime(9999, 1, 1, tzinfo=UTC)}, "next_execution_time: at .* out of range"),
        ({**EVERY_TWO_HOURS, "timezone": "Asia/Tokyo"}, "interval: its timezone is not the task's, Asia/Tokyo"),
        ({"tags": {str(number): "" for number in range(51)}}, "tags: 51 of them; use at most 50"),
        ({"tags": {"": "x"}}, "tags: a key: 0 characters"),
        ({"tags": {"k" * 65: "x"}}, "tags: a key: 65 characters"),
        ({"tags": {"k": "x" * 257}}, "tags: a value: 257 characters"),
        ({"tags": {"k": "\r\n"}}, "tags: a value: has a control character"),
        ({"task_id": "a/b"}, "task id 'a/b'"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_name_of_its_field(changes: Mapping[str, Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        an_api_task(**changes)


@pytest.mark.parametrize("expression", ["", "* * *", "0 0 30 2 *", "61 * * * *", "x" * 300])
def test_an_expression_that_is_none_or_never_fires_is_refused_by_its_rule(expression: str) -> None:
    task = an_api_task(schedule_expression=expression)
    with pytest.raises(InvalidValueError, match=r"^schedule_expression: cron"):
        new_state(task, TEN_O_CLOCK)


@pytest.mark.parametrize("run_at", [NOON, TEN_O_CLOCK - timedelta(days=1)])
def test_a_task_that_runs_once_begins_with_its_instant_even_one_that_is_past(run_at: datetime) -> None:
    task = an_api_task(**ONCE | {"run_at": run_at})
    assert new_state(task, TEN_O_CLOCK) == ApiTaskState(status=TaskStatus.SCHEDULED, next_at=run_at)


def test_a_task_without_an_instant_left_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="schedule_expression: not due any more"):
        new_state(an_api_task(), datetime(9998, 12, 31, 23, tzinfo=UTC))


def test_a_task_that_is_switched_off_begins_paused() -> None:
    state = new_state(an_api_task(enabled=False), TEN_O_CLOCK)
    assert state == ApiTaskState(status=TaskStatus.PAUSED, next_at=NOON, paused_at=TEN_O_CLOCK)


@given(kinds)
def test_what_is_paused_and_resumed_is_as_before_but_newer(changes: dict[str, Any]) -> None:
    task = an_api_task(**changes)
    state = new_state(task, TEN_O_CLOCK)
    off = paused(task, state, TEN_O_CLOCK)
    assert (off[0].enabled, off[0].revision, off[1].status) == (False, 2, TaskStatus.PAUSED)
    on = resumed(*off, TEN_O_CLOCK)
    assert on == (replace(task, revision=3, updated_at=TEN_O_CLOCK), state)


def test_what_came_due_during_a_pause_is_left_out() -> None:
    task = an_api_task()
    _, state = resumed(*paused(task, new_state(task, TEN_O_CLOCK), TEN_O_CLOCK), NOON)
    assert state.next_at == TOMORROW


def test_the_only_instant_of_a_task_is_made_up_for_after_a_pause() -> None:
    task = an_api_task(**ONCE)
    _, state = resumed(*paused(task, new_state(task, TEN_O_CLOCK), TEN_O_CLOCK), TOMORROW)
    assert state.next_at == NOON


def test_the_only_run_of_a_task_that_is_on_its_way_is_not_begun_anew_by_a_pause() -> None:
    running = ApiTaskState(status=TaskStatus.SCHEDULED, next_at=None, last_at=NOON, last_execution_id="x")
    _, state = resumed(*paused(an_api_task(**ONCE), running, NOON), TOMORROW)
    assert state == running


@pytest.mark.parametrize(
    ("name", "priority"), [("high", Priority.HIGH), ("medium", Priority.NORMAL), ("low", Priority.LOW)]
)
def test_priorities_of_the_api_are_those_of_the_queues(name: str, priority: Priority) -> None:
    assert ApiPriority(name).of_jobs is priority
    assert ApiPriority.of(priority) is ApiPriority(name)


def test_workers_see_the_task_with_its_target_and_limits() -> None:
    task = an_api_task(**ONCE, timeout_seconds=30, max_retries=7, priority=ApiPriority.LOW, enabled=False)
    seen = to_task(task)
    assert (seen.id, seen.name, seen.source) == (task.task_id, task.task_name, TaskSource.API)
    assert (seen.interval, seen.target, seen.enabled) == (Once(at=NOON), task.target, False)
    assert (seen.timeout, seen.retries, seen.priority) == (timedelta(seconds=30), 7, Priority.LOW)
