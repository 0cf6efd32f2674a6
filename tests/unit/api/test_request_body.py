"""What a body may be before any endpoint sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from taskqueue.api.body import ReadRequest, read_request
from taskqueue.api.problems import ProblemError
from taskqueue.config.api_sections import RestSettings

LIMITS = RestSettings(max_body_bytes=1024, max_body_depth=8)
JSON = {"content-type": "application/json"}


def a_request(chunks: Sequence[bytes], headers: Mapping[str, str] = JSON) -> tuple[Request, list[bytes]]:
    """Return a request whose body comes in `chunks`, and what of it is unread."""
    unread = list(chunks)

    async def receive() -> Message:
        chunk = unread.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(unread)}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive), unread


async def read(body: bytes, headers: Mapping[str, str] = JSON, limits: RestSettings = LIMITS) -> ReadRequest:
    return await read_request(a_request([body], headers)[0], limits)


async def refusal(body: bytes, headers: Mapping[str, str] = JSON, limits: RestSettings = LIMITS) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        await read(body, headers, limits)
    return caught.value


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON at character 2"),
        (b'{"a": 1,}', "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"[1e999]", "beyond what a number can be"),
        (b"[-1e999]", "beyond what a number can be"),
        (b"[" + b"1" * 5000 + b"]", "thousands of digits"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": {"b": 1, "b": 1}}', "stands twice"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udc00": 1}', "lone surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"\x00", "not JSON"),
        (b"'a'", "not JSON"),
        (b"[" * 9 + b"]" * 9, "nested deeper than 8 levels"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "nested deeper than 8 levels"),
    ],
)
async def test_what_is_no_json_that_all_readers_understand_alike_is_refused(body: bytes, says: str) -> None:
    problem = await refusal(body, limits=RestSettings(max_body_bytes=8192, max_body_depth=8))

    assert (problem.status, problem.code) == (400, "malformed_json")
    assert says in problem.detail


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
async def test_a_hundred_thousand_brackets_are_refused_like_nine(body: bytes) -> None:
    problem = await refusal(body, limits=RestSettings())

    assert (problem.status, problem.code) == (400, "malformed_json")
    assert "nested" in problem.detail


@pytest.mark.parametrize("value", [{}, [], None, 0, "text", {"a": [1, 2.5, None, True]}, "\U0001f600 \x00 \ud7ff"])
async def test_json_is_read_as_it_was_said(value: object) -> None:
    assert await (await read(json.dumps(value).encode())).json() == value


async def test_a_body_may_be_nested_as_deeply_as_the_setting_says() -> None:
    assert await (await read(b"[" * 8 + b"]" * 8)).json() == [[[[[[[[]]]]]]]]


async def test_an_empty_body_needs_no_content_type() -> None:
    arrived = await read(b"", {})

    assert await arrived.body() == b""


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "text/json+json",
        "application/json; charset=latin-1",
    ],
)
async def test_another_content_type_than_json_is_refused_with_the_right_one(content_type: str) -> None:
    problem = await refusal(b"{}", {"content-type": content_type})

    assert (problem.status, problem.code, problem.headers["Accept"]) == (
        415,
        "unsupported_media_type",
        "application/json",
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; Charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/merge-patch+json",
    ],
)
async def test_json_in_all_its_spellings_is_read(content_type: str) -> None:
    assert await (await read(b"{}", {"content-type": content_type})).json() == {}


@pytest.mark.parametrize("announced", ["1025", "9" * 30])
async def test_a_body_that_is_announced_as_too_large_is_not_read_at_all(announced: str) -> None:
    request, unread = a_request([b"x" * 2000], {**JSON, "content-length": announced})

    with pytest.raises(ProblemError) as caught:
        await read_request(request, LIMITS)

    assert (caught.value.status, caught.value.code, unread) == (413, "body_too_large", [b"x" * 2000])


async def test_a_body_that_turns_out_too_large_is_read_no_further() -> None:
    request, unread = a_request([b"x" * 1000, b"x" * 1000, b"x" * 1000, b"x" * 1000])

    with pytest.raises(ProblemError) as caught:
        await read_request(request, LIMITS)

    assert (caught.value.status, len(unread)) == (413, 2)


async def test_a_body_of_just_the_largest_size_is_read() -> None:
    body = json.dumps("x" * 1022).encode()

    assert len(body) == 1024
    assert len(await (await read(body)).json()) == 1022


async def test_a_body_that_does_not_end_in_time_is_refused() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)

    with pytest.raises(ProblemError) as caught:
        await read_request(request, LIMITS.model_copy(update={"request_deadline": timedelta(milliseconds=10)}))

    assert (caught.value.status, caught.value.code) == (408, "body_timeout")


async def test_a_connection_that_ends_within_the_body_is_a_bad_request() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)

    with pytest.raises(ProblemError) as caught:
        await read_request(request, LIMITS)

    assert caught.value.status == 400


@settings(max_examples=200)
@given(st.binary(max_size=200))
async def test_any_bytes_are_a_value_or_a_problem(body: bytes) -> None:
    try:
        value = await (await read(body)).json()
    except ProblemError as problem:
        value = problem.code
    assert json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
