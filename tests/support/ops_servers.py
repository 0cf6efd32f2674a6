"""Ops servers with a few routes of every kind, and clients of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taskqueue.errors import InvalidValueError, StoreUnavailableError
from taskqueue.ops_server import Connections, OpsServer
from taskqueue.request_body import read_json_object
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.metrics import Metrics


async def _echo(request: Request) -> Response:
    return JSONResponse(await read_json_object(request, max_bytes=1000, max_depth=4))


async def _invalid(_request: Request) -> Response:
    raise InvalidValueError("task id 'a b': use 1 to 64 of A-Z a-z 0-9 . _ -")


async def _unavailable(_request: Request) -> Response:
    raise StoreUnavailableError("Redis at 10.0.0.1:6379 does not answer")


async def _bug(_request: Request) -> Response:
    raise KeyError("canary")


ROUTES = [
    Route("/echo", _echo, methods=["POST"]),
    Route("/invalid", _invalid),
    Route("/unavailable", _unavailable),
    Route("/bug", _bug),
]


def an_ops_server(
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    ready: Callable[[], Mapping[str, bool]] = dict,
    emit: Callable[[Event], None] = lambda _event: None,
    routes: list[Route] = ROUTES,
    keep_alive_s: int = 5,
) -> OpsServer:
    """Return a server that does not run yet."""
    return OpsServer(
        host=host,
        port=port,
        ready=ready,
        metrics=Metrics(version="1"),
        emit=emit,
        routes=routes,
        connections=Connections(keep_alive_s=keep_alive_s),
    )


@asynccontextmanager
async def serving(server: OpsServer) -> AsyncIterator[httpx.AsyncClient]:
    """Let `server` run for the block; return a client of it."""
    await server.start()
    try:
        port = await server.wait_bound(5)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        await server.stop(asyncio.get_running_loop().time() + 2)
