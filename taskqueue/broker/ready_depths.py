"""How many messages are ready in each queue, for whoever asks often: one look a second, for all of them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from taskqueue.broker.connection import BrokerConnection
from taskqueue.broker.names import queue_name
from taskqueue.broker.topology import ready_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerError

_TRUSTED_S = 1.0

#: a broker that takes longer is as good as away: whoever asks has a deadline of its own
_PATIENCE_S = 2.0


class ReadyDepths:
    """The depths by priority; a queue that is missing or hidden has none, and none has one while the broker is away.

    `monotonic_s` is a clock of this host.
    """

    def __init__(self, connection: BrokerConnection, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic_s = monotonic_s
        self._looking = asyncio.Lock()
        self._depths: Mapping[Priority, int] = {}
        self._looked_at_s: float | None = None

    async def read(self) -> Mapping[Priority, int]:
        """Return the depths as of a second ago at most. Raises nothing of the broker's."""
        async with self._looking:
            if self._looked_at_s is None or self._monotonic_s() - self._looked_at_s >= _TRUSTED_S:
                self._depths = await self._look()
                self._looked_at_s = self._monotonic_s()
            return self._depths

    async def _look(self) -> Mapping[Priority, int]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                depths = await ready_depths(self._connection.session)
        except (BrokerError, TimeoutError):
            return {}
        return {priority: depths[name] for priority in Priority if (name := queue_name(priority)) in depths}
