"""The audit log of the API: who changed what, the last 10,000 requests or so. Never bodies, never secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.instants import from_unix_ms
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

#: Redis trims by whole blocks: a few more may be there
ENTRIES_KEPT = 10_000

#: Redis counts entries of the same millisecond with the second number
_ENTRY_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A request that may have changed something; `ids` are those in its path, by their names in `route`."""

    method: str
    route: str
    ids: Mapping[str, str]
    token_id: str
    status: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A change on record, and when Redis took it down."""

    entry_id: str
    at: datetime
    change: Change


class AuditLog:
    """`taskqueue:api:audit`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def append(self, change: Change) -> None:
        """Put `change` on record. Raises StoreError: whether it is on record is then unknown."""
        fields = (
            *("method", change.method, "route", change.route, "ids", json.dumps(dict(change.ids))),
            *("token", change.token_id, "status", change.status, "request_id", change.request_id),
        )
        await self._store.ask(("XADD", keys.API_AUDIT, "MAXLEN", "~", ENTRIES_KEPT, "*", *fields))

    async def read(self, *, limit: int, before: str | None = None) -> list[AuditEntry]:
        """Return the `limit` latest entries, the latest first; with `before`, those older than the entry of that id.

        Raises InvalidValueError where `before` is the id of no entry, StoreError.
        """
        if before is not None and not _ENTRY_ID.fullmatch(before):
            raise InvalidValueError("before: not the id of an entry; use the `next` of the page before")
        if before is not None and not before.strip("0-"):
            return []  # older than the oldest possible, for which Redis has only an error
        latest = "+" if before is None else f"({before}"
        found = await self._store.ask(("XREVRANGE", keys.API_AUDIT, latest, "-", "COUNT", limit))
        return [_entry(raw_id.decode(), fields) for raw_id, fields in found]


def _entry(entry_id: str, flat: Sequence[bytes]) -> AuditEntry:
    try:
        said = {field.decode(): value.decode() for field, value in zip(flat[::2], flat[1::2], strict=True)}
        change = Change(
            method=said["method"],
            route=said["route"],
            ids={str(name): str(value) for name, value in json.loads(said["ids"]).items()},
            token_id=said["token"],
            status=int(said["status"]),
            request_id=said["request_id"],
        )
        return AuditEntry(entry_id=entry_id, at=from_unix_ms(int(entry_id.partition("-")[0])), change=change)
    except (KeyError, ValueError, AttributeError, OverflowError):
        problem = f"has an entry {entry_id} that is none of ours"
        raise DamagedKeyError(keys.API_AUDIT, problem, unreadable=True) from None
