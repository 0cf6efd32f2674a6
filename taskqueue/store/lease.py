"""Leadership: a lease in Redis that holds the leader's random token.

The lease only saves work. What makes two leaders harmless is that every script which writes the leader's state first
checks that the lease still holds its token.
"""

from __future__ import annotations

import secrets
import time
from datetime import timedelta

from taskqueue.errors import LeaseLostError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: what PTTL says of a key that never expires
_NO_END = -1

#: by so much the leases of two schedulers may differ, while their settings are being changed
_MAY_DIFFER_MS = 60_000


class Lease:
    """The lease as one process sees it; `name` is the process's name, which the token begins with.

    A leader trusts its lease until a margin before it can have run out, counted on its own monotonic clock from the
    moment it asked: however late the answer came, the lease in Redis lives longer.
    """

    def __init__(self, store: RedisStore, scripts: Scripts, *, name: str, ttl: timedelta) -> None:
        self._store = store
        self._scripts = scripts
        self._name = name
        self._ttl_ms = ttl // timedelta(milliseconds=1)
        self._trust_s = ttl.total_seconds() * 0.9
        self._trusted_until = 0.0
        self._unanswered = False
        self.token = ""

    @property
    def renew_every_s(self) -> float:
        """How long to wait between renewals: three may fail before the trust ends."""
        return self._trust_s / 4

    @property
    def trusted(self) -> bool:
        """Whether this process may act as the leader now."""
        return time.monotonic() < self._trusted_until

    async def acquire(self) -> bool:
        """Try to become the leader; return whether this process is it now.

        Raises StoreUnavailableError without a reply, StoreError when Redis refused: also one that runs no scripts.
        """
        if self._unanswered and await self._taken_unheard():
            return True
        asked = time.monotonic()
        self.token = f"{self._name}:{secrets.token_hex(8)}"
        self._unanswered = True
        taken = bool(await self._scripts.call("lease_take", [keys.LEASE], [self.token, self._ttl_ms]))
        self._unanswered = False
        if taken:
            self._trusted_until = asked + self._trust_s
        else:
            await self._bound()
        return taken

    async def is_free(self) -> bool:
        """Return whether nobody holds the lease. Raises StoreError."""
        free = int(await self._store.command("EXISTS", keys.LEASE)) == 0
        if not free:
            await self._bound()
        return free

    async def _bound(self) -> None:
        # One that lasts longer than any of ours, or has no end, was written by hand, or the clock of Redis went back:
        # once its holder is gone it would keep everybody out. A leader with a longer lease than ours is let be.
        left_ms = int(await self._store.command("PTTL", keys.LEASE))
        if left_ms == _NO_END or left_ms > self._ttl_ms + _MAY_DIFFER_MS:
            await self._store.command("PEXPIRE", keys.LEASE, self._ttl_ms, "LT")

    async def renew(self) -> None:
        """Keep the lease. Raises LeaseLostError when another process has it, StoreUnavailableError without a reply."""
        asked = time.monotonic()
        try:
            await self._scripts.call("lease", [keys.LEASE], [self.token, self._ttl_ms])
        except LeaseLostError:
            self._trusted_until = 0.0
            raise
        self._trusted_until = asked + self._trust_s

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for its end."""
        self._trusted_until = 0.0
        try:
            await self._scripts.call("lease", [keys.LEASE], [self.token, 0])
        except LeaseLostError:
            return

    async def _taken_unheard(self) -> bool:
        # An earlier attempt got no answer; if it took the lease all the same, it can be renewed.
        try:
            await self.renew()
        except LeaseLostError:
            return False
        self._unanswered = False
        return True

    async def holder(self) -> str | None:
        """Return the name of the leader, or None when there is none."""
        token = await self._store.command("GET", keys.LEASE)
        return None if token is None else holder_of(token)


def holder_of(token: bytes) -> str:
    """Return the name of the process that a lease with this token belongs to."""
    return token.decode(errors="replace").rpartition(":")[0]
