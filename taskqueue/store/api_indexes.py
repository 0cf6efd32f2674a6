"""What was lost of the lists of API tasks, found by their sizes and put back from the tasks' records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from taskqueue.core.api_task import ApiPriority, TaskStatus, TaskType
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_task_record import definition, priority_index, status_index, type_index
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.scripts import Scripts

#: tasks of one script: it lasts some milliseconds, in which Redis does nothing else
_PIECE = 100

#: keys that one look into the whole database passes
_SCANNED_AT_ONCE = 1_000

#: rest after each piece and each look. Everything that Redis keeps is looked at, some 9,000 keys a second where nearly
#: all are others, and 2,000 tasks a second: a million tasks among ten million keys take half an hour
_REST_S = 0.05

#: each task stands in exactly one list of each of these kinds, beside those of all tasks and of all names
_KINDS: tuple[tuple[str, ...], ...] = (
    tuple(status_index(status) for status in TaskStatus),
    tuple(status_index(status, priority) for status in TaskStatus for priority in ApiPriority),
    tuple(map(priority_index, ApiPriority)),
    tuple(map(type_index, TaskType)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSizes:
    """How many tasks the list of all has, and by how many entries each kind of list has fewer: zeros without a loss."""

    tasks: int
    gaps: tuple[int, ...]


class ApiIndexes:
    """The lists of API tasks.

    Everything raises StoreUnavailableError when no answer came, DamagedKeyError where a list holds another type.
    """

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def sizes(self) -> ListSizes:
        """Return the sizes, in which a task that changes at this moment may show.

        That a tag's list was lost cannot be seen here.
        """
        names = [keys.API_TASKS, keys.API_NAMES, *(keys.api_index(name) for kind in _KINDS for name in kind)]
        tasks, named, *sizes = map(int, await self._store.read(*(("ZCARD", name) for name in names)))
        gaps, first = [tasks - named], 0
        for kind in _KINDS:
            gaps.append(tasks - sum(sizes[first : first + len(kind)]))
            first += len(kind)
        return ListSizes(tasks=tasks, gaps=tuple(gaps))

    async def put_back(self, token: str, *, rest_s: float = _REST_S) -> int:
        """Look up every record, let its task stand in all of its lists again, and return how many entries were missing.

        Everything that is kept is passed, slowly: see `_REST_S`. Raises LeaseLostError; harmless when asked again.
        """
        put_back = 0
        async for task_ids in self._task_ids(rest_s):
            for first in range(0, len(task_ids), _PIECE):
                put_back += await self._relist(token, task_ids[first : first + _PIECE])
                await asyncio.sleep(rest_s)
        return put_back

    async def _task_ids(self, rest_s: float) -> AsyncIterator[list[bytes]]:
        cursor: int | bytes = 0
        prefix = keys.API_TASK_PREFIX.encode()
        while True:
            cursor, found = await self._store.command("SCAN", cursor, "MATCH", prefix + b"*", "COUNT", _SCANNED_AT_ONCE)
            if found:
                yield [bytes(key)[len(prefix) :] for key in found]
            if int(cursor) == 0:
                return
            await asyncio.sleep(rest_s)

    async def _relist(self, token: str, task_ids: Sequence[bytes]) -> int:
        put_back, unknown = await self._ask(token, dict.fromkeys(task_ids, ""))
        if not unknown:
            return put_back
        documents = await self._store.read(*(("HGET", keys.API_TASK_PREFIX.encode() + each, "doc") for each in unknown))
        made = {task_id: _made_at(task_id, doc) for task_id, doc in zip(unknown, documents, strict=True)}
        more, _ = await self._ask(token, {task_id: at for task_id, at in made.items() if at is not None})
        return put_back + more

    async def _ask(self, token: str, tasks: Mapping[bytes, int | str]) -> tuple[int, list[bytes]]:
        names = [keys.LEASE, keys.API_TASKS, keys.API_NAMES]
        arguments: list[Argument] = [token, keys.API_INDEX_PREFIX, keys.API_TASK_PREFIX]
        for task_id, made_at in tasks.items():
            arguments += [task_id, made_at]
        put_back, *unknown = await self._scripts.call("api_relist", names, arguments)
        return int(put_back), unknown


def _made_at(task_id: bytes, doc: bytes | None) -> int | None:
    """Return when the task was made, unix ms; None where nobody can tell: then it was deleted, or is none of ours."""
    try:
        task = definition(task_id.decode(errors="replace"), doc)
    except DamagedKeyError:
        return None
    return None if task is None else to_unix_ms(task.created_at)
