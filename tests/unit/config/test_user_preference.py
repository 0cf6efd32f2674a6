from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.config.user_preference import preference_of
from taskqueue.core.preference import UserPreference
from taskqueue.errors import InvalidValueError

DAILY = {"type": "daily", "value": 1, "timezone": "Europe/Berlin", "at_time": "08:00"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["user_id", "enabled_tasks", "task_settings", "custom_interval", "parameters", "type", "t"]
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_every_field_of_the_spec_is_read() -> None:
    value = {
        "user_id": "user_1",
        "enabled_tasks": {"daily_report": True, "hourly_sync": False},
        "task_settings": {"daily_report": {"custom_interval": DAILY, "parameters": {"lang": "de"}}},
        "last_modified": "2024-01-15T11:00:00+01:00",
    }
    assert preference_of(value) == UserPreference(
        user_id="user_1",
        enabled_tasks={"daily_report": True, "hourly_sync": False},
        parameters={"daily_report": {"lang": "de"}},
        custom_intervals={"daily_report": DAILY},
        last_modified=datetime(2024, 1, 15, 10, tzinfo=UTC),
    )


def test_what_go_writes_for_unset_fields_states_nothing() -> None:
    value = {
        "user_id": "u",
        "enabled_tasks": None,
        "task_settings": {"t": {"custom_interval": None, "parameters": None}},
        "last_modified": "0001-01-01T00:00:00Z",
    }
    assert preference_of(value) == UserPreference(user_id="u")


def test_an_interval_as_go_writes_it_is_kept_as_it_is() -> None:
    interval = {"type": "daily", "value": 1, "timezone": "", "at_time": "0000-01-01T08:00:00Z"}

    preference = preference_of({"user_id": "u", "task_settings": {"t": {"custom_interval": interval}}})

    assert preference.custom_intervals == {"t": interval}


def test_empty_parameters_are_a_statement() -> None:
    preference = preference_of({"user_id": "u", "task_settings": {"t": {"parameters": {}}}})

    assert preference.parameters == {"t": {}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "the value is a list; give an object"),
        ({}, "user_id is missing or null; give text"),
        ({"user_id": 5}, "user_id is a number; give text"),
        ({"user_id": ""}, "user id of 0 bytes: use 1 to 512"),
        ({"user_id": "u", "enabled_task": {}}, "unknown field 'enabled_task'; did you mean 'enabled_tasks'?"),
        ({"user_id": "u", "enabled_tasks": ["t"]}, "enabled_tasks is a list; give an object"),
        ({"user_id": "u", "enabled_tasks": {"t": 1}}, "enabled_tasks.t is a number; give true or false"),
        ({"user_id": "u", "enabled_tasks": {"t": None}}, "enabled_tasks.t is missing or null; give true or false"),
        (
            {"user_id": "u", "enabled_tasks": {"a b": True}},
            "enabled_tasks: task id 'a b': use 1 to 64 of A-Z a-z 0-9 . _ -",
        ),
        ({"user_id": "u", "task_settings": {"t": []}}, "task_settings.t is a list; give an object"),
        (
            {"user_id": "u", "task_settings": {"t": {"params": {}}}},
            "task_settings.t: unknown field 'params'; did you mean 'parameters'?",
        ),
        (
            {"user_id": "u", "task_settings": {"t": {"custom_interval": {"type": "dayly"}}}},
            "task_settings.t.custom_interval.type: unknown type 'dayly'; did you mean 'daily'?",
        ),
        (
            {"user_id": "u", "task_settings": {"t": {"parameters": {"limit": 5}}}},
            "task_settings.t.parameters.limit is a number; give text",
        ),
        (
            {"user_id": "u", "last_modified": "yesterday"},
            "last_modified: time 'yesterday': use RFC 3339, such as 2024-01-15T10:00:00Z",
        ),
        ({"user_id": "u", "last_modified": 5}, "last_modified is a number; give text"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(value: object, problem: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        preference_of(value)
    assert str(caught.value) == problem


def test_a_value_that_may_be_a_secret_is_not_in_the_error() -> None:
    with pytest.raises(InvalidValueError) as caught:
        preference_of({"user_id": "u", "task_settings": {"t": {"parameters": {"key": ["hunter2"]}}}})
    assert "hunter2" not in str(caught.value)


@given(json_values)
def test_any_value_is_a_preference_or_an_invalid_value_error(value: object) -> None:
    try:
        preference_of(value)
    except InvalidValueError:
        return
