"""Slots: in which order a task's users run, and how far into the window each of them starts.

Users are ordered by a hash of task and user, and user i of N starts `window·i/N` after the occurrence. Calls per second
are then flat over the window, two tasks do not call the same users first, and an audience that gains or loses J users
moves nobody who stays by more than ⌈slots·J / min(N, M)⌉ + 1 slots, where it counted N before and M after.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

from taskqueue.errors import InvalidValueError

#: `distribution_slot` in a message counts these from the occurrence (spec: 15m30s is in slot 93)
SLOT_LENGTH = timedelta(seconds=10)

#: bits of an order key
_KEY_BITS = 64

#: users that are sorted at a time
_BUCKET_USERS = 4096

_MICROSECOND = timedelta.resolution
_SLOT_MICROSECONDS = SLOT_LENGTH // _MICROSECOND


class OrderKeys:
    """The order keys of one task's users: call it with a user id for an integer of 0 to 2**64 - 1.

    BLAKE2b (RFC 7693) with 8 bytes of digest over task id, line feed and user id. Users are ordered by (key, user id).
    The hashed task id is kept, which makes it twice as fast as `order_key`.
    """

    __slots__ = ("_task_state",)

    def __init__(self, task_id: str) -> None:
        # A task id holds no line feed: no two pairs of task and user give the same bytes.
        self._task_state = blake2b(task_id.encode() + b"\n", digest_size=8)

    def __call__(self, user_id: str) -> int:
        """Return the order key of `user_id`, which `taskqueue.core.ids.check_user_id` accepts."""
        state = self._task_state.copy()
        state.update(user_id.encode())
        return int.from_bytes(state.digest(), "big")

    def of(self, user_ids: Iterable[str]) -> array[int]:
        """Return the order keys of `user_ids`, in their order: for many of them twice as fast as call by call."""
        copy, digests = self._task_state.copy, list[bytes]()
        for user_id in user_ids:
            state = copy()
            state.update(user_id.encode())
            digests.append(state.digest())
        keys = array("Q", b"".join(digests))
        if sys.byteorder == "little":
            keys.byteswap()
        return keys


def order_key(task_id: str, user_id: str) -> int:
    """Return the order key of one user; for many users of a task, OrderKeys gives the same and is faster."""
    return OrderKeys(task_id)(user_id)


def cursor_of(key: int, user_id: str) -> str:
    """Return the cursor that says: planned up to this user of this order key. Cursors sort as their users do."""
    return f"{key:016x}:{user_id}"


def place_of(cursor: str) -> tuple[int, str]:
    """Return the order key and the user of a cursor. Raises ValueError for any other text."""
    key, _, user_id = cursor.partition(":")
    return int(key, 16), user_id


class UserOrder:
    """The users of one task, taken in any order and handed out in that of (order key, user id).

    The keys' leading bits part the users into buckets of some thousand, of which one at a time is sorted: a million
    users take about 20 bytes each beside their ids, and no step takes longer than a bucket, some milliseconds.
    `expected` is about how many users there will be; with others, it is only slower. Users whose key is below `first`
    are not taken: whoever goes on behind them saves their time.
    """

    def __init__(self, task_id: str, *, expected: int, first: int = 0) -> None:
        bits = (max(0, expected) // _BUCKET_USERS).bit_length()
        self._key_of = OrderKeys(task_id)
        self._first = first
        self._shift = _KEY_BITS - bits
        self._users: list[list[str]] = [[] for _ in range(1 << bits)]
        self._keys = [array("Q") for _ in range(1 << bits)]
        self._count = 0

    def __len__(self) -> int:
        """How many users were taken."""
        return self._count

    def add(self, users: Sequence[str]) -> None:
        """Take these users, none of whom was taken before. A few thousand take some milliseconds."""
        first, shift, user_buckets, key_buckets = self._first, self._shift, self._users, self._keys
        taken = 0
        for key, user in zip(self._key_of.of(users), users, strict=True):
            if key >= first:
                bucket = key >> shift
                user_buckets[bucket].append(user)
                key_buckets[bucket].append(key)
                taken += 1
        self._count += taken

    def drain(self, after: tuple[int, str] | None = None) -> Iterator[tuple[int, str]]:
        """Yield (order key, user) in order, those behind the place `after` only. What was yielded is let go."""
        first = 0 if after is None else after[0] >> self._shift
        for bucket in range(first, len(self._users)):
            places = sorted(zip(self._keys[bucket], self._users[bucket], strict=True))
            self._keys[bucket], self._users[bucket] = array("Q"), []
            yield from places if after is None else (place for place in places if place > after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """`users` users spread evenly over `window`; a user is known by the index, from 0, in the order of keys.

    Slots that lie in the window as a whole differ by at most one user, and a shorter last slot holds at most as many as
    the fullest. A window of zero puts everybody at once into slot 0.

    Raises InvalidValueError for a negative window or number of users.
    """

    window: timedelta
    users: int

    def __post_init__(self) -> None:
        if self.window < timedelta(0):
            raise InvalidValueError(f"distribution window {self.window}: use zero or more")
        if self.users < 0:
            raise InvalidValueError(f"{self.users} users: use zero or more")

    @property
    def slots(self) -> int:
        """How many slots the window touches; at least 1. With fewer users than slots some stay empty."""
        return max(1, -(-self.window // SLOT_LENGTH))

    def offset(self, index: int) -> timedelta:
        """Return how long after the occurrence user `index` starts: window·index/users, in whole microseconds.

        An index beyond the last counts as the last: an audience may grow while it is planned. Raises InvalidValueError
        for a negative index.
        """
        return self._microseconds(index) * _MICROSECOND

    def slot(self, index: int) -> int:
        """Return the slot, from 0, of user `index`: its offset in whole slot lengths. Raises as `offset` does."""
        return self._microseconds(index) // _SLOT_MICROSECONDS

    def started(self, elapsed: timedelta) -> int:
        """Return how many users start within `elapsed` of the occurrence: those whose offset is not above it."""
        microseconds, window = elapsed // _MICROSECOND, self.window // _MICROSECOND
        if microseconds < 0 or self.users == 0:
            return 0
        if window == 0:
            return self.users
        # ⌊window·i/users⌋ ≤ elapsed, for whole numbers, is i < (elapsed + 1)·users/window.
        return min(self.users, -(-(microseconds + 1) * self.users // window))

    def first_index(self, slot: int) -> int:
        """Return the lowest index in `slot` or a later one; `users` when there is none.

        The users of a slot are those from its first index up to, not including, the first index of the next one.
        """
        window = self.window // _MICROSECOND
        if slot <= 0 or self.users == 0:
            return 0
        if slot >= self.slots:
            return self.users
        # ⌊window·i/users⌋ ≥ start, for whole numbers, is i ≥ start·users/window.
        start = slot * _SLOT_MICROSECONDS
        return -(-start * self.users // window)

    def _microseconds(self, index: int) -> int:
        if index < 0:
            raise InvalidValueError(f"user index {index}: count from 0")
        if self.users == 0:
            return 0
        return self.window // _MICROSECOND * min(index, self.users - 1) // self.users
