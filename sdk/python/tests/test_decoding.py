from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_scheduler import ExecutionDetails, LastDays, MalformedAnswerError, Task, TaskDetails, TaskPage, TaskTriggered
from task_scheduler._decoding import decode, json_of

TASK: dict[str, Any] = {
    "task_id": "t",
    "task_name": "report",
    "status": "scheduled",
    "next_execution_time": "2026-11-22T10:00:00.123456Z",
    "created_at": "2026-11-22T12:00:00+02:00",
}
ROW = TASK | {
    "last_execution_time": None,
    "task_type": "cron",
    "schedule_expression": "@daily",
    "timezone": "UTC",
    "enabled": True,
    "priority": "high",
    "tags": {"Team Name": "é"},
    "source": "api",
    "updated_at": "2026-11-22T10:00:00Z",
}
CONFIG = {"endpoint": "http://e", "method": "POST", "headers": {"X-Team": "***"}, "max_duration": None}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def decoded(model: type[Any], value: object, **headers: str) -> Any:
    return decode(model, json.dumps(value).encode(), headers)


def test_instants_are_aware_and_in_utc() -> None:
    task = decoded(Task, TASK)

    assert task.next_execution_time == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    assert (task.created_at, task.created_at.tzinfo) == (datetime(2026, 11, 22, 10, tzinfo=UTC), UTC)


def test_the_etag_is_that_of_the_header_and_not_of_the_body() -> None:
    assert decoded(Task, TASK | {"etag": "no"}, etag='"7"').etag == '"7"'
    assert decoded(Task, TASK | {"etag": "no"}).etag is None


def test_what_a_newer_api_adds_is_left_out() -> None:
    assert decoded(Task, TASK | {"mood": "good"}) == decoded(Task, TASK)


def test_a_word_of_a_newer_api_is_kept() -> None:
    assert decoded(Task, TASK | {"status": "dreaming"}).status == "dreaming"


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        decoded(Task, TASK).status = "paused"


def test_a_task_with_all_that_is_known_is_a_task_of_a_list_and_a_task() -> None:
    numbers = {"timeout_seconds": 300, "max_retries": 3, "retry_count": 0}
    details = decoded(TaskDetails, ROW | numbers | {"payload": [1], "interval": None, "config": CONFIG})

    assert isinstance(details, Task)
    assert (details.config.headers, details.payload, details.tags) == ({"X-Team": "***"}, [1], {"Team Name": "é"})


def test_a_list_can_be_iterated_indexed_and_counted() -> None:
    page: TaskPage = decoded(TaskPage, {"tasks": [ROW, ROW | {"task_id": "u"}], "total": 9, "limit": 2, "offset": 0})

    assert [task.task_id for task in page] == ["t", "u"]
    assert (len(page), page[1].task_id, page.total, page.total_is_exact) == (2, "u", 9, True)


def test_an_optional_member_may_be_missing() -> None:
    triggered = {"task_id": "t", "execution_id": "e", "status": "queued", "queued_at": "2026-11-22T10:00:00Z"}

    assert decoded(TaskTriggered, triggered).execution_ids is None
    assert decoded(TaskTriggered, triggered | {"execution_ids": ["e", "f"]}).execution_ids == ("e", "f")


@pytest.mark.parametrize("name", ROW)
def test_a_member_that_is_missing_is_named(name: str) -> None:
    row = {key: value for key, value in ROW.items() if key != name}

    with pytest.raises(MalformedAnswerError, match=f"^/tasks/0/{name} is missing"):
        decoded(TaskPage, {"tasks": [row], "total": 1, "limit": 1, "offset": 0})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("task_id", None, "must be a text, not null"),
        ("task_name", 7, "must be a text, not int"),
        ("enabled", 1, "must be true or false, not int"),
        ("enabled", "true", "must be true or false, not str"),
        ("tags", [], "must be an object, not list"),
        ("created_at", "2026-11-22T10:00:00", "must be an instant with a zone"),
        ("created_at", 1700000000, "must be an instant"),
        ("created_at", "tomorrow", "must be an instant"),
        ("updated_at", None, "must be an instant"),
        ("updated_at", "0001-01-01T00:00:00+01:00", "must be an instant"),
        ("updated_at", "9999-12-31T23:59:59-01:00", "must be an instant"),
    ],
)
def test_a_member_of_another_kind_is_named(name: str, value: object, said: str) -> None:
    with pytest.raises(MalformedAnswerError, match=f"^/tasks/0/{name} {said}"):
        decoded(TaskPage, {"tasks": [ROW | {name: value}], "total": 1, "limit": 1, "offset": 0})


@pytest.mark.parametrize("total", [True, 1.0, "1", None])
def test_a_whole_number_is_nothing_else(total: object) -> None:
    with pytest.raises(MalformedAnswerError, match=r"^/total must be a whole number"):
        decoded(TaskPage, {"tasks": [], "total": total, "limit": 1, "offset": 0})


@pytest.mark.parametrize("rate", ["1e999", "1" + "0" * 400, "true"])
def test_a_number_is_one_that_a_float_can_be(rate: str) -> None:
    with pytest.raises(MalformedAnswerError, match=r"^/success_rate must be a number"):
        decode(LastDays, f'{{"executions": 1, "success_rate": {rate}}}'.encode(), {})


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"NaN", b'{"a": Infinity}', b"\xff\xfe{", b"[" * 200_000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError, match="is no JSON"):
        json_of(body)


@given(json_values)
def test_what_the_user_has_written_comes_back_as_it_is(value: object) -> None:
    execution = {
        "execution_id": "e",
        "task_id": None,
        "status": "success",
        "retry_number": 0,
        "is_retry": False,
        **dict.fromkeys(("worker_id", "started_at", "completed_at", "duration_ms", "queued_at")),
        "error": None,
        "reason": None,
        "next_attempt_at": None,
        "attempts": [],
        "result": value,
    }

    found = decoded(ExecutionDetails, execution).result

    assert json.dumps(found) == json.dumps(value)


@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))))
def test_every_instant_is_the_same_instant_afterwards(instant: datetime) -> None:
    if not datetime(2, 1, 1, tzinfo=UTC) < instant < datetime(9998, 1, 1, tzinfo=UTC):
        return

    assert decoded(Task, TASK | {"created_at": instant.isoformat()}).created_at == instant
