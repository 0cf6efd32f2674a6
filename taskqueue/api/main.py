"""The API process, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from taskqueue import __version__
from taskqueue.api.app import create_app
from taskqueue.api.auth import Authenticator
from taskqueue.api.services import Services
from taskqueue.api.task_types import TaskTypes
from taskqueue.assets import asset_dir
from taskqueue.broker.connection import BrokerConnection
from taskqueue.broker.ready_depths import ReadyDepths
from taskqueue.config.settings import ApiSettings
from taskqueue.ops_server import Connections, OpsServer
from taskqueue.runtime import Now, Supervisor, utc_now
from taskqueue.store.connection import RedisStore
from taskqueue.store.health import StoreHealth
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import TokenStore
from taskqueue.telemetry.events import Emit, ProcessStarted
from taskqueue.telemetry.metrics import Metrics

#: Most rest between two requests, and longer than the 60 s after which proxies give a connection up: the other way
#: round, a proxy would send a request into one that has just been closed.
_CONNECTIONS = Connections(most=2000, keep_alive_s=75)

#: what is left of a drain after the last answer
_CLOSE_S = 2.0


def shutdown_timeout_s(settings: ApiSettings) -> float:
    """Return how long a drain may take: as long as a request that has just begun.

    Such a one has `request_deadline` to be let in, as long again to arrive, and as long again to be answered.
    """
    return 3 * settings.api.request_deadline.total_seconds() + _CLOSE_S


class Api:
    """One API process: start, quiet, stop. Any number may run behind one address; they share nothing but Redis."""

    def __init__(self, settings: ApiSettings, metrics: Metrics, emit: Emit, *, now: Now | None = None) -> None:
        instance, server = settings.api.instance_id, settings.server
        self._emit = emit
        self._started_at = utc_now()
        self._store = RedisStore(settings.redis, client_name=f"taskqueue-api-{instance}")
        self._store_health = StoreHealth(self._store, emit)
        self._broker = BrokerConnection(settings.queue.candidates, name=f"taskqueue api {instance}", emit=emit)
        self.services = self._build_services(settings, now or self._store_health.clock)
        self._server = OpsServer(
            host=server.host,
            port=server.port,
            ready=self.ready,
            metrics=metrics,
            emit=emit,
            routes=[Route("/health", self._get_health)],
            application=self._application,
            connections=_CONNECTIONS,
        )
        self._supervisor = Supervisor(emit)

    async def start(self) -> None:
        """Listen and begin to connect; until Redis answers, requests get 503."""
        self._supervisor.start("redis", self._store_health.run)
        await self._broker.start()
        await self._server.start()
        self._emit(ProcessStarted(process="api", version=__version__))

    async def quiet(self) -> None:
        """Turn readiness off, so that whoever spreads the requests goes elsewhere; they are still answered."""
        await self._server.quiet()

    async def stop(self, deadline: float) -> None:
        """Answer what has begun, then close everything."""
        await self._server.stop(deadline - _CLOSE_S / 2)
        await self._broker.stop(max(0.1, deadline - asyncio.get_running_loop().time()))
        await self._supervisor.stop()
        await self._store.close()

    @property
    def port(self) -> int | None:
        """The port that is listened on, None before that."""
        return self._server.port

    def ready(self) -> dict[str, bool]:
        """Return what /readyz checks. Without RabbitMQ all but the queue depths of the status can be answered."""
        return {"redis": self._store_health.reachable}

    def health(self, now: datetime) -> dict[str, object]:
        """Return the body of /health at `now`."""
        checks = {**self.ready(), "rabbitmq": self._broker.connected}
        return {
            "status": "healthy" if all(checks.values()) else "unhealthy",
            "version": __version__,
            "uptime": int((now - self._started_at).total_seconds()),
            "checks": checks,
        }

    async def _get_health(self, _request: Request) -> Response:
        health = self.health(utc_now())
        return JSONResponse(health, status_code=200 if health["status"] == "healthy" else 503)

    def _application(self, routes: Sequence[BaseRoute]) -> ASGIApp:
        return create_app(self.services, routes)

    def _build_services(self, settings: ApiSettings, now: Now) -> Services:
        scripts = Scripts(self._store, asset_dir("lua"))
        authenticator = Authenticator(
            TokenStore(self._store, scripts),
            bootstrap_token=settings.api.bootstrap_token,
            max_failures=settings.api.max_failures,
            now=now,
            emit=self._emit,
        )
        return Services(
            settings=settings,
            store=self._store,
            scripts=scripts,
            broker=self._broker,
            depths=ReadyDepths(self._broker),
            authenticator=authenticator,
            task_types=TaskTypes(self._store, scripts),
            now=now,
            emit=self._emit,
        )
