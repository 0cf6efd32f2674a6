"""What a task of the API calls. It is settled when the task is made: later changes of tasks.yaml do not move it.

In this order: `config` of the request; the task type that `task_type_id` names; the task type whose id is `task_name`,
or whose name is, where both are written as one word; `api.default_target`.

References (`${env:}`, `${file:}`) would read the secrets of workers, and a signature would vouch for a payload that
anybody with a token has written: a task of the API has neither, whichever way it came by its target.
"""

from __future__ import annotations

from urllib.parse import quote

from taskqueue.api.problems import FieldProblem, ProblemError, invalid_field, unprocessable
from taskqueue.api.schemas_tasks import GivenTarget
from taskqueue.api.task_types import KnownTypes
from taskqueue.config.api_sections import TASK_NAME_MARK
from taskqueue.config.http_rules import check_endpoint
from taskqueue.core.reference import has_reference
from taskqueue.core.task import Target, Task
from taskqueue.errors import InvalidValueError

_USER_MARK = "{user_id}"

_FOUR_WAYS = (
    "nothing says what the task calls; give config with an endpoint, or task_type_id with the id of a task type of "
    "tasks.yaml, or use such an id (or the name of one) as task_name, or set api.default_target in api.yaml"
)


def given_target(config: GivenTarget) -> Target:
    """Return the target that a request spells out. Raises ProblemError 422."""
    if _USER_MARK in config.endpoint:
        raise invalid_field("/config/endpoint", f"has {_USER_MARK}, but a task is for no user; use {{task_id}}")
    return Target(
        endpoint=config.endpoint,
        method=config.method,
        headers=dict(config.headers),
        max_duration=config.max_duration,
    )


def target_of_type(task_type_id: str, task_types: KnownTypes) -> Target:
    """Return the target of the task type that a request names. Raises ProblemError 422."""
    task_type = task_types.by_id.get(task_type_id)
    if task_type is None:
        raise invalid_field(
            "/task_type_id", f"no task type {task_type_id!r} in tasks.yaml; add it there, or give config"
        )
    return _inherited(task_type, "/task_type_id")


def target_by_name(task_name: str, task_types: KnownTypes, default_target: str) -> Target:
    """Return the target of a task of which only the name is known. Raises ProblemError 422 that says the four ways."""
    task_type = task_types.named(task_name)
    if task_type is not None:
        return _inherited(task_type, "/task_name")
    if not default_target:
        problem = FieldProblem(pointer="/config", detail="is missing; add it, or use one of the other ways")
        raise unprocessable(_FOUR_WAYS, problem, code="no_target")
    try:
        return Target(endpoint=check_endpoint(default_target.replace(TASK_NAME_MARK, quote(task_name, safe=""))))
    except InvalidValueError as error:
        raise invalid_field("/task_name", f"makes no URL of api.default_target: {error}; give config") from None


def check_payload(target: Target, payload: object) -> None:
    """Raise ProblemError 422 where `payload` could not be sent."""
    if target.method in {"GET", "DELETE"} and not isinstance(payload, dict):
        raise invalid_field("/payload", f"must be an object: {target.method} sends its fields as query parameters")


def _inherited(task_type: Task, pointer: str) -> Target:
    target = task_type.target
    reason = _not_for_api(target)
    if reason is not None:
        raise _refused(task_type, pointer, reason)
    return target


def _not_for_api(target: Target) -> str | None:
    if _USER_MARK in target.endpoint:
        return f"has {_USER_MARK} in its endpoint, but a task of the API is for no user"
    if any(map(has_reference, (target.endpoint, *target.headers.values()))):
        return "takes secrets from the worker's environment or files, which a task of the API may not"
    if target.signing_secrets:
        return "signs its requests, which a task of the API may not"
    return None


def _refused(task_type: Task, pointer: str, reason: str) -> ProblemError:
    return invalid_field(
        pointer, f"task type {task_type.id!r} {reason}; trigger the task type itself, or say in config what is called"
    )
