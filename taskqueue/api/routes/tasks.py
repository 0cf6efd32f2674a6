"""Tasks: make, get, list, change, delete."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from taskqueue.api.auth import Reader, Writer
from taskqueue.api.new_tasks import new_task, shown_next
from taskqueue.api.problems import FieldProblem, precondition_failed, unavailable, unprocessable
from taskqueue.api.route import PREFIX, api_router, problem_responses
from taskqueue.api.schemas_task_answers import TaskCreated, TaskDetails, TaskPage, TaskUpdated
from taskqueue.api.schemas_tasks import CreateTask, TaskQuery, UpdateTask
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import (
    NewIds,
    file_tasks,
    has_dependents,
    is_task_id,
    known_task,
    present,
    refusal,
    surroundings,
    task_store,
)
from taskqueue.api.task_answers import created_answer, details_answer, etag, row_answer
from taskqueue.api.task_changes import changed
from taskqueue.core.api_task import ApiTask
from taskqueue.core.task import TaskSource
from taskqueue.store.api_task_search import ApiTaskFilter, ApiTaskSearch
from taskqueue.store.api_tasks import ApiTaskRow, Changed, HasDependents, Refusal, Stale

router = api_router("tasks")

#: whoever changes one task at the same time meets again at most so often
_CHANGE_ATTEMPTS = 8

_ETAG = {"ETag": {"description": "The version of the task, for If-Match", "schema": {"type": "string"}}}
_LOCATION = {"Location": {"description": "Path of the task", "schema": {"type": "string"}}}

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"', re.ASCII)


@router.post("/tasks", status_code=201, summary="Create a task", responses={201: {"headers": _ETAG | _LOCATION}})
async def create_task(
    body: CreateTask, request: Request, response: Response, _caller: Writer, services: ServicesOf
) -> TaskCreated:
    """Make a task; it runs from now on."""
    ids = NewIds(request)
    row = new_task(body, ids.make(), await surroundings(services))
    if not await task_store(services).create(*row):
        # The same request made it, and could not tell.
        row = await known_task(services, row[0].task_id)
    _identify(response, row[0])
    response.headers["Location"] = f"{PREFIX}/tasks/{row[0].task_id}"
    return created_answer(*row)


@router.get("/tasks", summary="List tasks")
async def list_tasks(query: Annotated[TaskQuery, Query()], _caller: Reader, services: ServicesOf) -> TaskPage:
    """List tasks, those of tasks.yaml as well: the latest first, with a name in the order of names."""
    query.checked(services.settings.api.max_page)
    search = ApiTaskSearch(services.store, services.scripts)
    page = await search.page(_filter(query), limit=query.limit, offset=query.offset)
    rows = await file_tasks(services).current(page.tasks, present(services))
    return TaskPage(
        tasks=[row_answer(*row) for row in rows],
        total=page.total,
        limit=query.limit,
        offset=query.offset,
        total_is_exact=page.complete,
    )


@router.get("/tasks/{task_id}", summary="Get a task", responses={200: {"headers": _ETAG}})
async def get_task(task_id: str, response: Response, _caller: Reader, services: ServicesOf) -> TaskDetails:
    """Get all about a task."""
    row = await known_task(services, task_id)
    _identify(response, row[0])
    return details_answer(*row)


@router.patch(
    "/tasks/{task_id}",
    summary="Change a task",
    responses=problem_responses(
        _409="It is a task type of tasks.yaml, or over", _412="If-Match names another version than the present one"
    )
    | {200: {"headers": _ETAG}},
)
async def update_task(
    task_id: str,
    body: UpdateTask,
    request: Request,
    response: Response,
    _caller: Writer,
    services: ServicesOf,
    if_match: Annotated[str | None, Header(alias="If-Match", description="The task's ETag as you know it")] = None,
) -> TaskUpdated:
    """Change what the body names; the rest stays, also against whoever changes something else at the same time."""
    asked = list(await request.json())
    for _ in range(_CHANGE_ATTEMPTS):
        row = await known_task(services, task_id)
        _check_match(if_match, row[0])
        updated = await _change(services, row, body, asked)
        if updated is not None:
            _identify(response, updated[0][0])
            return _updated_answer(*updated)
    raise unavailable("others change this task all the time; try again", code="busy")


@router.delete(
    "/tasks/{task_id}",
    status_code=204,
    summary="Delete a task",
    responses=problem_responses(_409="Other tasks depend on it, or it is a task type of tasks.yaml"),
)
async def delete_task(task_id: str, _caller: Writer, services: ServicesOf) -> None:
    """Delete a task with what is queued of it; what is running ends, and its executions can be read for a week."""
    # The script puts ids into keys as they are.
    outcome = await task_store(services).delete(task_id) if is_task_id(task_id) else Refusal.GONE
    if isinstance(outcome, HasDependents):
        raise has_dependents(outcome)
    if isinstance(outcome, Refusal):
        raise refusal(task_id, outcome)


async def _change(
    services: Services, row: ApiTaskRow, body: UpdateTask, asked: list[str]
) -> tuple[ApiTaskRow, tuple[str, ...]] | None:
    """Return the task after the change, and what has changed; None where somebody else came first."""
    task, state = row
    if task.source is TaskSource.FILE:
        raise refusal(task.task_id, Refusal.READ_ONLY)
    known = await services.task_types.known()
    change = changed(task, state, body, asked, known, present(services))
    if change is None:
        return row, ()
    outcome = await task_store(services).patch(row, change.task, change.state)
    match outcome:
        case Changed():
            return (outcome.task, outcome.state), change.fields
        case Stale():
            return None
        case _:
            raise refusal(task.task_id, outcome)


def _updated_answer(row: ApiTaskRow, fields: tuple[str, ...]) -> TaskUpdated:
    task, state = row
    return TaskUpdated(
        task_id=task.task_id,
        updated_fields=list(fields),
        next_execution_time=shown_next(task, state.status, state.next_at),
        updated_at=task.updated_at,
    )


def _identify(response: Response, task: ApiTask) -> None:
    response.headers["ETag"] = etag(task)


def _check_match(if_match: str | None, task: ApiTask) -> None:
    """Raise ProblemError 412 unless `if_match` names this revision (RFC 9110, section 13.1.1), 422 where it is none."""
    if if_match is None or if_match.strip() == "*":
        return
    tags = [tag.strip() for tag in if_match.split(",")]
    if not all(map(_ENTITY_TAG.fullmatch, tags)):
        detail = 'use the ETag that the task came with, in its quotes, such as "3"'
        raise unprocessable(f"If-Match: {detail}", FieldProblem(parameter="If-Match", detail=detail))
    if etag(task) not in tags:
        raise precondition_failed(f"the task has changed since: it is at {etag(task)}; get it again")


def _filter(query: TaskQuery) -> ApiTaskFilter:
    name = query.name
    is_prefix = name is not None and name.endswith("*")
    return ApiTaskFilter(
        status=query.status,
        priority=query.priority,
        task_type=query.task_type,
        tags=dict(_tag(text) for text in query.tag),
        name=name[:-1] if name is not None and is_prefix else name,
        name_is_prefix=is_prefix,
    )


def _tag(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not key:
        detail = "use key:value, as in team:analytics"
        raise unprocessable(f"tag: {detail}", FieldProblem(parameter="tag", detail=detail))
    return key, value
