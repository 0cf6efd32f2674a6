"""User preferences as other systems keep them: who wants which task, and with which settings.

These hashes are not ours: any field may be missing or hold nonsense, and then it says nothing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace

from taskqueue.core.instants import rfc3339
from taskqueue.core.preference import UserPreference
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, checked

#: whoever has more switches than this has none
MAX_SWITCHES = 5000

_SCAN_COUNT = 1000
_SETTINGS_FIELDS = ("custom_interval", "parameters", "last_modified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """`taskqueue:users:{user_id}:tasks`: task ids the user switched on or off; `exists` is False without the hash."""

    user_id: str
    on: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()
    exists: bool = True
    #: fields of a hash that holds too many to be switches; it is then left unread, and counts as none
    unread: int = 0

    def switch(self, task_id: str) -> bool | None:
        """Return the user's switch for the task; None without one."""
        return True if task_id in self.on else False if task_id in self.off else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomInterval:
    """`custom_interval` of `taskqueue:users:{user_id}:settings:{task_id}` as it stands there; None without one."""

    user_id: str
    task_id: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSettings:
    """`taskqueue:users:{user_id}:settings:{task_id}` as it stands there; None for a field that is not."""

    custom_interval: str | None = None
    parameters: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUser:
    """All that stands about one user; `settings` by task id, without the tasks that have none.

    `odd_values` are those of switches that are neither 1 nor 0, by task id. They are off.
    """

    switches: Switches
    settings: Mapping[str, StoredSettings]
    odd_values: Mapping[str, str] = field(default_factory=dict)
    #: whether another type stands where the switches belong; it says nothing
    no_hash: bool = False


class UserStore:
    """Reads and writes preferences for `taskqueue users`. What the audience index reads is in store/preferences.py."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def scan_known(self) -> AsyncIterator[list[Switches]]:
        """Yield the switches of all users who have any, in pieces and no order; a user may come twice."""
        async for piece in scan_keys(self._store, "MATCH", keys.user_tasks("*"), "TYPE", "hash"):
            owned = [(key, user) for key in piece if (user := keys.user_of_key(key)) is not None]
            sizes = await self._store.pipeline([("HLEN", key) for key, _ in owned])
            read = [each for each, size in zip(owned, sizes, strict=True) if _may_be_read(_size(size))]
            replies = await self._store.pipeline([("HGETALL", key) for key, _ in read])
            found = [_switches(user, _unless_wrong_type(reply)) for (_, user), reply in zip(read, replies, strict=True)]
            if known := [one for one in found if one.exists]:
                yield known

    async def read_user(self, user_id: str, task_ids: Iterable[str]) -> StoredUser:
        """Return what stands about the user: every switch, and the settings for `task_ids` and for what is switched.

        Raises StoreError when Redis refused to tell.
        """
        key = keys.user_tasks(user_id)
        (answer,) = await self._store.pipeline([("HLEN", key)])
        size, reply = _size(answer), None
        if _may_be_read(size):
            (answer,) = await self._store.pipeline([("HGETALL", key)])
            reply = _unless_wrong_type(answer)
        switches = replace(_switches(user_id, reply), unread=0 if _may_be_read(size) else size or 0)
        tasks = sorted(switches.on.union(switches.off, task_ids))
        replies = await self._store.pipeline(
            [("HMGET", keys.user_settings(user_id, task), *_SETTINGS_FIELDS) for task in tasks]
        )
        settings = {task: _stored_settings(reply) for task, reply in zip(tasks, replies, strict=True)}
        return StoredUser(
            switches=switches,
            settings={task: one for task, one in settings.items() if one != StoredSettings()},
            odd_values=_odd_values(reply),
            no_hash=size is None,
        )

    async def write(self, preferences: Iterable[UserPreference], last_modified: str) -> None:
        """Store `preferences` in one write; what they do not mention stays as it is. Twice is harmless.

        `last_modified`, RFC 3339, is for the settings of those that do not state it. Raises StoreError with the key
        that Redis refused to change, while all others are changed; StoreUnavailableError: any of them may be.
        """
        commands = [command for preference in preferences for command in _write_commands(preference, last_modified)]
        replies = await self._store.pipeline(commands)
        for (_, key, *_), reply in zip(commands, replies, strict=True):
            try:
                checked(reply)
            except StoreError as error:
                raise StoreError(f"{key}: {error}") from None


async def scan_keys(store: RedisStore, *filters: str) -> AsyncIterator[list[str]]:
    """Yield the keys that pass the `filters` of SCAN, in pieces; a key may come twice."""
    cursor: bytes | str = "0"
    while True:
        cursor, found = await store.command("SCAN", cursor, *filters, "COUNT", _SCAN_COUNT)
        if piece := decoded_keys(found):
            yield piece
        if int(cursor) == 0:
            return


def decoded_keys(found: Iterable[bytes]) -> list[str]:
    """Return the keys that are text. A user id that is not UTF-8 could not stand in a message; it is left out."""
    return [key for raw in found if (key := text_of_key(raw)) is not None]


def text_of_key(raw: bytes) -> str | None:
    """Return the key as text, or None when it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _switches(user_id: str, reply: object) -> Switches:
    fields = _pairs(reply)
    return Switches(
        user_id=user_id,
        on=frozenset(_texts(task for task, switch in fields if switch == b"1")),
        off=frozenset(_texts(task for task, switch in fields if switch != b"1")),
        exists=bool(fields),
    )


def _size(reply: object) -> int | None:
    """Return how many fields the hash has; None for another type."""
    found = _unless_wrong_type(reply)
    return found if isinstance(found, int) else None


def _may_be_read(size: int | None) -> bool:
    return size is not None and size <= MAX_SWITCHES


def _odd_values(reply: object) -> dict[str, str]:
    return {
        task.decode(errors="replace"): switch.decode(errors="replace")
        for task, switch in _pairs(reply)
        if switch not in (b"0", b"1")
    }


def _stored_settings(reply: object) -> StoredSettings:
    reply = _unless_wrong_type(reply)
    values = [_field(value) for value in reply] if isinstance(reply, list) else [None] * len(_SETTINGS_FIELDS)
    return StoredSettings(**dict(zip(_SETTINGS_FIELDS, values, strict=True)))


def _field(value: object) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else None


def _unless_wrong_type(reply: object) -> object:
    """Return the reply, None for a key of another type: it says nothing. Raises StoreError for any other refusal."""
    if isinstance(reply, Exception) and str(reply).startswith("WRONGTYPE"):
        return None
    return checked(reply)


def _pairs(reply: object) -> list[tuple[bytes, bytes]]:
    # Anything else is a key of another type: no preferences.
    return list(reply.items()) if isinstance(reply, dict) else []


def _texts(values: Iterable[bytes]) -> Iterable[str]:
    return (value.decode(errors="replace") for value in values)


def _write_commands(preference: UserPreference, last_modified: str) -> Iterable[tuple[str, ...]]:
    user = preference.user_id
    if preference.enabled_tasks:
        switches = [text for task, on in preference.enabled_tasks.items() for text in (task, "1" if on else "0")]
        yield ("HSET", keys.user_tasks(user), *switches)
    stated = preference.last_modified
    for task in sorted(preference.settings_ids):
        settings = ["last_modified", rfc3339(stated) if stated else last_modified]
        if task in preference.parameters:
            settings += ["parameters", _json(preference.parameters[task])]
        if task in preference.custom_intervals:
            settings += ["custom_interval", _json(preference.custom_intervals[task])]
        yield ("HSET", keys.user_settings(user, task), *settings)


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
