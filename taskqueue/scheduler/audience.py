"""The audience index: who is enabled for which task, and in which cohort. Derived, in memory, in every scheduler.

Other systems own the preferences; the index follows them and can be rebuilt from them at any time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

from taskqueue.config.catalog import interval_from_dict
from taskqueue.core.occurrence import DEFAULT_COHORT, cohort_id
from taskqueue.core.slots import OrderKeys
from taskqueue.core.task import Interval, Task
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.users import CustomInterval, Switches

_NOBODY: frozenset[str] = frozenset()


class AudienceIndex:
    """Which users want which task. `cohorts_revision` changes whenever a cohort comes or goes."""

    def __init__(self) -> None:
        self.cohorts_revision = 0
        self._users: set[str] = set()
        self._on: defaultdict[str, set[str]] = defaultdict(set)
        self._off: defaultdict[str, set[str]] = defaultdict(set)
        self._cohort_of: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._members: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
        self._intervals: defaultdict[str, dict[str, Interval]] = defaultdict(dict)

    def __len__(self) -> int:
        """How many users have preferences at all."""
        return len(self._users)

    def apply(self, found: Switches | CustomInterval) -> None:
        """Take over what now stands at one key. Raises InvalidValueError for a custom interval that is none.

        Such an interval says nothing: the user belongs to the default cohort until it is mended.
        """
        if isinstance(found, Switches):
            self._apply_switches(found)
        else:
            self._apply_interval(found)

    def enabled(self, task: Task, user_id: str) -> bool:
        """Return whether `user_id` gets the task."""
        return user_id in self._on.get(task.id, _NOBODY) or (
            task.default_enabled and user_id in self._users and user_id not in self._off.get(task.id, _NOBODY)
        )

    def count(self, task: Task) -> int:
        """Return how many users have the task enabled, in all cohorts."""
        if not task.default_enabled:
            return len(self._on.get(task.id, _NOBODY))
        return len(self._users) - len(self._off.get(task.id, _NOBODY))

    def cohorts(self, task_id: str) -> Mapping[str, Interval]:
        """Return the intervals of the task's cohorts of users with a custom one."""
        return self._intervals.get(task_id, {})

    def ordered(self, task: Task, cohort: str) -> list[tuple[int, str]]:
        """Return (order key, user) of the cohort's enabled users, in the order in which they are spread."""
        key_of = OrderKeys(task.id)
        return sorted((key_of(user), user) for user in self._cohort(task, cohort))

    def known_keys(self) -> Iterator[str]:
        """Yield the Redis keys that the index is built from, to look at them again."""
        for user in tuple(self._users):
            yield keys.user_tasks(user)
        for task_id, users in tuple(self._cohort_of.items()):
            for user in tuple(users):
                yield keys.user_settings(user, task_id)

    def _cohort(self, task: Task, cohort: str) -> set[str]:
        if cohort != DEFAULT_COHORT:
            # Copied in one step: a large audience is ordered in a thread, while changes go on arriving.
            members = tuple(self._members.get(task.id, {}).get(cohort, _NOBODY))
            return {user for user in members if self.enabled(task, user)}
        everybody = (
            self._users - self._off.get(task.id, _NOBODY) if task.default_enabled else self._on.get(task.id, set())
        )
        return everybody - self._cohort_of.get(task.id, {}).keys()

    def _apply_switches(self, found: Switches) -> None:
        user = found.user_id
        if user in self._users:
            for users in (*self._on.values(), *self._off.values()):
                users.discard(user)
        if not found.exists:
            self._users.discard(user)
            return
        self._users.add(user)
        for task_id in found.on:
            self._on[task_id].add(user)
        for task_id in found.off:
            self._off[task_id].add(user)

    def _apply_interval(self, found: CustomInterval) -> None:
        parsed = None if found.text is None else _parse(found.text)
        cohort, interval = parsed if isinstance(parsed, tuple) else (DEFAULT_COHORT, None)
        self._move(found.task_id, found.user_id, cohort)
        if interval is not None:
            self._intervals[found.task_id][cohort] = interval
        if isinstance(parsed, str):
            raise InvalidValueError(f"custom_interval of user {found.user_id!r} for {found.task_id}: {parsed}")

    def _move(self, task_id: str, user: str, cohort: str) -> None:
        cohort_of, members = self._cohort_of[task_id], self._members[task_id]
        before = cohort_of.get(user, DEFAULT_COHORT)
        if before == cohort:
            return
        if before != DEFAULT_COHORT:
            del cohort_of[user]
            members[before].discard(user)
            if not members[before]:
                del members[before], self._intervals[task_id][before]
                self.cohorts_revision += 1
        if cohort != DEFAULT_COHORT:
            cohort_of[user] = cohort
            if cohort not in members:
                members[cohort] = set()
                self.cohorts_revision += 1
            members[cohort].add(user)


@lru_cache(maxsize=100_000)
def _parse(text: str) -> tuple[str, Interval] | str:
    """Return cohort and interval of a `custom_interval`, or what is wrong with it."""
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            return "not a JSON object"
        interval = interval_from_dict(value)
    except InvalidValueError as error:
        return str(error)
    except (ValueError, RecursionError):
        return "not JSON"
    return cohort_id(interval), interval
