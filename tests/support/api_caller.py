"""Somebody who calls the API of this process, on a real Redis and at a time of the test's choosing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import httpx
from pydantic import SecretStr

from taskqueue.api.services import Services
from taskqueue.config.sections import RedisSettings
from taskqueue.core.instants import parse_rfc3339
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from tests.support.api_app import api_bench
from tests.support.api_requests import ApiRequests, Body

#: the template that the shipped api.yaml has
DEFAULT_TARGET = "http://localhost:9000/tasks/{task_name}"


@dataclass
class Clock:
    """A clock that stands still until it is set; at first where the published examples have it."""

    now: datetime = field(default_factory=lambda: datetime(2024, 1, 8, 10, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def set(self, text: str) -> None:
        """Let it be the instant that `text` names."""
        self.now = parse_rfc3339(text)

    def turn(self, by: timedelta) -> None:
        """Let it be so much later."""
        self.now += by


@dataclass
class ApiCaller(ApiRequests):
    """Requests below /api/v1. Each method checks the status of the answer and returns its body."""

    http: httpx.AsyncClient
    services: Services
    clock: Clock

    async def get(self, path: str, status: int = 200) -> Body:
        """GET it."""
        return cast(Body, (await self.ask("GET", path, status)).json())

    async def delete(self, path: str, status: int = 204) -> Body:
        """DELETE it; the body is empty where there is none."""
        response = await self.ask("DELETE", path, status)
        return cast(Body, response.json()) if response.content else {}

    async def create(self, **fields: object) -> str:
        """Make a task that is not due for weeks, with `fields`, and return its id."""
        body: Body = {"task_name": "report"} | fields
        if "task_type" not in fields:
            body |= {"task_type": "cron", "schedule_expression": "0 0 29 2 *"}
        return str((await self.post("/tasks", body, 201))["task_id"])

    async def task(self, task_id: str) -> Body:
        """Return a task."""
        return await self.get(f"/tasks/{task_id}")

    async def lose_answer(self, key: str) -> None:
        """Let the request with this Idempotency-Key be one whose answer Redis never got, and whose process is gone."""
        name = keys.api_idempotency("admin", key)
        await self.services.store.command("HDEL", name, "answer")
        await self.services.store.command("HSET", name, "held_until", "0")

    async def let_key_lapse(self, key: str) -> None:
        """Let 24 hours pass for this Idempotency-Key."""
        assert await self.services.store.command("DEL", keys.api_idempotency("admin", key)) == 1

    async def keys(self, pattern: str) -> list[str]:
        """Return the keys of Redis that `pattern` matches."""
        return [key.decode() for key in await self.services.store.command("KEYS", pattern)]


@asynccontextmanager
async def api_caller(
    redis: Redis, db: int, *, default_target: str = DEFAULT_TARGET, **section: object
) -> AsyncIterator[ApiCaller]:
    """Call an API with the section `api` of api.yaml as given."""
    settings = RedisSettings(addresses=(redis.address,), password=SecretStr(redis.password), db=db)
    clock = Clock()
    plenty = {"rate_burst": 100_000, "default_target": default_target}
    bench = api_bench(settings, api=plenty | section, now=clock)
    async with bench.client() as http:
        try:
            yield ApiCaller(http=http, services=bench.services, clock=clock)
        finally:
            await bench.services.store.close()


def pointers(problem: Body) -> list[str | None]:
    """Return which fields of the body a problem names."""
    return [each.get("pointer") for each in problem["errors"]]
