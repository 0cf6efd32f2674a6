from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from taskqueue.api.invalid import MAX_PROBLEMS, field_problems, pointer_to
from taskqueue.errors import InvalidValueError


def _refuse(value: str) -> str:
    raise InvalidValueError("no zone has this name; use one as in Europe/Berlin")


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    count: Annotated[int, Field(ge=0, le=10)] = 0
    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    on: bool = True
    tags: dict[str, str] = Field(default_factory=dict)
    items: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    kind: Literal["cron", "interval"] = "cron"
    zone: Annotated[str, AfterValidator(_refuse)] | None = None


def problems_of(value: object) -> list[tuple[str | None, str]]:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(value)
    details = [{**detail, "loc": ("body", *detail["loc"])} for detail in caught.value.errors()]
    return [(problem.pointer, problem.detail) for problem in field_problems(details)]


@pytest.mark.parametrize(
    ("value", "pointer", "text"),
    [
        ({"name": 1}, "/name", "must be text"),
        ({"name": None}, "/name", "must be text"),
        ({"name": ""}, "/name", "must have at least 1 characters"),
        ({"name": "four"}, "/name", "must have at most 3 characters"),
        ({"count": "1"}, "/count", "must be a whole number"),
        ({"count": 1.5}, "/count", "must be a whole number"),
        ({"count": -1}, "/count", "must be at least 0"),
        ({"count": 11}, "/count", "must be at most 10"),
        ({"share": 0}, "/share", "must be above 0.0"),
        ({"share": 1.0}, "/share", "must be below 1.0"),
        ({"share": float("nan")}, "/share", "must be a finite number"),
        ({"on": "yes"}, "/on", "must be true or false"),
        ({"tags": []}, "/tags", "must be an object"),
        ({"tags": {"a/b~c": 1}}, "/tags/a~1b~0c", "must be text"),
        ({"items": {}}, "/items", "must be a list"),
        ({"items": []}, "/items", "must have at least 1 items"),
        ({"items": [1, "b"]}, "/items/1", "must be a whole number"),
        ({"kind": "daily"}, "/kind", "must be 'cron' or 'interval'"),
        ({"zone": "Mars/Base"}, "/zone", "no zone has this name; use one as in Europe/Berlin"),
        ({"naem": "a"}, "/naem", "is no field here; remove it"),
        ([], "", "must be an object"),
    ],
)
def test_each_mistake_is_named_with_its_place_and_what_to_send(value: object, pointer: str, text: str) -> None:
    assert problems_of(value) == [(pointer, text)]


def test_all_mistakes_are_named_at_once() -> None:
    assert [pointer for pointer, _ in problems_of({"name": 1, "count": "x", "on": 3})] == ["/name", "/count", "/on"]


def test_no_value_is_repeated() -> None:
    text = str(problems_of({"name": "canary-secret", "count": "canary-secret", "kind": "canary-secret"}))

    assert "canary" not in text


def test_what_is_not_in_the_body_is_named_as_a_parameter() -> None:
    detail: dict[str, Any] = {"type": "missing", "loc": ("query", "limit"), "msg": "Field required", "input": None}

    (problem,) = field_problems([detail])

    assert (problem.parameter, problem.pointer, problem.detail) == ("limit", None, "is missing; add it")


def test_a_mistake_of_another_kind_says_what_pydantic_says() -> None:
    (problem,) = field_problems([{"type": "odd", "loc": ("body", "a"), "msg": "Input is odd"}])

    assert problem.detail == "Input is odd"


def test_no_more_mistakes_are_named_than_help() -> None:
    detail = {"type": "missing", "loc": ("body", "a"), "msg": ""}

    assert len(field_problems([detail] * (MAX_PROBLEMS + 1))) == MAX_PROBLEMS


@given(st.lists(st.text() | st.integers(min_value=0)))
def test_a_pointer_leads_back_to_its_parts(parts: list[str | int]) -> None:
    read = [part.replace("~1", "/").replace("~0", "~") for part in pointer_to(parts).split("/")[1:]]

    assert read == [str(part) for part in parts]
