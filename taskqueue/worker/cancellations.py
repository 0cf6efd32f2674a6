"""Cuts the calls of cancelled jobs: asks for the marks of what is running, again and again.

The mark itself is asked for, and not a message about it: whoever sets it need not know which worker runs the job, and
nothing can get lost between the two, neither while Redis is away nor while this worker stands still.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn, Protocol

from taskqueue.store.cancellations import Cancellations

#: a fourth of the two seconds within which a call is to be cut: the rest is for an answer that is slow to come
_ASK_EVERY_S = 0.5


class Calls(Protocol):
    """What is being called now (worker/attempt)."""

    def under_way(self) -> list[str]:
        """Return the ids of the jobs that are being called."""

    def cancel(self, job_id: str) -> None:
        """End the call of that job, if it still is under way."""


class CancellationWatch:
    """One question for all that runs, however much that is; none while nothing does."""

    def __init__(self, cancellations: Cancellations, calls: Calls) -> None:
        self._cancellations = cancellations
        self._calls = calls

    async def run(self) -> NoReturn:
        """Cut what is cancelled, for ever. Raises StoreError when Redis does not answer."""
        while True:
            for job_id in await self._cancellations.cancelled(self._calls.under_way()):
                self._calls.cancel(job_id)
            await asyncio.sleep(_ASK_EVERY_S)
