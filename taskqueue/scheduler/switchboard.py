"""Every user's switches in memory: at a million users about 90 bytes each, user id included, however many tasks.

Each task gets a number, and a user's switches are one character per switch. Nearly all users share theirs with many
others; equal ones are one object. So a user costs one entry of a dict and one text, the id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

from taskqueue.errors import InvalidValueError

#: the users are kept in this many dicts, so that none takes long to look through, to grow or to copy
_SHARDS = 256

#: patterns of switches that are remembered, to be shared
_MOST_PATTERNS = 10_000

#: two characters for each task, and there are 1,114,112
_MOST_TASKS = 500_000

Sides = tuple[frozenset[str], frozenset[str]]


class Switchboard:
    """Which tasks each user has switched on and off. What changes one user costs no more than that user's switches."""

    def __init__(self) -> None:
        #: user -> a character per switch, in the order of the numbers
        self._shards: list[dict[str, str]] = [{} for _ in range(_SHARDS)]
        #: users taken out of each shard since it was last compact
        self._taken: list[int] = [0] * _SHARDS
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._free: list[int] = []
        self._next_number = count()
        #: character -> how many users have it
        self._users_with: Counter[str] = Counter()
        self._patterns: dict[Sides, str] = {}

    def __len__(self) -> int:
        """How many users have switches."""
        return sum(map(len, self._shards))

    def __contains__(self, user: str) -> bool:
        """Return whether the user has switches."""
        return user in self._shards[_shard(user)]

    def set(self, user: str, on: frozenset[str], off: frozenset[str]) -> None:
        """Put these switches in place of the user's present ones; none at all is not the same as being unknown.

        Raises InvalidValueError when the switches of all users are about more tasks than there can be; nothing changes.
        """
        after = self._patterns.get((on, off))
        if after is None:
            after = self._pattern(on, off)
        shard = self._shards[_shard(user)]
        before = shard.get(user)
        if before == after:
            return
        shard[user] = after
        for mark in after:
            self._users_with[mark] += 1
        if before is not None:
            self._subtract(before)

    def discard(self, user: str) -> None:
        """Forget the user."""
        number = _shard(user)
        shard = self._shards[number]
        before = shard.pop(user, None)
        if before is None:
            return
        self._subtract(before)
        self._taken[number] += 1
        if self._taken[number] > max(8, len(shard) // 8):
            # A dict keeps the places of what was taken out until it grows: with users who come and go it would double.
            self._shards[number] = dict(shard)
            self._taken[number] = 0

    def switch(self, user: str, task_id: str) -> bool | None:
        """Return the user's switch for the task; None without one."""
        switches, number = self._shards[_shard(user)].get(user), self._numbers.get(task_id)
        if switches is None or number is None:
            return None
        return True if _on(number) in switches else False if _off(number) in switches else None

    def count(self, task_id: str) -> tuple[int, int]:
        """Return how many users have switched the task on, and how many off."""
        number = self._numbers.get(task_id)
        return (0, 0) if number is None else (self._users_with[_on(number)], self._users_with[_off(number)])

    def users(self) -> Iterator[list[str]]:
        """Yield all users, in pieces. Each once, though others come and go between two pieces."""
        for number in range(_SHARDS):
            yield list(self._shards[number])

    def switched_on(self, task_id: str) -> Iterator[list[str]]:
        """Yield the users who have switched the task on, as `users` does."""
        for number in range(_SHARDS):
            task = self._numbers.get(task_id)
            if task is not None:
                mark = _on(task)
                yield [user for user, switches in self._shards[number].items() if mark in switches]

    def not_switched_off(self, task_id: str) -> Iterator[list[str]]:
        """Yield the users who have switches but have not switched the task off, as `users` does."""
        for number in range(_SHARDS):
            task = self._numbers.get(task_id)
            if task is None:
                yield list(self._shards[number])
            else:
                mark = _off(task)
                yield [user for user, switches in self._shards[number].items() if mark not in switches]

    def _pattern(self, on: frozenset[str], off: frozenset[str]) -> str:
        if len(self._numbers) + len(on) + len(off) > _MOST_TASKS and not self._numbers.keys() >= on | off:
            raise InvalidValueError(
                f"the switches of all users name over {_MOST_TASKS} tasks; remove those that are none"
            )
        marks = [_on(self._number(task)) for task in on] + [_off(self._number(task)) for task in off]
        pattern = "".join(sorted(marks))
        if len(self._patterns) >= _MOST_PATTERNS:
            self._patterns.clear()
        self._patterns[on, off] = pattern
        return pattern

    def _number(self, task_id: str) -> int:
        number = self._numbers.get(task_id)
        if number is None:
            number = self._free.pop() if self._free else next(self._next_number)
            self._numbers[task_id] = number
            self._names[number] = task_id
        return number

    def _subtract(self, switches: str) -> None:
        for mark in switches:
            self._users_with[mark] -= 1
            if not self._users_with[mark]:
                del self._users_with[mark]
                self._release(ord(mark) // 2)

    def _release(self, number: int) -> None:
        """Take back the number of a task that no user has a switch for."""
        if _on(number) not in self._users_with and _off(number) not in self._users_with:
            del self._numbers[self._names.pop(number)]
            self._free.append(number)
            self._patterns.clear()


def _shard(user: str) -> int:
    return hash(user) % _SHARDS


def _on(number: int) -> str:
    return chr(2 * number + 1)


def _off(number: int) -> str:
    return chr(2 * number)
