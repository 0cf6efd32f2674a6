"""The HTTP port of a process: liveness, readiness, metrics and the routes or the application that it adds.

uvicorn runs inside the process's own loop. Four of its habits are switched off: it takes over SIGTERM and sends it
again at its end, it ends the process when the port is busy, it installs its own log handlers, and it reads heads of any
size for any time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taskqueue.errors import BrokerUnavailableError, ConfigError, InvalidValueError, StoreError
from taskqueue.request_body import BODY_TIMEOUT_S
from taskqueue.runtime import Supervisor
from taskqueue.telemetry.events import Emit, PortBound, PortBusy
from taskqueue.telemetry.metrics import Metrics

#: a busy port is tried again this often: mostly a predecessor that is still draining
BUSY_RETRY_S = 3.0

#: the largest head of a request: more than any client sends, less than what would hurt
_MAX_HEAD_BYTES = 65_536

#: the longest that a head may take, or a new connection may stay silent
_HEAD_TIMEOUT_S = 10.0

_MAY_BE_FREE_LATER = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})


# --- answers ----------------------------------------------------------------------------------------------------------


def problem(status: int, title: str | None = None, detail: str = "", **members: object) -> JSONResponse:
    """Return an `application/problem+json` response (RFC 9457) with `members` beside the standard ones."""
    content: dict[str, object] = {"type": "about:blank", "title": title or HTTPStatus(status).phrase, "status": status}
    if detail:
        content["detail"] = detail
    return JSONResponse(content | members, status_code=status, media_type="application/problem+json")


# --- application ------------------------------------------------------------------------------------------------------


def _application(routes: Sequence[BaseRoute]) -> Starlette:
    return Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _on_http_error,
            InvalidValueError: _on_invalid_value,
            BrokerUnavailableError: _on_unavailable,
            StoreError: _on_unavailable,
            Exception: _on_unexpected_error,
        },
    )


async def _on_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    response = problem(error.status_code, detail=error.detail)
    response.headers.update(error.headers or {})
    return response


async def _on_invalid_value(_request: Request, error: Exception) -> Response:
    return problem(422, detail=str(error))


async def _on_unavailable(_request: Request, error: Exception) -> Response:
    response = problem(503, detail=str(error))
    response.headers["Retry-After"] = "5"
    return response


async def _on_unexpected_error(_request: Request, _error: Exception) -> Response:
    # The text of an unknown error may hold anything; uvicorn logs it with its traceback.
    return problem(500, detail="unexpected error; the log of this process has the details")


# --- server -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How many may be open, and how long one may rest; above `most` uvicorn itself answers 503, in plain text.

    The defaults are for probes, scrapers and an operator: more is an accident or an attack, and none shall pile up.
    """

    most: int = 200
    keep_alive_s: int = 5


class _BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, with an end to the head of a request, and to the rest between two, whatever comes in it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own has it
        super().connection_made(transport)
        self._head_bytes = 0
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        timer, rest = self._head_timer, self.timeout_keep_alive_task
        super().data_received(data)
        if self._in_head:
            # Where a head begins within `data`, the body before it is no part of it.
            self._head_bytes = self._head_bytes + len(data) if timer is self._head_timer else 0
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is larger than {_MAX_HEAD_BYTES} bytes")
        elif rest is not None and self.timeout_keep_alive_task is None and self.cycle.response_complete:
            # What has come is no request, and worth no second more.
            self._close_at(rest.when())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._head_timer.cancel()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._head_timer.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete:  # before the end of the body, so that the rest begins only now
            self._close_at(self.loop.time() + self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and self.cycle.more_body:
            self._close_at(self.loop.time() + min(BODY_TIMEOUT_S, self.timeout_keep_alive))

    def _close_at(self, instant: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(instant, self.timeout_keep_alive_handler)

    def _await_head(self) -> None:
        self._in_head = True
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self._on_slow_head)

    def _on_slow_head(self) -> None:
        self._refuse(408, f"the head of the request took longer than {_HEAD_TIMEOUT_S:g} s")

    def _refuse(self, status: int, detail: str) -> None:
        if self.transport.is_closing():
            return
        body = bytes(problem(status, detail=detail).body)
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


class _EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the process has its own handlers, and being re-raised a signal would count twice."""
        yield


class OpsServer:
    """Serves /livez, /readyz, /metrics and `routes` on `host`:`port` (0: any free port) until stopped; a Service.

    `ready` names each check and whether it holds now. /readyz is 200 when all do and `quiet` was not called, else 503.
    /livez is 200 as long as the event loop turns. A busy port is tried again every BUSY_RETRY_S, for as long as it
    takes, with a PortBusy event each time: the process does its work meanwhile.

    `application` makes what answers out of all routes; the default has nothing else.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ready: Callable[[], Mapping[str, bool]],
        metrics: Metrics,
        emit: Emit,
        routes: Sequence[BaseRoute] = (),
        application: Callable[[Sequence[BaseRoute]], ASGIApp] | None = None,
        connections: Connections | None = None,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._ready = ready
        self._metrics = metrics
        self._emit = emit
        self._quiet = False
        self._bound: asyncio.Future[int] | None = None
        self._listener: socket.socket | None = None
        self._drain_s = 0.0
        self._supervisor = Supervisor(emit)
        own = [Route("/livez", self._livez), Route("/readyz", self._readyz), Route("/metrics", self._metrics_page)]
        self._app = (application or _application)([*own, *routes])
        self._connections = connections or Connections()

    @property
    def port(self) -> int | None:
        """The port that is listened on, None while there is none."""
        return self._bound.result() if self._bound is not None and self._bound.done() else None

    async def start(self) -> None:
        """Listen as soon as the port is free. Raises ConfigError when `host` and `port` can never be listened on."""
        if self._bound is None:
            self._bound = asyncio.get_running_loop().create_future()
            self._listener = await self._try_listen()
            self._supervisor.start("ops_server", self._serve)

    async def wait_bound(self, timeout_s: float) -> int:
        """Return the port once it is listened on. Call it after `start`. Raises TimeoutError."""
        if self._bound is None:
            raise RuntimeError("wait_bound before start")
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(self._bound)

    async def quiet(self) -> None:
        """Turn readiness off; everything else goes on answering."""
        self._quiet = True

    async def stop(self, deadline: float) -> None:
        """Close the port; running answers may end until `deadline` (an instant of `loop.time()`), at least for 1 s."""
        self._quiet = True
        self._drain_s = max(0.0, deadline - asyncio.get_running_loop().time())
        await self._supervisor.stop()
        self._bound = None
        if self._listener is not None:
            # Stopped before the loop took it over.
            self._listener.close()
            self._listener = None

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._app,
            http=_BoundedHeads,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=self._connections.keep_alive_s,
            limit_concurrency=self._connections.most,
        )
        server = _EmbeddedServer(config)
        listener = await self._listen()
        try:
            await server.serve(sockets=[listener])
        except asyncio.CancelledError:
            # Cancelled, uvicorn leaves its connections open; its own shutdown lets the running answers finish.
            config.timeout_graceful_shutdown = max(1, int(self._drain_s))  # 0 would cut, and complain, without a look
            if server.started:
                await server.shutdown(sockets=[listener])
            raise
        finally:
            listener.close()

    async def _listen(self) -> socket.socket:
        listener, self._listener = self._listener, None
        while listener is None:
            await asyncio.sleep(BUSY_RETRY_S)
            listener = await self._try_listen()
        port: int = listener.getsockname()[1]
        if self._bound is not None and not self._bound.done():
            self._bound.set_result(port)
        self._emit(PortBound(host=self._host, port=port))
        return listener

    async def _try_listen(self) -> socket.socket | None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                self._host or None, self._wanted_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _type, _protocol, _name, address = found[0]
            return socket.create_server(address[:2], family=family, backlog=128)
        except OSError as error:
            if error.errno not in _MAY_BE_FREE_LATER:
                raise ConfigError(f"server: cannot listen on {self._host}:{self._wanted_port}: {error}") from None
            reason = os.strerror(error.errno)
            self._emit(PortBusy(host=self._host, port=self._wanted_port, error=reason, retry_in_s=BUSY_RETRY_S))
            return None

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, _request: Request) -> Response:
        checks = {**self._ready(), "accepting_work": not self._quiet}
        ready = all(checks.values())
        content = {"status": "ready" if ready else "not ready", "checks": checks}
        return JSONResponse(content, status_code=200 if ready else 503)

    async def _metrics_page(self, _request: Request) -> Response:
        content_type, body = self._metrics.render()
        return Response(body, headers={"Content-Type": content_type})
