"""User preferences as the audience index reads them: all of them, quickly, without holding up Redis.

A script answers for some hundred keys at once, one short text each: with a command for each key, most of the time would
go into sending and parsing. Each of its calls is bounded, whatever the hashes hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import MAX_SWITCHES, CustomInterval, Switches, decoded_keys, scan_keys, text_of_key

#: keys of one call of the script, and the work it may do there: about 2 ms in which Redis does nothing else
_KEYS_PER_CALL = 500
_WORK_PER_CALL = 8000

#: no interval is as long as this; what stands behind it is not read
MAX_INTERVAL_BYTES = 16 * 1024

#: the cursor that PreferenceStore.read_next begins with, and the one after which nothing comes
FIRST = LAST = "0"

_PATTERN = keys.USERS_PREFIX + "*"

Preference = Switches | CustomInterval


class PreferenceStore:
    """Finds and reads what the audience index is built from."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def scan(self) -> AsyncIterator[list[str]]:
        """Yield the preference and settings keys of all users in pieces; a key may come twice."""
        async for piece in scan_keys(self._store, "MATCH", _PATTERN):
            yield piece

    async def read(self, user_keys: Sequence[str]) -> list[Preference]:
        """Return what stands at `user_keys`; keys that hold no preferences are left out.

        Raises StoreError when Redis refused to tell: that must not look like a user without preferences.
        """
        owned = [(key, user) for key in user_keys if (user := keys.user_of_key(key)) is not None]
        found: list[Preference] = []
        while len(found) < len(owned):
            asked = owned[len(found) : len(found) + _KEYS_PER_CALL]
            _, _, answers = await self._ask([key for key, _ in asked])
            found += [_told(key, user, answer) for (key, user), answer in zip(asked, answers, strict=False)]
        return found

    async def read_next(self, cursor: str) -> tuple[str, list[Preference]]:
        """Find the next preferences of any users and return them; `cursor` is FIRST, then what the last call returned.

        At LAST there are no more. The same may come twice. Raises StoreError as `read` does.
        """
        following, found, answers = await self._ask([], cursor, _PATTERN, _KEYS_PER_CALL)
        told = [
            _told(key, user, answer)
            for raw, answer in zip(found, answers, strict=False)
            if (key := text_of_key(raw)) is not None and (user := keys.user_of_key(key)) is not None
        ]
        # The call does not answer for all when one user's hash was large.
        told += await self.read(decoded_keys(found[len(answers) :]))
        return following.decode(), told

    async def _ask(
        self, user_keys: Sequence[str], *scan: Argument
    ) -> tuple[bytes, list[bytes], list[bytes | int | None]]:
        limits = (_WORK_PER_CALL, MAX_SWITCHES, MAX_INTERVAL_BYTES)
        cursor, found, answers = await self._scripts.call("preferences_read", user_keys, [*limits, *scan])
        return cursor, found, answers


def pieces(user_keys: Iterable[str]) -> Iterator[list[str]]:
    """Cut `user_keys` into lists that are read by one call."""
    remaining = iter(user_keys)
    while piece := list(islice(remaining, _KEYS_PER_CALL)):
        yield piece


def _told(key: str, user_id: str, answer: bytes | int | None) -> Preference:
    if not key.endswith(keys.TASKS_SUFFIX):
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else None
        return CustomInterval(user_id=user_id, task_id=keys.task_of_settings(key), text=text)
    if isinstance(answer, bytes):
        on, off = _sides(answer)
        return Switches(user_id=user_id, on=on, off=off)
    return Switches(user_id=user_id, exists=False, unread=answer or 0)


@lru_cache(maxsize=4096)
def _sides(answer: bytes) -> tuple[frozenset[str], frozenset[str]]:
    # Most users share their switches with many others, and so the sets that stand for them.
    on, _, off = answer.decode("ascii").partition("\n\n")
    return frozenset(on.split()), frozenset(off.split())
