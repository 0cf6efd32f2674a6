"""The API without the process around it: endpoints of a test on the pipeline of all endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import httpx
from fastapi import APIRouter
from starlette.requests import Request

from taskqueue.api.app import create_app
from taskqueue.api.auth import Authenticator, Caller, Scope
from taskqueue.api.main import Api
from taskqueue.api.problems import unauthorized
from taskqueue.api.routes import ROUTERS
from taskqueue.api.services import Services
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import ApiSettings
from taskqueue.ops_server import OpsServer
from taskqueue.runtime import Now, utc_now
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.metrics import Metrics

#: nothing listens there: a service that is away
NOWHERE = "127.0.0.1:1"


class TrustingAuthenticator:
    """Takes the token for its own id, and lets everything be done with it; `admin` where none is sent.

    The token `nobody` is nobody's.
    """

    async def authenticate(self, request: Request) -> Caller:
        token_id = request.headers.get("authorization", "Bearer admin").removeprefix("Bearer ")
        if token_id == "nobody":
            raise unauthorized("no token")
        return Caller(token_id=token_id, scope=Scope.ADMIN)


@dataclass
class ApiBench:
    """An API of `routers` on a real Redis; `events` is what it told."""

    services: Services
    events: list[Event] = field(default_factory=list)

    def told(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @asynccontextmanager
    async def client(self, *routers: APIRouter) -> AsyncIterator[httpx.AsyncClient]:
        """Serve `routers` (the real ones when none is given) in this process, without a network between."""
        app = create_app(self.services, routers=routers or ROUTERS)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client

    @asynccontextmanager
    async def serving(self, *routers: APIRouter) -> AsyncIterator[str]:
        """Serve `routers` on a port; the value is the URL."""
        server = OpsServer(
            host="127.0.0.1",
            port=0,
            ready=dict,
            metrics=Metrics(version="1"),
            emit=self.events.append,
            application=lambda routes: create_app(self.services, routes, routers or ROUTERS),
        )
        await server.start()
        try:
            yield f"http://127.0.0.1:{await server.wait_bound(5)}"
        finally:
            await server.stop(asyncio.get_running_loop().time() + 2)


def api_bench(
    redis: RedisSettings | None = None,
    *,
    api: Mapping[str, object] | None = None,
    authenticator: Authenticator | None = None,
    now: Now = utc_now,
) -> ApiBench:
    """Return an API with the section `api` of api.yaml. `redis` None: one that is away."""
    settings = ApiSettings.model_validate(
        {
            "redis": redis or RedisSettings(addresses=(NOWHERE,)),
            "queue": {"url": f"amqp://guest:guest@{NOWHERE}/"},
            "api": dict(api or {}),
        }
    )
    events: list[Event] = []
    services = Api(settings, Metrics(version="1"), events.append, now=now).services
    trusting = cast(Authenticator, TrustingAuthenticator())
    services = replace(services, authenticator=authenticator or trusting)
    return ApiBench(services=services, events=events)
