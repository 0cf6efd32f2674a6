"""The limits that this worker holds: those of its worker.yaml, and over them those that an operator set for a while."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from taskqueue.runtime import Now
from taskqueue.store.limit_overrides import LimitOverrides, overridden
from taskqueue.store.limits import Limits

#: a limit that was set counts here after this long
_LOOK_EVERY_S = 0.5


class LiveLimits:
    """`in_force` is what to go by now; before the first look, and while Redis is away, what was known last.

    It is one object for as long as nothing changes.
    """

    def __init__(self, own: Limits) -> None:
        self.own = own
        self.in_force = own

    async def follow(self, overrides: LimitOverrides, now: Now) -> NoReturn:
        """Follow what is set for a while, for ever. Raises StoreError when Redis does not answer."""
        while True:
            limits = overridden(self.own, await overrides.read(now()))
            if limits != self.in_force:
                self.in_force = limits
            await asyncio.sleep(_LOOK_EVERY_S)
