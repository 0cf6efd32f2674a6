"""Around every request: its id, the headers that every answer has, HEAD, and an end to errors nobody expected."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskqueue.api.problems import ProblemError, problem_response
from taskqueue.telemetry.api_events import RequestAnswered, RequestFailed
from taskqueue.telemetry.events import Emit

REQUEST_ID = "X-Request-Id"

#: another system's id is taken over where it can do no harm in a log, a header or a key
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)

#: the label of requests for paths that nothing is at: the paths themselves would be endless
NO_ROUTE = "(none)"

#: asked every few seconds by machines: a line for each would hide all others
_PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})

#: answers are for whoever asked, and say themselves what they are
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def request_id_of(request: Request) -> str:
    """Return the id of `request`: the one it came with, else a new one."""
    return str(request.state.request_id)


def add_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Add `headers` to the answer of `request`, whatever that will be."""
    request.state.answer_headers.update(headers)


def route_of(scope: Scope) -> str:
    """Return the template of the path that `scope` is for, such as /api/v1/tasks/{task_id}; NO_ROUTE without one."""
    if "route" in scope:
        return str(scope["route"].path)
    # Starlette's own routes, which have no parameters here, leave no more behind.
    return str(scope["path"]) if "endpoint" in scope else NO_ROUTE


class RequestContext:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, *, emit: Emit) -> None:
        self._app = app
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "state": {**scope.get("state", {}), **_state_of(scope)}}
        answer = _Answer(send, scope["state"], head_only=scope["method"] == "HEAD")
        method = scope["method"]
        if method == "HEAD":
            # Whatever can be got can be asked for its headers.
            scope["method"] = "GET"
        began = time.monotonic()
        try:
            await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:
            # Cut at the end of a drain.
            self._tell(scope, method, answer.status or 500, time.monotonic() - began)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of a request: it must not take the process along
            await self._fail(error, scope, method, receive, answer)
        self._tell(scope, method, answer.status, time.monotonic() - began)

    def _tell(self, scope: Scope, method: str, status: int, duration_s: float) -> None:
        if scope["path"] in _PROBES:
            return
        self._emit(
            RequestAnswered(
                method=method,
                route=route_of(scope),
                status=status,
                duration_s=round(duration_s, 6),
                request_id=scope["state"]["request_id"],
                caller=getattr(scope["state"].get("caller"), "token_id", None),
            )
        )

    async def _fail(self, error: Exception, scope: Scope, method: str, receive: Receive, answer: _Answer) -> None:
        request_id = scope["state"]["request_id"]
        trace = "".join(traceback.format_exception(error))
        self._emit(
            RequestFailed(
                method=method, route=route_of(scope), request_id=request_id, error=type(error).__name__, exception=trace
            )
        )
        if answer.status:
            # Half an answer is out: only the end of the connection can say that it is not whole.
            raise error
        # The text of an unknown error may hold anything: it is for the log alone.
        detail = "a mistake in the API; its log has the details under this request_id"
        problem = ProblemError(status=500, code="internal_error", detail=detail)
        await problem_response(problem, request_id)(scope, receive, answer.send)


class _Answer:
    """What goes out; `status` is 0 until it begins."""

    def __init__(self, send: Send, state: Mapping[str, Any], *, head_only: bool) -> None:
        self._send = send
        self._state = state
        self._head_only = head_only
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers(message)}
        elif message["type"] == "http.response.body" and self._head_only:
            message = {**message, "body": b""}
        await self._send(message)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = MutableHeaders(raw=list(message.get("headers", ())))
        for name, value in _ALWAYS.items():
            headers.setdefault(name, value)
        headers.update({REQUEST_ID: self._state["request_id"], **self._state["answer_headers"]})
        return headers.raw


def _state_of(scope: Scope) -> MutableMapping[str, Any]:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return {"request_id": given if _SANE_ID.fullmatch(given) else uuid4().hex, "answer_headers": {}}
