"""What all bodies have in common: requests are strict, answers say instants alike.

No field of a request takes null: what is not to be said is left out, so that null can never be read as "erase".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from taskqueue.api.problems import FieldProblem, unprocessable
from taskqueue.core.instants import from_unix_ms, parse_rfc3339, rfc3339, to_unix_ms
from taskqueue.errors import InvalidValueError

_T = TypeVar("_T")

#: what names, tags and the like may not hold
CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f"

#: Redis counts further, but no list is as long
MAX_OFFSET = 2**31 - 1

_CONTROL = re.compile(f"[{CONTROL_CHARACTERS}]")
_INSTANT_SCHEMA = {"type": "string", "format": "date-time"}


class RequestBody(BaseModel):
    """A body, or a part of one, as it arrives. Unknown fields are refused, and so is "3" for a number."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the JSON Schema without the None that stands for "left out"."""
        built = handler(schema)
        for field in handler.resolve_ref_schema(built).get("properties", {}).values():
            if field.get("default", "") is None:
                del field["default"]
        return built


class ListQuery(BaseModel):
    """What any list can be asked; `checked` judges the page. An unknown parameter is refused: it is a typo."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, json_schema_extra={"maximum": 100})] = 20
    """How many to return; up to api.max_page."""
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    """How many to leave out before them."""

    def checked(self, max_page: int) -> Self:
        """Return this, or raise ProblemError 422 for a `limit` above `max_page`."""
        if self.limit > max_page:
            detail = f"must be at most {max_page}"
            raise unprocessable(f"limit: {detail}", FieldProblem(parameter="limit", detail=detail))
        return self


class AnswerBody(BaseModel):
    """A body, or a part of one, as it goes out."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _NoNull:
    """Lets a field whose default is None take no null, for it stands for "left out"."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        while schema["type"] != "nullable":
            schema = schema["schema"]
        inner: CoreSchema = schema["schema"]
        return inner


#: a field that may be left out; it is None then
Optionally = Annotated[_T | None, _NoNull()]


def check_line(text: str) -> str:
    """Return `text`, or raise InvalidValueError where it is not one line of plain text."""
    if _CONTROL.search(text):
        raise InvalidValueError("has a control character; use one line of text")
    return text


def _parse_instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise InvalidValueError("must be text, RFC 3339, such as 2024-01-15T10:00:00Z")
    # Redis orders by milliseconds: what is finer would be lost half-way.
    return from_unix_ms(to_unix_ms(parse_rfc3339(value)))


#: an instant in a request: RFC 3339 of any zone becomes UTC, in whole milliseconds
GivenInstant = Annotated[datetime, BeforeValidator(_parse_instant), WithJsonSchema(_INSTANT_SCHEMA)]

#: an instant in an answer: RFC 3339 in UTC, with Z
Instant = Annotated[datetime, PlainSerializer(rfc3339), WithJsonSchema(_INSTANT_SCHEMA)]

#: one line of text
Line = Annotated[str, AfterValidator(check_line)]
