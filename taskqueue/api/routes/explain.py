"""Why a task did or did not run."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from taskqueue.api.auth import Reader
from taskqueue.api.problems import FieldProblem, ProblemError, unprocessable
from taskqueue.api.route import api_router
from taskqueue.api.schemas_explain import ExplainQuery, TaskExplanation
from taskqueue.api.services import Services, ServicesOf
from taskqueue.api.task_access import is_task_id, no_such_task, present
from taskqueue.core.explanation import Explanation
from taskqueue.core.ids import check_user_id
from taskqueue.errors import InvalidValueError
from taskqueue.store.explain import Explainer, ExplainRefusal

router = api_router("monitoring")

_REFUSED = {
    ExplainRefusal.USER_MISSING: "is missing: a task type of tasks.yaml runs for users; say for which",
    ExplainRefusal.NO_USERS: "only a task type of tasks.yaml runs for users; leave it out",
}


@router.get("/tasks/{task_id}/explain", summary="Explain why a task did or did not run")
async def explain_task(
    task_id: str, query: Annotated[ExplainQuery, Query()], _caller: Reader, services: ServicesOf
) -> TaskExplanation:
    """Get one answer to why a task did or did not run, for one user where it has users: what was planned, what became
    of it, where it waits, and what to do about it. Not of manual triggers: get their executions.
    """
    if query.user_id is not None:
        _check_user_id(query.user_id)
    found = await _explained(task_id, query, services)
    if isinstance(found, Explanation):
        return TaskExplanation.model_validate(found.as_dict())
    if found is ExplainRefusal.NO_SUCH_TASK:
        raise no_such_task(task_id)
    raise _wrong_user_id(_REFUSED[found])


async def _explained(task_id: str, query: ExplainQuery, services: Services) -> Explanation | ExplainRefusal:
    if not is_task_id(task_id):
        return ExplainRefusal.NO_SUCH_TASK
    explainer = Explainer(services.store, services.scripts)
    return await explainer.explain(task_id, query.user_id, at=query.at, now=present(services))


def _check_user_id(user_id: str) -> None:
    try:
        check_user_id(user_id)
    except InvalidValueError as error:
        raise _wrong_user_id(str(error)) from None


def _wrong_user_id(detail: str) -> ProblemError:
    return unprocessable(f"user_id: {detail}", FieldProblem(parameter="user_id", detail=detail))
