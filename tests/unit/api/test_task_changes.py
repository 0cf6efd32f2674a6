from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.api.problems import ProblemError
from taskqueue.api.schemas_tasks import UpdateTask
from taskqueue.api.task_changes import Change, changed
from taskqueue.api.task_types import KnownTypes
from taskqueue.core.api_task import ApiPriority, ApiTask, ApiTaskState, TaskStatus, TaskType, new_state
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Target
from tests.support.api_values import NOON, a_new_task, an_api_task
from tests.support.values import TEN_O_CLOCK, a_task

NOW = TEN_O_CLOCK + timedelta(minutes=5)
TYPES = KnownTypes.of({"daily_report": a_task(target=Target(endpoint="https://x/daily"))})

#: what a request may say of each field that goes with any type of task
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "task_name": st.sampled_from(["daily_report_generation", "other", "é"]),
    "schedule_expression": st.sampled_from(["0 12 * * *", "30 4 * * mon"]),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    "payload": st.sampled_from([{}, None, 1, True, 1.0, [1], [True], {"a": 1}, {"a": True}]),
    "timeout_seconds": st.integers(299, 301),
    "max_retries": st.integers(2, 4),
    "priority": st.sampled_from(["high", "medium", "low"]),
    "tags": st.sampled_from([{}, {"team": "analytics"}]),
    "enabled": st.booleans(),
    "config": st.sampled_from([{"endpoint": "https://api.example.com/reports"}, {"endpoint": "https://x/other"}]),
}


def change(task: ApiTask, state: ApiTaskState, body: dict[str, Any]) -> Change | None:
    return changed(task, state, UpdateTask.model_validate(body), body, TYPES, NOW)


def made(task: ApiTask, state: ApiTaskState, body: dict[str, Any]) -> Change:
    result = change(task, state, body)
    assert result is not None
    return result


def one_time(
    status: TaskStatus = TaskStatus.SCHEDULED, next_at: datetime | None = NOON
) -> tuple[ApiTask, ApiTaskState]:
    task, state = a_new_task(task_type=TaskType.ONE_TIME, run_at=NOON)
    return task, replace(state, status=status, next_at=next_at)


@given(st.fixed_dictionaries({}, optional=FIELDS), st.randoms(use_true_random=False))
def test_the_same_request_again_changes_nothing(body: dict[str, Any], random: Any) -> None:
    task, state = a_new_task()
    names = list(body)
    random.shuffle(names)
    body = {name: body[name] for name in names}

    first = change(task, state, body)

    if first is None:
        return
    assert list(first.fields) == [name for name in body if name in first.fields]
    assert first.task.revision == task.revision + 1
    assert change(first.task, first.state or state, body) is None
    # What is not among the fields is as before.
    rest = {name: value for name, value in body.items() if name not in first.fields}
    assert not rest or change(task, state, rest) is None


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_the_schedule_goes_on_unless_it_or_the_switch_changes(body: dict[str, Any]) -> None:
    task, state = a_new_task()

    result = change(task, state, body)

    if result is None:
        return
    scheduling = {"schedule_expression", "timezone", "enabled"} & set(result.fields)
    assert (result.state is None) is (not scheduling)
    if result.state is not None:
        expected = new_state(result.task, NOW)
        assert (result.state.status, result.state.next_at) == (expected.status, expected.next_at)


def test_a_running_one_time_task_does_not_run_again_because_its_zone_changes() -> None:
    result = made(*one_time(next_at=None), {"timezone": "Europe/Berlin"})

    assert (result.fields, result.state) == (("timezone",), None)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SCHEDULED])
def test_another_instant_schedules_a_one_time_task_again(status: TaskStatus) -> None:
    result = made(*one_time(status), {"next_execution_time": "2024-01-20T00:00:00Z"})

    assert result.state == ApiTaskState(status=TaskStatus.SCHEDULED, next_at=datetime(2024, 1, 20, tzinfo=UTC))


def test_an_instant_of_the_past_is_refused_but_the_one_that_stands_there_is_no_change() -> None:
    task, state = a_new_task(task_type=TaskType.ONE_TIME, run_at=TEN_O_CLOCK - timedelta(days=1))

    assert change(task, state, {"next_execution_time": "2024-01-14T10:00:00Z"}) is None
    with pytest.raises(ProblemError, match="past"):
        change(task, state, {"next_execution_time": "2024-01-14T11:00:00Z"})


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED])
def test_a_task_that_is_over_is_not_switched(status: TaskStatus) -> None:
    with pytest.raises(ProblemError) as caught:
        change(*one_time(status), {"enabled": False})

    assert (caught.value.status, caught.value.code) == (409, "task_over")


def test_a_task_that_is_over_begins_paused_where_both_are_asked() -> None:
    body = {"enabled": False, "next_execution_time": "2024-01-20T00:00:00Z"}

    result = made(*one_time(TaskStatus.COMPLETED), body)

    assert result.state is not None
    assert (result.state.status, result.state.paused_at) == (TaskStatus.PAUSED, NOW)


def test_a_paused_task_was_paused_when_it_was_whatever_changes() -> None:
    task, state = a_new_task(enabled=False)

    result = made(task, state, {"schedule_expression": "0 3 * * *"})

    assert result.state is not None
    assert (result.state.status, result.state.paused_at) == (TaskStatus.PAUSED, state.paused_at)


def test_an_interval_moves_with_the_zone_of_its_task() -> None:
    task, state = a_new_task(
        task_type=TaskType.INTERVAL, interval=Every(kind=EveryKind.DAILY, value=1, at_time=time(8))
    )

    result = made(task, state, {"timezone": "America/New_York"})

    assert result.fields == ("timezone",)
    assert result.task.interval is not None
    assert (result.task.interval.timezone, result.task.timezone) == ("America/New_York", "America/New_York")


def test_the_zone_of_a_new_interval_is_that_of_the_task() -> None:
    task, state = a_new_task(
        task_type=TaskType.INTERVAL,
        timezone="Europe/Berlin",
        interval=Every(kind=EveryKind.DAILY, value=1, timezone="Europe/Berlin"),
    )

    result = made(task, state, {"interval": {"type": "hourly", "value": 3}})

    assert result.task.interval == Every(kind=EveryKind.HOURLY, value=3, timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"task_type": "one_time"}, "/next_execution_time"),
        ({"task_type": "interval"}, "/interval"),
        (
            {"task_type": "interval", "interval": {"type": "daily"}, "schedule_expression": "@daily"},
            "/schedule_expression",
        ),
        ({"interval": {"type": "daily"}}, "/interval"),
        ({"next_execution_time": "2024-01-20T00:00:00Z"}, "/next_execution_time"),
        ({"interval": {"type": "daily", "timezone": "UTC"}, "timezone": "Europe/Berlin"}, "/interval"),
        ({"schedule_expression": "0 0 30 2 *"}, "/schedule_expression"),
        ({"payload": "x" * 65_537}, "/payload"),
        ({"config": {"endpoint": "https://x/", "method": "DELETE"}, "payload": []}, "/payload"),
        ({"config": {"endpoint": "https://x/{user_id}"}}, "/config/endpoint"),
        ({"task_type_id": "nothing"}, "/task_type_id"),
    ],
)
def test_a_wrong_change_names_the_field(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ProblemError) as caught:
        change(*a_new_task(), body)

    assert (caught.value.status, [error.pointer for error in caught.value.errors]) == (422, [pointer])


def test_a_task_takes_over_what_a_task_type_calls() -> None:
    result = made(*a_new_task(), {"task_type_id": "daily_report"})

    assert (result.fields, result.task.target.endpoint) == (("task_type_id",), "https://x/daily")
    assert change(result.task, new_state(result.task, NOW), {"task_type_id": "daily_report"}) is None


def test_what_config_says_goes_before_a_task_type() -> None:
    result = made(*a_new_task(), {"task_type_id": "daily_report", "config": {"endpoint": "https://x/own"}})

    assert (result.fields, result.task.target.endpoint) == (("config",), "https://x/own")


def test_a_priority_is_one_of_the_api() -> None:
    result = made(an_api_task(), a_new_task()[1], {"priority": "low"})

    assert result.task.priority is ApiPriority.LOW
