"""The runs of API tasks: what is due is queued, and goes out with the retries and parked jobs.

Nothing is planned ahead, so that a task which is paused or changed a moment before its instant does not run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from taskqueue.core.api_run import due_run, right_instant
from taskqueue.core.api_task import TaskStatus
from taskqueue.errors import DamagedKeyError, InvalidValueError
from taskqueue.runtime import Now, loops_together
from taskqueue.store.api_runs import ApiRuns, DueTask, Fired, Firing, Move
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import ApiTasksFired, ApiTasksPutBack, ApiTaskUnreadable

#: tasks that are read at a time
_PER_ROUND = 500

#: tasks of one script: it lasts some milliseconds, in which Redis does nothing else
_PER_SCRIPT = 50

#: the longest rest between two rounds: a task may be made that is due at once
_REST = timedelta(milliseconds=250)

#: and the shortest: what comes due meanwhile runs together with it
_LEAST = timedelta(milliseconds=5)

#: entries that were lost while it leads are noticed after so long
_LOOK_EVERY_S = 30.0

#: after a search in vain it takes longer, for with many tasks each search is some work
_VAIN_SEARCH_REST_S = 300.0

#: a task that cannot be read is looked at again after so long: a scheduler that can read it may lead by then
UNREADABLE_REST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Round:
    """What becomes of the tasks whose entries have come up."""

    firings: list[Firing] = field(default_factory=list)
    #: those that are looked at again later, for they cannot be read, or another hand has put them before their instant
    later: list[Move] = field(default_factory=list)
    #: of those that cannot be read, what is wrong
    unreadable: dict[str, str] = field(default_factory=dict)


class ApiTasks:
    """Lets API tasks run while its process leads."""

    def __init__(self, runs: ApiRuns, lease: Lease, *, now: Now, emit: Emit) -> None:
        self._runs = runs
        self._lease = lease
        self._now = now
        self._emit = emit
        #: so many tasks stood in no list that were rightly there
        self._unlisted = 0

    async def run(self) -> None:
        """Let tasks run for ever. Raises LeaseLostError or another StoreError; what was not queued is still due.

        What was lost of the lists of due and waiting tasks is put back meanwhile: at once, and from time to time.
        """
        async with loops_together() as group:
            group.create_task(self._fire_for_ever(), name="fire")
            group.create_task(self._keep_lists(), name="lists")

    async def _fire_for_ever(self) -> NoReturn:
        while True:
            if not await self.round():
                await asyncio.sleep((await self._rest()).total_seconds())

    async def _keep_lists(self) -> NoReturn:
        await self._put_back()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if await self.look() == 0:
                await asyncio.sleep(_VAIN_SEARCH_REST_S)

    async def look(self) -> int | None:
        """Put back what was lost, if more tasks are in no list than there were.

        Return how many that were, None where there was no reason to search. Raises as `run`.
        """
        unlisted = await self._runs.unlisted()
        if unlisted > self._unlisted:
            return await self._put_back()
        self._unlisted = unlisted
        return None

    async def _put_back(self) -> int:
        put_back = await self._runs.put_back(self._lease.token)
        self._unlisted = await self._runs.unlisted()
        if put_back:
            self._emit(ApiTasksPutBack(tasks=put_back))
        return put_back

    async def round(self) -> bool:
        """Let those run that are due, a number at a time; return whether there may be more. Raises as `run`."""
        now = self._now()
        due = await self._runs.due(now, _PER_ROUND)
        if not due:
            return False
        fired = Counter[Fired]()
        planning = asyncio.Lock()
        async with loops_together() as group:
            for first in range(0, len(due), _PER_SCRIPT):
                group.create_task(self._let_run(due[first : first + _PER_SCRIPT], now, planning, fired))
        if fired[Fired.QUEUED] or fired[Fired.WAITING]:
            self._emit(ApiTasksFired(queued=fired[Fired.QUEUED], waiting=fired[Fired.WAITING]))
        return len(due) == _PER_ROUND

    async def _let_run(
        self, due: Sequence[DueTask], now: datetime, planning: asyncio.Lock, fired: Counter[Fired]
    ) -> None:
        """Let a few tasks run and add to `fired` what became of them; while Redis does it, others are planned."""
        async with planning:
            # Some rules take a tenth of a second, so not on the event loop.
            planned = await asyncio.to_thread(_plan_round, due, now)
        await self._runs.move(self._lease.token, planned.later)
        for task_id, error in planned.unreadable.items():
            self._emit(ApiTaskUnreadable(task=task_id, error=error))
        fired.update(await self._runs.fire(self._lease.token, planned.firings))

    async def _rest(self) -> timedelta:
        following = await self._runs.next()
        return _REST if following is None else max(_LEAST, min(_REST, following - self._now()))


def _plan_round(due: Sequence[DueTask], now: datetime) -> _Round:
    planned = _Round()
    for each in due:
        at = None if each.known is None else each.known[1].next_at
        try:
            if each.damage is not None:
                raise each.damage
            if each.known is not None and at is not None and at > now:
                # One that waited for another task may be of a time before the clock was set back.
                at = right_instant(each.known[0], at, now)
                planned.later.append(Move(task_id=each.task_id, at=at, known=each.known))
            else:
                planned.firings.append(_firing(each, at, now))
        except (DamagedKeyError, InvalidValueError) as error:
            planned.later.append(Move(task_id=each.task_id, at=now + UNREADABLE_REST))
            planned.unreadable[each.task_id] = str(error)
    return planned


def _firing(due: DueTask, since: datetime | None, now: datetime) -> Firing:
    """Return the run of a task that has been due since then; while it waits, its entry says when to look at it.

    Raises InvalidValueError where there is none, or its payload cannot be sent.
    """
    if due.known is None or since is None:
        return Firing(task_id=due.task_id)
    task, state = due.known
    return Firing.of(due_run(task, since, now), waited=state.status is TaskStatus.WAITING, now=now)
