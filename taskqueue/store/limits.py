"""The limits that workers hold, told to the leader: it releases no job faster than they let it start."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from taskqueue.core.ids import check_task_id
from taskqueue.core.waiting import GLOBAL, limited_task, task_limit
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: limits that no worker has told for so long hold no more
LIMITS_KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A token bucket: `rate` jobs per second, and at most `burst` at once. A rate of 0 lets nothing start."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limit over all tasks, and those of single tasks by task id; what is not here is not limited."""

    global_: Limit | None = None
    tasks: Mapping[str, Limit] = field(default_factory=dict)

    def by_name(self) -> dict[str, Limit]:
        """Return all of them by their names (core/waiting)."""
        named = {task_limit(task_id): limit for task_id, limit in self.tasks.items()}
        return named if self.global_ is None else {GLOBAL: self.global_, **named}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket as Redis holds it: `tokens` at `last_refill`, unix seconds."""

    tokens: float
    last_refill: float

    def level(self, limit: Limit, now: float) -> float:
        """Return how many tokens `limit` has in it at `now`, unix seconds."""
        return min(limit.burst, self.tokens + max(0.0, now - self.last_refill) * limit.rate)


class LimitStore:
    """The limits in force. `unreadable` holds, by field, what was wrong with those that the last `read` left out."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self.unreadable: dict[str, str] = {}

    async def write(self, limits: Limits) -> None:
        """Replace the limits in force with `limits`, for LIMITS_KEPT."""
        fields = [text for name, limit in sorted(limits.by_name().items()) for text in (name, _to_json(limit))]
        await self._scripts.call_again(
            "limits_write", [keys.LIMITS], [LIMITS_KEPT // timedelta(milliseconds=1), *fields]
        )

    async def read(self) -> Limits:
        """Return the limits in force: none at all where no worker has told any. What cannot be read limits nothing."""
        flat = await self._store.command("HGETALL", keys.LIMITS)
        found: dict[str, Limit] = {}
        self.unreadable = {}
        for field_name, text in flat.items():
            name = field_name.decode(errors="backslashreplace")
            try:
                found[checked_limit_name(name)] = _from_json(text)
            except InvalidValueError as error:
                self.unreadable[name] = str(error)
        tasks = {task_id: limit for name, limit in found.items() if (task_id := limited_task(name)) is not None}
        return Limits(global_=found.get(GLOBAL), tasks=tasks)

    async def buckets(self, names: Sequence[str]) -> dict[str, Bucket]:
        """Return the buckets of these limits, those that are not full. What is none of ours counts as full."""
        replies = await self._store.pipeline([("HMGET", _bucket_key(name), "tokens", "last_refill") for name in names])
        found: dict[str, Bucket] = {}
        for name, reply in zip(names, replies, strict=True):
            with suppress(ValueError, TypeError):
                found[name] = Bucket(tokens=float(reply[0]), last_refill=float(reply[1]))
        return found


def _bucket_key(name: str) -> str:
    task_id = limited_task(name)
    return keys.GLOBAL_LIMIT if task_id is None else keys.task_limit(task_id)


def checked_limit_name(name: str) -> str:
    """Return `name` where it is that of a limit of worker.yaml (core/waiting). Raises InvalidValueError."""
    if name == GLOBAL:
        return name
    task_id = limited_task(name)
    if task_id is None or name != task_limit(task_id):
        raise InvalidValueError(f"{name[:80]!r} names no limit; use {GLOBAL} or {task_limit('ID')}")
    check_task_id(task_id)
    return name


def _to_json(limit: Limit) -> str:
    return json.dumps({"rate": limit.rate, "burst": limit.burst})


def _from_json(text: bytes) -> Limit:
    """Return the limit that `text` holds. Raises InvalidValueError unless a job can ever pass it."""
    try:
        fields = json.loads(text)
        limit = Limit(rate=float(fields["rate"]), burst=float(fields["burst"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise InvalidValueError('not a limit; use {"rate": JOBS_PER_SECOND, "burst": JOBS}') from None
    if not (0 < limit.rate < math.inf and 1 <= limit.burst < math.inf):
        raise InvalidValueError(f"rate {limit.rate}, burst {limit.burst}: use a rate above 0 and a burst of 1 or more")
    return limit
