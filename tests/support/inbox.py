"""Consumers whose deliveries and events a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from taskqueue.broker.connection import Setup
from taskqueue.broker.consumer import Consumers, Delivery
from taskqueue.core.task import Priority
from taskqueue.telemetry.events import Event


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 10) -> None:
    """Wait for what the broker tells only when asked. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    async with asyncio.timeout(within):
        while not await condition():
            # A condition may swallow the timeout's cancellation: clients that use asyncio.wait_for do, before Python
            # 3.12 (python/cpython#86296), when it comes in the same turn of the loop as their answer.
            if loop.time() >= deadline:
                raise TimeoutError
            await asyncio.sleep(0.02)


@dataclass(slots=True, kw_only=True)
class Inbox:
    """What has come in so far."""

    consumers: Consumers
    deliveries: asyncio.Queue[Delivery]
    events: list[Event]

    async def next(self, within: float = 5) -> Delivery:
        """Return the next delivery, in order of arrival."""
        async with asyncio.timeout(within):
            return await self.deliveries.get()

    def events_of(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]


@dataclass(slots=True, kw_only=True)
class Consume:
    """Starts consumers and stops them when the test ends."""

    url: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __call__(
        self,
        prefetch: dict[Priority, int],
        *,
        url: str | None = None,
        prepare: Setup | None = None,
        check: Callable[[Delivery], None] = lambda _: None,
    ) -> Inbox:
        """Return the inbox of consumers that are attached; `check` sees each delivery first and may raise."""
        deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        events: list[Event] = []

        def take(delivery: Delivery) -> None:
            check(delivery)
            deliveries.put_nowait(delivery)

        consumers = Consumers(
            [url or self.url], name="test", prefetch=prefetch, on_delivery=take, prepare=prepare, emit=events.append
        )
        self.stack.push_async_callback(consumers.stop, 5)
        await consumers.start()
        await consumers.wait_ready(10)
        return Inbox(consumers=consumers, deliveries=deliveries, events=events)
