"""What workers know about hosts that have trouble: told among themselves, and to the leader."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from taskqueue.core.host_limit import HostReport
from taskqueue.core.instants import to_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore, checked

#: what a worker does not tell again within this holds no more
HOSTS_KEPT = timedelta(seconds=10)

#: workers and the leader each count on from the last time that Redis told them
_CLOCKS_DIFFER = timedelta(seconds=5)

#: by host, then by incarnation of the worker that says so
HostReports = Mapping[str, Mapping[str, HostReport]]


class HostStore:
    """`taskqueue:hosts`: one field for each worker that limits a host. What cannot be read says nothing."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def tell(self, incarnation: str, hosts: Mapping[str, HostReport], now: datetime) -> None:
        """Replace what the worker said before, for HOSTS_KEPT; without `hosts` it has nothing to say any more."""
        if not hosts:
            await self._store.command("HDEL", keys.HOSTS, incarnation)
            return
        told = {host: asdict(report) for host, report in hosts.items()}
        said = json.dumps({"expires": to_unix_ms(now + HOSTS_KEPT), "hosts": told})
        kept_ms = HOSTS_KEPT // timedelta(milliseconds=1)
        for reply in await self._store.pipeline(
            [("HSET", keys.HOSTS, incarnation, said), ("PEXPIRE", keys.HOSTS, kept_ms)]
        ):
            checked(reply)

    async def read(self, now: datetime, *, prune: bool = False) -> HostReports:
        """Return what is said about each host now; with `prune`, what a lost worker said is removed."""
        flat = await self._store.command("HGETALL", keys.HOSTS)
        found = defaultdict[str, dict[str, HostReport]](dict)
        lapsed: list[bytes] = []
        for field, text in flat.items():
            expires_ms, hosts = _from_json(text)
            # One that lasts longer than any is of a time before the clock was set back.
            if not to_unix_ms(now) <= expires_ms <= to_unix_ms(now + HOSTS_KEPT + _CLOCKS_DIFFER):
                lapsed.append(field)
                continue
            for host, report in hosts.items():
                found[host][field.decode(errors="replace")] = report
        if lapsed and prune:
            # A worker that lives on says it again with its next report.
            await self._store.command("HDEL", keys.HOSTS, *lapsed)
        return found


def _from_json(text: bytes) -> tuple[int, dict[str, HostReport]]:
    """Return until when a field counts (unix ms) and what it says; 0 and nothing where it is none of ours."""
    try:
        said = json.loads(text)
        return int(said["expires"]), {str(host): _report(told) for host, told in said["hosts"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return 0, {}


def _report(told: Mapping[str, float | None]) -> HostReport:
    closed_until = told["closed_until"]
    return HostReport(
        limit=int(told["limit"] or 0),
        in_flight=int(told["in_flight"] or 0),
        closed_until=None if closed_until is None else float(closed_until),
        since=float(told["since"] or 0),
        closings=int(told["closings"] or 0),
        probing=bool(told["probing"]),
        # Workers of an earlier version do not say these.
        empty_looks=int(told.get("empty_looks") or 0),
        hearsay=bool(told.get("hearsay")),
    )
