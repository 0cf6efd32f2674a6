"""A pass-through before the API that keeps what went through it, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.mirror import headers_of
from tests.support.raw_endpoint import raw_endpoint

#: headers that are about one connection, and those that we write ourselves
_OURS = frozenset(
    {"connection", "content-length", "host", "http2-settings", "keep-alive", "transfer-encoding", "upgrade"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its answer. `target` is path and query, without the prefix; header names are in lower case."""

    method: str
    target: str
    request_headers: dict[str, str] = field(repr=False)
    request_body: bytes
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Recorder:
    """`url` is what to call instead of the API: it has a path before those of the API, and a slash behind that."""

    url: str
    exchanges: list[Exchange]


@asynccontextmanager
async def recorder(api_url: str, prefix: str = "/behind/a%20proxy") -> AsyncIterator[Recorder]:
    """Pass on to the API at `api_url` what comes for paths below `prefix`."""
    exchanges: list[Exchange] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sent = headers_of(head)
        body = await reader.readexactly(int(sent.get("content-length", "0")))
        method, target, _ = head.split(" ", 2)
        passed = {name: value for name, value in sent.items() if name not in _OURS}
        assert target.startswith(prefix), target
        target = target.removeprefix(prefix)
        answer = await client.send(_request(method, api_url + target, passed, body))
        exchanges.append(
            Exchange(
                method=method,
                target=target,
                request_headers=sent,
                request_body=body,
                status=answer.status_code,
                headers=dict(answer.headers),
                body=answer.content,
            )
        )
        writer.write(_answer(answer))
        await writer.drain()

    async with httpx.AsyncClient(trust_env=False, timeout=30) as client, raw_endpoint(script) as url:
        yield Recorder(url=f"{url}{prefix}/", exchanges=exchanges)


def _request(method: str, url: str, headers: dict[str, str], body: bytes) -> httpx.Request:
    return httpx.Request(method, url, headers={"accept-encoding": "identity", **headers}, content=body or None)


def _answer(answer: httpx.Response) -> bytes:
    kept = {name: value for name, value in answer.headers.items() if name not in _OURS}
    length = {} if answer.status_code == 204 else {"content-length": str(len(answer.content))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**kept, **length, "connection": "close"}.items())
    return f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n{lines}\r\n".encode() + answer.content
