"""What every endpoint under /api/v1 has in common, in this order: who calls, how often, whether they may, what they
send, once or again.

`api_router()` makes the router of a module; an endpoint of it is plain FastAPI, with `caller: Reader` (or Writer, or
Admin) among its parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from taskqueue.api.auth import RequiresScope, Scope, check_scope
from taskqueue.api.body import read_request
from taskqueue.api.idempotency import answer_once
from taskqueue.api.problems import MEDIA_TYPE, USUAL_PROBLEMS, unavailable
from taskqueue.api.quota import count_request
from taskqueue.api.services import services_of

PREFIX = "/api/v1"

Endpoint = Callable[[Request], Awaitable[Response]]


def problem_responses(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """Return `responses` for an endpoint that answers with further problems: `problem_responses(_409="…")`."""
    return {int(status.removeprefix("_")): problem_content(text) for status, text in descriptions.items()}


def problem_content(description: str) -> dict[str, Any]:
    """Return what the OpenAPI document says of an answer that is a problem."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


class ApiRoute(APIRoute):
    """An endpoint behind authentication. Raises TypeError at definition when it does not say which scope it needs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request: FastAPI's own handler, after the steps that come before it."""
        endpoint = super().get_route_handler()
        needed = self._needed_scope()
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            services = services_of(request)
            limits = services.settings.api
            async with _deadline(limits.request_deadline):
                caller = await services.authenticator.authenticate(request)
                # Also of a request that is refused below: it is on record who tried.
                request.state.caller = caller
                await count_request(request, caller, services)
            # After the count: whoever may not do this has a quota of refusals as well.
            check_scope(caller, needed)
            # The sender's time is not ours: a body has a deadline of its own.
            arrived = await read_request(request, limits) if takes_body else request
            async with _deadline(limits.request_deadline):
                return await answer_once(arrived, caller, services, endpoint)

        return handle

    def _needed_scope(self) -> Scope:
        for dependency in self.dependant.dependencies:
            if isinstance(dependency.call, RequiresScope):
                return dependency.call.scope
        raise TypeError(f"{self.path}: the endpoint has no parameter of type Reader, Writer or Admin")


def api_router(tag: str) -> APIRouter:
    """Return a router for endpoints under /api/v1, shown under `tag` in the OpenAPI document."""
    responses: dict[int | str, dict[str, Any]] = {
        status: problem_content(description) for status, description in USUAL_PROBLEMS.items()
    }
    return APIRouter(prefix=PREFIX, route_class=ApiRoute, tags=[tag], responses=responses, redirect_slashes=False)


@asynccontextmanager
async def _deadline(longest: timedelta) -> AsyncIterator[None]:
    seconds = longest.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise unavailable(
            f"no answer within {seconds:g} s; whether it was done is unknown: look, or send it again with the same "
            "Idempotency-Key",
            code="deadline_exceeded",
        ) from None
