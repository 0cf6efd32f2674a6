"""Keys that hold what does not belong there: found by type, set aside, and told with their remedy.

What stands there was written by mistake, and what stood there before is gone. So the leader moves it out of the way
and goes on as after a deletion, instead of failing at it again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import DamagedKeySetAside

#: long enough to look at what it was
_KEPT = timedelta(days=7)

#: the types of what the leader reads and writes; of prefixes, the longest that fits counts
_TYPES: Mapping[str, str] = {
    keys.LEASE: "string",
    keys.DUE: "zset",
    keys.DUE_RULES: "hash",
    keys.DUE_HELD: "zset",
    keys.DUE_HELD_INSTANTS: "hash",
    keys.DUE_ENDED: "set",
    keys.LATEST_OCCURRENCE_PREFIX: "string",
    keys.OCCURRENCES: "zset",
    keys.PLAIN_SLOT_OWNERS: "hash",
    keys.DELAYED: "zset",
    keys.WAITING: "set",
    keys.WAITING_PREFIX: "zset",
    keys.RUNNING_PREFIX: "zset",
    keys.LIMITS: "hash",
    keys.LIMIT_OVERRIDES: "hash",
    keys.HOSTS: "hash",
    keys.LANE_TAIL: "string",
    keys.CATALOG: "hash",
    keys.CATALOG_REVISION: "string",
    keys.CATALOG_REMOVED: "hash",
    keys.CATALOG_WRITER: "string",
    keys.SLOT_PREFIX: "list",
    keys.SCHEDULE_PREFIX: "string",
    keys.OCCURRENCE_PREFIX: "hash",
    keys.DELAYED_JOB_PREFIX: "hash",
    keys.API_TASKS: "zset",
    keys.API_DUE: "zset",
    keys.API_WAITING: "zset",
    keys.API_NAMES: "zset",
    keys.API_INDEX_PREFIX: "zset",
    keys.API_PAUSED: "set",
    keys.API_TASK_PREFIX: "hash",
    keys.API_DEPENDENCIES_PREFIX: "hash",
    keys.API_EXECUTIONS_PREFIX: "zset",
}


class DamagedKeys:
    """Sets damaged keys of the leader's aside."""

    def __init__(self, scripts: Scripts, emit: Emit) -> None:
        self._scripts = scripts
        self._emit = emit

    async def set_aside(self, token: str, error: DamagedKeyError) -> bool:
        """Move what `error` names out of the way, tell it, and return whether it stood there.

        A key that is not the leader's stays as it is. Raises LeaseLostError when `token` is not the leader's,
        StoreError when Redis refused.
        """
        wanted = _type_of(error.key)
        if wanted is None:
            return False
        if error.member is not None:
            removed = bool(await self._scripts.call("entry_remove", [keys.LEASE, error.key], [token, error.member]))
            if removed:  # else another loop has met it as well, and was first
                self._emit(DamagedKeySetAside(key=error.key, problem=f"held {error.member[:200]!r}: {error.problem}"))
            return removed
        kept_as = keys.damaged(error.key)
        found = await self._scripts.call(
            "set_aside",
            [keys.LEASE, error.key, kept_as],
            [token, "" if error.unreadable else wanted, _KEPT // timedelta(milliseconds=1)],
        )
        if found:
            problem = error.problem if error.unreadable else f"held a {found.decode()}, not a {wanted}"
            self._emit(DamagedKeySetAside(key=error.key, problem=problem, kept_as=kept_as))
        return bool(found)


def _type_of(key: str) -> str | None:
    known = _TYPES.get(key)
    return known or next(
        (kind for prefix, kind in _TYPES.items() if prefix.endswith(":") and key.startswith(prefix)), None
    )
