import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from taskqueue.dev.target import Target
from taskqueue.worker.http_call import CallResult, HttpCaller, HttpRequest
from tests.support.raw_endpoint import after_request, raw_endpoint

CAP = 64 * 1024


@pytest.fixture
async def caller() -> AsyncIterator[HttpCaller]:
    caller = HttpCaller(user_agent="taskqueue/test", connect_timeout_s=0.3)
    await caller.start()
    yield caller
    await caller.stop()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with Target() as target:
        yield target


async def _get(caller: HttpCaller, url: str, *, deadline_s: float = 5.0, cap: int = CAP) -> CallResult:
    return await caller.call(HttpRequest(method="GET", url=url), deadline_s=deadline_s, max_response_bytes=cap)


def _code(result: CallResult) -> tuple[str, str] | None:
    return (result.failure.code, result.failure.sent) if result.failure else None


async def test_a_call_sends_what_the_request_says_and_returns_the_answer(caller: HttpCaller, target: Target) -> None:
    request = HttpRequest(
        method="POST",
        url=f"{target.url}/users/a%2Fb?x=1",
        headers={"Idempotency-Key": "j-1", "Content-Type": "application/json"},
        body=b'{"user_id":"u"}',
    )

    result = await caller.call(request, deadline_s=5, max_response_bytes=CAP)

    [call] = target.calls
    assert (call.method, call.path, call.body) == ("POST", "/users/a%2Fb?x=1", b'{"user_id":"u"}')
    assert call.headers["idempotency-key"] == "j-1"
    assert call.headers["user-agent"] == "taskqueue/test"
    assert call.headers["accept-encoding"] == "identity"
    assert (result.status, result.body, result.failure) == (200, b'{"ok":true}', None)
    assert 0 < result.duration_s < 5


async def test_retry_after_is_kept_and_other_headers_are_not(caller: HttpCaller, target: Target) -> None:
    result = await _get(caller, f"{target.url}/status/429?retry_after=7")

    assert result.status == 429
    assert dict(result.headers) == {"retry-after": "7", "content-type": "application/json"}


async def test_a_redirect_is_an_answer_and_is_not_followed(caller: HttpCaller) -> None:
    async with raw_endpoint(
        after_request(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    ) as url:
        result = await _get(caller, url)

    assert (result.status, result.failure) == (302, None)


async def test_a_cookie_of_one_call_is_not_sent_with_the_next(caller: HttpCaller) -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=canary; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with raw_endpoint(script) as url:
        await _get(caller, url)
        await _get(caller, url)

    assert len(heads) == 2
    assert b"canary" not in heads[1]


async def test_the_environment_gives_no_proxy(
    caller: HttpCaller, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert (await _get(caller, f"{target.url}/ok")).status == 200


async def test_a_refused_connection_was_not_sent(caller: HttpCaller) -> None:
    async with raw_endpoint(after_request(b"")) as url:
        pass

    assert _code(await _get(caller, url)) == ("connection_refused", "not_sent")


async def test_an_unknown_name_was_not_sent(caller: HttpCaller) -> None:
    result = await _get(caller, "http://does-not-exist.invalid/?token=canary")

    assert _code(result) in {("dns_failure", "not_sent"), ("connect_timeout", "not_sent")}
    assert "canary" not in repr(result)


async def test_a_server_that_never_answers_is_a_timeout_with_unknown_effect(caller: HttpCaller, target: Target) -> None:
    result = await _get(caller, f"{target.url}/hang", deadline_s=0.2)

    assert _code(result) == ("timeout", "unknown")
    assert result.status is None
    assert 0.2 <= result.duration_s < 0.7


async def test_a_handshake_that_never_ends_is_a_connect_timeout_and_not_sent(caller: HttpCaller) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_endpoint(silent) as url:
        result = await _get(caller, url.replace("http://", "https://"))

    assert _code(result) == ("connect_timeout", "not_sent")


async def test_a_body_that_drips_ends_at_the_deadline_with_its_status(caller: HttpCaller) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_endpoint(drip) as url:
        result = await _get(caller, url, deadline_s=0.3)

    assert _code(result) == ("timeout", "unknown")
    assert result.status == 200
    assert 0 < len(result.body) < 1000
    assert result.duration_s < 0.8


async def test_an_endless_body_is_cut_at_the_cap_and_the_connection_closed(caller: HttpCaller) -> None:
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        finally:
            ended.set()

    async with raw_endpoint(endless) as url:
        result = await _get(caller, url, cap=1000)
        async with asyncio.timeout(5):
            await ended.wait()

    assert (len(result.body), result.truncated, result.failure) == (1000, True, None)


async def test_a_body_of_exactly_the_cap_is_complete(caller: HttpCaller) -> None:
    async with raw_endpoint(after_request(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345")) as url:
        result = await _get(caller, url, cap=5)

    assert (result.body, result.truncated) == (b"12345", False)


async def test_a_compressed_body_is_not_unpacked(caller: HttpCaller) -> None:
    packed = gzip.compress(bytes(10_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()

    async with raw_endpoint(after_request(head + packed)) as url:
        result = await _get(caller, url)

    assert result.body == packed
    assert result.headers["content-encoding"] == "gzip"


async def test_a_short_body_is_a_protocol_error_with_its_status(caller: HttpCaller) -> None:
    async with raw_endpoint(after_request(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this")) as url:
        result = await _get(caller, url)

    assert result.status == 200
    assert _code(result) == ("protocol_error", "unknown")


@pytest.mark.parametrize(
    "answer",
    [
        b"\x16\x03 this is not HTTP canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header canary\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
    ids=["garbage", "malformed header", "too many headers", "header too long"],
)
async def test_an_answer_that_is_not_http_is_a_protocol_error(caller: HttpCaller, answer: bytes) -> None:
    async with raw_endpoint(after_request(answer)) as url:
        result = await _get(caller, url)

    assert _code(result) == ("protocol_error", "unknown")
    assert "canary" not in repr(result)


async def test_a_connection_closed_after_the_request_has_an_unknown_effect(caller: HttpCaller) -> None:
    async with raw_endpoint(after_request(b"")) as url:
        result = await _get(caller, url)

    assert _code(result) == ("connection_reset", "unknown")


async def test_a_reset_after_the_request_has_an_unknown_effect(caller: HttpCaller, target: Target) -> None:
    assert _code(await _get(caller, f"{target.url}/reset")) == ("connection_reset", "unknown")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_request_on_a_connection_that_breaks_is_never_sent_twice(caller: HttpCaller, method: str) -> None:
    requests = 0

    async def second_breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""):
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
            writer.write(answer)

    async with raw_endpoint(second_breaks) as url:
        await _get(caller, url)
        result = await caller.call(HttpRequest(method=method, url=url), deadline_s=5, max_response_bytes=CAP)

    assert _code(result) == ("connection_reset", "unknown")
    assert requests == 2


async def test_a_handshake_that_fails_is_a_tls_error_and_not_sent(caller: HttpCaller) -> None:
    async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_endpoint(plain_http) as url:
        result = await _get(caller, url.replace("http://", "https://"))

    assert _code(result) == ("tls_error", "not_sent")


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "http://", {}),
        ("GET", "ftp://host/", {}),
        ("GET", "http://host:port/", {}),
        ("GET", "/relative", {}),
        ("GE T", "http://127.0.0.1:1/", {}),
        ("GET", "http://127.0.0.1:1/", {"X-A": "1\r\nX-B: 2"}),
        ("GET", "http://127.0.0.1:1/", {"X A": "1"}),
    ],
)
async def test_a_request_that_cannot_be_sent_is_a_failure_too(
    caller: HttpCaller, method: str, url: str, headers: dict[str, str]
) -> None:
    request = HttpRequest(method=method, url=url, headers=headers)

    result = await caller.call(request, deadline_s=5, max_response_bytes=CAP)

    assert _code(result) is not None
    assert result.failure is not None
    assert result.failure.sent == "not_sent"


async def test_cancelling_a_call_cancels_it_and_leaves_the_pool_usable(caller: HttpCaller, target: Target) -> None:
    calls = [asyncio.create_task(_get(caller, f"{target.url}/hang", deadline_s=60)) for _ in range(20)]
    await target.wait_for_calls(20)
    for call in calls:
        call.cancel()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert (await _get(caller, f"{target.url}/ok")).status == 200


async def test_stop_is_harmless_before_start_and_twice() -> None:
    caller = HttpCaller(user_agent="taskqueue/test")
    await caller.stop()
    await caller.start()
    await caller.stop()
    await caller.stop()
