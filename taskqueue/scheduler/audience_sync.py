"""Keeping the audience index in step with the preferences in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from itertools import islice

from taskqueue.errors import InvalidValueError
from taskqueue.runtime import loops_together
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store.users import UserStore
from taskqueue.telemetry.events import Emit, PreferenceIgnored

#: preference keys read in one round trip
_PIECE = 500

#: changes that come together are read together; well below the 5 s within which a change counts
_GATHER_S = 0.2

Changes = Callable[[], AsyncIterator[list[str] | None]]


class AudienceSync:
    """Fills `index` and keeps it current. `run` is to be supervised: it ends when the connection to Redis does.

    `ready` is set while the index holds everything that Redis told. Each `reload_interval` all preferences are read
    again at a low pace, so that nothing depends on every single message of a change having arrived.
    """

    def __init__(
        self, index: AudienceIndex, users: UserStore, changes: Changes, *, reload_interval: timedelta, emit: Emit
    ) -> None:
        self._index = index
        self._users = users
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
        """Read every key that is known or found, resting `pause_s` for each; return how many there were.

        The known ones come first: what was deleted unheard is found only there.
        """
        count = await self._read_again(self._index.known_keys(), pause_s=pause_s)
        async for found in self._users.scan():
            count += await self._read_again(found, pause_s=pause_s)
        return count

    async def _read_again(self, user_keys: Iterable[str], *, pause_s: float) -> int:
        count, remaining = 0, iter(user_keys)
        while piece := list(islice(remaining, _PIECE)):
            count += len(piece)
            await self._read(piece)
            await asyncio.sleep(pause_s * len(piece))
        return count

    async def _read(self, user_keys: list[str]) -> None:
        async with self._reading:
            for found in await self._users.read(user_keys):
                try:
                    self._index.apply(found)
                except InvalidValueError as error:
                    self._emit(PreferenceIgnored(user_id=found.user_id, error=str(error)))
