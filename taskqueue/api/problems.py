"""What the API says when it cannot do what was asked: problem details (RFC 9457), the only form of its errors.

Each has the status, its phrase as `title`, a stable `code` for programs, a `detail` for people and the `request_id`.
`errors` names each wrong field: by `pointer` (RFC 6901) in the body, by `parameter` elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"

#: when to try again after an outage or an overload, in seconds
RETRY_AFTER_S = 5

#: what any endpoint may answer beside what it is for
USUAL_PROBLEMS: Mapping[int, str] = {
    400: "The request is malformed",
    401: "No token, or none that holds",
    403: "The token's scope is not enough",
    404: "Nothing has this id",
    408: "The body took too long",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "Fields are wrong; `errors` names them",
    429: "Too many requests; Retry-After says when to try again",
    500: "A mistake in the API; its log has the details",
    503: "Redis or RabbitMQ is away; Retry-After says when to try again",
}


class FieldProblem(BaseModel):
    """One wrong field of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pointer: str | None = None
    """Where it is in the body: a JSON pointer, as in /tags/team."""
    parameter: str | None = None
    """Name of the path parameter, query parameter or header that it is."""
    detail: str
    """What is wrong with it, and what to send instead."""


class Problem(BaseModel):
    """The body of every answer that is an error (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    type: str = "about:blank"
    """Always about:blank: `code` tells problems apart."""
    title: str
    """The phrase of the status."""
    status: int = Field(ge=400, le=599)
    """The status of the answer."""
    code: str
    """What is wrong, as a stable word for programs."""
    detail: str
    """What is wrong, and what to do about it."""
    request_id: str
    """The X-Request-Id of the answer; it finds the request in the log of the API."""
    errors: tuple[FieldProblem, ...] | None = None
    """Each wrong field, where fields are wrong."""


@dataclass(eq=False, kw_only=True)
class ProblemError(Exception):
    """Raised anywhere below a route: the answer is this problem. `members` stand beside the standard ones."""

    status: int
    code: str
    detail: str
    errors: Sequence[FieldProblem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


def problem_response(problem: ProblemError, request_id: str) -> JSONResponse:
    """Return the answer that `problem` stands for."""
    content = Problem(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        request_id=request_id,
        errors=tuple(problem.errors) or None,
    ).model_dump(exclude_none=True)
    return JSONResponse(
        content | dict(problem.members),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=MEDIA_TYPE,
    )


# --- the usual ones ---------------------------------------------------------------------------------------------------


def bad_request(detail: str, *, code: str = "bad_request") -> ProblemError:
    """400: the request is no valid HTTP or JSON."""
    return ProblemError(status=400, code=code, detail=detail)


def unauthorized(detail: str, *, code: str = "unauthorized") -> ProblemError:
    """401: no token, or none that holds."""
    return ProblemError(status=401, code=code, detail=detail, headers={"WWW-Authenticate": 'Bearer realm="taskqueue"'})


def forbidden(detail: str, *, code: str = "forbidden") -> ProblemError:
    """403: the token may not do this."""
    return ProblemError(status=403, code=code, detail=detail)


def not_found(detail: str, *, code: str = "not_found") -> ProblemError:
    """404: nothing has this id."""
    return ProblemError(status=404, code=code, detail=detail)


def conflict(detail: str, *, code: str = "conflict", **members: object) -> ProblemError:
    """409: what is there does not allow it now."""
    return ProblemError(status=409, code=code, detail=detail, members=members)


def precondition_failed(detail: str, *, code: str = "stale") -> ProblemError:
    """412: If-Match names another version than the present one."""
    return ProblemError(status=412, code=code, detail=detail)


def unprocessable(detail: str, *errors: FieldProblem, code: str = "invalid") -> ProblemError:
    """422: fields are wrong; `errors` names them."""
    return ProblemError(status=422, code=code, detail=detail, errors=errors)


def invalid_field(pointer: str, detail: str) -> ProblemError:
    """422: one field of the body is wrong."""
    return unprocessable(f"{pointer}: {detail}", FieldProblem(pointer=pointer, detail=detail))


def too_many_requests(detail: str, *, retry_after_s: int, code: str = "rate_limited") -> ProblemError:
    """429: try again after `retry_after_s` seconds."""
    return ProblemError(status=429, code=code, detail=detail, headers={"Retry-After": str(max(1, retry_after_s))})


def unavailable(detail: str, *, code: str = "unavailable", retry_after_s: int = RETRY_AFTER_S) -> ProblemError:
    """503: Redis or RabbitMQ is away, or the request took too long."""
    return ProblemError(status=503, code=code, detail=detail, headers={"Retry-After": str(retry_after_s)})
