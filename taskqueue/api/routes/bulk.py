"""Many tasks in one request: what is wrong with one of them does not stop the others."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from taskqueue.api.auth import Writer
from taskqueue.api.invalid import field_problems
from taskqueue.api.new_tasks import Surroundings, new_task
from taskqueue.api.problems import ProblemError, unprocessable
from taskqueue.api.route import api_router
from taskqueue.api.schemas_bulk import BulkCreate, BulkCreated, BulkDelete, BulkDeleted, BulkProblem, WrongField
from taskqueue.api.schemas_tasks import CreateTask
from taskqueue.api.services import ServicesOf
from taskqueue.api.task_access import NewIds, check_count, has_dependents, is_task_id, refusal, surroundings, task_store
from taskqueue.store.api_tasks import ApiTaskRow, Deleted, HasDependents, Refusal

router = api_router("bulk")

#: tasks judged between two looks at other requests: some milliseconds
_AT_ONCE = 50


@router.post("/tasks/bulk", status_code=201, summary="Create many tasks")
async def create_tasks(body: BulkCreate, request: Request, _caller: Writer, services: ServicesOf) -> BulkCreated:
    """Make many tasks. Those that are refused are told in `errors`; the status is 201 also where all are."""
    check_count("tasks", body.tasks, services)
    ids, around = NewIds(request), await surroundings(services)
    rows, problems = list[ApiTaskRow](), list[BulkProblem]()
    for index, given in enumerate(body.tasks):
        if index % _AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            rows.append(_judged(given, ids.make(index), around))
        except ProblemError as error:
            problems.append(_problem(index, error, f"/tasks/{index}"))
    # Those that were there already were made by the same request, which could not tell.
    await task_store(services).create_many(rows)
    made = [task.task_id for task, _ in rows]
    return BulkCreated(created=len(made), failed=len(problems), task_ids=made, errors=problems)


@router.post("/tasks/bulk-delete", summary="Delete many tasks")
async def delete_tasks(body: BulkDelete, _caller: Writer, services: ServicesOf) -> BulkDeleted:
    """Delete many tasks; those that depend on each other go together. Those that stay are told in `errors`."""
    check_count("task_ids", body.task_ids, services)
    asked = {task_id: index for index, task_id in reversed(list(enumerate(body.task_ids)))}
    task_ids = [task_id for task_id in asked if is_task_id(task_id)]
    outcomes = dict(zip(task_ids, await task_store(services).delete_many(task_ids), strict=True))
    problems = [
        _problem(index, why, task_id=task_id)
        for task_id, index in sorted(asked.items(), key=lambda item: item[1])
        if (why := _why_not_deleted(task_id, outcomes.get(task_id, Refusal.GONE))) is not None
    ]
    return BulkDeleted(deleted=len(asked) - len(problems), failed=len(problems), errors=problems)


def _judged(given: dict[str, Any], task_id: str, around: Surroundings) -> ApiTaskRow:
    try:
        body = CreateTask.model_validate(given)
    except ValidationError as error:
        problems = field_problems([{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()])
        first = problems[0]
        raise unprocessable(f"{first.pointer}: {first.detail}", *problems) from None
    return new_task(body, task_id, around)


def _why_not_deleted(task_id: str, outcome: Deleted | HasDependents | Refusal) -> ProblemError | None:
    match outcome:
        case Deleted():
            return None
        case HasDependents():
            return has_dependents(outcome)
        case _:
            return refusal(task_id, outcome)


def _problem(index: int, error: ProblemError, place: str = "", *, task_id: str | None = None) -> BulkProblem:
    errors = [WrongField(pointer=f"{place}{each.pointer or ''}", detail=each.detail) for each in error.errors]
    return BulkProblem(index=index, task_id=task_id, code=error.code, detail=error.detail, errors=errors)
