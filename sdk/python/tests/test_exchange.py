from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import task_scheduler
from task_scheduler import ApiError, FieldProblem, NotFoundError, ServerError
from task_scheduler._exchange import Answer, api_error, path_of, retry_after_s
from task_scheduler.api.operations import (
    append_execution_logs,
    create_task,
    create_tasks,
    delete_tasks,
    explain_task,
    get_task,
    list_tasks,
    trigger_task,
    update_task,
)

PROBLEM = {"content-type": "application/problem+json"}


def body_of(request: Any) -> Any:
    return json.loads(request.body)


def error_of(status: int, body: object, **headers: str) -> ApiError:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api_error("GET /x", Answer(status=status, headers=PROBLEM | headers, body=text))


# --- requests ---------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."}))
def test_any_id_stays_one_segment_of_the_path(task_id: str) -> None:
    try:
        task_id.encode()
    except UnicodeEncodeError:
        return
    path = urlsplit(get_task(task_id).path).path

    assert path.isascii()
    assert [unquote(part) for part in path.split("/")] == ["", "api", "v1", "tasks", task_id]


@pytest.mark.parametrize("task_id", ["", ".", ".."])
def test_an_id_that_would_be_another_path_is_refused(task_id: str) -> None:
    with pytest.raises(ValueError, match="an id must not be"):
        path_of("tasks", task_id)


@pytest.mark.parametrize("task_id", [None, 5, b"t"])
def test_an_id_that_is_no_text_is_a_type_error(task_id: Any) -> None:
    with pytest.raises(TypeError, match="an id must be a text"):
        get_task(task_id)


@pytest.mark.parametrize("users", ["u1", b"u1", [1, 2]])
def test_one_text_is_no_list_of_texts(users: Any) -> None:
    with pytest.raises(TypeError, match=r"user_ids must be a list of texts, also where it is one: user_ids=\[…\]"):
        trigger_task("t", user_ids=users)
    with pytest.raises(TypeError, match="task_ids must be a list of texts"):
        delete_tasks(users)


def test_any_iterable_of_texts_is_a_list_of_texts() -> None:
    assert body_of(trigger_task("t", user_ids=("u", "v"))) == {"user_ids": ["u", "v"]}
    assert body_of(delete_tasks(each for each in "ab")) == {"task_ids": ["a", "b"]}


def test_an_instant_is_sent_in_utc() -> None:
    at = datetime(2026, 1, 8, 15, 0, 0, 250000, tzinfo=timezone(timedelta(hours=1)))

    request = create_task(task_name="n", task_type="one_time", next_execution_time=at)

    assert body_of(request)["next_execution_time"] == "2026-01-08T14:00:00.250000Z"


def test_a_naive_datetime_is_refused_wherever_it_stands() -> None:
    naive = datetime(2026, 1, 8, 15)  # noqa: DTZ001  # that it has no zone is the point

    for build in (
        lambda: create_task(task_name="n", task_type="one_time", next_execution_time=naive),
        lambda: create_tasks([{"task_name": "n", "task_type": "one_time", "next_execution_time": naive}]),
        lambda: update_task("t", next_execution_time=naive),
        lambda: append_execution_logs("e", [{"message": "m", "timestamp": naive}]),
        lambda: explain_task("t", at=naive),
    ):
        with pytest.raises(ValueError, match="must have a time zone"):
            build()


def test_none_is_as_if_it_were_not_there() -> None:
    assert body_of(update_task("t", priority=None, timezone="UTC")) == {"timezone": "UTC"}
    assert list_tasks(status=None, tag=None).path == "/api/v1/tasks?limit=20&offset=0"


def test_false_and_empty_are_sent() -> None:
    assert body_of(update_task("t", enabled=False, payload={}, tags={})) == {
        "enabled": False,
        "payload": {},
        "tags": {},
    }


def test_a_list_is_a_parameter_that_is_repeated() -> None:
    path = list_tasks(tag=["a:b", "c d:é&="], name="x*").path

    assert path.partition("?")[2] == "tag=a%3Ab&tag=c+d%3A%C3%A9%26%3D&name=x%2A&limit=20&offset=0"


def test_one_tag_may_be_given_as_it_is() -> None:
    assert "tag=a%3Ab&" in list_tasks(tag="a:b").path


def test_a_post_has_a_key_of_its_own_or_that_of_the_caller() -> None:
    first, second = trigger_task("t"), trigger_task("t")

    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert trigger_task("t", idempotency_key="mine").headers == {"idempotency-key": "mine"}
    assert first.repeatable


def test_a_change_is_not_repeatable() -> None:
    assert not update_task("t", if_match='"1"', priority="low").repeatable
    assert get_task("t").repeatable


@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Evil: 1", "é", "\x00"])
def test_a_header_that_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="idempotency_key must be visible ASCII"):
        trigger_task("t", idempotency_key=value)
    with pytest.raises(ValueError, match="if_match must be visible ASCII"):
        update_task("t", if_match=value, priority="low")


def test_a_field_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="create_task has no nmae; it takes config, enabled"):
        create_task(task_name="n", task_type="cron", nmae="x")  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match=r"create_tasks: tasks\[0\] has no nmae"):
        create_tasks([{"task_name": "n", "task_type": "cron", "nmae": "x"}])  # type: ignore[typeddict-unknown-key]  # the point
    with pytest.raises(TypeError, match="list_tasks has no sort"):
        list_tasks(sort="name")  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("payload", [float("nan"), {1, 2}, object(), "\ud800"])
def test_a_payload_that_is_no_json_is_refused(payload: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        create_task(task_name="n", task_type="cron", payload={"x": payload})


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_problem_is_an_error_with_all_its_members() -> None:
    fields = [{"pointer": "/a", "detail": "bad"}, {"parameter": "limit", "detail": "small"}, "nonsense"]
    body = {"type": "about:blank", "title": "T", "status": 404, "code": "c", "detail": "d", "request_id": "r"}

    error = error_of(404, body | {"errors": fields, "cycle": ["x"]}, **{"retry-after": "7"})

    assert isinstance(error, NotFoundError)
    assert (error.status, error.title, error.code, error.detail, error.request_id) == (404, "T", "c", "d", "r")
    assert error.errors == (FieldProblem(pointer="/a", detail="bad"), FieldProblem(parameter="limit", detail="small"))
    assert (error.extensions, error.retry_after) == ({"cycle": ["x"]}, 7)
    assert str(error) == "GET /x: d (request_id r); check the id, and that base_url is that of a taskqueue API"


def test_the_status_of_the_answer_counts_and_not_that_of_its_body() -> None:
    assert error_of(503, {"status": 404}).status == 503


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", [1], "x", None, {"errors": {"a": 1}, "code": 1, "detail": []}])
@pytest.mark.parametrize("status", [301, 400, 418, 500, 502, 599])
def test_an_error_answer_of_any_shape_is_an_error_of_its_status(status: int, body: object) -> None:
    error = error_of(status, body)

    assert (error.status, error.code, error.detail, error.errors) == (status, None, None, ())
    assert isinstance(error, ServerError) is (status >= 500)


@pytest.mark.parametrize("status", [400, 402, 405, 418, 451])
@pytest.mark.parametrize("body", [b"<html>", {"detail": "d", "code": "c"}])
def test_an_error_of_the_request_says_what_to_do(status: int, body: object) -> None:
    assert str(error_of(status, body)).endswith("; correct the request; look up `code` in docs/api.md")


def test_an_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(error_of(409, {"code": "paused"})))  # noqa: S301  # our own

    assert (type(error).__name__, error.code, error.status) == ("ConflictError", "paused", 409)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *((None, None), ("0", 0), (" 12 ", 12), ("-1", None), ("1.5", None), ("soon", None), ("", None), ("²", None)),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_retry_after_as_a_date() -> None:
    later, earlier = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (100, -100))

    assert 95 < (retry_after_s(format_datetime(later, usegmt=True)) or 0) <= 100
    assert retry_after_s(format_datetime(earlier, usegmt=True)) == 0


def test_everything_that_is_exported_is_there() -> None:
    assert all(hasattr(task_scheduler, name) for name in task_scheduler.__all__)
    assert len(set(task_scheduler.__all__)) == len(task_scheduler.__all__)
