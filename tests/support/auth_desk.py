"""An API that asks for tokens, on a real Redis, with clocks that a test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from taskqueue.api.app import create_app
from taskqueue.api.auth import Admin, Authenticator, Reader, Writer
from taskqueue.api.route import api_router
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import SECRET_CHARS, Scope, token_text
from taskqueue.store.tokens import NewSecret, TokenStore
from taskqueue.telemetry.api_events import TokenRefused
from tests.support.api_app import ApiBench, api_bench

ADDRESS = "192.0.2.1"

#: a token that nobody has made
UNKNOWN = token_text("a" * 10, "b" * SECRET_CHARS)
BOOTSTRAP_TOKEN = "correct.horse~battery+staple/0123=="


def doors() -> APIRouter:
    """Return endpoints that need one scope each, and say who came in."""
    router = api_router("monitoring")

    @router.get("/doors/read")
    async def read_door(caller: Reader) -> dict[str, str]:
        return {"caller": caller.token_id}

    @router.post("/doors/{door_id}")
    async def write_door(caller: Writer, door_id: str, body: dict[str, str] | None = None) -> dict[str, str]:
        return {"caller": caller.token_id, "door_id": door_id}

    @router.get("/doors/admin")
    async def admin_door(caller: Admin) -> dict[str, str]:
        return {"caller": caller.token_id}

    return router


@dataclass
class Clocks:
    """The clock of Redis and that of the host."""

    now: datetime = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)
    monotonic_s: float = 1000.0

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)
        self.monotonic_s += seconds


@dataclass
class AuthDesk:
    """Asks the API with a token, from an address."""

    bench: ApiBench
    tokens: TokenStore
    clocks: Clocks
    app: FastAPI
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def create(self, scope: Scope = Scope.READ, *, expires_at: datetime | None = None) -> NewSecret:
        """Make a token."""
        return await self.tokens.create(name="ci", scope=scope, now=self.clocks.now, expires_at=expires_at)

    async def get(self, token: str | None, path: str = "/doors/read", *, client: str = ADDRESS) -> httpx.Response:
        """Ask with `token`, from the address `client`."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.client(client).get(f"/api/v1{path}", headers=headers)

    def client(self, address: str = ADDRESS) -> httpx.AsyncClient:
        """Return the client at this address."""
        if address not in self.clients:
            transport = httpx.ASGITransport(self.app, client=(address, 50_000))
            self.clients[address] = httpx.AsyncClient(transport=transport, base_url="http://api")
        return self.clients[address]

    def refusals(self) -> list[str]:
        """Return why tokens were refused, for the log."""
        return [event.reason for event in self.bench.events if isinstance(event, TokenRefused)]


@asynccontextmanager
async def auth_desk(
    redis: RedisSettings, *routers: APIRouter, bootstrap_token: str = "", max_failures: int = 20, **api: object
) -> AsyncIterator[AuthDesk]:
    """Open such an API: with `doors()`, unless `routers` are given, and the section `api` of api.yaml."""
    clocks = Clocks()
    bench = api_bench(redis, api=api, now=lambda: clocks.now)
    tokens = TokenStore(bench.services.store, bench.services.scripts)
    authenticator = Authenticator(
        tokens,
        bootstrap_token=SecretStr(bootstrap_token),
        max_failures=max_failures,
        now=lambda: clocks.now,
        emit=bench.events.append,
        monotonic_s=lambda: clocks.monotonic_s,
    )
    bench.services = replace(bench.services, authenticator=authenticator)
    desk = AuthDesk(
        bench=bench, tokens=tokens, clocks=clocks, app=create_app(bench.services, routers=routers or (doors(),))
    )
    try:
        yield desk
    finally:
        for client in desk.clients.values():
            await client.aclose()
        await bench.services.store.close()


def said(answer: httpx.Response) -> tuple[int, str, str]:
    """Return what an answer says that refuses."""
    return answer.status_code, answer.json()["code"], answer.headers.get("www-authenticate", "")


def without_id(answer: httpx.Response) -> dict[str, object]:
    """Return the body of an answer but for the id of its request."""
    return {key: value for key, value in answer.json().items() if key != "request_id"}
