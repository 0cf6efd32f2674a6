"""One HTTP client under load, for `http_clients.py`: `CLIENT URL REQUESTS` as arguments, its cost as JSON on stdout.

`caller` is the worker's own, with all that it does around a call; `aiohttp` and `pyreqwest` are alone, and leave out
what the worker does without. Of these two, only the one that runs has to be installed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvloop
from peer_job import BODY_BYTES, JSON_HEADERS

_CONCURRENCY = 100

#: a share of the requests goes before the clock starts: connections are made and code is warm by then
_WARM_UP = 0.1

_BODY = b'{"text":"' + b"x" * (BODY_BYTES - 11) + b'"}'
_ANSWER = b'{"ok":true}'

Post = Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def caller(url: str) -> AsyncIterator[Post]:
    """The worker's own: deadline, size limit, errors told apart."""
    from taskqueue.worker.http_call import HttpCaller, HttpRequest  # noqa: PLC0415 - not in the peers' environment

    calls = HttpCaller(user_agent="benchmark")
    await calls.start()
    request = HttpRequest(method="POST", url=url, headers=JSON_HEADERS, body=_BODY)

    async def post() -> bytes:
        return (await calls.call(request, deadline_s=300, max_response_bytes=65_536)).body

    yield post
    await calls.stop()


@asynccontextmanager
async def aiohttp(url: str) -> AsyncIterator[Post]:
    """That of `aiohttp` without cookies, redirects, decompression or an environment, any number of connections."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector  # noqa: PLC0415 - may be missing

    async with ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=4),
        headers={"User-Agent": "benchmark", "Accept": "*/*", "Accept-Encoding": "identity"},
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=ClientTimeout(total=None, connect=10),
    ) as session:

        async def post() -> bytes:
            async with session.post(url, data=_BODY, headers=JSON_HEADERS, allow_redirects=False) as response:
                return await response.read()

        yield post


@asynccontextmanager
async def pyreqwest(url: str) -> AsyncIterator[Post]:
    """That of `pyreqwest` with the same left out; it is Rust's reqwest, and its sockets live in a thread of its own."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - may be missing

    builder = ClientBuilder().user_agent("benchmark").follow_redirects(False).no_proxy().http1_only()
    async with builder.default_headers({"Accept": "*/*", "Accept-Encoding": "identity"}).build() as client:

        async def post() -> bytes:
            response = await client.post(url).headers(JSON_HEADERS).body_bytes(_BODY).build().send()
            return bytes(await response.bytes())

        yield post


async def load(post: Post, requests: int) -> None:
    """Make so many requests, always _CONCURRENCY at a time. Raises SystemExit for a wrong answer."""
    left = iter(range(requests))

    async def one_after_the_other() -> None:
        for _ in left:
            if await post() != _ANSWER:
                raise SystemExit("the endpoint answered something else")

    await asyncio.gather(*(one_after_the_other() for _ in range(_CONCURRENCY)))


async def main(client: str, url: str, requests: int) -> dict[str, float]:
    """Return requests per second, and microseconds of processor time of this process for one of them."""
    async with {"caller": caller, "aiohttp": aiohttp, "pyreqwest": pyreqwest}[client](url) as post:
        await load(post, int(requests * _WARM_UP))
        began, cpu_began = time.perf_counter(), time.process_time()
        await load(post, requests)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return {"requests_per_s": requests / seconds, "cpu_us": cpu_s / requests * 1e6}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
