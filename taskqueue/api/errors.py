"""Every error that can come out of an endpoint, as the problem that it is for the caller.

No text of an exception goes out unless it was written for callers: those of Redis and RabbitMQ name hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskqueue.api.context import request_id_of, route_of
from taskqueue.api.invalid import field_problems
from taskqueue.api.problems import FieldProblem, ProblemError, problem_response, unavailable, unprocessable
from taskqueue.api.services import services_of
from taskqueue.errors import BrokerError, DamagedKeyError, InvalidValueError, StoreError
from taskqueue.telemetry.api_events import RequestRefusedByStore

Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]

#: what the framework's own errors are, by status
_OWN: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "the request cannot be read"),
    404: ("no_such_path", "nothing is at this path; /docs lists what there is"),
    405: ("method_not_allowed", "this path does not take this method; Allow names those that it takes"),
}


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer with a ProblemError."""
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error, request_id_of(request))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer with an error of the framework: no such path, and the like."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route that has the path.
        headers["Allow"] = ", ".join(methods_at(request))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    default = (HTTPStatus(error.status_code).name.lower(), str(error.detail))
    code, detail = _OWN.get(error.status_code, default)
    problem = ProblemError(status=error.status_code, code=code, detail=detail, headers=headers)
    return await on_problem(request, problem)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer with 422 that names each field."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = field_problems(error.errors())
    return await on_problem(request, unprocessable(_summary(problems), *problems))


async def on_invalid_value(request: Request, error: Exception) -> Response:
    """Answer with 422: the domain refused a value, in words for whoever gave it."""
    return await on_problem(request, unprocessable(str(error)))


async def on_unavailable(request: Request, error: Exception) -> Response:
    """Answer with 503, or with 500 where trying again will not help; the log has the reason."""
    service = "RabbitMQ" if isinstance(error, BrokerError) else "Redis"
    services_of(request).emit(
        RequestRefusedByStore(route=route_of(request.scope), request_id=request_id_of(request), error=str(error))
    )
    if isinstance(error, DamagedKeyError):
        detail = "what is stored is damaged; the API's log names the key and the remedy, under this request_id"
        return await on_problem(request, ProblemError(status=500, code="damaged_data", detail=detail))
    return await on_problem(request, unavailable(f"{service} is away or refuses; try again in a few seconds"))


def methods_at(request: Request) -> list[str]:
    """Return the methods that the path of `request` takes, in order."""
    path = request.scope["path"]
    at_path = [route for route in request.app.state.routes if isinstance(route, Route) and route.path_regex.match(path)]
    # What stands there by its own name is not what an id there would be: /tasks/bulk beside /tasks/{task_id}.
    named = [route for route in at_path if route.path == path]
    found = {"OPTIONS"}.union(*(route.methods or () for route in named or at_path))
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _summary(problems: tuple[FieldProblem, ...]) -> str:
    first = problems[0]
    where = first.parameter or first.pointer or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {first.detail}{more}"


#: by the class of the error
HANDLERS: Mapping[int | type[Exception], Handler] = {
    ProblemError: on_problem,
    HTTPException: on_http_error,
    RequestValidationError: on_invalid_request,
    InvalidValueError: on_invalid_value,
    StoreError: on_unavailable,
    BrokerError: on_unavailable,
}
