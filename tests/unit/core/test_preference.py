from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskqueue.core.preference import UserPreference
from taskqueue.errors import InvalidValueError


@pytest.mark.parametrize("part", ["enabled_tasks", "parameters", "custom_intervals"])
def test_every_mapping_has_task_ids_as_keys(part: str) -> None:
    with pytest.raises(InvalidValueError, match="task id 'a b'"):
        UserPreference(user_id="u", **{part: {"a b": {}}})


def test_a_user_id_is_checked() -> None:
    with pytest.raises(InvalidValueError, match="user id of 0 bytes"):
        UserPreference(user_id="")


def test_task_ids_are_those_of_all_mappings() -> None:
    preference = UserPreference(
        user_id="u", enabled_tasks={"a": True}, parameters={"b": {}}, custom_intervals={"c": {}, "b": {}}
    )
    assert preference.task_ids == {"a", "b", "c"}
    assert preference.settings_ids == {"b", "c"}


def test_the_later_statement_counts_where_two_differ() -> None:
    stated = datetime(2024, 1, 15, tzinfo=UTC)
    first = UserPreference(user_id="u", enabled_tasks={"a": True, "b": True}, last_modified=stated)
    later = UserPreference(user_id="u", enabled_tasks={"a": False}, parameters={"a": {"x": "1"}})

    assert first.merged(later) == UserPreference(
        user_id="u", enabled_tasks={"a": False, "b": True}, parameters={"a": {"x": "1"}}, last_modified=stated
    )
