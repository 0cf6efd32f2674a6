"""The intake: deliveries wait here for a free pair of hands, and the urgent ones go first.

High goes before normal, and normal before low; but a flood of the one never starves the other: of every ten picks one
looks at low first, and two look at normal first.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence

from taskqueue.broker.consumer import Delivery, Settler
from taskqueue.core.task import Priority

_HIGH_FIRST = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
_NORMAL_FIRST = (Priority.NORMAL, Priority.HIGH, Priority.LOW)
_LOW_FIRST = (Priority.LOW, Priority.NORMAL, Priority.HIGH)

#: in which order the queues are looked at, pick by pick
PICKS: tuple[Sequence[Priority], ...] = (
    *(_HIGH_FIRST,) * 3,
    _NORMAL_FIRST,
    *(_HIGH_FIRST,) * 3,
    _NORMAL_FIRST,
    _HIGH_FIRST,
    _LOW_FIRST,
)


class Intake:
    """Deliveries that nobody works on yet, by queue.

    Those whose session is over are dropped: the broker delivers their messages again, and each reconnect while all
    hands are busy would add another copy of them.
    """

    def __init__(self) -> None:
        self._waiting: dict[Priority, deque[Delivery]] = {priority: deque() for priority in Priority}
        #: whose deliveries came last, by queue: each session has its own
        self._settlers: dict[Priority, Settler] = {}
        self._free: deque[asyncio.Future[None]] = deque()
        self._picks = 0

    def __len__(self) -> int:
        """How many deliveries wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, delivery: Delivery) -> None:
        """Add a delivery and wake whoever waits for one."""
        if self._settlers.get(delivery.queue) is not delivery.settler:
            self._settlers[delivery.queue] = delivery.settler
            self._drop_stale()
        self._waiting[delivery.queue].append(delivery)
        while self._free:
            waiter = self._free.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def take(self) -> Delivery:
        """Return the next delivery to work on, as soon as there is one."""
        while (delivery := self._pick()) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._free.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._pass_on(waiter)
                raise
        return delivery

    def drain(self, received_before: float = math.inf) -> list[Delivery]:
        """Take out what waits and came before then, in the loop's time; by default everything."""
        self._drop_stale()
        drained: list[Delivery] = []
        for waiting in self._waiting.values():
            while waiting and waiting[0].received_at < received_before:
                drained.append(waiting.popleft())
        return drained

    def _drop_stale(self) -> None:
        # A session begins when the one before it is over, so the stale ones are the oldest.
        for waiting in self._waiting.values():
            while waiting and waiting[0].stale:
                waiting.popleft()

    def _pick(self) -> Delivery | None:
        for queue in PICKS[self._picks % len(PICKS)]:
            waiting = self._waiting[queue]
            while waiting:
                delivery = waiting.popleft()
                if not delivery.stale:
                    self._picks += 1
                    return delivery
        return None

    def _pass_on(self, waiter: asyncio.Future[None]) -> None:
        # Woken and cancelled at once: the delivery it was woken for is somebody else's to take.
        if waiter.done() and not waiter.cancelled():
            for other in self._free:
                if not other.done():
                    other.set_result(None)
                    return
