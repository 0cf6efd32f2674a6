"""Executions straight from Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from taskqueue.assets import asset_dir
from taskqueue.cli.exec_source import Cancelled, Executions, Record
from taskqueue.cli.terminal import printable
from taskqueue.config.sections import RedisSettings
from taskqueue.core.ids import check_task_id
from taskqueue.core.log_line import LogLine
from taskqueue.core.state import Status
from taskqueue.core.task import TaskSource
from taskqueue.errors import InvalidValueError, NotFoundError
from taskqueue.store.api_executions import ApiExecutions, Execution
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.cancellations import CancelAnswer, Cancellations, CancelOutcome
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.sightings import see_job

_PAGE = 100

#: Tries after the first where Redis does not answer: somebody waits for this verb, and each takes two seconds, or four
#: with several redis.addresses. Asking again is harmless, but how often a process does so (redis.max_retries) is too
#: often here.
_MOST_RETRIES = 1


@asynccontextmanager
async def open_redis(settings: RedisSettings) -> AsyncIterator[Executions]:
    """Open the Redis of these settings."""
    patience = settings.model_copy(update={"max_retries": min(settings.max_retries, _MOST_RETRIES)})
    store = RedisStore(patience, client_name="taskqueue-exec")
    try:
        yield _RedisExecutions(store)
    finally:
        await store.close()


class _RedisExecutions:
    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._scripts = Scripts(store, asset_dir("lua"))

    async def record(self, job_id: str) -> tuple[Record, bool]:
        found, attempts = await see_job(self._store, job_id), await ExecutionStore(self._store).attempts(job_id)
        record = {**found.as_dict(), "attempts": [attempt.as_dict() for attempt in attempts]}
        return record, found.status is not None or found.cancelled

    async def status(self, job_id: str) -> Status | None:
        found = await ApiExecutions(self._store, self._scripts).get(job_id)
        return None if found is None else found.status

    async def log(self, job_id: str) -> Sequence[LogLine]:
        return await ExecutionStore(self._store).logs(job_id)

    async def cancel(self, job_id: str) -> Cancelled:
        answer = await Cancellations(self._store, self._scripts).cancel(job_id)
        return Cancelled(outcome=answer.outcome, detail=_said(answer))

    async def rows(self, task_id: str, limit: int | None) -> AsyncIterator[tuple[Record, int]]:
        source, clock = await self._source(task_id), ServerClock(self._store)
        await clock.sync()
        now, offset = clock(), 0
        executions = ApiExecutions(self._store, self._scripts)
        read = executions.ended if source is TaskSource.FILE else executions.queued
        while limit is None or offset < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - offset)
            page = await read(task_id, now=now, limit=size, offset=offset)
            if source is None and page.total == 0:
                raise _no_such_task(task_id)
            for execution in page.executions:
                yield _row(execution), page.total
            offset += size
            if offset >= page.total:
                return

    async def _source(self, task_id: str) -> TaskSource | None:
        """Return where the task stands; None for one that was deleted or never was, whose executions are kept."""
        try:
            check_task_id(task_id)
        except InvalidValueError:
            raise _no_such_task(task_id) from None
        task = await ApiTaskStore(self._store, self._scripts).definition(task_id)
        return None if task is None else task.source


def _no_such_task(task_id: str) -> NotFoundError:
    return NotFoundError(f"no task {printable(task_id)}; it was deleted, or never there")


def _row(execution: Execution) -> Record:
    """Return it as the API has it in its lists."""
    duration = execution.duration
    return {
        "execution_id": execution.execution_id,
        "task_id": execution.task_id,
        "worker_id": execution.worker_id,
        "started_at": execution.started_at,
        "completed_at": execution.completed_at,
        "duration_ms": None if duration is None else duration // timedelta(milliseconds=1),
        "status": execution.status,
        "retry_number": execution.retry_number,
        "queued_at": execution.queued_at,
    }


def _said(answer: CancelAnswer) -> str:
    match answer.outcome:
        case CancelOutcome.CANCELLED:
            return "cancelled"
        case CancelOutcome.RUNNING:
            return f"runs on {answer.word}, which cuts its call; if that ends first, its own end stands"
        case CancelOutcome.MARKED:
            return "no trace of this job yet; marked as cancelled should it come; is the id right?"
        case CancelOutcome.ENDED:
            return f"had ended before: {answer.word.partition(':')[0].replace('failing', 'failed')}; nothing is changed"
