"""Limits that an operator sets for a while, over those of worker.yaml; workers and the leader follow within seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.waiting import GLOBAL, limited_task
from taskqueue.errors import InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.limits import Limit, Limits, checked_limit_name
from taskqueue.store.scripts import Scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A limit that holds until then. A rate of 0 lets nothing start."""

    limit: Limit
    until: datetime


class LimitOverrides:
    """`taskqueue:limits:overrides`. `unreadable` holds, by field, what was wrong with those that `read` left out."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self.unreadable: dict[str, str] = {}

    async def set(self, name: str, override: Override) -> bool:
        """Let `override` hold instead of the limit `name` (core/waiting); return whether it replaces another one.

        Raises InvalidValueError for a name, a rate or a burst that no limit has.
        """
        checked_limit_name(name)
        _check(override.limit)
        said = {
            "rate": override.limit.rate,
            "burst": override.limit.burst,
            "until": to_unix_ms(override.until),
        }
        return bool(await self._scripts.call_again("limit_override", [keys.LIMIT_OVERRIDES], [name, json.dumps(said)]))

    async def clear(self, name: str) -> bool:
        """Let the limit `name` of worker.yaml hold again; return whether there was an override. Raises as `set`."""
        checked_limit_name(name)
        return bool(await self._scripts.call("limit_override", [keys.LIMIT_OVERRIDES], [name, ""]))

    async def read(self, now: datetime) -> dict[str, Override]:
        """Return what holds now, by the name of the limit. What cannot be read changes nothing."""
        flat = await self._store.command("HGETALL", keys.LIMIT_OVERRIDES)
        found: dict[str, Override] = {}
        self.unreadable = {}
        for field, text in flat.items():
            name = field.decode(errors="backslashreplace")
            try:
                override = _from_json(checked_limit_name(name), text)
            except InvalidValueError as error:
                self.unreadable[name] = str(error)
            else:
                if override.until > now:
                    found[name] = override
        return found


def overridden(limits: Limits, overrides: Mapping[str, Override]) -> Limits:
    """Return `limits` with those that are set for a while in their place."""
    if not overrides:
        return limits
    tasks = dict(limits.tasks)
    for name, override in overrides.items():
        if (task_id := limited_task(name)) is not None:
            tasks[task_id] = override.limit
    over_all = overrides.get(GLOBAL)
    return Limits(global_=limits.global_ if over_all is None else over_all.limit, tasks=tasks)


def _from_json(name: str, text: bytes) -> Override:
    try:
        said = json.loads(text)
        override = Override(
            limit=Limit(rate=float(said["rate"]), burst=float(said["burst"])), until=from_unix_ms(int(said["until"]))
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, OSError):
        raise InvalidValueError(f"not an override; use taskqueue limits set {name} RATE --for 1h") from None
    _check(override.limit)
    return override


def _check(limit: Limit) -> None:
    if not (0 <= limit.rate < math.inf and 1 <= limit.burst < math.inf):
        raise InvalidValueError(f"rate {limit.rate}, burst {limit.burst}: use a rate from 0 and a burst of 1 or more")
