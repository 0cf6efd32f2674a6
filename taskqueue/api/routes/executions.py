"""Executions: list, get, read and append to the log, cancel."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from taskqueue.api.auth import Reader, Writer
from taskqueue.api.execution_answers import details_answer, log_answer, row_answer
from taskqueue.api.problems import ProblemError, conflict, not_found
from taskqueue.api.route import api_router, problem_responses
from taskqueue.api.schemas import ListQuery
from taskqueue.api.schemas_executions import (
    AppendLines,
    ExecutionCancelled,
    ExecutionDetails,
    ExecutionList,
    ExecutionLog,
)
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import is_task_id, no_such_task, present, task_store
from taskqueue.core.log_line import LogLine, fitting
from taskqueue.core.state import TERMINAL, Status
from taskqueue.core.task import TaskSource
from taskqueue.store.api_executions import ApiExecutions, Execution
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.executions import ExecutionStore

router = api_router("executions")

#: a worker asks twice a second which of its jobs are cancelled, and then cuts the call
_CUT_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.1


@router.get("/tasks/{task_id}/executions", summary="List the executions of a task")
async def list_executions(
    task_id: str, query: Annotated[ListQuery, Query()], _caller: Reader, services: ServicesOf
) -> ExecutionList:
    """List executions, the latest first: of a task type of tasks.yaml those that called its endpoint and ended.

    Those of a deleted task can be read as long as they are kept.
    """
    query.checked(services.settings.api.max_page)
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    task = await task_store(services).definition(task_id)
    executions = _executions(services)
    read = executions.ended if task is not None and task.source is TaskSource.FILE else executions.queued
    page = await read(task_id, now=present(services), limit=query.limit, offset=query.offset)
    if task is None and page.total == 0:
        raise no_such_task(task_id)
    rows = [row_answer(each) for each in page.executions]
    return ExecutionList(executions=rows, total=page.total, limit=query.limit, offset=query.offset)


@router.get("/executions/{execution_id}", summary="Get an execution")
async def get_execution(execution_id: str, _caller: Reader, services: ServicesOf) -> ExecutionDetails:
    """Get all about an execution."""
    return details_answer(await _known(services, execution_id))


@router.get("/executions/{execution_id}/logs", summary="Get the log of an execution")
async def get_execution_logs(execution_id: str, _caller: Reader, services: ServicesOf) -> ExecutionLog:
    """Get what the worker noted of each attempt that ended, and what the endpoint added."""
    lines = await ExecutionStore(services.store).logs(execution_id)
    if not lines:
        await _known(services, execution_id)
    return log_answer(execution_id, lines)


@router.post("/executions/{execution_id}/logs", status_code=201, summary="Append to the log of an execution")
async def append_execution_logs(
    execution_id: str, body: AppendLines, _caller: Writer, services: ServicesOf
) -> ExecutionLog:
    """Add lines, as the endpoint does that is called; answers with the lines as they are kept."""
    now = present(services)
    lines = [
        LogLine(timestamp=line.timestamp or now, level=line.level, message=fitting(line.message)) for line in body.logs
    ]
    if not await _executions(services).append(execution_id, lines):
        raise _no_such_execution(execution_id)
    return log_answer(execution_id, lines)


@router.post(
    "/executions/{execution_id}/cancel",
    summary="Cancel an execution",
    responses={
        202: {
            "model": ExecutionCancelled,
            "description": "Its worker has not cut the call yet; it ends as cancelled, unless its call ends first",
        },
        **problem_responses(_409="It has ended"),
    },
)
async def cancel_execution(
    execution_id: str, response: Response, _caller: Writer, services: ServicesOf
) -> ExecutionCancelled:
    """Cancel an execution wherever it is. A call that runs is cut; whether it had its effect is then unknown."""
    await _known(services, execution_id)
    answer = await Cancellations(services.store, services.scripts).cancel(execution_id)
    seen = await _known(services, execution_id)
    if answer.outcome is CancelOutcome.RUNNING:
        seen = await _when_cut(services, seen)
    if answer.outcome is CancelOutcome.ENDED or (seen.status in TERMINAL and seen.status is not Status.CANCELLED):
        raise _ended(seen)
    if seen.status is not Status.CANCELLED:
        response.status_code = 202
        return ExecutionCancelled(execution_id=execution_id, status=Status.RUNNING, cancelled_at=None)
    return ExecutionCancelled(
        execution_id=execution_id, status=Status.CANCELLED, cancelled_at=seen.completed_at or present(services)
    )


async def _when_cut(services: Services, seen: Execution) -> Execution:
    """Return the execution once it has ended, or as it stands when its worker takes long."""
    patience_s = min(_CUT_WITHIN_S, services.settings.api.request_deadline.total_seconds() / 2)
    clock = asyncio.get_running_loop().time
    until_s = clock() + patience_s
    while seen.status not in TERMINAL and clock() < until_s:
        await asyncio.sleep(_LOOK_EVERY_S)
        seen = await _known(services, seen.execution_id)
    return seen


async def _known(services: Services, execution_id: str) -> Execution:
    """Return the execution. Raises ProblemError 404, and StoreError."""
    found = await _executions(services).get(execution_id)
    if found is None:
        raise _no_such_execution(execution_id)
    return found


def _executions(services: Services) -> ApiExecutions:
    return ApiExecutions(services.store, services.scripts)


def _no_such_execution(execution_id: str) -> ProblemError:
    return not_found(
        f"no execution {execution_id[:80]!r}; executions are kept for seven days", code="no_such_execution"
    )


def _ended(seen: Execution) -> ProblemError:
    detail = f"it has ended: {seen.status}; only what waits or runs can be cancelled"
    return conflict(detail, code="execution_ended", execution_status=seen.status.value)
