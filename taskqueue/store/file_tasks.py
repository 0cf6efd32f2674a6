"""Task types of tasks.yaml as the API switches them: paused, resumed and triggered; they are defined in the file alone.

The leader puts in force what is paused here: planner and workers see such a task type as if the file said
`enabled: false`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from taskqueue.config.catalog import task_from_json
from taskqueue.core.api_task import TaskStatus
from taskqueue.core.file_task import in_slot_order, triggered_occurrence
from taskqueue.core.instants import from_unix_ms, parse_rfc3339, to_unix_ms
from taskqueue.core.job import Job
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.task import Task, TaskSource
from taskqueue.errors import InvalidValueError, StoreError
from taskqueue.store import keys
from taskqueue.store.api_runs import QueuedRun, TriggerRefusal, pending_record
from taskqueue.store.api_task_record import instant_text, task_to_json
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore, Changed
from taskqueue.store.connection import RedisStore, checked
from taskqueue.store.jobs import EXECUTION_KEPT
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)

#: users of a trigger that are written at a time
_USERS_PER_CALL = 500

#: two who pause and resume one task type at the same time meet again at most so often
_CHANGE_ATTEMPTS = 8


class FileTaskRefusal(StrEnum):
    """Why a task type of tasks.yaml was not switched."""

    #: tasks.yaml has no such task type
    GONE = "gone"
    #: tasks.yaml says `enabled: false`; it goes on once that is changed there
    OFF_IN_FILE = "off_in_file"


class FileTasks:
    """Switches task types of tasks.yaml, and says what has become of them.

    Everything raises StoreUnavailableError when no answer came, DamagedKeyError where a key holds another type.
    """

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts
        self._tasks = ApiTaskStore(store, scripts)
        self._plan = PlanStore(store, scripts)

    async def set_paused(self, task_id: str, now: datetime) -> Changed | FileTaskRefusal:
        """Pause the task type; one that is off already stays as it is. Within some seconds no job of it starts."""
        return await self._switch(task_id, now, on=False)

    async def resume(self, task_id: str, now: datetime) -> Changed | FileTaskRefusal:
        """Let the task type go on; one that is on already stays as it is."""
        return await self._switch(task_id, now, on=True)

    async def trigger(
        self, task_id: str, user_ids: Sequence[str], trigger_id: str, now: datetime, correlation_id: str | None = None
    ) -> list[QueuedRun] | TriggerRefusal:
        """Let the task type run now for each of these users, who are different; return their runs in this order.

        Asked again with the same `trigger_id` and users, these are the same runs.
        """
        task = (await self._in_force([task_id])).get(task_id)
        if task is None or task.removed:
            return TriggerRefusal.GONE
        if not task.enabled or await self._store.command("SISMEMBER", keys.API_PAUSED, task_id):
            return TriggerRefusal.PAUSED
        now = from_unix_ms(to_unix_ms(now))
        occurrence = triggered_occurrence(
            task_id, trigger_id, len(user_ids), now, correlation_id=correlation_id or trigger_id
        )
        users = in_slot_order(task_id, user_ids)
        await self._plan.add_trigger(occurrence, users, _USERS_PER_CALL, max_age=task.max_age)
        await self._write_pending(task, occurrence, user_ids)
        return [QueuedRun(execution_id=occurrence.job_id(user_id), queued_at=now) for user_id in user_ids]

    async def current(self, rows: Sequence[ApiTaskRow], now: datetime) -> list[ApiTaskRow]:
        """Return `rows`, in which those of tasks.yaml say when they ran last and are due next, as of `now`."""
        task_ids = [task.task_id for task, _ in rows if task.source is TaskSource.FILE]
        if not task_ids:
            return list(rows)
        tasks = await self._in_force(task_ids)
        runs = await self._store.command("MGET", *map(keys.last_execution, task_ids))
        last = {task_id: _instant(text) for task_id, text in zip(task_ids, runs, strict=True)}
        return [
            (task, replace(state, next_at=_next(tasks.get(task.task_id), now), last_at=last[task.task_id]))
            if task.task_id in last
            else (task, state)
            for task, state in rows
        ]

    async def _in_force(self, task_ids: Sequence[str]) -> dict[str, Task]:
        texts = await self._store.command("HMGET", keys.CATALOG, *task_ids)
        found = dict[str, Task]()
        for task_id, text in zip(task_ids, texts, strict=True):
            try:
                if text is not None:
                    found[task_id] = task_from_json(text)
            except InvalidValueError:
                continue  # of a newer leader, or of another hand
        return found

    async def _write_pending(self, task: Task, occurrence: Occurrence, user_ids: Sequence[str]) -> None:
        """Let the executions be found before a worker has begun them; what it wrote meanwhile stays."""
        kept, now = EXECUTION_KEPT // _MILLISECOND, occurrence.created_at
        for start in range(0, len(user_ids), _USERS_PER_CALL):
            records = [
                pending_record(_job(task, occurrence, user_id), now)
                for user_id in user_ids[start : start + _USERS_PER_CALL]
            ]
            replies = await self._store.pipeline(
                [("SET", keys.execution(record.job_id), record.to_json(), "PX", kept, "NX") for record in records]
            )
            for reply in replies:
                checked(reply)

    async def _switch(self, task_id: str, now: datetime, *, on: bool) -> Changed | FileTaskRefusal:
        for _ in range(_CHANGE_ATTEMPTS):
            known = await self._tasks.get(task_id)
            if known is None or known[0].source is not TaskSource.FILE:
                return FileTaskRefusal.GONE
            task, state = known
            if task.enabled is on:
                return Changed(task=task, state=state)
            switched = replace(task, enabled=on, updated_at=now, revision=task.revision + 1)
            status = TaskStatus.SCHEDULED if on else TaskStatus.PAUSED
            following = replace(state, status=status, paused_at=None if on else now)
            word, *_ = await self._scripts.call_again(
                "file_task_pause",
                [keys.API_TASKS, keys.API_PAUSED, keys.api_task(task_id)],
                [
                    keys.API_INDEX_PREFIX,
                    task_id,
                    task.revision,
                    switched.revision,
                    task_to_json(switched),
                    instant_text(following.paused_at),
                ],
            )
            if word == b"changed":
                return Changed(task=switched, state=following)
            if word != b"stale":
                return FileTaskRefusal(word.decode())
        raise StoreError(f"task {task_id}: changed by others all the time; try again")


def _job(task: Task, occurrence: Occurrence, user_id: str) -> Job:
    return Job(
        id=occurrence.job_id(user_id),
        task_type_id=task.id,
        user_id=user_id,
        scheduled_at=occurrence.scheduled_at,
        execute_after=occurrence.starts_at,
        attempt=1,
        priority=task.priority,
        payload=b"",
        created_at=occurrence.created_at,
    )


def _next(task: Task | None, now: datetime) -> datetime | None:
    return None if task is None or not task.enabled else task.rule().next_after(now)


def _instant(text: bytes | None) -> datetime | None:
    # The key is the spec's, so others may write it; what is no time there is no execution either.
    try:
        return None if text is None else parse_rfc3339(text.decode()).astimezone(UTC)
    except ValueError:
        return None
