"""What the API said no with (problem details, RFC 9457) as one of our errors, which decides how the verb ends."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from taskqueue.cli.terminal import printable
from taskqueue.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    RefusedError,
    TaskqueueError,
    UnauthorizedError,
    UnreachableError,
)

#: what the statuses mean for a verb; any other one is a failure
_ERRORS: Mapping[int, type[TaskqueueError]] = {
    HTTPStatus.BAD_REQUEST: ConfigError,
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: UnauthorizedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.PRECONDITION_FAILED: RefusedError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ConfigError,
    HTTPStatus.UNPROCESSABLE_ENTITY: ConfigError,
    HTTPStatus.TOO_MANY_REQUESTS: RefusedError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnreachableError,
}

_REMEDIES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check TASKQUEUE_TOKEN or --token-file; `taskqueue token list` shows what holds",
    HTTPStatus.FORBIDDEN: "use a token of a wider scope; `taskqueue token create` makes one",
    HTTPStatus.TOO_MANY_REQUESTS: "try again later, or raise api.rate_limit",
}

#: what may be otherwise in a moment
_PASSING = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

#: the code of a 409: the first request with this Idempotency-Key has no answer yet
_IN_WORK = "idempotency_key_in_use"

#: seconds; what is to be waited for where the API does not say how long
_USUAL_WAIT = 1.0


def retry_after_s(answer: httpx.Response) -> float | None:
    """Return for how many seconds the API asks to wait for the quota, 0.1 at least; None where it does not ask."""
    if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    text = answer.headers.get("retry-after", "")
    return max(0.1, float(text)) if text.isdecimal() and len(text) < 10 else _USUAL_WAIT


def worth_repeating(answer: httpx.Response) -> bool:
    """Return whether a request that is carried out once may get another answer when it comes again."""
    return answer.status_code in _PASSING or _in_work(answer)


def error_of(answer: httpx.Response, url: str, doubt: str = "") -> TaskqueueError:
    """Return what to raise for an answer of the API at `url` that is no success.

    `doubt` is added where the answer leaves open whether the request was carried out.
    """
    doubt = doubt if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or _in_work(answer) else ""
    problem = _problem(answer)
    if problem is None:
        return not_the_api(answer, url, doubt)
    detail = _text(problem, "detail") or _text(problem, "title")
    kind = RefusedError if _in_work(answer) else _ERRORS.get(answer.status_code)
    if kind is ConfigError:
        return ConfigError(*(_fields(problem) or [printable(detail)]))
    if kind is None:
        logged = f"request {_text(problem, 'request_id')} in the API's log"
        return TaskqueueError(printable(f"{url}: {detail}; {logged}{doubt}"))
    remedy = _REMEDIES.get(answer.status_code)
    place = f"{url}: " if kind in {UnauthorizedError, UnreachableError} else ""
    return kind(printable(f"{place}{detail}" + (f"; {remedy}" if remedy else "") + doubt))


def not_the_api(answer: httpx.Response, url: str, doubt: str = "") -> UnreachableError:
    """Return what to raise where something else answers than the API; `doubt` is added."""
    told = f"answers with {answer.status_code}, but not as the API does"
    return UnreachableError(printable(f"{url}: {told}; check --api or TASKQUEUE_API_URL{doubt}"))


def _in_work(answer: httpx.Response) -> bool:
    if answer.status_code != HTTPStatus.CONFLICT:
        return False
    problem = _problem(answer)
    return problem is not None and problem.get("code") == _IN_WORK


def _problem(answer: httpx.Response) -> Mapping[str, Any] | None:
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return None
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _fields(problem: Mapping[str, Any]) -> list[str]:
    """Return a line for each field that is wrong: `/priority: must be 'high', 'medium' or 'low'`."""
    errors = problem.get("errors")
    named = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return [
        printable(f"{_text(each, 'pointer') or _text(each, 'parameter') or 'the request'}: {_text(each, 'detail')}")
        for each in named
    ]


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
