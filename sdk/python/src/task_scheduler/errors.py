"""Every error that the SDK raises on purpose; catch TaskSchedulerError to catch them all.

Bad arguments are Python's own ValueError and TypeError. No error holds the API key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class TaskSchedulerError(Exception):
    """The root of all errors of the SDK."""


class ConnectError(TaskSchedulerError):
    """No connection to the API, or one that was cut before the whole answer was there.

    Whether a request that changes something was done is unknown then. A POST that is sent again with its
    `idempotency_key` is done once.
    """


class RequestTimeoutError(TaskSchedulerError):
    """The answer was not there in time; as with ConnectError, a change may have been made."""


class MalformedAnswerError(TaskSchedulerError):
    """What came back is not what the API answers: no JSON, a member that is missing or of another kind, or too much."""


class WaitTimeoutError(TaskSchedulerError):
    """`wait_for_execution` has waited as long as it was told, and the execution had not ended; it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """What is wrong with one field: of the body, by its JSON `pointer`, or the `parameter` of path, query or header."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer that says no, as problem details (RFC 9457). What the answer did not have is None, or empty.

    `code` is for programs, `detail` for people. `retry_after` is in seconds, from the header. `extensions` has the
    other members of the problem, such as `cycle`.
    """

    status: int
    title: str | None = None
    code: str | None = None
    detail: str | None = None
    request_id: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


class ApiError(TaskSchedulerError):
    """The API, or what stands before it, answered with an error. The subclasses go by the status."""

    def __init__(self, message: str, problem: Problem) -> None:
        super().__init__(message)
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str | None:
        """What is wrong, as a stable word for programs."""
        return self.problem.code

    @property
    def title(self) -> str | None:
        """The phrase of the status."""
        return self.problem.title

    @property
    def detail(self) -> str | None:
        """What is wrong, for people."""
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        """What finds the request in the log of the API."""
        return self.problem.request_id

    @property
    def errors(self) -> tuple[FieldProblem, ...]:
        """Each wrong field, where fields are wrong."""
        return self.problem.errors

    @property
    def extensions(self) -> Mapping[str, Any]:
        """The members of the problem that are not listed here."""
        return self.problem.extensions

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try, where the answer says so."""
        return self.problem.retry_after

    def __reduce__(self) -> tuple[type[ApiError], tuple[str, Problem]]:
        return type(self), (str(self), self.problem)


class BadRequestError(ApiError):
    """400: the request cannot be read."""


class AuthenticationError(ApiError):
    """401: there is no such key, or it holds no longer."""


class PermissionDeniedError(ApiError):
    """403: the key may not do this."""


class NotFoundError(ApiError):
    """404: nothing has this id, or the API has no such path."""


class ConflictError(ApiError):
    """409: what is there does not allow it now; `code` says what."""


class PreconditionFailedError(ApiError):
    """412: the task has changed since the version that `if_match` names."""


class PayloadTooLargeError(ApiError):
    """413: the body is larger than the API takes."""


class ValidationError(ApiError):
    """422: fields are wrong; `errors` names them."""


class RateLimitedError(ApiError):
    """429: more requests than the key's quota."""


class ServerError(ApiError):
    """5xx: the API, or what stands before it, has failed."""


class ServiceUnavailableError(ServerError):
    """503: a service behind the API is away, or there was no answer in time."""


#: the class of each status; another 5xx is a ServerError, all else an ApiError
BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: PayloadTooLargeError,
    422: ValidationError,
    429: RateLimitedError,
    503: ServiceUnavailableError,
}
