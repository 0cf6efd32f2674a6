"""The API as a process: start, readiness, drain, exit codes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from taskqueue.dev.services import RabbitMQ, Redis
from tests.support.api_app import NOWHERE
from tests.support.processes import STARTUP_S, Process, Processes

TOKEN = "integration-tests-0123456789abcdef"
ENVIRONMENT = {"TASKQUEUE_API__BOOTSTRAP_TOKEN": TOKEN}


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with Processes(tmp_path) as processes:
        yield processes


def settings(redis: Redis | None, db: int = 0, amqp_url: str = f"amqp://guest:guest@{NOWHERE}/") -> dict[str, object]:
    address, password = (redis.address, redis.password) if redis else (NOWHERE, "")
    return {
        "redis": {"addresses": [address], "db": db, "password": password},
        "queue": {"url": amqp_url},
        "monitoring": {"log_format": "json"},
        "server": {"host": "127.0.0.1", "port": 0},
    }


async def get(process: Process, path: str, token: str = TOKEN) -> httpx.Response:
    return await process.http.get(path, headers={"Authorization": f"Bearer {token}"})


async def test_it_serves_probes_metrics_and_the_reference_on_one_port(
    processes: Processes, redis_server: Redis, redis_db: int, rabbitmq: RabbitMQ
) -> None:
    process = await processes.start("api", settings(redis_server, redis_db, rabbitmq.amqp_url), ENVIRONMENT)
    await process.wait_ready()
    await process.wait_for("connection_restored", service="rabbitmq")

    health = await get(process, "/health")
    statuses = [(await get(process, path)).status_code for path in ("/livez", "/readyz", "/docs", "/openapi.json")]
    await get(process, "/api/v1/nothing")
    metrics = (await get(process, "/metrics")).text

    assert (health.status_code, health.json()["checks"]) == (200, {"redis": True, "rabbitmq": True})
    assert statuses == [200, 200, 200, 200]
    assert 'taskqueue_api_requests_total{method="GET",route="(none)",status="404"} 1.0' in metrics
    assert "nothing" not in metrics


async def test_without_redis_it_is_alive_not_ready_and_answers_503(processes: Processes) -> None:
    process = await processes.start("api", settings(None), ENVIRONMENT)
    await process.wait_for("port_bound", within=STARTUP_S)

    ready, alive = await get(process, "/readyz"), await get(process, "/livez")
    answer = await get(process, "/api/v1/tasks")

    assert (ready.status_code, alive.status_code, answer.status_code) == (503, 200, 503)
    assert (answer.headers["content-type"], answer.json()["code"]) == ("application/problem+json", "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await process.terminate() == 0


async def test_sigterm_lets_a_request_finish_that_has_begun(
    processes: Processes, redis_server: Redis, redis_db: int
) -> None:
    process = await processes.start("api", settings(redis_server, redis_db), ENVIRONMENT)
    await process.wait_ready()
    port = process.events("port_bound")[0]["port"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /api/v1/tasks HTTP/1.1", "Host: api", f"Authorization: Bearer {TOKEN}"
    body = "Content-Type: application/json", "Content-Length: 2", "", "{"
    writer.write("\r\n".join([*head, *body]).encode())
    await writer.drain()
    # Another request, answered: by now the first one has been taken up.
    await get(process, "/api/v1/tasks")

    process.send(signal.SIGTERM)
    await process.wait_for("process_draining")
    writer.write(b"}")
    async with asyncio.timeout(10):
        answer = await reader.read(65_536)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 422 ")
    assert await process.ended(15) == 0


async def test_a_wrong_setting_ends_it_with_2_and_the_place(processes: Processes, tmp_path: Path) -> None:
    path = tmp_path / "api.yaml"
    path.write_text("api:\n  max_page: 0\n", encoding="utf-8")

    process = await processes.start_with("api", path, "api")

    assert await process.ended(STARTUP_S) == 2
    assert "api.yaml:2:13" in process.errors
    assert "Traceback" not in process.errors


async def test_the_first_token_is_in_no_line_of_the_log(
    processes: Processes, redis_server: Redis, redis_db: int
) -> None:
    process = await processes.start("api", settings(redis_server, redis_db), ENVIRONMENT)
    await process.wait_ready()
    await get(process, "/api/v1/tasks")
    await process.wait_for("request_answered", route="/api/v1/tasks")

    assert TOKEN not in str(process.lines) + process.errors
