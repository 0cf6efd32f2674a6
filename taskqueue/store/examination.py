"""What `taskqueue doctor` asks Redis: facts about the server, and keys that never end. It changes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from taskqueue.core.doctor_store import EndlessKeys, StoreFacts, WrongType
from taskqueue.errors import StoreError, StoreUnavailableError
from taskqueue.store import keys
from taskqueue.store.changes import user_changes
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import Argument, RedisStore

#: harmless forms of what schedulers and workers do, by what docs/redis.md calls the right
_RIGHTS: Final[Mapping[str, tuple[Argument, ...]]] = {
    "read": ("GET", keys.PROBE),
    "write": ("SETRANGE", keys.PROBE, 0, ""),
    "scripting": ("EVAL", "return redis.call('EXISTS', KEYS[1])", 1, keys.PROBE),
    "scan": ("SCAN", 0, "MATCH", keys.PROBE, "COUNT", 1),
    "time": ("TIME",),
}

_NO_RIGHT = re.compile(r"NOPERM|no permissions|lacks a right")

#: kinds of keys that must end, as docs/redis.md has them; `*` stands for any text
ENDING_KINDS: Final = (
    "taskqueue:distribution:lock",
    "taskqueue:schedule:lock:*",
    "taskqueue:due:latest:*",
    "taskqueue:due:skipped:*",
    "taskqueue:occurrence:*",
    "taskqueue:damaged:*",
    "taskqueue:import:*",
    "taskqueue:claim:*",
    "taskqueue:done:*",
    "taskqueue:cancelled:*",
    "taskqueue:execution:*",
    "taskqueue:replayed:*",
    "taskqueue:delayed:job:*",
    "taskqueue:lane_tail",
    "taskqueue:worker:*",
    "taskqueue:fleet:*",
    "taskqueue:api:executions:*",
    "taskqueue:api:quota:*",
    "taskqueue:api:idempotency:*",
    "taskqueue:ratelimit:*",
    "taskqueue:limits",
    "taskqueue:limits:overrides",
    "taskqueue:hosts",
    "taskqueue:metrics:*",
)

#: the keys of fixed names by type; none of them is there from the beginning
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "string": (keys.LEASE, keys.LANE_TAIL, keys.CATALOG_REVISION, keys.CATALOG_WRITER, keys.FLEET_WATCHED),
    "hash": (
        keys.DUE_RULES,
        keys.DUE_HELD_INSTANTS,
        keys.PLAIN_SLOT_OWNERS,
        keys.LIMITS,
        keys.LIMIT_OVERRIDES,
        keys.HOSTS,
        keys.CATALOG,
        keys.CATALOG_REMOVED,
    ),
    "zset": (
        keys.DUE,
        keys.DUE_HELD,
        keys.OCCURRENCES,
        keys.DELAYED,
        keys.API_TASKS,
        keys.API_NAMES,
        keys.API_DUE,
        keys.API_WAITING,
    ),
    "set": (keys.DUE_ENDED, keys.WAITING, keys.API_PAUSED, keys.API_TOKENS),
    "stream": (keys.API_AUDIT,),
}

#: of slot lists, whose keys begin as others do that stay
_SLOT_KIND: Final = "taskqueue:distribution:{task_id}:{slot_number}"
_SLOT = re.compile(rb"taskqueue:distribution:[^:]+:\d+(:.*)?", re.DOTALL)

_KINDS = tuple((kind, kind.removesuffix("*").encode(), kind.endswith("*")) for kind in ENDING_KINDS)

#: keys that one step looks at, and what it rests: some thousand keys a second, which no Redis notices
_STEP_KEYS = 500
_REST_S = 0.02
#: steps of a look that is not at all keys
_SAMPLE_STEPS = 20


async def examine_store(store: RedisStore, place: str) -> StoreFacts:
    """Return what the server says of itself, and what this user may do. Raises StoreError where it cannot be used."""
    hello = _pairs(await store.command("HELLO"))
    clock = ServerClock(store)
    refused, write_refusal = await _refusals(store)
    if "time" not in refused:
        await clock.sync()
    return StoreFacts(
        place=place,
        version=tuple(int(part) for part in hello.get("version", "").split(".") if part.isdecimal()),
        mode=hello.get("mode", "standalone"),
        refused=refused,
        write_refusal=write_refusal,
        info=await _info(store),
        appendfsync=await _appendfsync(store),
        ahead_s=clock.ahead_s,
    )


async def endless_keys(store: RedisStore, *, every_key: bool) -> EndlessKeys:
    """Return the keys that should end and never do: of all keys, or of the first ten thousand. Raises StoreError.

    An iteration over all keys finds each key that is there from its beginning to its end (redis.io, SCAN).
    """
    endless: dict[str, tuple[str, int]] = {}
    cursor: bytes | int = 0
    looked_at = steps = 0
    while True:
        cursor, found = await store.command("SCAN", cursor, "MATCH", f"{keys.PREFIX}*", "COUNT", _STEP_KEYS)
        looked_at, steps = looked_at + len(found), steps + 1
        for key, kind in await _endless(store, found):
            example, count = endless.get(kind, (key.decode(errors="backslashreplace"), 0))
            endless[kind] = example, count + 1
        complete = int(cursor) == 0
        if complete or (not every_key and steps >= _SAMPLE_STEPS):
            return EndlessKeys(looked_at=looked_at, complete=complete, endless=endless)
        await asyncio.sleep(_REST_S)


async def wrong_types(store: RedisStore) -> tuple[WrongType, ...]:
    """Return the keys of fixed names that hold another type than they should. Raises StoreError."""
    wanted = {key: kind for kind, names in _TYPES.items() for key in names}
    held = _texts(await store.read(*(("TYPE", key) for key in wanted)))
    return tuple(
        WrongType(key=key, held=kind, wanted=wanted[key])
        for key, kind in zip(wanted, held, strict=True)
        if kind not in {wanted[key], "none"}
    )


async def lane_tail(store: RedisStore) -> tuple[float, float] | None:
    """Return the present and when the last job in the delayed queue is due, unix seconds of Redis's clock.

    None where no leader has said so for a while. Raises StoreError.
    """
    (seconds, microseconds), tail = await store.read(("TIME",), ("GET", keys.LANE_TAIL))
    try:
        return int(seconds) + int(microseconds) / 1e6, int(tail) / 1e3
    except (TypeError, ValueError):
        return None


def kind_of(key: bytes) -> str | None:
    """Return which of the kinds that must end `key` is of; None for a key that may stay."""
    for kind, beginning, open_ended in _KINDS:
        if key == beginning or (open_ended and key.startswith(beginning)):
            return kind
    return _SLOT_KIND if _SLOT.fullmatch(key) else None


async def _endless(store: RedisStore, found: Sequence[bytes]) -> list[tuple[bytes, str]]:
    owned = [(key, kind) for key in found if (kind := kind_of(key)) is not None]
    replies = await store.read(*(("PTTL", key) for key, _ in owned))
    return [pair for pair, left_ms in zip(owned, replies, strict=True) if left_ms == -1]


async def _refusals(store: RedisStore) -> tuple[tuple[str, ...], str]:
    """Return the rights that this user lacks, and why nothing can be written by anybody."""
    refused, write_refusal = [], ""
    for right, command in _RIGHTS.items():
        try:
            await store.command(*command)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            if _NO_RIGHT.search(str(error)):
                refused.append(right)
            elif right == "write":
                write_refusal = str(error)
    try:
        async with aclosing(user_changes(store)) as changes:
            await anext(changes)
    except StoreError as error:
        if _NO_RIGHT.search(str(error)):
            refused.append("the channel __redis__:invalidate")
    return tuple(refused), write_refusal


async def _info(store: RedisStore) -> Mapping[str, object] | None:
    """Return INFO with how many replicas Redis wants; None for a user who may not ask."""
    try:
        info: dict[str, object] = dict(await store.command("INFO"))
    except StoreUnavailableError:
        raise
    except StoreError:
        return None
    wanted = await _setting(store, "min-replicas-to-write")
    return {**info, "min_replicas_to_write": int(wanted or 0)}


async def _appendfsync(store: RedisStore) -> str | None:
    return await _setting(store, "appendfsync")


async def _setting(store: RedisStore, name: str) -> str | None:
    try:
        return _pairs(await store.command("CONFIG", "GET", name)).get(name)
    except StoreUnavailableError:
        raise
    except StoreError:
        return None


def _pairs(flat: Sequence[Any]) -> dict[str, str]:
    texts = _texts(flat)
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _texts(values: Sequence[Any]) -> list[str]:
    return [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in values]
