"""What an HTTP/1.1 client must get right about connections and the ends of answers (RFC 9112)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.worker import http_connection
from taskqueue.worker.http_call import CallResult, HttpCaller, HttpRequest
from taskqueue.worker.http_connection import Connection
from tests.support.raw_endpoint import Script, after_request, raw_endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def caller() -> AsyncIterator[HttpCaller]:
    caller = HttpCaller(user_agent="taskqueue/test")
    await caller.start()
    yield caller
    await caller.stop()


async def post(caller: HttpCaller, url: str, body: bytes = b"{}") -> CallResult:
    request = HttpRequest(method="POST", url=url, body=body)
    return await caller.call(request, deadline_s=5, max_response_bytes=1000)


async def all_closed(caller: HttpCaller) -> None:
    async with asyncio.timeout(5):
        while caller._pool is not None and caller._pool._open:  # noqa: ASYNC110 - a closed connection tells nobody
            await asyncio.sleep(0)


class Connections:
    """Counts connections and their requests; each request is answered with the next of `answers`, the last for ever."""

    def __init__(self, *answers: bytes, close_after: int = 0) -> None:
        self.opened = 0
        self.requests = 0
        self.closed = asyncio.Event()
        self._answers = answers
        self._close_after = close_after

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        served = 0
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                self.closed.set()
                return
            await reader.readexactly(2)
            writer.write(self._answers[min(self.requests, len(self._answers) - 1)])
            self.requests += 1
            served += 1
            if served == self._close_after:
                return


async def test_a_connection_serves_one_call_after_the_other(caller: HttpCaller) -> None:
    connections = Connections(OK)
    async with raw_endpoint(connections) as url:
        results = [await post(caller, url) for _ in range(5)]

    assert [result.body for result in results] == [b"ok"] * 5
    assert (connections.opened, connections.requests) == (1, 5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        OK + b"HTTP/1.1 500 Internal Server Error\r\nContent-",
    ],
    ids=["close", "HTTP/1.0", "more than was asked for", "half an answer more"],
)
async def test_a_connection_that_says_it_ends_or_says_too_much_is_not_used_again(
    caller: HttpCaller, answer: bytes
) -> None:
    connections = Connections(answer, OK)
    async with raw_endpoint(connections) as url:
        first, second = await post(caller, url), await post(caller, url)

    assert (first.body, second.body) == (b"ok", b"ok")
    assert connections.opened == 2


@pytest.mark.parametrize("head", [b"Connection: upgrade\r\nUpgrade: websocket\r\n", b""], ids=["upgrade", "bare"])
async def test_a_switch_of_protocols_is_an_answer_and_its_connection_is_not_used_again(
    caller: HttpCaller, head: bytes
) -> None:
    connections = Connections(b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\n", OK)
    async with raw_endpoint(connections) as url:
        first, second = await post(caller, url), await post(caller, url)

    assert (first.failure, first.status) == (None, 101)
    assert (second.body, connections.opened) == (b"ok", 2)


async def test_a_caller_that_goes_away_after_its_answer_leaves_the_connection_to_the_next(
    caller: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = Connections(OK)
    async with raw_endpoint(connections) as url:
        await post(caller, url)
        assert caller._pool is not None
        (idle,) = caller._pool._idle.values()
        (connection,) = idle
        put_back = connection._on_idle

        def put_back_and_go_away(connection: Connection) -> None:
            put_back(connection)
            late.cancel()

        monkeypatch.setattr(connection, "_on_idle", put_back_and_go_away)
        late = asyncio.create_task(post(caller, url))
        with pytest.raises(asyncio.CancelledError):
            await late
        monkeypatch.undo()
        result = await post(caller, url)

    assert (result.failure, result.body) == (None, b"ok")
    assert connections.opened == 1


async def test_what_comes_while_nobody_asks_ends_the_connection(caller: HttpCaller) -> None:
    said = asyncio.Event()

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(await reader.readuntil(b"\r\n\r\n")) and 2)
        writer.write(OK)
        if said.is_set():
            return
        await asyncio.sleep(0)
        said.set()
        await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await reader.read()

    async with raw_endpoint(talkative) as url:
        assert (await post(caller, url)).body == b"ok"
        await said.wait()
        await all_closed(caller)
        assert (await post(caller, url)).body == b"ok"


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(caller: HttpCaller) -> None:
    connections = Connections(OK, close_after=1)
    async with raw_endpoint(connections) as url:
        await post(caller, url)
        await all_closed(caller)
        second = await post(caller, url)

    assert (second.body, connections.opened) == (b"ok", 2)


async def test_an_idle_connection_is_closed_before_the_server_does(
    caller: HttpCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "_KEEP_ALIVE_S", 0.1)
    connections = Connections(OK)
    async with raw_endpoint(connections) as url:
        await post(caller, url)
        async with asyncio.timeout(5):
            await connections.closed.wait()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\n ok\r\n0\r\nTrailer: 1\r\n\r\n",
            b"ok ok",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b""),
    ],
    ids=[
        *("continue", "early hints", "chunked with trailers", "until the end", "until the end, encoded"),
        *("a trailer that would be a header", "no content", "not modified"),
    ],
)
async def test_an_answer_ends_where_its_head_says(caller: HttpCaller, answer: bytes, body: bytes) -> None:
    async with raw_endpoint(after_request(answer)) as url:
        result = await post(caller, url)

    assert (result.failure, result.body) == (None, body)
    assert "retry-after" not in result.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=[
        *("two lengths", "length and chunks", "no chunk", "chunks without an end", "status below 100"),
        *("status above 599", "negative length", "NUL in a header"),
    ],
)
async def test_an_answer_whose_end_is_unclear_is_a_protocol_error(caller: HttpCaller, answer: bytes) -> None:
    async with raw_endpoint(after_request(answer)) as url:
        result = await post(caller, url)

    assert result.failure is not None
    assert (result.failure.code, result.failure.sent) == ("protocol_error", "unknown")


@pytest.mark.parametrize(
    "endless", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"]
)
async def test_a_line_without_an_end_is_given_up(caller: HttpCaller, endless: bytes) -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(endless)
        try:
            while True:
                writer.write(b"a" * 4096)
                await writer.drain()
        finally:
            ended.set()

    async with raw_endpoint(script) as url:
        result = await post(caller, url)
        async with asyncio.timeout(5):
            await ended.wait()

    assert result.failure is not None
    assert result.failure.code == "protocol_error"


async def test_an_answer_before_the_end_of_the_request_is_one_and_its_connection_is_not_used_again(
    caller: HttpCaller,
) -> None:
    opened = 0
    answered = asyncio.Event()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await answered.wait()
        while await reader.read(1 << 20):
            pass

    async with raw_endpoint(impatient) as url:
        results = [await post(caller, url, bytes(16_000_000)) for _ in range(2)]
        answered.set()

    assert [result.status for result in results] == [413, 413]
    assert opened == 2


async def test_what_is_sent_is_one_request_with_the_length_of_its_body(caller: HttpCaller) -> None:
    seen: list[bytes] = []

    def listening() -> Script:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(3))
            writer.write(OK)

        return script

    async with raw_endpoint(listening()) as url:
        request = HttpRequest(method="PUT", url=f"{url}?a=1&b=%20", headers={"X-A": "é"}, body=b"123")
        await caller.call(request, deadline_s=5, max_response_bytes=1000)

    assert seen[0].decode().split("\r\n") == [
        "PUT /?a=1&b=%20 HTTP/1.1",
        f"Host: {url.removeprefix('http://')}",
        "User-Agent: taskqueue/test",
        "Accept: */*",
        "Accept-Encoding: identity",
        "X-A: é",
        "Content-Length: 3",
        "",
        "123",
    ]


async def test_a_header_of_the_request_stands_for_ours_however_it_is_written(caller: HttpCaller) -> None:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with raw_endpoint(script) as url:
        request = HttpRequest(method="GET", url=url, headers={"user-agent": "theirs", "ACCEPT": "text/plain"})
        await caller.call(request, deadline_s=5, max_response_bytes=1000)

    assert heads[0].lower().count(b"user-agent:") == heads[0].lower().count(b"accept:") == 1
    assert b"user-agent: theirs\r\n" in heads[0]


@pytest.mark.parametrize("greeting", [b"220 mail.test\r\n", b""], ids=["speaks first", "leaves at once"])
async def test_a_server_that_speaks_or_leaves_before_it_is_asked_is_told_at_once(
    caller: HttpCaller, greeting: bytes
) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with raw_endpoint(script) as url:
        for _ in range(50):
            result = await post(caller, url)
            assert result.failure is not None
            assert result.failure.code in {"connection_reset", "protocol_error"}
            assert result.duration_s < 2
