"""openapi.json: current, valid, and true to its own examples."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from taskqueue.api.document import TAGS, examples
from taskqueue.api.openapi import OPENAPI_FILE, openapi_text
from taskqueue.api.problems import MEDIA_TYPE

DOCUMENT: dict[str, Any] = json.loads(openapi_text())
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def answers_of(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the answers of an operation by status."""
    shared = DOCUMENT["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
    }


def mistakes(schema: dict[str, Any], value: object) -> list[str]:
    """Return what is wrong with `value` by a schema of the document."""
    rooted = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(rooted).iter_errors(value)]


def test_the_committed_document_is_that_of_the_endpoints() -> None:
    assert OPENAPI_FILE.read_text(encoding="utf-8") == openapi_text(), "run: make openapi"


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', openapi_text()):
        node: Any = DOCUMENT
        for part in reference.split("/"):
            node = node[part]


def test_names_of_operations_are_unique_and_tags_are_known() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(set(names)) == len(names)
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} <= {tag["name"] for tag in TAGS}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_operation_needs_a_token_and_says_what_it_does(operation: dict[str, Any]) -> None:
    assert operation["security"] == [{"bearer": []}]
    assert operation["summary"]
    assert operation["description"]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_error_is_a_problem(operation: dict[str, Any]) -> None:
    errors = {status: answer for status, answer in answers_of(operation).items() if int(status) >= 400}

    assert {"400", "401", "403", "422", "429", "500", "503"} <= errors.keys()
    assert {tuple(answer["content"]) for answer in errors.values()} == {(MEDIA_TYPE,)}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_answer_tells_its_request_id(operation: dict[str, Any]) -> None:
    assert all("X-Request-Id" in answer["headers"] for answer in answers_of(operation).values())


def test_every_post_takes_an_idempotency_key_and_nothing_else_does() -> None:
    takes = {
        name
        for name, operation in OPERATIONS.items()
        if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }

    assert takes == {name for name in OPERATIONS if name.startswith("POST ")}


@pytest.mark.parametrize(("name", "shown"), examples().items(), ids=examples())
def test_every_example_is_as_its_schema_says(name: str, shown: dict[str, Any]) -> None:
    operation = OPERATIONS[name]
    status = min(operation["responses"])

    assert mistakes(operation["responses"][status]["content"]["application/json"]["schema"], shown["answer"]) == []
    if "request" in shown:
        assert mistakes(operation["requestBody"]["content"]["application/json"]["schema"], shown["request"]) == []


def test_every_answer_with_a_body_has_an_example() -> None:
    without = {
        name
        for name, operation in OPERATIONS.items()
        if "content" in operation["responses"][min(operation["responses"])]
    } - examples().keys()

    assert without == set()
