"""A user's preferences: which tasks, and with which settings (spec: UserPreference)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from taskqueue.core.ids import check_task_id, check_user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPreference:
    """What is stated about one user; what is not stated is not known to be otherwise.

    Every mapping has task ids as its keys. Raises InvalidValueError for an id that is none.
    """

    user_id: str
    enabled_tasks: Mapping[str, bool] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: intervals in the form of tasks.yaml or of the spec's TaskInterval
    custom_intervals: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    #: when the user changed the settings; None: not stated
    last_modified: datetime | None = None

    def __post_init__(self) -> None:
        check_user_id(self.user_id)
        for task_id in self.task_ids:
            check_task_id(task_id)

    @property
    def task_ids(self) -> frozenset[str]:
        """The tasks that something is stated about."""
        return self.settings_ids.union(self.enabled_tasks)

    @property
    def settings_ids(self) -> frozenset[str]:
        """The tasks that have settings."""
        return frozenset(self.parameters).union(self.custom_intervals)

    def merged(self, later: UserPreference) -> UserPreference:
        """Return both statements as one; where they differ, `later` counts."""
        return UserPreference(
            user_id=self.user_id,
            enabled_tasks={**self.enabled_tasks, **later.enabled_tasks},
            parameters={**self.parameters, **later.parameters},
            custom_intervals={**self.custom_intervals, **later.custom_intervals},
            last_modified=later.last_modified or self.last_modified,
        )


class Rule(StrEnum):
    """What decides whether a user gets a task."""

    OWN_SWITCH = "own_switch"
    DEFAULT_ENABLED = "default_enabled"
    #: `default_enabled` is for users who are known: who has no switch at all is nobody's user
    NO_PREFERENCES = "no_preferences"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enablement:
    """Whether a user gets a task, and from which rule."""

    enabled: bool
    rule: Rule


def enablement(*, switch: bool | None, known: bool, default_enabled: bool) -> Enablement:
    """Return what follows from the user's own `switch` for a task, None without one.

    `known` is whether the user has switches at all, `default_enabled` the task's.
    """
    if switch is not None:
        return Enablement(enabled=switch, rule=Rule.OWN_SWITCH)
    if not known:
        return Enablement(enabled=False, rule=Rule.NO_PREFERENCES)
    return Enablement(enabled=default_enabled, rule=Rule.DEFAULT_ENABLED)
