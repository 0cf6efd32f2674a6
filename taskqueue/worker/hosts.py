"""The adaptive limits of the hosts that this worker calls, and what workers tell each other about them.

A host without trouble costs one look into a dict. One that answers 429 or 503, or not at all, gets a limit
(core/host_limit) until it has recovered; the others and the leader hear of it in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import NoReturn

from taskqueue.core.host_limit import HostLimit, HostReport, Sign, host_of, over_all_workers, sign_of
from taskqueue.core.outcome import SUCCESS, Outcome
from taskqueue.core.task import Task
from taskqueue.runtime import Now
from taskqueue.store.hosts import HostReports, HostStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.worker_events import HostClosed, HostOpened

#: how often what is known about limited hosts is told, and heard
_SHARE_EVERY_S = 0.25

#: and how often a worker without limited hosts listens
_LISTEN_EVERY_S = 1.0

#: news are told at once, but not more often than this
_SHARE_AT_MOST_EVERY_S = 0.05

#: a call that waits for another one to the same host asks again after so long
_ASK_AGAIN = timedelta(milliseconds=50)

#: a wait without an end that can be told is at most so long
_LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Passage:
    """A call to a limited host that is under way."""

    limit: HostLimit
    began: int


class Hosts:
    """`most_calls` is how many calls this worker makes at a time; `jitter` is uniform in [0, 1)."""

    def __init__(
        self,
        store: HostStore,
        incarnation: str,
        *,
        most_calls: int,
        now: Now,
        jitter: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._most_calls = most_calls
        self._now = now
        self._jitter = jitter
        self._emit = emit
        self._limits: dict[str, HostLimit] = {}
        self._told = False
        #: a host got a limit, or was closed or opened: until the leader hears of it, its jobs come back again and again
        self._news = asyncio.Event()

    # --- each call ----------------------------------------------------------------------------------------------------

    def enter(self, task: Task) -> Passage | timedelta | None:
        """Let a job of `task` on to its host, whatever becomes of it there; call `leave` afterwards.

        None where the host is not limited; a timedelta where the job may not go: after how long to ask again.
        """
        if not self._limits or (limit := self._limits.get(host_of(task.target.endpoint))) is None:
            return None
        now = self._now().timestamp()
        seconds = limit.wait(now)
        if seconds == 0:
            return Passage(limit, limit.begin())
        if seconds == inf:
            # Others that look at a closed host, and call nobody, are over in a moment.
            return _LONGEST_WAIT if limit.closed_until is not None and limit.probing(now) else _ASK_AGAIN
        return timedelta(seconds=seconds)

    def may_call(self, passage: Passage | None) -> bool:
        """Ask just before the call of a job that `enter` has let on; where it may not, it has to wait like others."""
        return passage is None or passage.limit.may_call(passage.began, self._now().timestamp())

    def leave(self, task: Task, passage: Passage | None, outcome: Outcome | None) -> None:
        """Note that the job is over there, and what its call met; None where there was no call."""
        if passage is not None:
            passage.limit.end(passage.began)
        if outcome is None or (passage is None and outcome.kind is SUCCESS):
            return
        sign = sign_of(outcome)
        if sign is Sign.NONE or (passage is None and sign is Sign.REACHED):
            return
        host, now = host_of(task.target.endpoint), self._now().timestamp()
        limit = self._limits.get(host)
        if limit is None and sign is not Sign.REACHED:
            limit = self._limits[host] = HostLimit(self._most_calls, now)
            self._news.set()
        if limit is None or (passage is not None and passage.limit is not limit):
            return  # of a trouble that is over
        closings, asked = limit.closings, outcome.retry_after
        limit.learn(
            sign,
            now,
            began=0 if passage is None else passage.began,
            asked_s=None if asked is None else asked.total_seconds(),
            jitter=self._jitter(),
        )
        self._tell_change(host, limit, closings, now)

    def _tell_change(self, host: str, limit: HostLimit, closings_before: int, now: float) -> None:
        if limit.closings != closings_before:
            self._news.set()
        if limit.closed_until is not None and limit.closings > closings_before:
            self._emit(HostClosed(host=host, closings=limit.closings, seconds=round(limit.closed_until - now, 3)))
        elif closings_before and limit.closed_until is None:
            self._emit(HostOpened(host=host))

    # --- with the others ----------------------------------------------------------------------------------------------

    async def share_for_ever(self) -> NoReturn:
        """Tell and hear. Raises StoreError."""
        while True:
            self._news.clear()
            await self.share()
            await asyncio.sleep(_SHARE_AT_MOST_EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SHARE_EVERY_S if self._limits else _LISTEN_EVERY_S):
                    await self._news.wait()

    async def share(self) -> None:
        """Hear what others know about hosts, and tell what this worker knows. Raises StoreError."""
        now = self._now()
        self._hear(await self._store.read(now, prune=True), now.timestamp())
        if self._limits or self._told:
            self._told = True
            await self._store.tell(self._incarnation, self._reports(), now)
            self._told = bool(self._limits)

    def _reports(self) -> dict[str, HostReport]:
        now = self._now().timestamp()
        return {host: limit.report(now) for host, limit in self._limits.items()}

    def _hear(self, reports: HostReports, now: float) -> None:
        # What others know by hearsay alone is what they have heard from here, or from each other.
        others = {
            host: [report for who, report in said.items() if who != self._incarnation and not report.hearsay]
            for host, said in reports.items()
        }
        for host, said in others.items():
            if said and (limit := self._limits.get(host)) is not None:
                closings = limit.closings
                limit.hear(over_all_workers(said))
                if closings and limit.closed_until is None:
                    self._emit(HostOpened(host=host))
            elif said:
                self._limits[host] = HostLimit(self._most_calls, now, hearsay=True)
        for host, limit in list(self._limits.items()):
            if limit.forgettable(now) or (limit.hearsay and not others.get(host)):
                del self._limits[host]
