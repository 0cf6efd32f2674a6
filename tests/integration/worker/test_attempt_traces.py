"""What one attempt keeps of its answer: the body, the endpoint's log lines, and never a secret."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from taskqueue.core.log_line import Level
from taskqueue.core.task import Target
from taskqueue.worker.attempt import Attempt, AttemptDefaults, Caller
from taskqueue.worker.http_call import HttpCaller
from taskqueue.worker.references import References
from tests.support.fakes import JOB, targeting
from tests.support.raw_endpoint import after_request, raw_endpoint
from tests.support.values import TEN_O_CLOCK

CANARY = "canary/0123456789+abcdef"
MAX_RESPONSE_BYTES = 512

DEFAULTS = AttemptDefaults(
    timeout=timedelta(seconds=10),
    max_retries=3,
    retry_delay=timedelta(minutes=1),
    max_retry_delay=timedelta(hours=1),
    max_response_bytes=MAX_RESPONSE_BYTES,
)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    http = HttpCaller(user_agent="test")
    await http.start()
    yield Caller(http, References({"CANARY": CANARY}), DEFAULTS, now=lambda: TEN_O_CLOCK)
    await http.stop()


def answer(
    body: bytes, *, status: int = 200, content_type: str = "application/json", length: int | None = None
) -> bytes:
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


async def attempt_at(caller: Caller, raw: bytes, headers: dict[str, str] | None = None) -> Attempt:
    async with raw_endpoint(after_request(raw)) as url:
        task = targeting(Target(endpoint=url + "/", headers=headers or {}))
        return await caller.call(task, JOB, started_at=TEN_O_CLOCK)


async def with_secret(caller: Caller, raw: bytes) -> Attempt:
    return await attempt_at(caller, raw, {"Authorization": "Bearer ${env:CANARY}"})


async def test_a_plain_success_leaves_nothing_beside_its_record(caller: Caller) -> None:
    attempt = await attempt_at(caller, answer(b'{"ok": true}'))

    assert attempt.response == b'{"ok": true}'
    assert attempt.trail(1, next_attempt=None, worker_id="worker-1") is None


async def test_a_failure_and_any_later_attempt_leave_a_trail(caller: Caller) -> None:
    failure = (await attempt_at(caller, answer(b"", status=503))).trail(1, next_attempt=TEN_O_CLOCK, worker_id="w")
    success = (await attempt_at(caller, answer(b""))).trail(2, next_attempt=None, worker_id="w")

    assert failure is not None
    assert (failure.attempt.http_status, failure.attempt.code, failure.attempt.next_attempt) == (
        503,
        "http_503",
        TEN_O_CLOCK,
    )
    assert success is not None
    assert (success.attempt.attempt, success.attempt.http_status, success.attempt.code) == (2, 200, "")


@pytest.mark.parametrize("status", [200, 503])
async def test_lines_that_the_endpoint_returns_are_in_the_trail_whatever_its_status(
    caller: Caller, status: int
) -> None:
    attempt = await attempt_at(caller, answer(b'{"logs": ["12 reports"]}', status=status))

    trail = attempt.trail(1, next_attempt=None, worker_id="w")
    assert trail is not None
    assert [(line.timestamp, line.message) for line in trail.lines] == [(TEN_O_CLOCK, "12 reports")]


async def test_a_longer_body_is_cut_at_the_limit_and_says_so(caller: Caller) -> None:
    attempt = await attempt_at(caller, answer(b"x" * (MAX_RESPONSE_BYTES + 1)))

    assert attempt.response == b"x" * MAX_RESPONSE_BYTES
    assert attempt.truncated


async def test_a_body_of_exactly_the_limit_is_whole(caller: Caller) -> None:
    assert not (await attempt_at(caller, answer(b"x" * MAX_RESPONSE_BYTES))).truncated


async def test_any_bytes_are_kept_as_they_are(caller: Caller) -> None:
    body = bytes(range(256))

    assert (await attempt_at(caller, answer(body, content_type="application/octet-stream"))).response == body


async def test_any_bytes_but_zeros_are_kept_of_an_answer_that_may_hold_a_secret(caller: Caller) -> None:
    body = bytes(range(1, 256))

    assert (await with_secret(caller, answer(body, content_type="application/octet-stream"))).response == body


async def test_the_lines_of_a_body_that_was_cut_are_not_known(caller: Caller) -> None:
    attempt = await attempt_at(caller, answer(b'{"logs": ["' + b"x" * MAX_RESPONSE_BYTES + b'"]}'))

    assert [line.level for line in attempt.lines] == [Level.WARNING]


@pytest.mark.parametrize("status", [200, 302, 400, 503])
async def test_a_secret_that_comes_back_is_kept_in_no_form(caller: Caller, status: int) -> None:
    body = {
        "headers": {"authorization": f"Bearer {CANARY}"},
        "quoted": quote(CANARY, safe=""),
        "encoded": base64.b64encode(f"user:{CANARY}".encode()).decode(),
        "logs": [f"called with {CANARY}", {"message": quote(CANARY, safe="")}],
    }

    attempt = await with_secret(caller, answer(json.dumps(body).encode(), status=status))

    assert attempt.response is not None
    kept = repr(attempt)
    for form in (CANARY, quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode().rstrip("=")[:20], "canary"):
        assert form not in kept
    assert [line.message for line in attempt.lines] == ["called with [redacted]", "[redacted]"]


@pytest.mark.parametrize("kept", range(4, len(CANARY)))
async def test_a_body_that_breaks_off_amid_a_secret_does_not_show_its_beginning(caller: Caller, kept: int) -> None:
    attempt = await with_secret(caller, answer(b"token " + CANARY[:kept].encode(), length=1000))

    assert attempt.response is not None
    assert attempt.response == b"token [redacted]"[: 6 + kept]
    assert attempt.truncated


async def test_a_body_that_is_cut_amid_a_secret_does_not_show_its_beginning(caller: Caller) -> None:
    attempt = await with_secret(caller, answer(b"x" * (MAX_RESPONSE_BYTES - 10) + CANARY.encode()))

    assert attempt.response is not None
    assert attempt.response.endswith(b"x[redacted]")


@pytest.mark.parametrize(
    "raw",
    [
        CANARY.encode() * 3,
        f"HTTP/1.1 {CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 {CANARY}\r\n{CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
        f"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/?{CANARY}\r\nContent-Length: 0\r\n\r\n".encode(),
        f"HTTP/1.1 503 X\r\nRetry-After: {CANARY}\r\nContent-Length: 0\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Type: {CANARY}\r\nContent-Length: 12\r\n\r\n".encode() + b'{"logs": []}',
    ],
)
async def test_no_broken_answer_brings_a_secret_into_an_error(caller: Caller, raw: bytes) -> None:
    attempt = await with_secret(caller, raw)

    assert "canary" not in repr(attempt)


async def test_a_host_by_reference_is_not_named_in_an_error() -> None:
    http = HttpCaller(user_agent="test")
    await http.start()
    try:
        host = References({"HOST": "Secret-Host.invalid:81"})
        caller = Caller(http, host, DEFAULTS, now=lambda: TEN_O_CLOCK)
        attempt = await caller.call(targeting(Target(endpoint="http://${env:HOST}/")), JOB, started_at=TEN_O_CLOCK)
    finally:
        await http.stop()

    assert attempt.outcome.code == "dns_failure"
    assert "secret-host" not in repr(attempt).lower()
