"""Dependencies: tasks that wait for others."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from taskqueue.api.auth import Reader, Writer
from taskqueue.api.problems import ProblemError, conflict, invalid_field, not_found
from taskqueue.api.route import PREFIX, api_router, problem_responses
from taskqueue.api.schemas_dependencies import AddDependency, DependencyAdded, DependencyList, ListedDependency
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import NewIds, is_task_id, known_task, no_such_task, present, task_store
from taskqueue.core.dependency import Dependency
from taskqueue.store.api_dependencies import (
    MAX_DEPENDENCIES,
    MAX_DEPENDENTS,
    DependencyRefusal,
    DependencyStore,
    NotAdded,
)

router = api_router("dependencies")

_OF_FILE = "is a task type of tasks.yaml; only tasks made through the API depend on each other"


@router.post(
    "/tasks/{task_id}/dependencies",
    status_code=201,
    summary="Add a dependency",
    responses=problem_responses(_409="The tasks would wait for each other, or the one depends on the other already"),
)
async def add_dependency(
    task_id: str, body: AddDependency, request: Request, response: Response, _caller: Writer, services: ServicesOf
) -> DependencyAdded:
    """Let a task, when it is due, wait until another one has ended after this one's previous run."""
    await known_task(services, task_id)
    dependency = Dependency(
        dependency_id=NewIds(request).make(),
        task_id=task_id,
        on=body.depends_on_task_id,
        type=body.dependency_type,
        created_at=present(services),
    )
    if not is_task_id(dependency.on):
        raise _unknown_parent()
    refused = await _store(services).add(dependency)
    if refused is not None and not _is_this_one(refused, dependency):
        raise _why(dependency, refused)
    response.headers["Location"] = f"{PREFIX}/tasks/{task_id}/dependencies/{dependency.dependency_id}"
    return DependencyAdded(
        dependency_id=dependency.dependency_id,
        task_id=task_id,
        depends_on_task_id=dependency.on,
        dependency_type=dependency.type,
    )


@router.get("/tasks/{task_id}/dependencies", summary="List dependencies")
async def list_dependencies(task_id: str, _caller: Reader, services: ServicesOf) -> DependencyList:
    """List all that a task waits for, the oldest first."""
    await known_task(services, task_id)
    found = await _store(services).list(task_id)
    parents = await task_store(services).get_many([each.on for each in found])
    listed = [
        ListedDependency(
            dependency_id=each.dependency_id,
            depends_on_task_id=each.on,
            depends_on_task_name=parents[each.on][0].task_name,
            dependency_type=each.type,
        )
        for each in found
        if each.on in parents
    ]
    return DependencyList(dependencies=listed)


@router.delete("/tasks/{task_id}/dependencies/{dependency_id}", status_code=204, summary="Remove a dependency")
async def remove_dependency(task_id: str, dependency_id: str, _caller: Writer, services: ServicesOf) -> None:
    """Let a task wait for another one no more; one that waits now is looked at again."""
    await known_task(services, task_id)
    if not await _store(services).remove(task_id, dependency_id, present(services)):
        raise not_found(f"the task has no dependency {dependency_id[:80]!r}", code="no_such_dependency")


def _store(services: Services) -> DependencyStore:
    return DependencyStore(services.store, services.scripts)


def _is_this_one(refused: NotAdded, dependency: Dependency) -> bool:
    """Return whether the same request, sent before, has added it."""
    return refused.reason is DependencyRefusal.EXISTS and refused.ids[:1] == (dependency.dependency_id,)


def _unknown_parent() -> ProblemError:
    return invalid_field("/depends_on_task_id", "no task has this id; create it first")


def _why(dependency: Dependency, refused: NotAdded) -> ProblemError:
    is_child = dependency.task_id in refused.ids
    match refused.reason:
        case DependencyRefusal.GONE:
            return no_such_task(dependency.task_id) if is_child else _unknown_parent()
        case DependencyRefusal.FILE:
            whose = "the task itself" if is_child else "that one"
            return invalid_field("/depends_on_task_id", f"{whose} {_OF_FILE}")
        case _:
            return _conflict(refused)


def _conflict(refused: NotAdded) -> ProblemError:
    match refused.reason:
        case DependencyRefusal.EXISTS:
            detail = f"it depends on that task already, by dependency {refused.ids[0]}; remove that one to change it"
            return conflict(detail, code="dependency_exists", dependency_id=refused.ids[0])
        case DependencyRefusal.CYCLE:
            detail = f"they would wait for each other: {' -> '.join(refused.ids)}"
            return conflict(detail, code="dependency_cycle", cycle=list(refused.ids))
        case DependencyRefusal.TOO_MANY:
            return conflict(f"a task depends on {MAX_DEPENDENCIES} others at most", code="too_many_dependencies")
        case DependencyRefusal.TOO_MANY_DEPENDENTS:
            return conflict(f"{MAX_DEPENDENTS} tasks depend on that one already", code="too_many_dependents")
        case _:
            detail = "what that task depends on is too much to be searched for a cycle; depend on fewer"
            return conflict(detail, code="too_many_dependencies")
