"""The jobs that wait in Redis one by one: retries and parked jobs until their time, others for room under a limit."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.host_limit import host_of
from taskqueue.core.task import Priority, Task
from taskqueue.core.waiting import GLOBAL, concurrency_limit, host_limit, is_narrower, queue_limit, task_limit
from taskqueue.errors import MessageError
from taskqueue.scheduler.candidate import Candidate
from taskqueue.scheduler.gates import Gates
from taskqueue.store import keys
from taskqueue.store.delayed import DelayedJob, DelayedStore
from taskqueue.store.lease import Lease
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import WaitingJobsLost


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingJob:
    """A waiting job, the limit whose list it stands in (None: `taskqueue:delayed`), and its candidate.

    Without a candidate there is nothing left to publish.
    """

    job: DelayedJob
    limit: str | None
    candidate: Candidate | None


class WaitingJobs:
    """Looks at what waits, removes what was released, and moves what is due before a shut gate into that one's list.

    There it stands by priority and age, and keeps out nobody who waits for something else.
    """

    def __init__(self, store: DelayedStore, lease: Lease, *, batch_size: int, emit: Emit) -> None:
        self._store = store
        self._lease = lease
        self._batch_size = batch_size
        self._emit = emit

    async def begin(self, tasks: Iterable[Task]) -> None:
        """Look for lists whose names were lost, of all limits and of these tasks and their hosts."""
        limits = {GLOBAL, *map(queue_limit, Priority)}
        for task in tasks:
            limits |= {task_limit(task.id), concurrency_limit(task.id), host_limit(host_of(task.target.endpoint))}
        await self._store.name_again(sorted(limits))

    async def look(
        self, horizon: datetime, gates: Gates, now: datetime, first_source: int
    ) -> tuple[list[WaitingJob], datetime, bool]:
        """Return jobs, the instant up to which these are all that come due, and whether a list may hold more to go.

        Each is a source of its own. The lists share what one look reads.
        """
        delayed = await self._store.due_until(horizon, self._batch_size)
        if len(delayed) == self._batch_size:
            horizon = min(horizon, delayed[-1].due)
        found: list[tuple[DelayedJob, str | None]] = [(job, None) for job in delayed]
        limits = await self._store.limits()
        share = max(1, min(self._batch_size, 2 * self._batch_size // max(1, len(limits))))
        more = False
        for limit in limits:
            room = gates.room(limit, now.timestamp())
            head = await self._store.head(limit, share if room is None else min(room, share))
            more = more or len(head) == share
            found += [(job, limit) for job in head]
        jobs = [_waiting(number, job, limit) for number, (job, limit) in enumerate(found, start=first_source)]
        return jobs, horizon, more

    async def forget(
        self, waiting: Sequence[WaitingJob], confirmed: Collection[Candidate], shut: Mapping[Candidate, str]
    ) -> None:
        """Remove what is confirmed or empty; move what is due and stands before a shut gate into its list."""
        gone = defaultdict[str | None, list[DelayedJob]](list)
        lost = defaultdict[str | None, list[DelayedJob]](list)
        moved = defaultdict[tuple[str | None, str], list[DelayedJob]](list)
        for each in waiting:
            if each.candidate is None or each.candidate in confirmed:
                (lost if each.job.lost else gone)[each.limit].append(each.job)
            elif (limit := shut.get(each.candidate)) is not None and _belongs_behind(each.limit, limit):
                moved[each.limit, limit].append(each.job)
        token = self._lease.token
        await asyncio.gather(
            *(self._store.remove(token, jobs, limit) for limit, jobs in gone.items()),
            *(self._store.move(token, jobs, limit, read_from) for (read_from, limit), jobs in moved.items()),
            *(self._forget_lost(jobs, limit) for limit, jobs in lost.items()),
        )

    async def _forget_lost(self, jobs: Sequence[DelayedJob], limit: str | None) -> None:
        # One that was cancelled between two looks has left the list by itself: it has ended, and is not lost.
        if removed := await self._store.remove(self._lease.token, jobs, limit):
            waits_in = keys.DELAYED if limit is None else keys.waiting(limit)
            self._emit(WaitingJobsLost(waits_in=waits_in, jobs=removed, job_id=jobs[0].job_id))


def _belongs_behind(waits_for: str | None, shut: str) -> bool:
    """Return whether a job in the list of `waits_for` is to go into that of `shut`: there it keeps out its like alone.

    It never goes into a list that it would share with more tasks.
    """
    return waits_for is None or is_narrower(shut, waits_for)


def _waiting(source: int, job: DelayedJob, limit: str | None) -> WaitingJob:
    if job.body is None:
        return WaitingJob(job=job, limit=limit, candidate=None)
    task_id, priority = _read(job.body)
    body = job.body
    candidate = Candidate(
        source=source, due=job.due, task_id=task_id, priority=priority, message=lambda: (job.job_id, body)
    )
    return WaitingJob(job=job, limit=limit, candidate=candidate)


def _read(body: bytes) -> tuple[str, Priority]:
    try:
        job = decode_message(body, MAX_STORED_BYTES).job
    except MessageError:
        return "", Priority.NORMAL  # whoever wrote it there: a worker will say what is wrong with it
    return job.task_type_id, job.priority
