"""What openapi.json makes of an answer, beside what an SDK has made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.sdk_recorder import Exchange

_DOCUMENT = Path(__file__).resolve().parents[2] / "openapi.json"

#: members of problem details that an error has a name of its own for, or nothing at all
_PROBLEM = frozenset({"type", "instance", "title", "status", "code", "detail", "request_id", "errors"})

Schema = Mapping[str, Any]


@cache
def document() -> Schema:
    """Return the document."""
    parsed: Schema = json.loads(_DOCUMENT.read_text(encoding="utf-8"))
    return parsed


@cache
def operations() -> Mapping[str, tuple[str, re.Pattern[str], Schema]]:
    """Return method, path (its parameters are groups) and schema of each operation, by its id."""
    found = {}
    for path, methods in document()["paths"].items():
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/?]+)", path))
        for method, operation in methods.items():
            found[operation["operationId"]] = (method.upper(), pattern, operation)
    return found


def operation_of(exchange: Exchange) -> str:
    """Return the id of the operation that a request was for: the one with the fewest words that may be anything."""
    path = exchange.target.partition("?")[0]
    fitting = [
        (pattern.pattern.count("[^/?]+"), name)
        for name, (method, pattern, _) in operations().items()
        if method == exchange.method and pattern.fullmatch(path)
    ]
    assert fitting, f"{exchange.method} {path} is no operation of the API"
    return min(fitting)[1]


def schema_of(exchange: Exchange) -> Schema | None:
    """Return the schema of a good answer, or None where it has no body."""
    answers = operations()[operation_of(exchange)][2]["responses"]
    content = answers[str(exchange.status)].get("content", {})
    return content["application/json"]["schema"] if content else None


def member_schema(schema: Schema, name: str) -> Schema:
    """Return the schema of a member of a model."""
    member: Schema = _plain(schema)["properties"][name]
    return member


def differences(
    schema: Schema, raw: Any, value: Any, place: str = "", *, etag: str | None = None, doubles: bool = False
) -> Iterator[str]:
    """Yield where the canonical `value` of an SDK is not what the schema makes of the JSON `raw`.

    `etag` is that of the answer; with `doubles` numbers are as exact as a double.
    """
    schema = _plain(schema)
    if schema.get("format") == "date-time" and isinstance(raw, str):
        if value != (expected := {"$instant": _milliseconds(raw)}):
            yield f"{place}: {value!r}, not {expected!r}"
    elif schema.get("type") == "array" and isinstance(raw, list) and isinstance(value, list):
        if len(raw) != len(value):
            yield f"{place}: {len(value)} items, not {len(raw)}"
        for position, (part, decoded) in enumerate(zip(raw, value, strict=False)):
            yield from differences(schema["items"], part, decoded, f"{place}/{position}", doubles=doubles)
    elif schema.get("properties") and isinstance(raw, dict) and isinstance(value, dict):
        yield from _model_differences(schema, raw, value, place, etag, doubles)
    elif not same(raw, value, doubles=doubles):
        yield f"{place}: {value!r}, not {raw!r}"


def _model_differences(
    schema: Schema, raw: dict[str, Any], value: dict[str, Any], place: str, etag: str | None, doubles: bool
) -> Iterator[str]:
    members = schema["properties"]
    for name, member in members.items():
        if name not in value:
            yield f"{place}/{name}: the model has no such field"
        elif name in raw:
            yield from differences(member, raw[name], value[name], f"{place}/{name}", doubles=doubles)
        elif value[name] != member.get("default"):
            yield f"{place}/{name}: {value[name]!r}, and the answer has none"
    for name in value.keys() - members.keys():
        expected = (etag,) if name == "etag" and etag else (None, 0)
        if value[name] not in expected or isinstance(value[name], bool):
            yield f"{place}/{name}: {value[name]!r}, which is not in the answer"


def _plain(schema: Schema) -> Schema:
    """Return a schema without references and without what makes it nullable."""
    if "$ref" in schema:
        return _plain(document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        (kind,) = (part for part in schema["anyOf"] if part != {"type": "null"})
        return _plain(kind)
    return schema


def _milliseconds(text: str) -> str:
    instant = datetime.fromisoformat(text).astimezone(UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def same(one: Any, other: Any, *, doubles: bool) -> bool:
    """Return whether two JSON values are the same; 1 and 1.0 are one number, 1 and true are two things."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], doubles=doubles) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(lambda a, b: same(a, b, doubles=doubles), one, other))
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, int | float):
        return type(one) is type(other) and bool(one == other)
    return isinstance(other, int | float) and (float(one) == float(other) if doubles else one == other)


def error_differences(exchange: Exchange, error: dict[str, Any]) -> Iterator[str]:
    """Yield where the canonical error of an SDK is not what the problem details of the answer say."""
    raw = json.loads(exchange.body)
    expected = {name: raw.get(name) for name in ("status", "code", "title", "detail", "request_id")}
    fields = [{"pointer": None, "parameter": None, **each} for each in raw.get("errors") or []]
    expected["errors"] = fields or None
    expected["extensions"] = {name: value for name, value in raw.items() if name not in _PROBLEM}
    wait = exchange.headers.get("retry-after")
    expected["retry_after"] = float(wait) if wait else None
    for name, value in expected.items():
        if error.get(name) != value:
            yield f"error/{name}: {error.get(name)!r}, not {value!r}"
