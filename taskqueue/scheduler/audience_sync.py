"""Keeping the audience index in step with the preferences in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta

from taskqueue.errors import InvalidValueError
from taskqueue.runtime import loops_together
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store.preferences import FIRST, LAST, Preference, PreferenceStore, pieces
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import PreferenceIgnored

#: changes that come together are read together; well below the 5 s within which a change counts
_GATHER_S = 0.2

Changes = Callable[[], AsyncIterator[list[str] | None]]


class AudienceSync:
    """Fills `index` and keeps it current. `run` is to be supervised: it ends when the connection to Redis does.

    `ready` is set while the index holds everything that Redis told. Each `reload_interval` all preferences are read
    again at a low pace, so that nothing depends on every single message of a change having arrived.
    """

    def __init__(
        self,
        index: AudienceIndex,
        preferences: PreferenceStore,
        changes: Changes,
        *,
        reload_interval: timedelta,
        emit: Emit,
    ) -> None:
        self._index = index
        self._preferences = preferences
        self._changes = changes
        self._reload_s = reload_interval.total_seconds()
        self._emit = emit
        self.ready = asyncio.Event()
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._flushed = False
        #: reading and applying are one step, or an answer from before a change could overwrite a later one
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Load everything, then follow the changes. Raises StoreUnavailableError when the connection is lost."""
        self.ready.clear()
        try:
            async with loops_together() as group:
                listening = asyncio.Event()
                group.create_task(self._listen(listening), name="audience-changes")
                await listening.wait()
                keys_read = await self._read_all(pause_s=0)
                self.ready.set()
                group.create_task(self._reconcile_for_ever(keys_read), name="audience-reconcile")
                await self._follow()
        finally:
            self.ready.clear()

    async def _listen(self, listening: asyncio.Event) -> None:
        async for changed in self._changes():
            listening.set()
            if changed is None:
                self._flushed = True
            else:
                self._changed.update(changed)
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)
            self._wake.clear()
            if self._flushed:
                # Also told when another database of the same Redis was emptied: nobody is forgotten unread.
                self._flushed = False
                await self._read_all(pause_s=0)
            changed, self._changed = self._changed, set()
            await self._read_again(changed, pause_s=0)

    async def _reconcile_for_ever(self, keys_read: int) -> None:
        while True:
            await asyncio.sleep(self._reload_s / 10)
            keys_read = await self._read_all(pause_s=self._reload_s * 0.8 / max(1, keys_read))

    async def _read_all(self, *, pause_s: float) -> int:
        """Read every key that is known or found, resting `pause_s` for each; return how many were looked at.

        The known ones come first: what was deleted unheard is found only there. Of those that Redis finds, only the
        others are read; to read all again would cost as much once more.
        """
        count = await self._read_again(self._index.known_keys(), pause_s=pause_s)
        if count == 0:
            return await self._read_found()
        async for found in self._preferences.scan():
            new = [key for key in found if not self._index.holds(key)]
            count += len(found) - len(new)
            await asyncio.sleep(pause_s * (len(found) - len(new)))
            count += await self._read_again(new, pause_s=pause_s)
        return count

    async def _read_found(self) -> int:
        """Read every key that Redis finds, as fast as it can; return how many are to be looked at the next time."""
        count, cursor = 0, FIRST
        while True:
            async with self._reading:
                cursor, found = await self._preferences.read_next(cursor)
                self._apply(found)
            count += len(found)
            if cursor == LAST:
                return 2 * count  # as known ones, and as found ones

    async def _read_again(self, user_keys: Iterable[str], *, pause_s: float) -> int:
        count = 0
        for piece in pieces(user_keys):
            count += len(piece)
            async with self._reading:
                self._apply(await self._preferences.read(piece))
            await asyncio.sleep(pause_s * len(piece))
        return count

    def _apply(self, told: Iterable[Preference]) -> None:
        for found in told:
            try:
                self._index.apply(found)
            except InvalidValueError as error:
                self._emit(PreferenceIgnored(user_id=found.user_id, error=str(error)))
