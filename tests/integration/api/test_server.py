"""The API on a port: what only shows on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from taskqueue.api.auth import Reader, Writer
from taskqueue.api.route import api_router
from taskqueue.config.sections import RedisSettings
from taskqueue.dev.services import Redis
from tests.support.api_app import ApiBench, api_bench

router = api_router("tasks")


@router.post("/things", status_code=201)
async def make_thing(thing: dict[str, object], caller: Writer) -> dict[str, object]:
    return {"fields": len(thing)}


@router.get("/things/{thing_id}")
async def get_thing(thing_id: str, caller: Reader) -> dict[str, object]:
    return {"id": thing_id}


@pytest.fixture
def bench(redis_server: Redis, redis_db: int) -> ApiBench:
    redis = RedisSettings(addresses=(redis_server.address,), password=SecretStr(redis_server.password), db=redis_db)
    return api_bench(redis, api={"request_deadline": "1s", "max_body_bytes": 1024})


@pytest.fixture
async def url(bench: ApiBench) -> AsyncIterator[str]:
    async with bench.serving(router) as url:
        yield url
    await bench.services.store.close()


async def conversation(url: str, *parts: bytes, until: bytes | None = None) -> bytes:
    """Send `parts` over one connection and return what comes back, to its end or until `until` stands in it."""
    _, _, address = url.partition("://")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    received = b""
    try:
        async with asyncio.timeout(10):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while until is None or until not in received:
                chunk = await reader.read(65_536)
                if not chunk:
                    break
                received += chunk
    finally:
        writer.close()
    return received


def head(length: int | str, *more: str) -> bytes:
    lines = ["POST /api/v1/things HTTP/1.1", "Host: api", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


async def test_what_is_announced_as_too_large_is_refused_while_it_is_still_on_its_way(url: str) -> None:
    answer = await conversation(url, head(50_000_000), b"[")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer
    assert b"connection: close" in answer.lower()


async def test_an_endless_body_in_chunks_is_refused_at_the_limit(url: str) -> None:
    chunked = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")

    answer = await conversation(url, chunked, *[b"400\r\n" + b" " * 1024 + b"\r\n"] * 3)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_stops_coming_is_408(url: str) -> None:
    answer = await conversation(url, head(100), b'{"a":', until=b"body_timeout")

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_caller_who_leaves_within_the_body_breaks_nothing(url: str, bench: ApiBench) -> None:
    _, _, address = url.partition("://")
    host, _, port = address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head(100) + b'{"a":')
    await writer.drain()
    writer.close()

    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/api/v1/things/a")).status_code == 200


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /api/v1/things/a HTTP/1.1\r\nHost: api\r\nX-Request-Id: a\r\n b\r\n\r\n",
        b"GET /api/v1/things/a\r\n b HTTP/1.1\r\nHost: api\r\n\r\n",
        b"GET /api/v1/things/\x00 HTTP/1.1\r\nHost: api\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"POST /api/v1/things HTTP/1.1\r\nHost: api\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/things HTTP/1.1\r\nHost: api\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_400_and_reaches_no_endpoint(url: str, request_head: bytes) -> None:
    answer = await conversation(url, request_head)

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("thing_id", ["%0d%0aSet-Cookie:%20a=b", "..%2f..%2fetc", "%00", "%ff", "a%20b", "%e2%80%ae"])
async def test_an_id_with_anything_in_it_is_just_an_id(url: str, thing_id: str) -> None:
    answer = await conversation(
        url, f"GET /api/v1/things/{thing_id} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.split(b" ", 2)[1] in {b"200", b"404"}
    assert b"set-cookie" not in answer.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "\u00e4", "", "a/b", "http://x"])
async def test_a_host_that_is_none_breaks_nothing(url: str, host: str) -> None:
    lines = f"Host: {host}", "Idempotency-Key: k", "Content-Length: 2", "Connection: close"
    posted = await conversation(
        url,
        "\r\n".join(["POST /api/v1/things HTTP/1.1", "Content-Type: application/json", *lines, "", "{}"]).encode(
            "latin-1"
        ),
    )
    put = await conversation(
        url, f"PUT /api/v1/things HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    )

    assert [answer.split(b" ", 2)[1] for answer in (posted, put)] == [b"201", b"405"]


async def test_a_connection_serves_many_requests(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        answers = [await client.post("/api/v1/things", json={"a": number}) for number in range(20)]

    assert {answer.status_code for answer in answers} == {201}


async def test_head_ends_with_its_head(url: str) -> None:
    twice = b"HEAD /api/v1/things/a HTTP/1.1\r\nHost: api\r\n\r\n" * 2 + (
        b"GET /api/v1/things/b HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"
    )

    answer = await conversation(url, twice)

    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b'{"id":') == 1
