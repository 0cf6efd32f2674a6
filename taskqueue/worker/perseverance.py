"""Asking again while Redis or RabbitMQ is away: a result in hand is worth waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from taskqueue.errors import BrokerError, StoreError

_T = TypeVar("_T")

#: well below RabbitMQ's consumer_timeout of 30 minutes, together with the longest call of 15
_LONGEST_S = 600.0
_FIRST_REST_S = 0.1
_LONGEST_REST_S = 2.0


class GaveUpError(Exception):
    """The service did not come back in time, or the worker is told to stop. The message goes back to its queue."""


class Perseverance:
    """Calls until it works. `give_up` ends all waiting: it is set when the worker's time to drain is over."""

    def __init__(self, give_up: asyncio.Event) -> None:
        self._give_up = give_up

    async def __call__(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Return what `ask` returns, calling it again after each StoreError or BrokerError. Raises GaveUpError."""
        until: float | None = None
        rest_s = _FIRST_REST_S
        while True:
            try:
                return await ask()
            except (StoreError, BrokerError) as error:
                now = asyncio.get_running_loop().time()
                until = now + _LONGEST_S if until is None else until
                if self._give_up.is_set() or now > until:
                    raise GaveUpError(str(error)) from error
            try:
                async with asyncio.timeout(rest_s):
                    await self._give_up.wait()
            except TimeoutError:
                rest_s = min(rest_s * 2, _LONGEST_REST_S)
