"""From JSON to models, by the annotations of the model's fields."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from task_scheduler.errors import MalformedAnswerError

_Model = TypeVar("_Model")

#: takes a value and the place where it stands, such as `/tasks/0/status`
_Decoder = Callable[[Any, str], Any]

_LARGEST = sys.float_info.max

_REMEDY = "check that base_url is that of a taskqueue API, and that the SDK is not older than it"


def json_of(body: bytes) -> Any:
    """Return the JSON value of a body. Raises MalformedAnswerError."""
    try:
        return json.loads(body, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"the answer is no JSON ({_reason(error)}); {_REMEDY}") from None


def decode(model: type[_Model], body: bytes, headers: Mapping[str, str]) -> _Model:
    """Return the model that a body in JSON holds; `headers` (names in lower case) give the fields that name a header.

    Raises MalformedAnswerError with the first member that is missing, or of another kind than the model says.
    """
    return cast(_Model, _model_decoder(model, headers)(json_of(body), ""))


def _no_json(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _reason(error: Exception) -> str:
    # The texts of these errors quote no more of a document than a position.
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


def _wrong(place: str, wanted: str, value: object) -> MalformedAnswerError:
    found = "null" if value is None else type(value).__name__
    return MalformedAnswerError(f"{place or 'the answer'} must be {wanted}, not {found}; {_REMEDY}")


@cache
def _decoder(kind: Any) -> _Decoder:
    """Return what decodes values of an annotation."""
    if is_dataclass(kind):
        return _model_decoder(kind, {})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return _optional(_decoder(inner))
    if origin is tuple:
        return _list_of(_decoder(arguments[0]))
    if origin is Literal:
        # A newer server may know more words: they are kept.
        return _plain(str)
    if origin is not None:
        return _mapping_of(_decoder(arguments[1]))
    return _SIMPLE.get(kind) or _plain(kind)


def _optional(inner: _Decoder) -> _Decoder:
    return lambda value, place: None if value is None else inner(value, place)


def _plain(kind: type[object]) -> _Decoder:
    def decode_plain(value: Any, place: str) -> Any:
        if type(value) is not kind:
            raise _wrong(place, {str: "a text", int: "a whole number"}.get(kind, "true or false"), value)
        return value

    return decode_plain


def _number(value: Any, place: str) -> float:
    # A number of the document may be larger than any float.
    if type(value) not in {int, float} or not -_LARGEST <= value <= _LARGEST:
        raise _wrong(place, "a number", value)
    return float(value)


def _instant(value: Any, place: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise _wrong(place, "an instant with a zone", value)
        return instant.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(place, "an instant (RFC 3339) of the years 1 to 9999", value) from None


def _list_of(item: _Decoder) -> _Decoder:
    def decode_list(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(place, "a list", value)
        return tuple(item(each, f"{place}/{position}") for position, each in enumerate(value))

    return decode_list


def _mapping_of(item: _Decoder) -> _Decoder:
    def decode_mapping(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(place, "an object", value)
        return {key: item(each, f"{place}/{key}") for key, each in value.items()}

    return decode_mapping


_SIMPLE: Mapping[Any, _Decoder] = {
    Any: lambda value, _place: value,
    float: _number,
    datetime: _instant,
}


@cache
def _members(model: Any) -> tuple[tuple[Field[Any], _Decoder], ...]:
    hints: dict[str, Any] = get_type_hints(model)
    described = [each for each in fields(model) if "header" not in each.metadata]
    return tuple((each, _decoder(hints[each.name])) for each in described)


def _model_decoder(model: Any, headers: Mapping[str, str]) -> _Decoder:
    def decode_model(value: Any, place: str) -> object:
        if not isinstance(value, dict):
            raise _wrong(place, "an object", value)
        found = _from_headers(model, headers)
        for member, decoder in _members(model):
            if member.name in value:
                found[member.name] = decoder(value[member.name], f"{place}/{member.name}")
            elif member.default is MISSING:
                raise MalformedAnswerError(f"{place}/{member.name} is missing in the answer; {_REMEDY}")
        return model(**found)

    return decode_model


def _from_headers(model: Any, headers: Mapping[str, str]) -> dict[str, Any]:
    named = ((each.name, each.metadata.get("header", "")) for each in fields(model))
    return {name: headers[header] for name, header in named if header in headers}
