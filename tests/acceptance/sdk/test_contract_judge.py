"""Whether the judge of the contract sees what an SDK gets wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.sdk_recorder import Exchange
from tests.support.sdk_schema import differences, error_differences, operation_of, schema_of
from tests.support.sdk_sent import unsent, unsent_pages

RAW: dict[str, Any] = {
    "task_id": "t",
    "task_name": "n",
    "task_type": "interval",
    "schedule_expression": None,
    "timezone": "UTC",
    "next_execution_time": "2026-11-22T10:00:00.123999Z",
    "last_execution_time": None,
    "status": "scheduled",
    "enabled": True,
    "payload": {"someKey": [1, 2.5, True, None, {"other_key": 2**60 + 1}]},
    "timeout_seconds": 300,
    "max_retries": 1,
    "retry_count": 0,
    "priority": "high",
    "created_at": "2026-11-22T12:00:00+02:00",
    "updated_at": "2026-11-22T10:00:00Z",
    "interval": {"type": "daily", "at_time": "08:00"},
    "tags": {"Team": "a"},
    "config": {"endpoint": "http://e", "method": "POST", "headers": {"X-A": "***"}, "max_duration": None},
    "source": "api",
}


def exchange(target: str, body: object, status: int = 200, method: str = "GET") -> Exchange:
    text = json.dumps(body).encode()
    sent: dict[str, Any] = {"request_headers": {}, "request_body": b"", "headers": {}}
    return Exchange(method=method, target=target, status=status, body=text, **sent)


def decoded() -> dict[str, Any]:
    """Return what an SDK has to make of RAW."""
    instants = {"next_execution_time": "2026-11-22T10:00:00.123Z"}
    instants |= dict.fromkeys(("created_at", "updated_at"), "2026-11-22T10:00:00.000Z")
    value = copy.deepcopy(RAW) | {name: {"$instant": text} for name, text in instants.items()}
    return value | {"etag": '"3"'}


def found(value: dict[str, Any], *, doubles: bool = False) -> list[str]:
    schema = schema_of(exchange("/api/v1/tasks/t", RAW))
    assert schema is not None
    return list(differences(schema, RAW, value, etag='"3"', doubles=doubles))


def test_what_is_right_is_let_through() -> None:
    assert found(decoded()) == []


def renamed(value: dict[str, Any]) -> None:
    value["payload"] = {"some_key": value["payload"]["someKey"]}


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key of the user that was converted": renamed,
    "a key deep inside that was converted": lambda v: v["payload"]["someKey"].__setitem__(4, {"otherKey": 2**60 + 1}),
    "a number that lost digits": lambda v: v["payload"]["someKey"][4].update(other_key=2**60),
    "a truth that became a number": lambda v: v["payload"]["someKey"].__setitem__(2, 1),
    "an instant that was rounded": lambda v: v.update(next_execution_time={"$instant": "2026-11-22T10:00:00.124Z"}),
    "an instant in another zone": lambda v: v.update(created_at={"$instant": "2026-11-22T12:00:00.000Z"}),
    "an instant that stayed a text": lambda v: v.update(created_at=RAW["created_at"]),
    "a field that is missing": lambda v: v.pop("retry_count"),
    "a null that became nothing": lambda v: v.pop("last_execution_time"),
    "a null that became a text": lambda v: v.update(schedule_expression=""),
    "a member of a model in a model": lambda v: v["config"].update(method="GET"),
    "a header name that was converted": lambda v: v["config"].update(headers={"x_a": "***"}),
    "a field out of nothing": lambda v: v.update(mood="good"),
    "the etag of another version": lambda v: v.update(etag='"2"'),
    "no etag": lambda v: v.update(etag=None),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_seen(name: str) -> None:
    value = decoded()

    WRONG[name](value)

    assert len(found(value)) == 1


def test_a_double_is_enough_where_there_are_no_other_numbers() -> None:
    value = decoded()
    value["payload"]["someKey"][4]["other_key"] = float(2**60)

    assert len(found(value)) == 1
    assert found(value, doubles=True) == []


def test_what_the_answer_left_out_is_the_default() -> None:
    page: dict[str, Any] = {"tasks": [], "total": 0, "limit": 20, "offset": 0}
    schema = schema_of(exchange("/api/v1/tasks?limit=20", page))
    assert schema is not None

    assert list(differences(schema, page, page | {"total_is_exact": True})) == []
    assert list(differences(schema, page, page | {"total_is_exact": None})) != []


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("POST", "/api/v1/tasks/bulk", "create_tasks"),
        ("GET", "/api/v1/tasks/a%2Fb?x=/y", "get_task"),
        ("DELETE", "/api/v1/tasks/t/dependencies/d", "remove_dependency"),
    ],
)
def test_a_request_is_known_by_its_method_and_path(method: str, target: str, operation: str) -> None:
    assert operation_of(exchange(target, {}, method=method)) == operation


def test_an_error_that_lost_a_member_is_seen() -> None:
    raw = {"title": "T", "status": 409, "code": "c", "detail": "d", "request_id": "r", "cycle": ["a"]}
    error = raw | {"errors": None, "extensions": {"cycle": ["a"]}, "retry_after": None}

    assert list(error_differences(exchange("/x", raw, 409), error)) == []
    for name in ("title", "status", "code", "detail", "request_id", "extensions"):
        assert len(list(error_differences(exchange("/x", raw, 409), error | {name: None}))) == 1


# --- what was sent ----------------------------------------------------------------------------------------------------

FILTERS: dict[str, Any] = {"limit": 2, "priority": "low", "tag": ["a:b", "c d:é&="], "name": "x*"}
CHANGES: dict[str, Any] = {
    "task_id": "a/b ✓",
    "if_match": '"3"',
    "next_execution_time": "2124-01-08T15:00:00.250+01:00",
    "payload": {"someKey": [1, None, True]},
    "priority": "low",
}
SENT: dict[str, Any] = {
    "next_execution_time": "2124-01-08T14:00:00.250Z",
    "payload": {"someKey": [1, None, True]},
    "priority": "low",
}


def listed(query: str) -> list[str]:
    return list(unsent(FILTERS, exchange(f"/api/v1/tasks?{query}", {})))


def changed(target: str = "/api/v1/tasks/a%2Fb%20%E2%9C%93", if_match: str = '"3"', **body: object) -> list[str]:
    text = json.dumps(SENT | body).encode()
    sent = replace(exchange(target, {}, method="PATCH"), request_headers={"if-match": if_match}, request_body=text)
    return list(unsent(CHANGES, sent))


def test_what_was_sent_as_it_was_given_is_let_through() -> None:
    assert listed("tag=a%3Ab&tag=c+d%3A%C3%A9%26%3D&limit=2&name=x%2A&priority=low&offset=0") == []
    assert changed() == []


@pytest.mark.parametrize(
    "query",
    [
        "tag=a%3Ab&tag=c+d%3A%C3%A9%26%3D&limit=2&name=x%2A",
        "tag=a%3Ab&tag=c+d%3A%C3%A9%26%3D&limit=2&name=x%2A&priority=high",
        "tag=a%3Ab&limit=2&name=x%2A&priority=low",
        "tag=a%3Ab&tag=c+d%3A%C3%A9%26%3D&limit=20&name=x%2A&priority=low",
    ],
    ids=["not sent", "another", "one of two", "another number"],
)
def test_a_filter_that_was_not_sent_is_seen(query: str) -> None:
    assert len(listed(query)) == 1


@pytest.mark.parametrize(
    "sent",
    [
        {"target": "/api/v1/tasks/a%252Fb%20%E2%9C%93"},
        {"if_match": '"2"'},
        {"next_execution_time": "2124-01-08T14:00:00Z"},
        {"payload": {"some_key": [1, None, True]}},
        {"payload": {"someKey": [1, None, 1]}},
        {"priority": None},
    ],
)
def test_a_part_of_a_request_that_is_not_what_was_given_is_seen(sent: dict[str, Any]) -> None:
    assert len(changed(**sent)) == 1


@pytest.mark.parametrize(
    ("offsets", "wrong"), [([0, 2, 4], 0), ([0, 2], 1), ([0, 2, 4, 6], 1), ([0, 1, 2], 1), ([0, 2, 4, 4], 1)]
)
def test_an_iterator_asks_for_each_page_once(offsets: list[int], wrong: int) -> None:
    asked = [exchange(f"/api/v1/tasks?limit=2&offset={offset}", {}) for offset in offsets]

    assert len(list(unsent_pages({"page_size": 2}, 5, asked))) == wrong
