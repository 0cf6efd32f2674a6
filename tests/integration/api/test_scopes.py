"""Every endpoint with every kind of token. The table follows from the routes: a new one is in it, or fails here."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.routing import BaseRoute

from taskqueue.api.auth import RequiresScope
from taskqueue.api.route import ApiRoute
from taskqueue.api.routes import ROUTERS
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import SECRET_CHARS, Scope, token_text
from taskqueue.dev.services import Redis
from tests.support.auth_desk import AuthDesk, auth_desk

#: what anybody may see
OPEN = {"/docs", "/openapi.json"}

#: beside these, what is got needs `read`, and what is done `write`
ADMINS_ONLY = {("GET", "/api/v1/audit")}

ENDPOINTS = [
    (method, route.path) for router in ROUTERS for route in router.routes for method in sorted(route.methods or ())
]


class Given(StrEnum):
    """What a request comes with."""

    NOTHING = "no token"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def needed(method: str, path: str) -> Scope:
    if (method, path) in ADMINS_ONLY:
        return Scope.ADMIN
    return Scope.READ if method == "GET" else Scope.WRITE


def refusal(given: Given, scope: Scope) -> int | None:
    """Return the status of the refusal; None for what is let in, whatever becomes of it then."""
    if given not in {Given.READ, Given.WRITE, Given.ADMIN}:
        return 401
    return None if Scope(given.value).allows(scope) else 403


@pytest.fixture
async def desk(redis_server: Redis, redis_db: int) -> AsyncIterator[AuthDesk]:
    password = SecretStr(redis_server.password)
    settings = RedisSettings(addresses=(redis_server.address,), password=password, db=redis_db)
    async with auth_desk(settings, *ROUTERS, max_failures=10_000) as desk:
        yield desk


async def tokens_of(desk: AuthDesk) -> dict[Given, str | None]:
    now = desk.clocks.now
    revoked = await desk.create(Scope.ADMIN)
    await desk.tokens.revoke(revoked.token.token_id, now)
    expired = await desk.create(Scope.ADMIN, expires_at=now - timedelta(seconds=1))
    held = {Given(scope.value): (await desk.create(scope)).text for scope in Scope}
    return {
        Given.NOTHING: None,
        Given.MALFORMED: "tq_nonsense",
        Given.UNKNOWN: token_text("a" * 10, "b" * SECRET_CHARS),
        Given.EXPIRED: expired.text,
        Given.REVOKED: revoked.text,
        **held,
    }


def path_of(template: str) -> str:
    """Return the path with an id in the place of each parameter; nothing has it."""
    names = [part for part in template.split("/") if part.startswith("{")]
    for name in names:
        template = template.replace(name, str(uuid.uuid4()))
    return template


@pytest.mark.parametrize(("method", "path"), ENDPOINTS, ids=[f"{method} {path}" for method, path in ENDPOINTS])
async def test_an_endpoint_lets_in_whom_it_should(desk: AuthDesk, method: str, path: str) -> None:
    expected, found = {}, {}
    for given, text in (await tokens_of(desk)).items():
        headers = {} if text is None else {"Authorization": f"Bearer {text}"}
        body: Any = None if method in {"GET", "DELETE"} else {}
        answer = await desk.client().request(method, path_of(path), headers=headers, json=body)
        expected[given] = refusal(given, needed(method, path))
        found[given] = answer.status_code if answer.status_code in {401, 403} else None
        assert answer.status_code != 500, answer.text
        if found[given] is not None:
            assert "www-authenticate" in answer.headers

    assert found == expected


def test_every_endpoint_says_which_scope_it_needs() -> None:
    said = {(method, path): _declared(method, path) for method, path in ENDPOINTS}

    assert said == {endpoint: [needed(*endpoint)] for endpoint in said}


async def test_what_needs_no_token_is_known(desk: AuthDesk) -> None:
    others = {getattr(route, "path", "") for route in _flat(desk.app.router.routes) if not isinstance(route, ApiRoute)}

    assert others == OPEN


def _declared(method: str, path: str) -> list[Scope]:
    return [
        dependency.call.scope
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, ApiRoute) and route.path == path and method in (route.methods or ())
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, RequiresScope)
    ]


def _flat(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from _flat(included.routes)
