"""Tokens that were made to be found come up nowhere: not in a log, in Redis, in an answer or in a metric."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis as RedisClient

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import SECRET_CHARS, Scope, token_text
from taskqueue.dev.services import Redis
from taskqueue.runtime import utc_now
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import TokenStore
from tests.support.api_app import NOWHERE
from tests.support.canaries import everything_in
from tests.support.processes import Process, Processes

BOOTSTRAP_TOKEN = "canary-of-the-environment-0123456789"
BODY = {"task_name": "canary", "task_type": "cron", "schedule_expression": "0 0 * * *"}


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with Processes(tmp_path) as processes:
        yield processes


@asynccontextmanager
async def token_store(server: Redis, db: int) -> AsyncIterator[TokenStore]:
    password = SecretStr(server.password)
    settings = RedisSettings(addresses=(server.address,), password=password, db=db)
    store = RedisStore(settings, client_name="taskqueue-test")
    try:
        yield TokenStore(store, Scripts(store, asset_dir("lua")))
    finally:
        await store.close()


async def tokens_in(server: Redis, db: int) -> list[str]:
    """Return tokens of every fate: held, rotated away, expired, revoked, unknown, of a wrong secret, and the first."""
    now = utc_now()
    async with token_store(server, db) as tokens:
        made = [await tokens.create(name=f"canary {scope}", scope=scope, now=now) for scope in Scope]
        expired = await tokens.create(name="expired", scope=Scope.ADMIN, now=now, expires_at=now)
        revoked = await tokens.create(name="revoked", scope=Scope.ADMIN, now=now)
        await tokens.revoke(revoked.token.token_id, now)
        renewed = await tokens.rotate(made[0].token.token_id, now=now, overlap=timedelta(hours=1))
    unknown = token_text("canaryaaaa", "c" * SECRET_CHARS)
    wrong = token_text(made[0].token.token_id, "d" * SECRET_CHARS)
    return [*(each.text for each in (*made, expired, revoked, renewed)), unknown, wrong, BOOTSTRAP_TOKEN]


async def answers_to(process: Process, token: str) -> str:
    """Use `token` well and badly; return all answers."""
    headers = {"Authorization": f"Bearer {token}"}
    answers = [
        await process.http.get("/api/v1/tasks", headers=headers),
        await process.http.get("/api/v1/audit", headers=headers),
        await process.http.post("/api/v1/tasks", headers=headers, json=BODY),
        await process.http.post("/api/v1/tasks", headers=headers, content=b"{"),
        await process.http.post("/api/v1/tasks", headers=headers | {"Idempotency-Key": "canary"}, json=BODY),
        await process.http.get(f"/api/v1/tasks?access_token={token}"),
        await process.http.get("/api/v1/tasks", headers={"Authorization": token}),
        await process.http.get("/api/v1/tasks", headers={"Authorization": f"Basic {token}"}),
    ]
    if token.startswith("tq_"):
        # An answer to this may repeat it to whoever sent it; the log and Redis may not. Only what is spelt like a token
        # is known for one there, which the first token is not.
        await process.http.delete(f"/api/v1/tasks/{token}", headers=headers)
    return "".join(f"{answer.text}{answer.headers}" for answer in answers)


async def test_no_secret_of_a_token_comes_up_anywhere(processes: Processes, redis_server: Redis, redis_db: int) -> None:
    settings = {
        "redis": {"addresses": [redis_server.address], "db": redis_db, "password": redis_server.password},
        "queue": {"url": f"amqp://guest:guest@{NOWHERE}/"},
        "monitoring": {"log_format": "json", "log_level": "debug"},
        "server": {"host": "127.0.0.1", "port": 0},
        "api": {"max_failures": 10_000},
    }
    environment = {"TASKQUEUE_API__BOOTSTRAP_TOKEN": BOOTSTRAP_TOKEN}
    process = await processes.start("api", settings, environment)
    await process.wait_ready()
    tokens = await tokens_in(redis_server, redis_db)

    places = {f"answers to token {number}": await answers_to(process, text) for number, text in enumerate(tokens)}
    places["metrics"] = (await process.http.get("/metrics")).text
    host, _, port = redis_server.address.rpartition(":")
    async with RedisClient(host=host, port=int(port), db=redis_db, password=redis_server.password or None) as client:
        places |= {name: repr(value) for name, value in (await everything_in(client)).items()}
    assert await process.terminate() == 0
    places["log"] = str(process.lines) + process.errors

    secrets = [text.rpartition("_")[2][:SECRET_CHARS] for text in tokens]
    assert [
        (place, number) for place, said in places.items() for number, each in enumerate(secrets) if each in said
    ] == []
    # What was looked into was not empty.
    assert "token_refused" in places["log"]
    assert (
        "canary" in places["Redis taskqueue:api:audit"] + places[f"Redis taskqueue:api:token:{tokens[0].split('_')[1]}"]
    )
