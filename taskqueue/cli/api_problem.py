"""What the API said no with (problem details, RFC 9457) as one of our errors, which decides how the verb ends."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from taskqueue.cli.terminal import printable
from taskqueue.errors import (
    ConfigError,
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
    HTTPStatus.CONFLICT: RefusedError,
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

#: seconds; what is to be waited for where the API does not say how long
_USUAL_WAIT = 1.0


def retry_after_s(answer: httpx.Response) -> float | None:
    """Return for how many seconds the API asks to wait for the quota, 0.1 at least; None where it does not ask."""
    if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    text = answer.headers.get("retry-after", "")
    return max(0.1, float(text)) if text.isdecimal() and len(text) < 10 else _USUAL_WAIT


def error_of(answer: httpx.Response, url: str) -> TaskqueueError:
    """Return what to raise for an answer of the API at `url` that is no success."""
    problem = _problem(answer)
    if problem is None:
        return not_the_api(answer, url)
    detail = _text(problem, "detail") or _text(problem, "title")
    kind = _ERRORS.get(answer.status_code)
    if kind is ConfigError:
        return ConfigError(*(_fields(problem) or [printable(detail)]))
    if kind is None:
        return TaskqueueError(printable(f"{url}: {detail}; request {_text(problem, 'request_id')} in the API's log"))
    remedy = _REMEDIES.get(answer.status_code)
    place = f"{url}: " if kind in {UnauthorizedError, UnreachableError} else ""
    return kind(printable(f"{place}{detail}" + (f"; {remedy}" if remedy else "")))


def not_the_api(answer: httpx.Response, url: str) -> UnreachableError:
    """Return what to raise where something else answers than the API."""
    told = f"answers with {answer.status_code}, but not as the API does"
    return UnreachableError(printable(f"{url}: {told}; check --api or TASKQUEUE_API_URL"))


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
