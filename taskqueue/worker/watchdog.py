"""The watchdog: consumers that get nothing although their queues have messages for them are attached anew.

A connection that breaks says so, and so does a consumer that the broker cancels. What says nothing is a consumer that
is gone on one side only, and a broker that keeps its heartbeats but answers no question: the watchdog asks for the
depths of the ready queues and finds both. It is not misled by hands that are all busy, nor by jobs that wait for a
limit (the prefetch of the queue is then used up), nor by other workers that take everything (nothing stays ready).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from taskqueue.broker.consumer import Consumers
from taskqueue.broker.names import queue_name
from taskqueue.broker.topology import ready_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.worker_events import ConsumersRebuilt

#: after each rebuild that changed nothing the patience doubles, so many times at most
_MOST_DOUBLINGS = 5


class Silence:
    """For how long something should have come and did not. Pure: every instant is an argument, in seconds."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None
        self._heard_at: float | None = None
        #: the consumers were attached after the last look, and `heard_at` may be no more than the time of that
        self._attached_anew = True
        self._in_vain = 0

    def interrupted(self) -> None:
        """Note that there are no consumers at the moment: their silence says nothing."""
        self._since = None
        self._attached_anew = True

    def lasted(self, now: float, *, starved: bool, heard_at: float | None) -> float | None:
        """Take note of one look; return for how long it has been silent once that is too long.

        `starved` says whether something could come now, `heard_at` when something last came or was attached. After a
        silence that was too long a new one begins, with twice the patience unless something came in between.
        """
        came = heard_at != self._heard_at
        if not starved or (came and not self._attached_anew):
            self._in_vain = 0
        if not starved:
            self._since = None
        elif came or self._since is None:
            self._since = now
        self._heard_at = heard_at
        self._attached_anew = False
        return self._too_long(now)

    def _too_long(self, now: float) -> float | None:
        silent_s = 0.0 if self._since is None else now - self._since
        if self._since is None or silent_s < self._patience_s * 2**self._in_vain:
            return None
        self._in_vain = min(self._in_vain + 1, _MOST_DOUBLINGS)
        self.interrupted()
        return silent_s


class Watchdog:
    """Looks every `interval` while `run` runs; after a silence of `patience` it has `consumers` attached anew.

    `clock` is monotonic seconds. Emits ConsumersRebuilt.
    """

    def __init__(
        self,
        consumers: Consumers,
        *,
        clock: Callable[[], float],
        emit: Emit,
        interval: timedelta = timedelta(seconds=5),
        patience: timedelta = timedelta(seconds=20),
    ) -> None:
        self._consumers = consumers
        self._clock = clock
        self._emit = emit
        self._interval_s = interval.total_seconds()
        patience_s = patience.total_seconds()
        self._queues = {queue: Silence(patience_s) for queue in sorted(Priority, reverse=True)}
        self._answers = Silence(patience_s)

    async def run(self) -> NoReturn:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once; takes a few seconds where the broker does not answer."""
        depths: dict[str, int] | None = None
        if self._consumers.live:
            try:
                depths = await ready_depths(self._consumers.connection.session)
            except BrokerUnavailableError:
                depths = None
        # Asked again: the connection may have been lost meanwhile, which is told and mended elsewhere.
        if not self._consumers.live:
            for silence in (*self._queues.values(), self._answers):
                silence.interrupted()
            return
        self._look_at_answers(missing=depths is None)
        if depths is not None:
            self._look_at_queues(depths)

    def _look_at_answers(self, *, missing: bool) -> None:
        heard = [at for queue in self._queues if (at := self._consumers.last_delivery_at(queue)) is not None]
        silent_s = self._answers.lasted(self._clock(), starved=missing, heard_at=max(heard, default=None))
        if silent_s is not None:
            self._rebuild("no_answer", silent_s)

    def _look_at_queues(self, depths: dict[str, int]) -> None:
        for queue, silence in self._queues.items():
            ready = depths.get(queue_name(queue), 0)
            starved = ready > 0 and self._consumers.has_room(queue)
            silent_s = silence.lasted(self._clock(), starved=starved, heard_at=self._consumers.last_delivery_at(queue))
            if silent_s is not None:
                self._rebuild("no_deliveries", silent_s, queue=queue_name(queue), ready=ready)
                return

    def _rebuild(self, reason: str, silent_s: float, *, queue: str = "", ready: int = 0) -> None:
        self._emit(ConsumersRebuilt(reason=reason, queue=queue, ready=ready, silent_s=round(silent_s, 3)))
        what = f"{ready} messages ready in {queue} and none came" if queue else "no answer about its queues"
        self._consumers.rebuild(f"{what} for {silent_s:.0f} s")
