"""The status tells the truth within ten seconds of a crash."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.support.api_system import ApiSystem, Client, api_system
from tests.support.inbox import eventually
from tests.support.system import System

pytestmark = pytest.mark.timeout(120)

#: of a crash
TOLD_WITHIN_S = 10.0


@pytest.fixture
async def running(system: System) -> AsyncIterator[ApiSystem]:
    """A system of this test's own, to break."""
    async with api_system(system, scheduler={"scheduler": {"lease_ttl": "5s"}}) as running:
        yield running


async def told(api: Client, path: str, holds: Callable[[Any], bool]) -> float:
    """Wait until the answer is so, and return how many seconds that took."""
    began = time.monotonic()

    async def so() -> bool:
        return holds(await api.get(path))

    await eventually(so, 30)
    return time.monotonic() - began


async def started(start: Callable[[], Awaitable[Any]]) -> Any:
    process = await start()
    await process.wait_ready()
    return process


async def test_a_worker_that_crashes_is_inactive_one_that_stops_is_gone_and_then_the_queues_fill(
    running: ApiSystem, api: Client
) -> None:
    settings = {**running.worker_settings(), "worker": {"instance_id": "worker-2", "pool_size": 3}}
    second = await started(lambda: running.system.worker(settings))
    await told(api, "/workers", lambda page: page["total"] == 2)
    both = (await api.get("/status"))["workers"]

    await running.worker.kill()
    took_s = await told(api, "/status", lambda status: status["workers"]["inactive"] == 1)

    assert both == {"total": 2, "active": 2, "inactive": 0, "total_capacity": 13, "current_load": 0}
    assert took_s < TOLD_WITHIN_S
    found = {worker["worker_id"]: worker["status"] for worker in (await api.get("/workers"))["workers"]}
    assert found == {"worker-1": "inactive", "worker-2": "active"}
    assert (await api.get("/status"))["status"] == "healthy"

    assert await second.terminate() == 0
    status = await api.get("/status")
    assert (status["workers"]["total"], status["workers"]["active"]) == (1, 0)
    assert status["status"] == "unhealthy"

    for priority, count in (("high", 1), ("medium", 2), ("low", 3)):
        task_id = await api.create(priority=priority, **running.target())
        for _ in range(count):
            await api.trigger(task_id)
    depths = {"high_priority": 1, "medium_priority": 2, "low_priority": 3}
    await told(api, "/status", lambda status: status["queue"] == depths)


async def test_a_leader_that_crashes_is_not_named_any_more_its_successor_is_and_who_stops_is_gone_at_once(
    running: ApiSystem, api: Client
) -> None:
    named = {"scheduler": {"instance_id": "scheduler-2", "lease_ttl": "5s"}}
    second = await started(lambda: running.system.scheduler(named))
    await told(api, "/status", lambda status: status["scheduler"]["followers"] == ["scheduler-2"])
    assert (await api.get("/status"))["scheduler"]["leader"] == "scheduler-1"

    await running.scheduler.kill()
    took_s = await told(
        api,
        "/status",
        lambda status: (status["scheduler"]["leader"], status["scheduler"]["followers"]) == ("scheduler-2", []),
    )
    assert took_s < TOLD_WITHIN_S

    assert await second.terminate() == 0
    status = await api.get("/status")
    assert (status["scheduler"]["leader"], status["scheduler"]["followers"]) == (None, [])
    assert status["reasons"] == ["no scheduler is alive; start one"]
