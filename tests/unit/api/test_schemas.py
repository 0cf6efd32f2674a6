from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from taskqueue.api.problems import ProblemError
from taskqueue.api.schemas import AnswerBody, GivenInstant, Instant, Line, ListQuery, Optionally, RequestBody
from taskqueue.core.api_task import ApiPriority


class Request(RequestBody):
    number: Optionally[Annotated[int, Field(ge=1)]] = None
    priority: Optionally[Annotated[ApiPriority, Field(strict=False)]] = None
    at: Optionally[GivenInstant] = None
    line: Optionally[Line] = None


class Answer(AnswerBody):
    at: Instant | None


@pytest.mark.parametrize("name", ["number", "priority", "at", "line"])
def test_a_field_that_may_be_left_out_takes_no_null(name: str) -> None:
    assert getattr(Request(), name) is None
    with pytest.raises(ValidationError):
        Request.model_validate({name: None})


def test_the_schema_of_such_a_field_knows_neither_null_nor_a_default() -> None:
    schema = Request.model_json_schema()

    assert "null" not in str(schema)
    assert not any("default" in field for field in schema["properties"].values())
    assert "required" not in schema


@pytest.mark.parametrize(
    "body", [{"number": "1"}, {"number": 1.0}, {"number": True}, {"number": 0}, {"priority": "HIGH"}, {"x": 1}]
)
def test_a_request_is_taken_at_its_word(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate(body)


@pytest.mark.parametrize("character", ["\x00", "\n", "\r", "\t", "\x7f", "\x85"])
def test_a_line_has_no_control_characters(character: str) -> None:
    with pytest.raises(ValidationError, match="control character"):
        Request.model_validate({"line": f"a{character}b"})


def test_an_instant_of_any_zone_is_utc_in_whole_milliseconds() -> None:
    given = Request.model_validate({"at": "2024-01-15T12:00:00.1239+02:00"})

    assert given.at == datetime(2024, 1, 15, 10, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2024-01-15", "2024-01-15T10:00:00", "now", "2024-01-15T10:00:00Z" + " " * 100])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate({"at": text})


def test_an_answer_says_instants_in_rfc_3339() -> None:
    assert Answer(at=datetime(2024, 1, 15, 10, tzinfo=UTC)).model_dump_json() == '{"at":"2024-01-15T10:00:00Z"}'
    assert Answer(at=None).model_dump_json() == '{"at":null}'


def test_a_page_is_no_longer_than_the_settings_say() -> None:
    assert ListQuery(limit=7).checked(7).limit == 7
    with pytest.raises(ProblemError) as caught:
        ListQuery(limit=8).checked(7)
    assert [error.parameter for error in caught.value.errors] == ["limit"]
