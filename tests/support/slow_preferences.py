"""Readings of preferences that take their time, as from a slow network or of very many users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from taskqueue.store.connection import RedisStore
from taskqueue.store.preferences import Preference, PreferenceStore
from taskqueue.store.scripts import Scripts


class HeldPreferenceStore(PreferenceStore):
    """Keeps an answer of Redis back when it is told to, as a slow network would."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        super().__init__(store, scripts)
        self._holding = False
        self._going = asyncio.Event()
        self._kept = asyncio.Event()
        self._passed = asyncio.Event()

    def hold(self) -> None:
        """Keep the next answer back; those after it pass."""
        self._holding = True
        for event in (self._going, self._kept, self._passed):
            event.clear()

    def go_on(self) -> None:
        """Hand out what was kept back."""
        self._going.set()

    async def has_read(self) -> None:
        """Wait until an answer is kept back."""
        async with asyncio.timeout(10):
            await self._kept.wait()

    async def was_overtaken(self, within: float) -> bool:
        """Return whether another answer passes the one that is kept back."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._passed.wait()
        return self._passed.is_set()

    async def read(self, user_keys: Sequence[str]) -> list[Preference]:
        found = await super().read(user_keys)
        await self._keep()
        return found

    async def read_next(self, cursor: str) -> tuple[str, list[Preference]]:
        found = await super().read_next(cursor)
        await self._keep()
        return found

    async def _keep(self) -> None:
        if self._holding:
            self._holding = False
            self._kept.set()
            await self._going.wait()
        else:
            self._passed.set()


class EndlessPreferenceStore(PreferenceStore):
    """Never comes to the end of all keys, as if there were very many."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        super().__init__(store, scripts)
        self.scanning = asyncio.Event()

    async def scan(self) -> AsyncIterator[list[str]]:
        self.scanning.set()
        await asyncio.Event().wait()
        yield []
