"""How the executions of a task went."""

from __future__ import annotations

from taskqueue.api.auth import Reader
from taskqueue.api.execution_answers import stats_answer
from taskqueue.api.route import api_router
from taskqueue.api.schemas_executions import TaskStatistics
from taskqueue.api.services import ServicesOf
from taskqueue.api.task_access import is_task_id, no_such_task, present, task_store
from taskqueue.core.task import TaskSource
from taskqueue.store.task_stats import TaskStatsStore

router = api_router("monitoring")


@router.get("/tasks/{task_id}/stats", summary="Get the statistics of a task")
async def get_task_stats(task_id: str, _caller: Reader, services: ServicesOf) -> TaskStatistics:
    """Get counts and durations: of a task made through the API from its first execution on, of a task type of
    tasks.yaml those of the last 35 days that called its endpoint or failed without.
    """
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    task = await task_store(services).definition(task_id)
    store, now = TaskStatsStore(services.store), present(services)
    if task is not None and task.source is TaskSource.FILE:
        return stats_answer(task_id, await store.of_file_task(task_id, now))
    stats = await store.of_api_task(task_id, now)
    if task is None and stats.ends.total == 0:
        raise no_such_task(task_id)
    return stats_answer(task_id, stats)
