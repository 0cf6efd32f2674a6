"""Requests and answers, without a network: what is sent, and what an answer means."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from task_scheduler._decoding import decode, json_of
from task_scheduler.errors import BY_STATUS, ApiError, FieldProblem, MalformedAnswerError, Problem, ServerError

_Result_co = TypeVar("_Result_co", covariant=True)
_Model = TypeVar("_Model")

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PROBLEM_MEMBERS = frozenset({"type", "instance", "status", "title", "code", "detail", "request_id", "errors"})

#: what to do about an error of each status, where the answer itself does not say
_REMEDIES: Mapping[int, str] = {
    401: "give a key that holds as api_key (taskqueue token create makes one)",
    403: "use a key of a wider scope",
    404: "check the id, and that base_url is that of a taskqueue API",
    409: "look at what is there, then decide",
    412: "get the task again, and decide with its new etag",
    413: "send less at once",
    422: "correct what `errors` names",
    429: "wait for `retry_after` seconds",
    503: "try again after `retry_after` seconds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the names of `headers` are in lower case, `body` is as long as the whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[_Result_co]):
    """What is sent: `path` begins below base_url, `read` makes the result of a good answer.

    `repeatable` says that the API does it once, however often it is sent: a GET, or a POST with its Idempotency-Key.
    """

    method: str
    path: str
    read: Callable[[Answer], _Result_co]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows whether it was done."""
        return self.method == "GET" or "idempotency-key" in self.headers

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{self.method} {self.path.partition('?')[0]}"

    def result(self, answer: Answer) -> _Result_co:
        """Return what an answer means. Raises ApiError for one that says no, and MalformedAnswerError."""
        if not 200 <= answer.status < 300:
            raise api_error(self.name, answer)
        try:
            return self.read(answer)
        except MalformedAnswerError as error:
            raise MalformedAnswerError(f"{self.name}: {error}") from None


# --- requests ---------------------------------------------------------------------------------------------------------


def get(path: str, model: type[_Model], query: Mapping[str, object] | None = None) -> Request[_Model]:
    """Return a request that reads. Lists in `query` are repeated parameters; None is left out."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    question = f"?{urlencode(given, doseq=True)}" if given else ""
    return Request(method="GET", path=path + question, read=_reader(model))


def post(
    path: str, model: type[_Model], body: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
) -> Request[_Model]:
    """Return a request that makes or does something, once; without a key it gets one of its own.

    Raises ValueError for a key that the API would not take, and for a body that is no JSON.
    """
    key = str(uuid.uuid4()) if idempotency_key is None else visible("idempotency_key", idempotency_key)
    headers = {"idempotency-key": key}
    return Request(method="POST", path=path, read=_reader(model), headers=headers, body=_json(body))


def patch(path: str, model: type[_Model], body: Mapping[str, object], *, if_match: str | None) -> Request[_Model]:
    """Return a request that changes something, at the version `if_match` if given. Raises ValueError as `post` does."""
    headers = {} if if_match is None else {"if-match": visible("if_match", if_match)}
    return Request(method="PATCH", path=path, read=_reader(model), headers=headers, body=_json(body))


def delete(path: str) -> Request[None]:
    """Return a request that deletes."""
    return Request(method="DELETE", path=path, read=_nothing)


def path_of(*parts: str) -> str:
    """Return the path with these parts, ids among them percent-encoded.

    Raises TypeError for an id that is no text, and ValueError for one that would be another path.
    """
    if not all(isinstance(part, str) for part in parts):
        raise TypeError("an id must be a text")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("an id must not be empty, '.' or '..'")
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def visible(name: str, value: str) -> str:
    """Return a value that a header can carry. Raises ValueError, which does not show it."""
    if not _VISIBLE.fullmatch(value):
        raise ValueError(f"{name} must be visible ASCII characters, without spaces or line breaks, and not empty")
    return value


def instant_text(name: str, instant: datetime) -> str:
    """Return an instant as RFC 3339. Raises ValueError for one without a zone: nobody could know which one it means."""
    if instant.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone, such as datetime(2026, 1, 8, 15, tzinfo=UTC)")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(body: Mapping[str, object] | None) -> bytes | None:
    if body is None:
        return None
    return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


# --- answers ----------------------------------------------------------------------------------------------------------


def _reader(model: type[_Model]) -> Callable[[Answer], _Model]:
    return lambda answer: decode(model, answer.body, answer.headers)


def _nothing(_answer: Answer) -> None:
    return None


def api_error(name: str, answer: Answer) -> ApiError:
    """Return the error of an answer that says no, whoever gave it."""
    problem = _problem(answer)
    said = problem.detail or f"HTTP {answer.status}, and no problem details: it may be a proxy that speaks"
    if 300 <= answer.status < 400:
        said = f"HTTP {answer.status}: redirects are not followed"
    remedy = _REMEDIES.get(answer.status) or _remedy_of_the_rest(answer.status)
    request = f" (request_id {problem.request_id})" if problem.request_id else ""
    kind = BY_STATUS.get(answer.status, ServerError if answer.status >= 500 else ApiError)
    return kind(f"{name}: {said}{request}; {remedy}", problem)


def _remedy_of_the_rest(status: int) -> str:
    if status >= 500:
        return "ask the operator of the API"
    if status >= 400:
        return "correct the request; look up `code` in docs/api.md"
    return "set base_url to the address of the API itself"


def _problem(answer: Answer) -> Problem:
    wait = retry_after_s(answer.headers.get("retry-after"))
    members: Any = None
    if "json" in answer.headers.get("content-type", ""):
        try:
            members = json_of(answer.body)
        except MalformedAnswerError:
            members = None
    if not isinstance(members, dict):
        return Problem(status=answer.status, retry_after=wait)
    return Problem(
        status=answer.status,
        title=_text(members, "title"),
        code=_text(members, "code"),
        detail=_text(members, "detail"),
        request_id=_text(members, "request_id"),
        errors=_field_problems(members.get("errors")),
        extensions={name: value for name, value in members.items() if name not in _PROBLEM_MEMBERS},
        retry_after=wait,
    )


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None


def _field_problems(errors: Any) -> tuple[FieldProblem, ...]:
    described = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return tuple(
        FieldProblem(detail=str(each.get("detail")), pointer=_text(each, "pointer"), parameter=_text(each, "parameter"))
        for each in described
    )


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for, as a number or until a date; None where it cannot be read."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
