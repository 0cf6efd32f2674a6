"""What pydantic says of a request, in words for whoever sent it. No value is repeated: it may be a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taskqueue.api.problems import FieldProblem

#: more than these do not help anybody
MAX_PROBLEMS = 100

_TEXTS: Mapping[str, str] = {
    "missing": "is missing; add it",
    "extra_forbidden": "is no field here; remove it",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
}


def field_problems(details: Sequence[Mapping[str, Any]]) -> tuple[FieldProblem, ...]:
    """Return a problem for each of pydantic's error details, the first MAX_PROBLEMS of them."""
    return tuple(_problem(detail) for detail in details[:MAX_PROBLEMS])


def pointer_to(parts: Iterable[object]) -> str:
    """Return the JSON pointer (RFC 6901) to what `parts` lead to: keys and positions."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _problem(detail: Mapping[str, Any]) -> FieldProblem:
    place, *rest = detail["loc"] or ("body",)
    text = _text(detail)
    if rest[-1:] == ["[key]"]:
        # pydantic's way to say that not the value at that place is wrong, but its name.
        rest, text = rest[:-1], f"its name: {text}"
    if place == "body":
        return FieldProblem(pointer=pointer_to(rest), detail=text)
    return FieldProblem(parameter=".".join(map(str, rest)) or str(place), detail=text)


def _text(detail: Mapping[str, Any]) -> str:
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind in _TEXTS:
        return _TEXTS[kind].format_map(context)
    return str(detail["msg"])
