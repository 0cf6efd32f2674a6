"""Task types of tasks.yaml in the API's lists: the leader writes them there as they are in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from taskqueue.config.sections import ExecutionSettings
from taskqueue.core.api_task import ApiTask, TaskStatus
from taskqueue.core.file_task import FileTaskDefaults, listed_task
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.task import Task
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.store import keys
from taskqueue.store.api_task_record import definition, indexes, task_to_json
from taskqueue.store.connection import Argument, RedisStore, checked
from taskqueue.store.scripts import Scripts

#: task types of one script: it lasts some milliseconds, in which Redis does nothing else
_PIECE = 100

#: the name of the list of all task types of tasks.yaml
_FROM_FILE = "source:file"


class FileTaskList:
    """Keeps the API's lists in step with tasks.yaml while its process leads."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        execution = ExecutionSettings()
        self._defaults = FileTaskDefaults(timeout=execution.timeout, retries=execution.max_retries)

    async def paused(self) -> frozenset[str]:
        """Return the ids of the task types that are paused through the API."""
        members = await self._store.command("SMEMBERS", keys.API_PAUSED)
        return frozenset(member.decode(errors="replace") for member in members)

    async def write(self, token: str, tasks: Mapping[str, Task], paused: frozenset[str], now: datetime) -> bool:
        """Let the lists show `tasks`, which are all that there are; return whether nothing is left to do.

        Those in `paused` are off for no other reason. Raises LeaseLostError, DamagedKeyError, StoreUnavailableError;
        harmless when asked again.
        """
        members = await self._store.command("ZRANGE", keys.api_index(_FROM_FILE), 0, -1)
        gone = sorted({member.decode(errors="replace") for member in members} - tasks.keys())
        left = 0
        for start in range(0, len(gone), _PIECE):
            left += await self._write(token, gone[start : start + _PIECE], [], [])
        present = sorted(tasks.values(), key=lambda task: task.id)
        for start in range(0, len(present), _PIECE):
            piece = present[start : start + _PIECE]
            changed = await self._changed(piece, now)
            off = [not task.enabled and task.task_id not in paused for _, task in changed]
            left += await self._write(token, [], changed, off)
        return left == 0

    async def _changed(self, tasks: Sequence[Task], now: datetime) -> list[tuple[ApiTask | None, ApiTask]]:
        """Return what the lists say and are to say of those tasks of which that differs."""
        replies = await self._store.pipeline([("HGET", keys.api_task(task.id), "doc") for task in tasks])
        found = list[tuple[ApiTask | None, ApiTask]]()
        for task, reply in zip(tasks, replies, strict=True):
            known = _definition(task.id, checked(reply))
            try:
                listed = listed_task(task, self._defaults, known, now)
            except InvalidValueError:
                continue  # an interval of a newer version, which the API cannot show
            if listed != known:
                found.append((known, listed))
        return found

    async def _write(
        self,
        token: str,
        gone: Sequence[str],
        changed: Sequence[tuple[ApiTask | None, ApiTask]],
        off: Sequence[bool],
    ) -> int:
        if not gone and not changed:
            return 0
        arguments: list[Argument] = [token, keys.API_INDEX_PREFIX, len(gone), *gone]
        for (known, task), is_off in zip(changed, off, strict=True):
            arguments += [
                task.task_id,
                to_unix_ms(task.created_at),
                "" if known is None else known.revision,
                task.revision,
                task.task_name,
                f"{indexes(task)}\n{_FROM_FILE}",
                (TaskStatus.SCHEDULED if task.enabled else TaskStatus.PAUSED).value,
                int(is_off),
                task_to_json(task),
            ]
        names = [keys.LEASE, keys.API_TASKS, keys.API_NAMES, keys.API_PAUSED]
        names += [keys.api_task(task_id) for task_id in (*gone, *(task.task_id for _, task in changed))]
        return int(await self._scripts.call("file_tasks_list", names, arguments))


def _definition(task_id: str, doc: bytes | None) -> ApiTask | None:
    try:
        return definition(task_id, doc)
    except DamagedKeyError:
        return None  # written anew, unless it is a task of the API
