"""The status of the system, told from who beats and what stands in Redis and RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest

from taskqueue.broker.ready_depths import ReadyDepths
from taskqueue.core.task import Priority
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.fleet import SILENT_AFTER, FleetKind, Presence
from tests.support.api_caller import ApiCaller, api_caller

ALL = {Priority.HIGH: 10, Priority.NORMAL: 100, Priority.LOW: 500}


class KnownDepths:
    """Stands for the RabbitMQ that another test asks."""

    def __init__(self) -> None:
        self.depths: dict[Priority, int] = dict(ALL)

    async def read(self) -> dict[Priority, int]:
        return self.depths


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


@pytest.fixture
def depths(caller: ApiCaller) -> KnownDepths:
    """What the queues hold."""
    known = KnownDepths()
    app = cast(Any, caller.http)._transport.app
    app.state.services = replace(caller.services, depths=cast(ReadyDepths, known))
    return known


async def beat(caller: ApiCaller, kind: FleetKind, process: str, **status: object) -> None:
    services = caller.services
    await Presence(services.store, services.scripts, kind, process, lambda: status).beat()


async def workers(caller: ApiCaller, *names: str, load: int = 0) -> None:
    for name in names:
        await beat(caller, FleetKind.WORKER, f"{name}:aa", worker_id=name, capacity=10, current_load=load)


async def schedulers(caller: ApiCaller, leader: str | None, *followers: str) -> None:
    for name in (*([leader] if leader else []), *followers):
        await beat(caller, FleetKind.SCHEDULER, f"{name}:aa", instance_id=name)
    if leader:
        await caller.services.store.command("SET", keys.LEASE, f"{leader}:0123456789abcdef")


async def falls_silent(caller: ApiCaller, kind: FleetKind, process: str) -> None:
    silence_ms = SILENT_AFTER.total_seconds() * 1000
    await caller.services.store.command("ZINCRBY", keys.fleet(kind), -silence_ms, process)


async def test_all_of_the_system_is_told_in_one_answer(caller: ApiCaller, depths: KnownDepths) -> None:
    await schedulers(caller, "scheduler-1", "scheduler-3", "scheduler-2")
    await workers(caller, "worker-1", "worker-2", load=7)
    await workers(caller, "worker-3", load=9)
    await falls_silent(caller, FleetKind.WORKER, "worker-3:aa")
    for _ in range(3):
        await caller.create()
    await caller.create(enabled=False)

    assert await caller.get("/status") == {
        "status": "healthy",
        "scheduler": {
            "leader": "scheduler-1",
            "followers": ["scheduler-2", "scheduler-3"],
            "tasks_scheduled": 3,
            "tasks_pending": 610,
        },
        "workers": {"total": 3, "active": 2, "inactive": 1, "total_capacity": 20, "current_load": 14},
        "queue": {"high_priority": 10, "medium_priority": 100, "low_priority": 500},
        "reasons": [],
    }


async def test_jobs_that_wait_in_redis_are_pending(caller: ApiCaller, depths: KnownDepths) -> None:
    depths.depths = dict.fromkeys(Priority, 0)
    task_id = await caller.create()
    for _ in range(2):
        await caller.post(f"/tasks/{task_id}/trigger", status=202)
    await caller.services.store.command("ZADD", keys.waiting("global"), 1, "a-job")
    await caller.services.store.command("SADD", keys.WAITING, "global")

    assert (await caller.get("/status"))["scheduler"]["tasks_pending"] == 3


async def test_without_rabbitmq_depths_are_unknown_and_all_else_is_told(caller: ApiCaller) -> None:
    await schedulers(caller, "scheduler-1")
    await workers(caller, "worker-1")

    status = await caller.get("/status")

    assert status["status"] == "degraded"
    assert status["queue"] == {"high_priority": None, "medium_priority": None, "low_priority": None}
    assert status["scheduler"]["tasks_pending"] is None
    assert (status["scheduler"]["leader"], status["workers"]["active"]) == ("scheduler-1", 1)
    assert status["reasons"] == ["the API cannot reach RabbitMQ; queue depths are not known"]


async def test_a_queue_that_is_missing_is_named(caller: ApiCaller, depths: KnownDepths) -> None:
    await schedulers(caller, "scheduler-1")
    await workers(caller, "worker-1")
    del depths.depths[Priority.LOW]

    status = await caller.get("/status")

    assert status["queue"] == {"high_priority": 10, "medium_priority": 100, "low_priority": None}
    assert status["status"] == "degraded"
    assert "low" in status["reasons"][0]


async def test_a_leader_that_crashed_is_told_at_once_when_it_is_silent(caller: ApiCaller, depths: KnownDepths) -> None:
    await schedulers(caller, "scheduler-1", "scheduler-2")
    await workers(caller, "worker-1")
    await falls_silent(caller, FleetKind.SCHEDULER, "scheduler-1:aa")

    status = await caller.get("/status")

    assert (status["status"], status["scheduler"]["leader"]) == ("degraded", None)
    assert status["scheduler"]["followers"] == ["scheduler-2"]


async def test_a_system_in_which_nothing_runs_is_unhealthy_and_says_why(caller: ApiCaller, depths: KnownDepths) -> None:
    status = await caller.get("/status")

    assert status["status"] == "unhealthy"
    assert status["scheduler"]["leader"] is None
    assert status["reasons"] == ["no scheduler is alive; start one", "no worker is active; start one"]


async def test_each_worker_is_shown_with_its_load_and_its_latest_heartbeat(caller: ApiCaller) -> None:
    await workers(caller, "worker-2", "worker-1", load=7)
    await falls_silent(caller, FleetKind.WORKER, "worker-2:aa")

    page = await caller.get("/workers")

    assert page["total"] == 2
    heartbeats = [worker.pop("last_heartbeat") for worker in page["workers"]]
    assert page["workers"] == [
        {"worker_id": "worker-1", "status": "active", "capacity": 10, "current_load": 7, "uptime_seconds": 0},
        {"worker_id": "worker-2", "status": "inactive", "capacity": 10, "current_load": 0, "uptime_seconds": 0},
    ]
    assert heartbeats[1] < heartbeats[0]


async def test_without_a_worker_the_list_is_empty(caller: ApiCaller) -> None:
    assert await caller.get("/workers") == {"workers": [], "total": 0}
