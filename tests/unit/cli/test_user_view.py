from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.cli.user_view import TaskState, TaskView, task_views
from taskqueue.core.preference import Rule
from taskqueue.core.task import Task
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store.plan import MAX_PARAMETERS_BYTES
from taskqueue.store.users import StoredSettings, StoredUser, Switches
from tests.support.values import TEN_O_CLOCK, a_task

AT_EIGHT = '{"type": "daily", "at_time": "08:00"}'


def switches(**tasks: bool) -> Switches:
    on = frozenset(task for task, switch in tasks.items() if switch)
    return Switches(user_id="ada", on=on, off=frozenset(tasks) - on, exists=bool(tasks))


def views(*tasks: Task, own: Switches, **settings: StoredSettings) -> list[TaskView]:
    stored = StoredUser(switches=own, settings=settings)
    return task_views(stored, {task.id: task for task in tasks}, TEN_O_CLOCK)


def view(task: Task, own: Switches, **settings: str) -> TaskView:
    """Return what is seen of `task`, with `settings` of it."""
    (one,) = views(task, own=own, **{task.id: StoredSettings(**settings)})
    return one


@given(switch=st.sampled_from([None, True, False]), default=st.booleans(), other=st.booleans())
def test_the_answer_is_that_of_the_schedulers_index(switch: bool | None, default: bool, other: bool) -> None:
    own = switches(**({} if switch is None else {"daily_report": switch}), **({"other": True} if other else {}))
    task = a_task(default_enabled=default)
    index = AudienceIndex()
    index.apply(own)

    assert views(task, own=own)[0].gets is index.enabled(task, "ada")


def test_a_disabled_task_is_got_by_nobody() -> None:
    found = view(a_task(enabled=False), switches(daily_report=True))

    assert (found.state, found.gets, found.rule) == (TaskState.DISABLED, False, Rule.OWN_SWITCH)
    assert found.next_instants == ()


def test_tasks_that_the_file_lacks_follow_those_that_it_has() -> None:
    found = views(a_task(id="z"), own=switches(b=True), a=StoredSettings(parameters="{}"))

    assert [(one.task_id, one.state, one.gets) for one in found] == [
        ("z", TaskState.ENABLED, False),
        ("a", TaskState.MISSING, False),
        ("b", TaskState.MISSING, False),
    ]


def test_the_next_instants_are_those_of_the_tasks_interval() -> None:
    found = view(a_task(), switches(daily_report=True))

    assert found.custom is False
    assert found.next_instants == tuple(datetime(2024, 1, day, tzinfo=UTC) for day in (16, 17, 18))


def test_a_custom_interval_takes_the_place_of_the_tasks_own() -> None:
    found = view(a_task(), switches(daily_report=True), custom_interval=AT_EIGHT)

    assert found.custom is True
    assert found.interval == {"type": "daily", "value": 1, "timezone": "UTC", "at_time": "08:00"}
    assert found.next_instants[0] == datetime(2024, 1, 16, 8, tzinfo=UTC)


def test_no_instant_lies_behind_the_end_of_the_task() -> None:
    found = view(a_task(end_at=datetime(2024, 1, 17, tzinfo=UTC)), switches(daily_report=True))

    assert found.next_instants == tuple(datetime(2024, 1, day, tzinfo=UTC) for day in (16, 17))


def test_an_interval_that_is_none_is_told_and_does_not_count() -> None:
    found = view(a_task(), switches(daily_report=True), custom_interval="nonsense")

    assert found.custom is False
    assert found.next_instants[0] == datetime(2024, 1, 16, tzinfo=UTC)
    assert found.problems == (
        "custom_interval of user 'ada' for daily_report: not JSON; the task's own interval counts",
    )


@pytest.mark.parametrize(("text", "parameters"), [('{"lang": "dé"}', {"lang": "dé"}), (" { } ", {}), ("", None)])
def test_parameters_are_those_that_a_call_carries(text: str, parameters: dict[str, str] | None) -> None:
    found = view(a_task(), switches(), parameters=text)

    assert (found.parameters, found.problems) == (parameters, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "parameters: not a JSON object; calls are made without them"),
        ('{"a": NaN}', "parameters: not a JSON object; calls are made without them"),
        ("[" * 100_000, "parameters: not a JSON object; calls are made without them"),
        (f'"{"x" * MAX_PARAMETERS_BYTES}"', "parameters: more than 131072 bytes; calls are made without them"),
    ],
    ids=["list", "nan", "deep", "large"],
)
def test_parameters_that_no_call_carries_are_told(text: str, problem: str) -> None:
    found = view(a_task(), switches(), parameters=text)

    assert (found.parameters, found.problems) == (None, (problem,))


def test_a_view_is_json() -> None:
    found = view(a_task(), switches(daily_report=False), last_modified="2024-01-15T10:00:00Z")

    assert json.loads(json.dumps(found.as_dict())) == {
        "task_id": "daily_report",
        "task": "enabled",
        "gets": False,
        "rule": "own_switch",
        "switch": False,
        "interval": {"type": "daily", "value": 1, "timezone": "UTC"},
        "custom_interval": False,
        "next": [],
        "parameters": None,
        "last_modified": "2024-01-15T10:00:00Z",
        "problems": [],
    }
