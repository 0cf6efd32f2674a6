"""Runs of API tasks: what is due, and the jobs that follow from it or from a trigger.

A run is queued by one script: its execution is pending, its job waits for its release as a retry does, and the task has
moved on to its following instant. From there on it is like any job.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from taskqueue.core.api_run import DueRun, triggered_job_id, triggered_message
from taskqueue.core.api_task import ApiTask, TaskStatus
from taskqueue.core.codec import encode_message
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import Job, JobMessage, JobSource
from taskqueue.core.state import Status
from taskqueue.core.waiting import waiting_place
from taskqueue.core.zones import LAST_INSTANT
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_task_record import FIELDS, instant_text, payload_body, row, status_index
from taskqueue.store.api_tasks import ApiTaskRow
from taskqueue.store.connection import Argument, RedisStore, refused_for
from taskqueue.store.delayed import WAITING_KEPT
from taskqueue.store.jobs import EXECUTION_KEPT
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)
_LAST_MS = to_unix_ms(LAST_INSTANT)

#: so many executions of a task are listed, the latest ones
EXECUTIONS_LISTED = 1000

#: bytes of messages in one script: it lasts some milliseconds, in which Redis does nothing else
_MOST_BYTES = 1_000_000

#: tasks that one script looks at in search of lost entries
_SEARCHED_AT_ONCE = 200

#: rest between two such scripts: there may be a million tasks
_SEARCH_REST_S = 0.01

#: of all that are due or will be so many are read at a time, about
_LISTED_AT_ONCE = 100

#: the lists in which every task stands that is due or will be
_RUNNING_ON = tuple(keys.api_index(status_index(status)) for status in (TaskStatus.SCHEDULED, TaskStatus.WAITING))

#: how long the execution and the waiting job are kept, in milliseconds
_KEPT: tuple[Argument, Argument] = (EXECUTION_KEPT // _MILLISECOND, WAITING_KEPT // _MILLISECOND)


class Fired(StrEnum):
    """What became of a task that was due (lua/api_fire.lua)."""

    QUEUED = "queued"
    #: it waits for the end of another task
    WAITING = "waiting"
    #: the run of that instant was queued before; only the task moved on
    KNOWN = "known"
    #: it was changed since it was read
    STALE = "stale"
    #: it is not to run: paused, over, or without an instant
    OFF = "off"
    GONE = "gone"


class TriggerRefusal(StrEnum):
    """Why a task was not triggered."""

    GONE = "gone"
    #: it is a task of tasks.yaml, whose jobs are its users'
    FILE = "file"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A run that was queued by hand."""

    execution_id: str
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """One entry of the due tasks: `known` is None where there is no such task, or its record cannot be read."""

    task_id: str
    known: ApiTaskRow | None = None
    damage: DamagedKeyError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A due task and its run; None where it has none: then it is only looked at again, and taken off where it belongs.

    `job` is what scripts are told of the run's job. `of` makes both.
    """

    task_id: str
    run: DueRun | None = None
    job: tuple[Argument, ...] = ("",) * 4

    @classmethod
    def of(cls, run: DueRun, *, waited: bool, now: datetime) -> Firing:
        """Return the firing of a run at `now`; `waited` says that its task was waiting for another one.

        Raises InvalidValueError for a payload that cannot be sent.
        """
        source = JobSource.DEPENDENCY if waited else JobSource.API
        message = run.message(payload_body(run.task), source, now)
        return cls(task_id=run.task.task_id, run=run, job=_job_arguments(message, now))

    @property
    def size(self) -> int:
        """Bytes of its message."""
        return sum(len(part) for part in self.job if isinstance(part, bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Another instant at which a task is looked at.

    `known` is the task as it was read: then it is when that one is due. Without, its entry alone is put off till then.
    """

    task_id: str
    at: datetime
    known: ApiTaskRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTask:
    """A task that can be read, and the unix ms at which its entry among the due tasks stands."""

    score: float
    known: ApiTaskRow


class ApiRuns:
    """Lets API tasks run.

    Everything raises StoreUnavailableError when no answer came, DamagedKeyError where a key holds another type.
    """

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def due(self, until: datetime, limit: int) -> list[DueTask]:
        """Return up to `limit` tasks that are due until then, the earliest first.

        Raises DamagedKeyError, naming the entry, for one that is no text.
        """
        members = await self._store.command("ZRANGEBYSCORE", keys.API_DUE, "-inf", to_unix_ms(until), "LIMIT", 0, limit)
        task_ids = [_task_id(member) for member in members]
        rows = await self._rows(task_ids)
        return [_due_task(task_id, reply) for task_id, reply in zip(task_ids, rows, strict=True)]

    async def listed(self) -> AsyncIterator[list[ListedTask]]:
        """Yield all tasks that are due or will be, about a hundred at a time and in no order.

        What cannot be read is left out: it is told when it is due. Whoever looks at a million of them rests in between.
        """
        cursor = 0
        while True:
            cursor, found = await self._store.command("ZSCAN", keys.API_DUE, cursor, "COUNT", _LISTED_AT_ONCE)
            scores = {member.decode(errors="replace"): score for member, score in found}
            replies = await self._rows(list(scores))
            rows = await asyncio.to_thread(_readable, dict(zip(scores, replies, strict=True)))
            yield [ListedTask(score=scores[known[0].task_id], known=known) for known in rows]
            if cursor == 0:
                return

    async def _rows(self, task_ids: Sequence[str]) -> list[Any]:
        return await self._store.ask_each([("HMGET", keys.api_task(task_id), *FIELDS) for task_id in task_ids])

    async def next(self) -> datetime | None:
        """Return when the first task is to be looked at, or None when none is."""
        reply = await self._store.command("ZRANGE", keys.API_DUE, 0, 0, "WITHSCORES")
        # What another hand wrote there is looked at now.
        return from_unix_ms(int(float(reply[1]))) if reply and 0 <= float(reply[1]) < _LAST_MS else None

    async def unlisted(self) -> int:
        """Return how many tasks are to run and stand in no list of such tasks.

        They are those whose only run is on its way, the task types of tasks.yaml, and any whose entry was lost.
        """
        names = (*_RUNNING_ON, keys.API_DUE, keys.API_WAITING)
        scheduled, waiting, due, held = map(int, await self._store.read(*(("ZCARD", name) for name in names)))
        return scheduled + waiting - due - held

    async def put_back(self, token: str) -> int:
        """Put back what was lost of the due and the waiting tasks, and return how many; those are due again.

        A hundred thousand tasks take some seconds. Raises LeaseLostError; harmless when asked again.
        """
        put_back = 0
        for index in _RUNNING_ON:
            names = [keys.LEASE, keys.API_DUE, keys.API_WAITING, index]
            cursor = b"0"
            while True:
                cursor, found = await self._scripts.call(
                    "api_due_again", names, [token, keys.API_TASK_PREFIX, cursor, _SEARCHED_AT_ONCE]
                )
                put_back += int(found)
                if cursor == b"0":
                    break
                await asyncio.sleep(_SEARCH_REST_S)
        return put_back

    async def fire(self, token: str, firings: Sequence[Firing]) -> list[Fired]:
        """Let tasks run, some at a time, and return what became of each.

        Raises LeaseLostError; then some may have run, and the others are still due. Harmless when asked again.
        """
        fired = list[Fired]()
        for piece in _pieces(firings):
            fired += await self._fire(token, piece)
        return fired

    async def _fire(self, token: str, firings: Sequence[Firing]) -> list[Fired]:
        names = [keys.LEASE, keys.API_DUE, keys.API_WAITING, keys.API_TASKS, keys.DELAYED]
        arguments: list[Argument] = [token, keys.API_INDEX_PREFIX, keys.API_TASK_PREFIX, *_KEPT, EXECUTIONS_LISTED]
        for firing in firings:
            job_id = "" if firing.run is None else firing.run.job_id
            names += [keys.api_task(firing.task_id), keys.api_dependencies(firing.task_id)]
            names += [keys.api_executions(firing.task_id), keys.execution(job_id), keys.delayed_job(job_id)]
            names += [keys.done(job_id), keys.claim(job_id)]
            arguments += [firing.task_id, *_run_arguments(firing)]
        words = await self._scripts.call("api_fire", names, arguments)
        return [Fired(word.decode()) for word in words]

    async def move(self, token: str, moves: Sequence[Move]) -> int:
        """Let tasks, some hundred of them, be looked at at other instants; return how many are.

        One that was changed since it was read, or is not listed any more, stays as it is. Raises LeaseLostError.
        """
        if not moves:
            return 0
        names = [keys.LEASE, keys.API_DUE, *(keys.api_task(each.task_id) for each in moves)]
        arguments = [token, *(part for each in moves for part in _move_arguments(each))]
        return int(await self._scripts.call("api_due_move", names, arguments))

    async def trigger(
        self, task: ApiTask, trigger_id: str, now: datetime, correlation_id: str | None = None
    ) -> QueuedRun | TriggerRefusal:
        """Let `task` run now, beside its schedule and whatever it depends on.

        Asked again with the same `trigger_id`, it is the same run. `correlation_id` goes with the job; without, the
        trigger's id does. Raises InvalidValueError for a payload that is too long.
        """
        job_id = triggered_job_id(task.task_id, trigger_id)
        message = triggered_message(task, payload_body(task), trigger_id, correlation_id or trigger_id, now)
        word, *more = await self._scripts.call_again(
            "api_trigger",
            [
                keys.api_task(task.task_id),
                keys.api_executions(task.task_id),
                keys.execution(job_id),
                keys.delayed_job(job_id),
                keys.done(job_id),
                keys.claim(job_id),
                keys.DELAYED,
            ],
            [job_id, *_job_arguments(message, now), *_KEPT, EXECUTIONS_LISTED],
        )
        if word != b"queued":
            return TriggerRefusal(word.decode())
        return QueuedRun(execution_id=job_id, queued_at=from_unix_ms(int(more[0])))


def pending_record(job: Job, now: datetime) -> ExecutionResult:
    """Return the record of an execution that was queued at `now`: no worker has had it in hand."""
    return ExecutionResult(
        job_id=job.id,
        status=Status.PENDING,
        started_at=now,
        completed_at=now,
        task_type_id=job.task_type_id,
        user_id=job.user_id,
        attempt=job.attempt,
        worker_id="",
    )


def _pieces(firings: Sequence[Firing]) -> Iterator[list[Firing]]:
    piece, size = list[Firing](), 0
    for firing in firings:
        if piece and size + firing.size > _MOST_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(firing)
        size += firing.size
    if piece:
        yield piece


def _run_arguments(firing: Firing) -> list[Argument]:
    run = firing.run
    if run is None:
        return [""] * 4 + list(firing.job)
    following = "" if run.following is None else to_unix_ms(run.following)
    return [run.task.revision, to_unix_ms(run.due), following, run.job_id, *firing.job]


def _move_arguments(move: Move) -> tuple[Argument, ...]:
    if move.known is None:
        return move.task_id, to_unix_ms(move.at), "", ""
    task, state = move.known
    return move.task_id, to_unix_ms(move.at), task.revision, instant_text(state.next_at)


def _job_arguments(message: JobMessage, now: datetime) -> tuple[Argument, ...]:
    job = message.job
    return (
        to_unix_ms(job.execute_after),
        encode_message(message),
        waiting_place(job.priority, job.execute_after),
        pending_record(job, now).to_json(),
    )


def _task_id(member: bytes) -> str:
    try:
        return member.decode()
    except UnicodeDecodeError:
        raise DamagedKeyError(keys.API_DUE, "has an entry that is no text", member=member) from None


def _readable(replies: Mapping[str, Sequence[bytes | None] | Exception]) -> list[ApiTaskRow]:
    rows = list[ApiTaskRow]()
    for task_id, reply in replies.items():
        with suppress(DamagedKeyError):
            if not isinstance(reply, Exception) and (known := row(task_id, reply)) is not None:
                rows.append(known)
    return rows


def _due_task(task_id: str, reply: Sequence[bytes | None] | Exception) -> DueTask:
    if isinstance(reply, Exception):
        raise refused_for(keys.api_task(task_id), reply)
    if reply[0] is None and any(part is not None for part in reply):
        problem = "cannot be read: there is no definition in it"
        return DueTask(task_id=task_id, damage=DamagedKeyError(keys.api_task(task_id), problem, unreadable=True))
    try:
        known = row(task_id, reply)
    except DamagedKeyError as error:
        return DueTask(task_id=task_id, damage=error)
    return DueTask(task_id=task_id, known=known)
