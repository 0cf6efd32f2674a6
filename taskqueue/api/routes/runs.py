"""Whether a task runs, and running it now: pause, resume, trigger."""

from __future__ import annotations

from starlette.requests import Request

from taskqueue.api.auth import Writer
from taskqueue.api.context import request_id_of
from taskqueue.api.new_tasks import shown_next
from taskqueue.api.problems import ProblemError, conflict, invalid_field
from taskqueue.api.route import api_router, problem_responses
from taskqueue.api.schemas_task_answers import TaskPaused, TaskResumed, TaskTriggered
from taskqueue.api.schemas_tasks import TriggerTask
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import (
    NewIds,
    check_count,
    file_tasks,
    known_task,
    no_such_task,
    present,
    refusal,
    task_store,
)
from taskqueue.core.task import TaskSource
from taskqueue.store.api_runs import ApiRuns, TriggerRefusal
from taskqueue.store.api_tasks import Changed, Refusal
from taskqueue.store.file_tasks import FileTaskRefusal

router = api_router("tasks")

_OVER = problem_responses(_409="The task has run, and will not again; or tasks.yaml says that it is off")


@router.post("/tasks/{task_id}/pause", summary="Pause a task", responses=_OVER)
async def pause_task(task_id: str, _caller: Writer, services: ServicesOf) -> TaskPaused:
    """Switch a task off: nothing of it starts until it is resumed. What is running ends."""
    now = present(services)
    outcome: Changed | Refusal | FileTaskRefusal = await task_store(services).set_paused(task_id, now)
    if outcome is Refusal.READ_ONLY:
        outcome = await file_tasks(services).set_paused(task_id, now)
    state = _switched(task_id, outcome).state
    return TaskPaused(task_id=task_id, status=state.status, paused_at=state.paused_at)


@router.post("/tasks/{task_id}/resume", summary="Resume a task", responses=_OVER)
async def resume_task(task_id: str, _caller: Writer, services: ServicesOf) -> TaskResumed:
    """Switch a task on. Instants that have passed meanwhile are left out, but a one_time task is made up for."""
    now = present(services)
    outcome: Changed | Refusal | FileTaskRefusal = await task_store(services).resume(task_id, now)
    if outcome is Refusal.READ_ONLY:
        outcome = await file_tasks(services).resume(task_id, now)
    change = _switched(task_id, outcome)
    [(task, state)] = await file_tasks(services).current([(change.task, change.state)], now)
    following = shown_next(task, state.status, state.next_at)
    return TaskResumed(task_id=task_id, status=state.status, next_execution_time=following, resumed_at=now)


@router.post(
    "/tasks/{task_id}/trigger",
    status_code=202,
    summary="Run a task now",
    responses=problem_responses(_409="The task is paused"),
)
async def trigger_task(
    task_id: str, request: Request, _caller: Writer, services: ServicesOf, body: TriggerTask | None = None
) -> TaskTriggered:
    """Queue a run of a task now, beside its schedule and whatever it depends on."""
    task, _ = await known_task(services, task_id)
    trigger_id = NewIds(request).make()
    user_ids = None if body is None else body.user_ids
    if task.source is TaskSource.FILE:
        return await _trigger_type(task_id, user_ids, trigger_id, request_id_of(request), services)
    if user_ids is not None:
        raise invalid_field("/user_ids", "only a task type of tasks.yaml runs for users; leave it out")
    runs = ApiRuns(services.store, services.scripts)
    outcome = await runs.trigger(task, trigger_id, present(services), request_id_of(request))
    if isinstance(outcome, TriggerRefusal):
        raise _not_triggered(task_id, outcome)
    return TaskTriggered(
        task_id=task_id, execution_id=outcome.execution_id, status="queued", queued_at=outcome.queued_at
    )


async def _trigger_type(
    task_id: str, user_ids: list[str] | None, trigger_id: str, correlation_id: str, services: Services
) -> TaskTriggered:
    """Queue a run of a task type of tasks.yaml for each of some users."""
    if user_ids is None:
        raise invalid_field("/user_ids", "is missing: a task type of tasks.yaml runs for users; say for which")
    check_count("user_ids", user_ids, services)
    users = list(dict.fromkeys(user_ids))
    outcome = await file_tasks(services).trigger(task_id, users, trigger_id, present(services), correlation_id)
    if isinstance(outcome, TriggerRefusal):
        raise _not_triggered(task_id, outcome)
    return TaskTriggered(
        task_id=task_id,
        execution_id=outcome[0].execution_id,
        status="queued",
        queued_at=outcome[0].queued_at,
        execution_ids=[run.execution_id for run in outcome],
    )


def _switched(task_id: str, outcome: Changed | Refusal | FileTaskRefusal) -> Changed:
    if isinstance(outcome, Changed):
        return outcome
    raise refusal(task_id, outcome)


def _not_triggered(task_id: str, reason: TriggerRefusal) -> ProblemError:
    if reason is TriggerRefusal.PAUSED:
        return conflict(f"task {task_id!r} is paused; resume it first", code="paused")
    return no_such_task(task_id)
