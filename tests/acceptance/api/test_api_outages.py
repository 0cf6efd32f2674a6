"""Redis or RabbitMQ is away: requests are told so at once and nothing is half-written; afterwards all goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.services import RabbitMQ
from tests.support.api_system import ApiSystem, Client, api_system, in_seconds
from tests.support.inbox import eventually
from tests.support.own_redis import OwnRedis, own_redis_servers
from tests.support.system import Place, System
from tests.support.tcp_proxy import TcpProxy
from tests.support.virtual_hosts import VirtualHosts

pytestmark = pytest.mark.timeout(120)

LEASE = {"scheduler": {"lease_ttl": "3s"}}

#: an answer that something is away may take so long
TOLD_WITHIN_S = 5.0

A_TASK = {"task_name": "report", "task_type": "cron", "schedule_expression": "0 0 29 2 *"}
UNKNOWN = "00000000-0000-4000-8000-000000000000"

#: one request of each group of endpoints
REQUESTS = (
    ("POST", "/tasks", A_TASK),
    ("GET", "/tasks", None),
    ("GET", f"/tasks/{UNKNOWN}", None),
    ("PATCH", f"/tasks/{UNKNOWN}", {"priority": "low"}),
    ("DELETE", f"/tasks/{UNKNOWN}", None),
    ("POST", f"/tasks/{UNKNOWN}/pause", None),
    ("POST", f"/tasks/{UNKNOWN}/trigger", None),
    ("POST", "/tasks/bulk", {"tasks": [A_TASK]}),
    ("POST", f"/tasks/{UNKNOWN}/dependencies", {"depends_on_task_id": UNKNOWN}),
    ("GET", f"/tasks/{UNKNOWN}/executions", None),
    ("GET", f"/tasks/{UNKNOWN}/stats", None),
    ("GET", f"/executions/{UNKNOWN}", None),
    ("POST", f"/executions/{UNKNOWN}/cancel", None),
    ("GET", "/status", None),
    ("GET", "/workers", None),
)


@dataclass(slots=True, kw_only=True)
class Fragile:
    """A system whose Redis and whose way to RabbitMQ may be broken."""

    running: ApiSystem
    redis: LocalServer
    network: TcpProxy

    @property
    def api(self) -> Client:
        return self.running.client


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    with own_redis_servers() as own:
        yield own


@pytest.fixture(scope="module")
async def fragile(
    own_redis: OwnRedis, rabbitmq: RabbitMQ, _virtual_hosts: VirtualHosts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fragile]:
    server, address = own_redis.start()
    with _virtual_hosts.empty() as amqp_url:
        parts = urlsplit(amqp_url)
        async with TcpProxy(parts.hostname or "", parts.port or 5672) as network:
            through = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}").geturl()
            place = Place(amqp_url=through, redis_address=address, redis_db=0)
            async with (
                System(place, tmp_path_factory.mktemp("system")) as system,
                api_system(system, scheduler=LEASE) as running,
            ):
                yield Fragile(running=running, redis=server, network=network)


async def _stop(server: LocalServer) -> None:
    await asyncio.to_thread(server.stop)


async def _start(fragile: Fragile) -> None:
    await asyncio.to_thread(fragile.redis.start)
    for process in (fragile.running.process, fragile.running.scheduler, fragile.running.worker):
        await process.wait_ready()


def _is_told(answer: httpx.Response) -> None:
    assert answer.status_code == 503, f"{answer.request.url}: {answer.text}"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "127.0.0.1" not in answer.text


async def test_without_redis_every_request_is_told_when_to_try_again(fragile: Fragile) -> None:
    await _stop(fragile.redis)
    try:
        for method, path, body in REQUESTS:
            began = time.monotonic()
            answer = await fragile.api.http.request(method, f"/api/v1{path}", json=body)
            _is_told(answer)
            assert time.monotonic() - began < TOLD_WITHIN_S, path

        async def unready() -> bool:
            return (await fragile.api.http.get("/readyz")).status_code == 503

        await eventually(unready, 5)
        assert (await fragile.api.http.get("/livez")).status_code == 200
    finally:
        await _start(fragile)

    assert (await fragile.api.run_once(await fragile.api.create()))["status"] == "success"


async def test_a_redis_that_hangs_is_told_within_the_deadline_of_a_request(fragile: Fragile) -> None:
    server = (await fragile.running.system.redis.info("server"))["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await fragile.api.http.post("/api/v1/tasks", json=A_TASK)
        took_s = time.monotonic() - began
    finally:
        os.kill(server, signal.SIGCONT)
    await fragile.running.scheduler.wait_ready()

    _is_told(answer)
    assert took_s < 12


async def test_a_redis_that_stops_in_the_middle_leaves_each_task_whole_or_not_there(fragile: Fragile) -> None:
    api, made, told = fragile.api, list[str](), list[httpx.Response]()

    async def keep_creating(caller: int) -> None:
        body = {**A_TASK, "task_name": f"cut-{caller}", "priority": "high", "tags": {"cut": "yes"}}
        while not told:
            answer = await api.http.post("/api/v1/tasks", json=body)
            if answer.status_code == 201:
                made.append(answer.json()["task_id"])
            else:
                told.append(answer)

    callers = [asyncio.create_task(keep_creating(number)) for number in range(8)]
    while len(made) < 50:
        await asyncio.wait(callers, timeout=0.02)
    try:
        await _stop(fragile.redis)
        await asyncio.gather(*callers)
    finally:
        await _start(fragile)

    for answer in told:
        _is_told(answer)
    listed = await _ids(api, tag="cut:yes")
    assert set(made) <= listed
    # Whoever was told 503 may find the task there, but then as a whole.
    assert len(listed) <= len(made) + len(told)
    for task_id in listed:
        assert (await api.task(task_id))["status"] == "scheduled"
    assert listed <= await _ids(api, status="scheduled", priority="high")
    assert listed == {task_id for number in range(8) for task_id in await _ids(api, name=f"cut-{number}")}
    deleted = await api.post("/tasks/bulk-delete", {"task_ids": sorted(listed)})
    assert deleted["failed"] == 0


async def _ids(api: Client, **filters: str) -> set[str]:
    found, offset = set[str](), 0
    while True:
        page = await api.get("/tasks", limit=100, offset=offset, **filters)
        found |= {task["task_id"] for task in page["tasks"]}
        offset += 100
        if offset >= page["total"]:
            assert len(found) == page["total"]
            return found


async def test_a_task_that_was_due_during_an_outage_of_redis_runs_once_after_it(fragile: Fragile) -> None:
    api, target = fragile.api, fragile.running.target()
    task_id = await api.create(task_type="one_time", next_execution_time=in_seconds(2), **target)

    await _stop(fragile.redis)
    await asyncio.sleep(2.5)  # the instant passes while nobody can see it: that is what is tested
    await _start(fragile)

    await api.task_is(task_id, within=30, status="completed")
    assert fragile.running.target_calls(task_id) == 1


async def test_without_rabbitmq_tasks_are_taken_and_the_status_says_what_it_does_not_know(fragile: Fragile) -> None:
    api = fragile.api
    fragile.network.refusing = True
    await fragile.network.cut()
    try:
        task_id = await api.create(**fragile.running.target())
        execution_id = await api.trigger(task_id)

        async def degraded() -> bool:
            return bool((await api.get("/status"))["status"] != "healthy")

        await eventually(degraded, 10)
        status = await api.get("/status")
        assert set(status["queue"].values()) == {None}
        assert (await api.execution(execution_id))["status"] == "pending"
        assert (await api.http.get("/readyz")).status_code == 200
    finally:
        fragile.network.refusing = False

    assert (await api.execution_is(execution_id, within=45))["status"] == "success"
    assert fragile.running.target_calls(task_id) == 1

    async def healthy() -> bool:
        return bool((await api.get("/status"))["status"] == "healthy")

    await eventually(healthy, 30)
