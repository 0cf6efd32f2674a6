"""The audience index: who is enabled for which task, and in which cohort. Derived, in memory, in every scheduler.

Other systems own the preferences; the index follows them and can be rebuilt from them at any time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import lru_cache

from taskqueue.config.catalog import read_custom_interval
from taskqueue.core.occurrence import DEFAULT_COHORT
from taskqueue.core.task import Interval, Task
from taskqueue.errors import InvalidValueError
from taskqueue.scheduler.switchboard import Switchboard
from taskqueue.store import keys
from taskqueue.store.preferences import Preference
from taskqueue.store.users import MAX_SWITCHES, CustomInterval, Switches

#: users who are looked at in one go: a few milliseconds, in which the event loop does nothing else
_PIECE = 2000

#: characters of an interval that is kept with what it means; a longer one is nonsense or an oddity
_MOST_KEPT = 512

_NOBODY: frozenset[str] = frozenset()


class AudienceIndex:
    """Which users want which task. `cohorts_revision` changes whenever a cohort comes or goes.

    `in_doubt`: Redis was emptied less than a minute ago; whose preferences will be there again is not known yet.
    """

    def __init__(self) -> None:
        self.cohorts_revision = 0
        self.in_doubt = False
        self._switches = Switchboard()
        self._cohort_of: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._members: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
        self._intervals: defaultdict[str, dict[str, Interval]] = defaultdict(dict)

    def __len__(self) -> int:
        """How many users have preferences at all."""
        return len(self._switches)

    @property
    def key_count(self) -> int:
        """How many Redis keys the index is built from: as many as `known_keys` yields."""
        return len(self._switches) + sum(map(len, self._cohort_of.values()))

    def apply(self, found: Preference) -> None:
        """Take over what now stands at one key. Raises InvalidValueError for what cannot be taken at its word.

        A custom interval that is none says nothing: the user belongs to the default cohort until it is mended. Nor do
        switches for more tasks than there can be: the user counts as one without any.
        """
        if isinstance(found, Switches):
            self._apply_switches(found)
        else:
            self._apply_interval(found)

    def enabled(self, task: Task, user_id: str) -> bool:
        """Return whether `user_id` gets the task."""
        switch = self._switches.switch(user_id, task.id)
        return bool(switch) or (task.default_enabled and switch is None and user_id in self._switches)

    def count(self, task: Task) -> int:
        """Return how many users have the task enabled, in all cohorts."""
        on, off = self._switches.count(task.id)
        return len(self._switches) - off if task.default_enabled else on

    def most(self, task: Task, cohort: str) -> int:
        """Return how many users of the cohort may have the task enabled: no more than that."""
        return self.count(task) if cohort == DEFAULT_COHORT else len(self._members_of(task, cohort))

    def cohorts(self, task_id: str) -> Mapping[str, Interval]:
        """Return the intervals of the task's cohorts of users with a custom one."""
        return self._intervals.get(task_id, {})

    def enabled_users(self, task: Task, cohort: str) -> Iterator[list[str]]:
        """Yield the cohort's enabled users in no order, in pieces, also empty ones, of a few milliseconds' work.

        Changes may be applied between two pieces: a user comes at most once, as one who was enabled in the meantime.
        """
        for users in self._of_cohort(task, cohort):
            yield from (users[start : start + _PIECE] for start in range(0, len(users) or 1, _PIECE))

    def holds(self, key: str) -> bool:
        """Return whether the index holds what stands at this Redis key, so that `known_keys` tells of it."""
        user = keys.user_of_key(key)
        if user is None:
            return False
        if key.endswith(keys.TASKS_SUFFIX):
            return user in self._switches
        return user in self._cohort_of.get(keys.task_of_settings(key), {})

    def known_keys(self) -> Iterator[str]:
        """Yield the Redis keys that the index is built from, to look at them again."""
        for users in self._switches.users():
            yield from map(keys.user_tasks, users)
        for task_id, cohort_of in tuple(self._cohort_of.items()):
            for user in tuple(cohort_of):
                yield keys.user_settings(user, task_id)

    def _of_cohort(self, task: Task, cohort: str) -> Iterable[list[str]]:
        if cohort != DEFAULT_COHORT:
            members = list(self._members_of(task, cohort))
            for start in range(0, len(members), _PIECE):
                yield [user for user in members[start : start + _PIECE] if self.enabled(task, user)]
            return
        switches = self._switches
        everybody = switches.not_switched_off if task.default_enabled else switches.switched_on
        for users in everybody(task.id):
            others = self._cohort_of.get(task.id)
            yield [user for user in users if user not in others] if others else users

    def _members_of(self, task: Task, cohort: str) -> Set[str]:
        return self._members.get(task.id, {}).get(cohort, _NOBODY)

    def _apply_switches(self, found: Switches) -> None:
        if found.exists:
            self._switches.set(found.user_id, found.on, found.off)
            return
        self._switches.discard(found.user_id)
        if found.unread:
            raise InvalidValueError(
                f"switches of user {found.user_id!r}: {found.unread} fields; the user gets nothing until there are "
                f"{MAX_SWITCHES} at most"
            )

    def _apply_interval(self, found: CustomInterval) -> None:
        parsed = None
        if found.text is not None:
            parsed = _parse_again(found.text) if len(found.text) <= _MOST_KEPT else read_custom_interval(found.text)
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


_parse_again = lru_cache(maxsize=100_000)(read_custom_interval)
