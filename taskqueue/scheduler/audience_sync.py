"""Keeping the audience index in step with the preferences in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import timedelta

from taskqueue.errors import InvalidValueError
from taskqueue.runtime import loops_together
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.ignored_preferences import IgnoredPreferences
from taskqueue.store.preferences import FIRST, LAST, Preference, PreferenceStore, pieces
from taskqueue.telemetry.events import Emit

#: changes that come together are read together; well below the 5 s within which a change counts
_GATHER_S = 0.2

#: of the reload interval, what lies between two rounds and what a round rests; the remainder is for the reading
_BETWEEN_ROUNDS = 0.1
_ROUND = 0.8

Changes = Callable[[], AsyncIterator[list[str] | None]]

#: takes how many keys were looked at, returns for how long to rest, in seconds
#: for so long after Redis was emptied preferences are perhaps being written back, one after the other
WRITTEN_BACK_WITHIN_S = 60.0

_Pace = Callable[[int], float]


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
        self._ignored = IgnoredPreferences(emit)
        self.ready = asyncio.Event()
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()
        #: keys that the latest reading of everything looked at
        self._keys_read = 0
        self._read_at: float | None = None
        #: reading and applying are one step, or an answer from before a change could overwrite a later one
        self._reading = asyncio.Lock()

    def health(self) -> dict[str, object]:
        """Return what /health says: users who have preferences; whether `index` is complete; `age` in whole seconds.

        That is the time since everything was last read to its end, None before the first. Changes count before it.
        """
        age = None if self._read_at is None else int(asyncio.get_running_loop().time() - self._read_at)
        return {"users": len(self._index), "complete": self.ready.is_set(), "age": age}

    async def run(self) -> None:
        """Load everything, then follow the changes. Raises StoreUnavailableError when the connection is lost."""
        self.ready.clear()
        self._flushed.clear()
        try:
            async with loops_together() as group:
                listening = asyncio.Event()
                group.create_task(self._listen(listening), name="audience-changes")
                await listening.wait()
                await self._read_all(_at_once)
                self._index.in_doubt = self._flushed.is_set()
                self.ready.set()
                group.create_task(self._reconcile_for_ever(), name="audience-reconcile")
                group.create_task(self._read_all_after_each_flush(), name="audience-flush")
                await self._follow()
        finally:
            self.ready.clear()

    async def _listen(self, listening: asyncio.Event) -> None:
        async for changed in self._changes():
            listening.set()
            if changed is None:
                self._index.in_doubt = True
                self._flushed.set()
            else:
                self._changed.update(changed)
                self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)
            self._wake.clear()
            changed, self._changed = self._changed, set()
            await self._read_again(changed, _at_once)

    async def _read_all_after_each_flush(self) -> None:
        # Beside the changes that follow, which are not to wait for a million users. Also told when another database of
        # the same Redis was emptied: nobody is forgotten unread.
        while True:
            await self._flushed.wait()
            self._flushed.clear()
            await self._read_all(_at_once)
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_BACK_WITHIN_S):
                    await self._flushed.wait()
            self._index.in_doubt = self._flushed.is_set()

    async def _reconcile_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._reload_s * _BETWEEN_ROUNDS)
            await self._read_all(self._rest_s)

    def _rest_s(self, looked_at: int) -> float:
        # By what there is now: the users of today may be a thousand times those of the round before.
        expected = max(1, self._keys_read, 2 * self._index.key_count)
        return self._reload_s * _ROUND * looked_at / expected

    async def _read_all(self, pace: _Pace) -> None:
        """Read every key that is known or found, resting as `pace` says.

        The known ones come first: what was deleted unheard is found only there. Of those that Redis finds, only the
        others are read; to read all again would cost as much once more.
        """
        count = await self._read_again(self._index.known_keys(), pace)
        if count == 0:
            count = await self._read_found()
        else:
            async for found in self._preferences.scan():
                new = [key for key in found if not self._index.holds(key)]
                held = len(found) - len(new)
                await asyncio.sleep(pace(held))
                count += held + await self._read_again(new, pace)
        self._keys_read = count
        self._read_at = asyncio.get_running_loop().time()

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

    async def _read_again(self, user_keys: Iterable[str], pace: _Pace) -> int:
        count = 0
        for piece in pieces(user_keys):
            count += len(piece)
            async with self._reading:
                self._apply(await self._preferences.read(piece))
            await asyncio.sleep(pace(len(piece)))
        return count

    def _apply(self, told: Iterable[Preference]) -> None:
        now = asyncio.get_running_loop().time()
        self._ignored.tell_rest(now)
        for found in told:
            try:
                self._index.apply(found)
            except InvalidValueError as error:
                self._ignored.tell(found.user_id, str(error), now)


def _at_once(_looked_at: int) -> float:
    return 0.0
