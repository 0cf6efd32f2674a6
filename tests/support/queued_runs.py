"""Runs of API tasks that wait for a worker."""

from __future__ import annotations

from datetime import UTC, datetime

from taskqueue.store.api_runs import ApiRuns, QueuedRun
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts


async def queue(store: RedisStore, scripts: Scripts, task_id: str, mark: str = "one") -> QueuedRun:
    """Trigger the task."""
    known = await ApiTaskStore(store, scripts).get(task_id)
    assert known is not None
    run = await ApiRuns(store, scripts).trigger(known[0], mark, datetime.now(UTC))
    assert isinstance(run, QueuedRun)
    return run
