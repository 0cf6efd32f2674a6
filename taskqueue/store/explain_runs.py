"""What Redis tells of the runs of a task made through the API, for an explanation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from taskqueue.core.api_run import scheduled_run_id
from taskqueue.core.api_task import OVER, ApiTask, ApiTaskState, TaskStatus, next_instant, to_task
from taskqueue.core.dependency import Dependency
from taskqueue.core.explain import Run, explain_run
from taskqueue.core.explanation import DependencyFacts, Explanation, JobFacts, TaskFacts
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.state import TERMINAL
from taskqueue.core.verdict import Verdict
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.explain_jobs import SeenJob, limits_before, seen_jobs
from taskqueue.store.scripts import Scripts

#: among so many of the latest runs the scheduled one is looked for
_LATEST = 20

#: no instant that a datetime can hold has as many, in unix ms
_MOST_DIGITS = 15


class RunExplainer:
    """Explains tasks made through the API. Raises StoreError, DamagedKeyError."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def explain(self, known: ApiTaskRow, *, at: datetime | None, now: datetime) -> Explanation:
        """Explain the run that was queued last until `at`; without that the latest one, or what the task waits for.

        Manual triggers are passed over where a run by the schedule is known from them.
        """
        task, state = known
        asked = at is None or (state.next_at or now) <= at
        waiting = asked and state.status is TaskStatus.WAITING
        due = asked and state.status is TaskStatus.SCHEDULED and state.next_at is not None and state.next_at <= now
        found = await self._run(task, at or now)
        return explain_run(
            now=now,
            task=_facts(task),
            run=Run(
                over=state.status in OVER,
                waiting_since=state.next_at if waiting else None,
                due_since=state.next_at if due else None,
                queued_at=None if found is None else found[0],
                job=None if found is None else await self._with_limits(task, found[1], now),
                missing=_without_run(task, state, at or now),
            ),
            following=next_instant(task, now) if due else _following(task, state, waiting=waiting),
            dependencies=await self._dependencies(task, state),
        )

    async def _run(self, task: ApiTask, until: datetime) -> tuple[datetime, SeenJob] | None:
        reply = await self._store.command(
            *("ZREVRANGEBYSCORE", keys.api_executions(task.task_id), to_unix_ms(until), "-inf"),
            *("WITHSCORES", "LIMIT", 0, _LATEST),
        )
        if not reply:
            return None
        runs = [
            (job_id.decode(errors="replace"), from_unix_ms(int(float(score))))
            for job_id, score in zip(reply[::2], reply[1::2], strict=True)
        ]
        # Some rules take a tenth of a second: not on the event loop.
        job_id, queued_at = await asyncio.to_thread(_latest_scheduled, task, runs)
        return queued_at, (await seen_jobs(self._store, [job_id]))[0]

    async def _with_limits(self, task: ApiTask, seen: SeenJob, now: datetime) -> JobFacts:
        if seen.facts.status in TERMINAL:
            return seen.facts
        return replace(seen.facts, limits=await limits_before(self._store, self._scripts, to_task(task), now))

    async def _dependencies(self, task: ApiTask, state: ApiTaskState) -> tuple[DependencyFacts, ...]:
        dependencies = await DependencyStore(self._store, self._scripts).list(task.task_id)
        if not dependencies:
            return ()
        parents = await ApiTaskStore(self._store, self._scripts).get_many([each.on for each in dependencies])
        ends = await self._store.read(
            *(("HGET", keys.api_task(each.on), f"ended_{each.type.value}") for each in dependencies)
        )
        return tuple(
            _dependency(each, parents.get(each.on), end, state.last_at)
            for each, end in zip(dependencies, ends, strict=True)
        )


def _latest_scheduled(task: ApiTask, runs: Sequence[tuple[str, datetime]]) -> tuple[str, datetime]:
    """Return id and instant of the latest of `runs` that was no manual trigger; of them all where that is not known."""
    for job_id, queued_at in runs:
        if queued_at <= task.updated_at:
            break  # by what schedule it ran is not known
        if job_id == scheduled_run_id(task, queued_at):
            return job_id, queued_at
    return runs[0]


def _without_run(task: ApiTask, state: ApiTaskState, until: datetime) -> Verdict:
    if until < task.created_at:
        return Verdict.NOT_PLANNED
    return Verdict.NEVER_RAN if state.last_at is None else Verdict.FORGOTTEN


def _facts(task: ApiTask) -> TaskFacts:
    workers = to_task(task)
    return TaskFacts(
        task_id=task.task_id,
        source=task.source,
        enabled=task.enabled,
        paused=not task.enabled,
        revision=str(task.revision),
        interval=workers.interval.as_dict(),
        max_age=workers.max_age,
    )


def _following(task: ApiTask, state: ApiTaskState, *, waiting: bool) -> datetime | None:
    if state.status in OVER:
        return None
    return next_instant(task, state.next_at) if waiting and state.next_at is not None else state.next_at


def _dependency(
    each: Dependency, parent: ApiTaskRow | None, end: bytes | None, since: datetime | None
) -> DependencyFacts:
    ended_at = from_unix_ms(int(end)) if end is not None and end.isdigit() and len(end) < _MOST_DIGITS else None
    return DependencyFacts(
        task_id=each.on,
        task_name="" if parent is None else parent[0].task_name,
        type=each.type,
        satisfied=ended_at is not None and (since is None or ended_at > since),
        ended_at=ended_at,
    )
