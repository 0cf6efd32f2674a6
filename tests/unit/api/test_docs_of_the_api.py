"""What is told about the API outside of its code names all endpoints, and says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.documented import EXAMPLES

_CHECKOUT = Path(__file__).resolve().parents[3]

DOCUMENT = json.loads((_CHECKOUT / "openapi.json").read_text(encoding="utf-8"))
PAGE = (_CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8").replace("\\\n", " ")

OPERATIONS = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method in {"get", "post", "patch", "delete"}
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_page_has_a_request_for_each_endpoint(method: str, path: str) -> None:
    parameter = r'(?:\$\([^)]*\)|[^/\s?"]+)'
    place = parameter.join(map(re.escape, re.split(r"\{\w+\}", path.removeprefix("/api/v1"))))
    requests = re.findall(rf'curl [^\n]*?"?\$API{place}(?=[\s?"])[^\n]*', PAGE)
    methods = {found[1] if (found := re.search(r"-X (\w+)", request)) else "GET" for request in requests}

    assert method in methods


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_of_the_published_document_is_an_endpoint_with_that_status(name: str) -> None:
    example = EXAMPLES[name]
    path = example["path"].partition("?")[0]

    assert str(example["status"]) in DOCUMENT["paths"][path][example["method"].lower()]["responses"]
