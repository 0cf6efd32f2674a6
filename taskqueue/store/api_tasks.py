"""The tasks made through the API, in Redis: every write is one script, so that nothing is ever half-written.

A change is a compare-and-set on the task's revision. Nothing here needs the lease: the leader, who lets tasks run,
compares again what it has read. Everything raises StoreUnavailableError when no answer came, DamagedKeyError where a
key holds what is none of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from taskqueue.core.api_task import OVER, ApiTask, ApiTaskState, TaskStatus, paused, resumed
from taskqueue.core.instants import to_unix_ms
from taskqueue.errors import StoreError
from taskqueue.store import keys
from taskqueue.store.api_task_record import FIELDS, definition, indexes, instant_text, row, status_index, task_to_json
from taskqueue.store.connection import Argument, RedisStore, checked
from taskqueue.store.scripts import Scripts

_T = TypeVar("_T")

#: tasks in one script: it lasts some milliseconds, in which Redis does nothing else
_PIECE = 50
#: two who change one task at the same time meet again at most so often
_CHANGE_ATTEMPTS = 8
_MOST_NAMED_DEPENDENTS = 20
#: what executions have left behind stays this long when their task is deleted
_HISTORY_KEPT = timedelta(days=7)

#: a task and its state
ApiTaskRow = tuple[ApiTask, ApiTaskState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The change was made; these stand there now."""

    task: ApiTask
    state: ApiTaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Somebody else has changed the task since it was read; it has this revision now."""

    revision: int


class Refusal(StrEnum):
    """Why nothing was changed or deleted."""

    #: there is no such task
    GONE = "gone"
    #: it is a task of tasks.yaml, and changed there
    READ_ONLY = "read_only"
    #: it was to run once, and has; what is over can be neither paused nor resumed
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The task is gone, with all that was to come of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HasDependents:
    """Nothing was deleted, for other tasks wait for this one: so many, of which some are named as (id, name)."""

    count: int
    dependents: tuple[tuple[str, str], ...]


class ApiTaskStore:
    """API tasks by id."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def create(self, task: ApiTask, state: ApiTaskState) -> bool:
        """Write a new task of revision 1; return False, and write nothing, where another one has its id.

        Raises InvalidValueError for a payload that is too long.
        """
        return (await self.create_many([(task, state)]))[0]

    async def create_many(self, tasks: Sequence[ApiTaskRow]) -> list[bool]:
        """Write new tasks, some at a time; return for each what `create` does.

        Where that raises StoreUnavailableError, those that come first may stand there: ask again with the same ids.
        """
        created = list[bool]()
        for piece in _pieces(tasks, _PIECE):
            reply = await self._scripts.call_again(
                "api_task_create",
                [keys.API_TASKS, keys.API_NAMES, keys.API_DUE, *(keys.api_task(task.task_id) for task, _ in piece)],
                [keys.API_INDEX_PREFIX, *(argument for task, state in piece for argument in _creation(task, state))],
            )
            created += [bool(each) for each in reply]
        return created

    async def get(self, task_id: str) -> ApiTaskRow | None:
        """Return the task and its state, or None."""
        return row(task_id, await self._store.command("HMGET", keys.api_task(task_id), *FIELDS))

    async def definition(self, task_id: str) -> ApiTask | None:
        """Return the task alone, or None; for whoever asks often."""
        return definition(task_id, await self._store.command("HGET", keys.api_task(task_id), "doc"))

    async def document(self, task_id: str) -> bytes | None:
        """Return the task as it is stored, for whoever reads the same ones again and again; `definition` reads it."""
        text = await self._store.command("HGET", keys.api_task(task_id), "doc")
        return None if text is None else bytes(text)

    async def get_many(self, task_ids: Sequence[str]) -> dict[str, ApiTaskRow]:
        """Return those of the tasks that exist, by id."""
        found = dict[str, ApiTaskRow]()
        for piece in _pieces(task_ids, _PIECE):
            replies = await self._store.read(*(("HMGET", keys.api_task(task_id), *FIELDS) for task_id in piece))
            for task_id, reply in zip(piece, replies, strict=True):
                if (known := row(task_id, reply)) is not None:
                    found[task_id] = known
        return found

    async def counts(self) -> dict[TaskStatus, int]:
        """Return how many tasks have each status."""
        replies = await self._store.pipeline([("ZCARD", keys.api_index(status_index(status))) for status in TaskStatus])
        return {status: int(checked(reply)) for status, reply in zip(TaskStatus, replies, strict=True)}

    async def patch(
        self, known: ApiTaskRow, task: ApiTask, state: ApiTaskState | None = None
    ) -> Changed | Stale | Refusal:
        """Put `task`, of the revision that follows, in the place of `known`, which was read.

        With `state` its schedule changes as well: status, next instant and since when it is paused are taken from it;
        then the task is stale also where it has become due or has ended since. Without, it goes on as it does. Raises
        InvalidValueError for a payload that is too long.
        """
        before, state_before = known
        arguments: list[Argument] = [
            keys.API_INDEX_PREFIX,
            task.task_id,
            before.revision,
            task.revision,
            task_to_json(task),
            task.task_name,
            indexes(task),
            to_unix_ms(task.created_at),
        ]
        if state is not None:
            arguments += [state_before.status.value, instant_text(state_before.next_at)]
            arguments += [state.status.value, instant_text(state.next_at), instant_text(state.paused_at)]
        word, *more = await self._scripts.call_again(
            "api_task_change",
            [keys.API_TASKS, keys.API_NAMES, keys.API_DUE, keys.API_WAITING, keys.api_task(task.task_id)],
            arguments,
        )
        if word == b"stale":
            return Stale(revision=int(more[0]))
        if word == b"changed":
            return Changed(task=task, state=state_before if state is None else state)
        return Refusal(word.decode())

    async def set_paused(self, task_id: str, now: datetime) -> Changed | Refusal:
        """Switch the task off; one that is off already stays as it is."""
        return await self._switch(task_id, now, on=False)

    async def resume(self, task_id: str, now: datetime) -> Changed | Refusal:
        """Switch the task on; one that is on already stays as it is."""
        return await self._switch(task_id, now, on=True)

    async def delete(self, task_id: str) -> Deleted | HasDependents | Refusal:
        """Delete the task with its dependencies, and with all that is due of it. Its executions stay for a week."""
        return (await self.delete_many([task_id]))[0]

    async def delete_many(self, task_ids: Sequence[str]) -> list[Deleted | HasDependents | Refusal]:
        """Delete tasks, and return what became of each; those that depend on each other go together."""
        ends = dict[str, Deleted | HasDependents | Refusal]()
        left = list(dict.fromkeys(task_ids))
        while left:
            for piece in _pieces(left, _PIECE):
                ends.update(await self._delete(piece))
            blocked = [task_id for task_id in left if isinstance(ends[task_id], HasDependents)]
            # Whoever depended on them may have stood in a later piece.
            left = blocked if len(blocked) < len(left) else []
        return [ends[task_id] for task_id in task_ids]

    async def _delete(self, task_ids: Sequence[str]) -> dict[str, Deleted | HasDependents | Refusal]:
        reply = await self._scripts.call(
            "api_task_delete",
            [keys.API_TASKS, keys.API_NAMES, keys.API_DUE, keys.API_WAITING],
            [
                keys.API_INDEX_PREFIX,
                keys.API_TASK_PREFIX,
                keys.API_DEPENDENCIES_PREFIX,
                keys.API_DEPENDENTS_PREFIX,
                keys.API_EXECUTIONS_PREFIX,
                keys.API_STATS_PREFIX,
                _HISTORY_KEPT // timedelta(milliseconds=1),
                _MOST_NAMED_DEPENDENTS,
                *task_ids,
            ],
        )
        return {task_id: _deletion(*each) for task_id, each in zip(task_ids, reply, strict=True)}

    async def _switch(self, task_id: str, now: datetime, *, on: bool) -> Changed | Refusal:
        for _ in range(_CHANGE_ATTEMPTS):
            known = await self.get(task_id)
            if known is None:
                return Refusal.GONE
            task, state = known
            if state.status in OVER:
                return Refusal.OVER
            if task.enabled is on:
                return Changed(task=task, state=state)
            switched, following = (resumed if on else paused)(task, state, now)
            change = await self.patch(known, switched, following)
            if not isinstance(change, Stale):
                return change
        raise StoreError(f"task {task_id}: changed by others all the time; try again")


def _creation(task: ApiTask, state: ApiTaskState) -> Iterator[Argument]:
    yield task.task_id
    yield to_unix_ms(task.created_at)
    yield task.task_name
    yield indexes(task)
    yield state.status.value
    yield instant_text(state.next_at)
    yield instant_text(state.paused_at)
    yield task_to_json(task)


def _deletion(word: bytes, *more: bytes | int) -> Deleted | HasDependents | Refusal:
    if word == b"deleted":
        return Deleted()
    if word != b"dependents":
        return Refusal(word.decode())
    count, *named = more
    texts = [each.decode(errors="replace") for each in named if isinstance(each, bytes)]
    return HasDependents(count=int(count), dependents=tuple(zip(texts[::2], texts[1::2], strict=True)))


def _pieces(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
