"""What Redis tells of the runs of a task made through the API, for an explanation."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from taskqueue.core.api_task import OVER, ApiTask, ApiTaskState, TaskStatus, next_instant, to_task
from taskqueue.core.dependency import Dependency
from taskqueue.core.explain import explain_run
from taskqueue.core.explanation import DependencyFacts, Explanation, JobFacts, TaskFacts
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.state import TERMINAL
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.explain_jobs import SeenJob, limits_before, seen_jobs
from taskqueue.store.scripts import Scripts

#: no instant that a datetime can hold has as many, in unix ms
_MOST_DIGITS = 15


class RunExplainer:
    """Explains tasks made through the API. Raises StoreError, DamagedKeyError."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def explain(self, known: ApiTaskRow, *, at: datetime | None, now: datetime) -> Explanation:
        """Explain the run that was queued last until `at`; without that the latest one, or what the task waits for."""
        task, state = known
        waiting = state.status is TaskStatus.WAITING and (at is None or (state.next_at or now) <= at)
        found = await self._run(task, at or now)
        return explain_run(
            now=now,
            task=_facts(task),
            over=state.status in OVER,
            waiting_since=state.next_at if waiting else None,
            queued_at=None if found is None else found[0],
            job=None if found is None else await self._with_limits(task, found[1], now),
            following=_following(task, state, waiting=waiting),
            dependencies=await self._dependencies(task, state),
        )

    async def _run(self, task: ApiTask, until: datetime) -> tuple[datetime, SeenJob] | None:
        reply = await self._store.command(
            *("ZREVRANGEBYSCORE", keys.api_executions(task.task_id), to_unix_ms(until), "-inf"),
            *("WITHSCORES", "LIMIT", 0, 1),
        )
        if not reply:
            return None
        job_id, queued_at = reply[0].decode(errors="replace"), from_unix_ms(int(float(reply[1])))
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
