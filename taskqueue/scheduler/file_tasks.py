"""Task types of tasks.yaml and the API: what is paused there is put in force here, and its lists show them all."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from taskqueue.runtime import Now
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.store.file_task_list import FileTaskList
from taskqueue.store.lease import Lease

_LOOK_EVERY_S = 1.0

#: what somebody has deleted from the lists is there again after so long
_LIST_AGAIN_S = 60.0


class FileTaskLoops:
    """The two loops: every scheduler follows what is paused, the leader keeps the lists."""

    def __init__(self, store: FileTaskList, catalog: CatalogWatch, *, now: Now) -> None:
        self._store = store
        self._catalog = catalog
        self._now = now

    async def look(self) -> None:
        """Put in force what is paused now. Raises StoreError."""
        self._catalog.pause(await self._store.paused())

    async def follow(self) -> NoReturn:
        """Do so for ever. Raises StoreError."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def keep_lists(self, lease: Lease) -> NoReturn:
        """Keep the API's lists current for ever, as the leader. Raises LeaseLostError or another StoreError."""
        clock = asyncio.get_running_loop().time
        listed, listed_at = "", 0.0
        while True:
            revision = self._catalog.revision
            if revision != listed or clock() - listed_at > _LIST_AGAIN_S:
                tasks, paused = self._catalog.tasks, self._catalog.paused
                done = await self._store.write(lease.token, tasks, paused, self._now())
                listed, listed_at = (revision if done else ""), clock()
            await asyncio.sleep(_LOOK_EVERY_S)
