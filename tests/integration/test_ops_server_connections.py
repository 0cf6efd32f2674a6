"""What clients do with connections to the ops server keeps nobody else out."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskqueue import ops_server
from taskqueue.ops_server import OpsServer
from tests.support.ops_servers import an_ops_server


async def _raw(url_port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", url_port)
    try:
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
            received = b""
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(65_536):
                    received += chunk
            return received
    finally:
        writer.close()


async def _port(server: OpsServer) -> int:
    await server.start()
    return await server.wait_bound(5)


async def test_a_head_that_does_not_end_is_cut_at_its_limit() -> None:
    server = an_ops_server()
    try:
        answer = await _raw(await _port(server), b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ", *[b"a" * 8192] * 50)
    finally:
        await server.stop(asyncio.get_running_loop().time() + 2)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost", b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /"])
async def test_a_head_that_stops_coming_is_cut_in_time(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(ops_server, "_HEAD_TIMEOUT_S", 0.1)
    server = an_ops_server()
    try:
        answer = await _raw(await _port(server), begun)
    finally:
        await server.stop(asyncio.get_running_loop().time() + 2)

    assert b"HTTP/1.1 408 " in answer
    assert answer.count(b"HTTP/1.1 200 ") == begun.count(b"\r\n\r\n")


async def test_a_large_body_before_a_head_is_no_part_of_it() -> None:
    first = b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b" " * 100_000
    second = b"GET /livez HTTP/1.1\r\n", b"Host: a\r\nConnection: close\r\n\r\n"
    server = an_ops_server()
    try:
        answer = await _raw(await _port(server), first + second[0], second[1])
    finally:
        await server.stop(asyncio.get_running_loop().time() + 2)

    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"405", b"200"]


async def test_a_large_body_behind_its_head_is_no_large_head() -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n"
    server = an_ops_server()
    try:
        answer = await _raw(await _port(server), head + b" " * 200_000)
    finally:
        await server.stop(asyncio.get_running_loop().time() + 2)

    assert answer.startswith(b"HTTP/1.1 413 ")


UNFINISHED = b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"


@asynccontextmanager
async def _answered(
    server: OpsServer, request: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request, and go on once its answer has come, for at most four seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", await _port(server))
    try:
        async with asyncio.timeout(4):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            yield reader, writer
    finally:
        writer.close()
        await server.stop(asyncio.get_running_loop().time() + 2)


@pytest.mark.parametrize(
    ("request_", "trickle"),
    [(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"), (UNFINISHED, b"x")],
    ids=["empty lines", "a body"],
)
async def test_a_connection_in_which_no_request_comes_is_closed_whatever_comes(request_: bytes, trickle: bytes) -> None:
    async with _answered(an_ops_server(keep_alive_s=1), request_) as (reader, writer):
        while not reader.at_eof():
            writer.write(trickle)
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.1):
                    assert await reader.read() == b""


async def test_a_connection_whose_request_never_ends_is_closed_soon_after_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops_server, "BODY_TIMEOUT_S", 0.1)
    async with _answered(an_ops_server(keep_alive_s=60), UNFINISHED) as (reader, _):
        assert await reader.read() == b""


async def test_a_body_that_ends_after_its_answer_leaves_the_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_server, "BODY_TIMEOUT_S", 1)
    async with _answered(an_ops_server(keep_alive_s=60), UNFINISHED) as (reader, writer):
        writer.write(b"x" * 1000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await reader.read(1)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")

        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
