"""The OpenAPI 3.1 document: FastAPI's own, with our errors, headers and examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from taskqueue.api.links import add_links
from taskqueue.api.problems import MEDIA_TYPE, USUAL_PROBLEMS, Problem

#: what the document says of the whole
DESCRIPTION = """Tasks that call an HTTP endpoint on schedule: once, at an interval, or by a cron expression.

Every request carries a token: `Authorization: Bearer tq_…`. Errors are problem details (RFC 9457) with a stable `code`.
A POST with an `Idempotency-Key` may be sent again: it gets the answer of the first time. Instants are UTC, RFC 3339."""

#: the groups of endpoints, in order
TAGS = [
    {"name": "tasks", "description": "What is called, and when."},
    {"name": "executions", "description": "What came of it."},
    {"name": "dependencies", "description": "Tasks that wait for others."},
    {"name": "bulk", "description": "Many tasks in one request."},
    {"name": "monitoring", "description": "How the whole is doing."},
]

Document = dict[str, Any]

#: those of the API's design, with what it leaves open
_EXAMPLES = Path(__file__).with_name("examples.json")

_METHODS = ("get", "post", "put", "patch", "delete")

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of yours, new for each request: sent again, the request gets its first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
}

#: problems of requests that have a body
_OF_A_BODY = ("408", "413", "415")

_QUOTA = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

_HEADERS = {
    "X-Request-Id": ("string", "Id of the request: its own X-Request-Id, else a new one"),
    "Retry-After": ("integer", "Seconds after which to try again"),
    "RateLimit-Limit": ("integer", "Requests that the token may send at once"),
    "RateLimit-Remaining": ("integer", "Requests that it may still send at once"),
    "RateLimit-Reset": ("integer", "Seconds until it may send all of them at once again"),
}


def complete_openapi(app: FastAPI) -> Document:
    """Return the document of `app`."""
    if app.openapi_schema is None:
        app.openapi_schema = _completed(FastAPI.openapi(app))
    return app.openapi_schema


def examples() -> dict[str, dict[str, Any]]:
    """Return the examples by `METHOD path`: each has an `answer`, and a `request` where one has a body."""
    found: dict[str, dict[str, Any]] = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return found


def _completed(document: Document) -> Document:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for of_fastapi in ("HTTPValidationError", "ValidationError"):
        schemas.pop(of_fastapi, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    components["headers"] = {
        name: {"description": about, "schema": {"type": kind}} for name, (kind, about) in _HEADERS.items()
    }
    components["responses"] = _usual_responses()
    shown = examples()
    for path, method, operation in _operations(document):
        _complete_operation(path, method, operation)
        _add_examples(operation, shown.get(f"{method.upper()} {path}", {}))
    add_links(operation for _, _, operation in _operations(document))
    _drop_titles(schemas)
    _drop_titles(document.get("paths", {}))
    return document


def _drop_titles(node: object) -> None:
    """Remove the titles that pydantic makes of the names of fields: they only repeat them."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for key, child in node.items():
            if key not in {"example", "examples", "default"}:
                _drop_titles(child)
    elif isinstance(node, list):
        for child in node:
            _drop_titles(child)


def _complete_operation(path: str, method: str, operation: Document) -> None:
    responses = operation["responses"]
    if "requestBody" not in operation:
        for status in _OF_A_BODY:
            responses.pop(status, None)
    if "{" not in path and method == "get":
        responses.pop("404", None)
    if method == "post":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
        responses.setdefault("409", {"description": "A request with this Idempotency-Key is in work"})
    for status, response in responses.items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase
        if response["description"] == USUAL_PROBLEMS.get(int(status)):
            responses[status] = {"$ref": f"#/components/responses/{_name_of(int(status))}"}
        else:
            _complete_response(int(status), response)
    operation["responses"] = dict(sorted(responses.items()))


def _usual_responses() -> Document:
    usual: Document = {_name_of(status): {"description": text} for status, text in USUAL_PROBLEMS.items()}
    for status in USUAL_PROBLEMS:
        _complete_response(status, usual[_name_of(status)])
    return usual


def _name_of(status: int) -> str:
    # The phrases of statuses change with the version of Python.
    return f"Problem{status}"


def _complete_response(status: int, response: Document) -> None:
    if status >= 400:
        response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    names = ["X-Request-Id", *([] if status == 401 else _QUOTA), *(["Retry-After"] if status in {429, 503} else [])]
    response.setdefault("headers", {}).update({name: {"$ref": f"#/components/headers/{name}"} for name in names})


def _add_examples(operation: Document, shown: Document) -> None:
    if "request" in shown:
        for media in operation["requestBody"]["content"].values():
            media["example"] = shown["request"]
    if "answer" in shown:
        status = next(iter(operation["responses"]))
        for media in operation["responses"][status]["content"].values():
            media["example"] = shown["answer"]


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation
