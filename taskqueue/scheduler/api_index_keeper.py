"""The leader's care for the lists of API tasks: what somebody lost of them is put back from the records."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import ApiIndexesPutBack

#: what was lost of most lists is noticed after so long
_LOOK_EVERY_S = 30.0

#: a difference that is still there after so long is none of a task that was just being changed
_LOOK_AGAIN_AFTER_S = 1.0

#: so often everything is looked up without a reason: that the list of a tag was lost does not show
_SEARCH_EVERY_S = 6 * 3600.0


class ApiIndexKeeper:
    """Keeps the lists complete while its process leads."""

    def __init__(self, indexes: ApiIndexes, lease: Lease, *, emit: Emit) -> None:
        self._indexes = indexes
        self._lease = lease
        self._emit = emit
        #: what the last search that found nothing to put back has left: entries of tasks that are no more
        self._left: tuple[int, ...] = ()
        #: so many there were at the last look, or more of them before the last search
        self._tasks = 0

    async def run(self) -> NoReturn:
        """Look for ever: at everything at once and from time to time, at the sizes twice a minute.

        Raises LeaseLostError or another StoreError.
        """
        clock = asyncio.get_running_loop().time
        while True:
            await self.search()
            searched_at = clock()
            while clock() - searched_at < _SEARCH_EVERY_S:
                await asyncio.sleep(_LOOK_EVERY_S)
                if await self.look():
                    break

    async def look(self) -> bool:
        """Return whether entries are missing that were there after the last search.

        Lists that were lost all together agree; then the tasks have become far fewer.
        """
        sizes = await self._indexes.sizes()
        fell, self._tasks = _fell(self._tasks, sizes.tasks), sizes.tasks
        if fell:
            return True
        if sizes.gaps == self._left or not any(sizes.gaps):
            return False
        await asyncio.sleep(_LOOK_AGAIN_AFTER_S)
        return (await self._indexes.sizes()).gaps == sizes.gaps

    async def search(self) -> int:
        """Put back what is missing, tell it, and return how many entries that were."""
        before = await self._indexes.sizes()
        put_back = await self._indexes.put_back(self._lease.token)
        after = await self._indexes.sizes()
        self._tasks = max(before.tasks, after.tasks)
        # What was lost meanwhile, of tasks that had been passed already, is not left for good.
        if not any(after.gaps) or (put_back == 0 and after.gaps == before.gaps):
            self._left = after.gaps
        if put_back:
            self._emit(ApiIndexesPutBack(entries=put_back))
        return put_back


def _fell(before: int, now: int) -> bool:
    # Whoever deletes many tasks has everything looked up in vain, which hurts nobody.
    return now * 2 < before
