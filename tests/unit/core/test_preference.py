from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskqueue.core.preference import Enablement, Rule, UserPreference, enablement
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


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize("default_enabled", [True, False])
def test_the_own_switch_outweighs_the_default(switch: bool, default_enabled: bool) -> None:
    decided = enablement(switch=switch, known=True, default_enabled=default_enabled)
    assert decided == Enablement(enabled=switch, rule=Rule.OWN_SWITCH)


@pytest.mark.parametrize("default_enabled", [True, False])
def test_without_an_own_switch_the_default_counts(default_enabled: bool) -> None:
    decided = enablement(switch=None, known=True, default_enabled=default_enabled)
    assert decided == Enablement(enabled=default_enabled, rule=Rule.DEFAULT_ENABLED)


def test_no_default_counts_for_a_user_without_any_switch() -> None:
    decided = enablement(switch=None, known=False, default_enabled=True)
    assert decided == Enablement(enabled=False, rule=Rule.NO_PREFERENCES)
