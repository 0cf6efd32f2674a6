"""A Redis that will not do what it should: told once, nothing lost, nothing twice, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.dev.services import RabbitMQ
from tests.support.inbox import eventually
from tests.support.own_redis import OwnRedis, own_redis_servers
from tests.support.processes import Process
from tests.support.system import Place, System, new_users, trigger
from tests.support.virtual_hosts import VirtualHosts

pytestmark = pytest.mark.timeout(120)

LEASE_S = 3.0
SETTINGS = {"scheduler": {"lead": "1s", "lease_ttl": f"{LEASE_S:g}s"}}

#: how long each outage lasts
OUTAGE_S = 3.0

PASSWORD = "canary-71c2"


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    with own_redis_servers() as own:
        yield own


@pytest.fixture(scope="module")
async def own_system(
    own_redis: OwnRedis, rabbitmq: RabbitMQ, _virtual_hosts: VirtualHosts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """A system whose Redis may be broken."""
    _, address = own_redis.start()
    with _virtual_hosts.empty() as amqp_url:
        place = Place(amqp_url=amqp_url, redis_address=address, redis_db=0)
        async with System(place, tmp_path_factory.mktemp("system")) as system:
            yield system


@pytest.fixture(scope="module")
async def running(own_system: System) -> tuple[Process, Process]:
    _write(own_system)
    return await own_system.scheduler_and_worker(scheduler=SETTINGS)


def _write(system: System, due: str = "", at: datetime | None = None) -> None:
    """Write tasks.yaml; with a task called `due` that is due at `at`."""
    tasks = [system.task("spread", distribution_window="4s")]
    if at is not None:
        interval = {"type": "daily", "at_time": at.strftime("%H:%M:%S")}
        tasks.append(system.task(due, interval=interval))
    system.write_tasks(*tasks)


def _in_seconds(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


async def _indexed(scheduler: Process, task_id: str, users: int) -> None:
    async def indexed() -> bool:
        response = await scheduler.http.get(f"/schedule/status/{task_id}")
        return response.status_code == 200 and bool(response.json()["enabled_users"] == users)

    await eventually(indexed)


async def _readyz(process: Process, status: int, within: float) -> None:
    async def answered() -> bool:
        return (await process.http.get("/readyz")).status_code == status

    await eventually(answered, within)


async def _no_memory(system: System) -> None:
    await system.redis.config_set("maxmemory", 1)


async def _enough_memory(system: System) -> None:
    await system.redis.config_set("maxmemory", 0)


async def _replica(system: System) -> None:
    await system.redis.execute_command("REPLICAOF", "127.0.0.1", "1")


async def _primary(system: System) -> None:
    await system.redis.execute_command("REPLICAOF", "NO", "ONE")


async def _too_few_replicas(system: System) -> None:
    await system.redis.config_set("min-replicas-to-write", 1)


async def _replicas_again(system: System) -> None:
    await system.redis.config_set("min-replicas-to-write", 0)


async def _no_scripts(system: System) -> None:
    await system.redis.execute_command("ACL", "SETUSER", "default", "-eval", "-evalsha")


async def _scripts_again(system: System) -> None:
    await system.redis.execute_command("ACL", "SETUSER", "default", "+@all")


Act = Callable[[System], Awaitable[None]]

#: what is done, how it is undone, and what of it the log says
OUTAGES: dict[str, tuple[Act, Act, str]] = {
    "out of memory": (_no_memory, _enough_memory, "maxmemory"),
    "read-only": (_replica, _primary, "replica"),
    "too few replicas": (_too_few_replicas, _replicas_again, "NOREPLICAS"),
    "without scripts": (_no_scripts, _scripts_again, "docs/redis.md"),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_a_redis_that_takes_no_writes_or_scripts_delays_and_loses_nothing(
    own_system: System, running: tuple[Process, Process], name: str
) -> None:
    (begin, end, word), (scheduler, worker) = OUTAGES[name], running
    users, marks = new_users(20), [len(process.lines) for process in running]
    task_id = f"due-{name.replace(' ', '-')}"
    await own_system.enable(task_id, *users)
    _write(own_system, task_id, _in_seconds(3600))
    await _indexed(scheduler, task_id, len(users))
    _write(own_system, task_id, _in_seconds(4))
    await scheduler.wait_for("occurrence_planned", task=task_id, users=len(users))
    await trigger(scheduler, "spread", users, immediately=False)
    await own_system.target.wait_for_calls(len(own_system.target.calls) + 3)
    await begin(own_system)
    await _readyz(scheduler, 503, OUTAGE_S)
    told = await scheduler.wait_for("connection_lost", after=marks[0], service="redis")
    await asyncio.sleep(OUTAGE_S - 1.5)  # the outage goes on: how long is what is tested
    await end(own_system)
    await _readyz(scheduler, 200, LEASE_S + 5)
    await _all_once(own_system, worker, {"spread": users, task_id: users})

    assert word in told["error"]
    assert len(scheduler.events("occurrence_planned", task=task_id)) == 1
    for process, mark in zip(running, marks, strict=True):
        _told_sparingly(process, mark)


def _told_sparingly(process: Process, mark: int) -> None:
    """Check that the outage filled no log: once as such, and once or twice for each loop that it stopped."""
    loud = Counter((line["event"], line.get("loop")) for line in process.lines[mark:] if line["level"] != "debug")
    assert loud["connection_lost", None] == 1
    failed = {key: count for key, count in loud.items() if key[0] == "loop_failed"}
    assert all(count <= 2 for count in failed.values()), failed


async def _all_once(system: System, worker: Process, expected: dict[str, list[str]]) -> None:
    """Wait until nothing is left to do, and check that these users were called once each since then."""

    async def over() -> bool:
        left = await system.redis.zcard("taskqueue:occurrences") + await system.redis.zcard("taskqueue:delayed")
        active = (await worker.http.get("/health")).json()["active_jobs"]
        return not left and not active and not any((await system.depths()).values())

    async def enough() -> bool:
        return all(len(_called(system, task_id, users)) >= len(users) for task_id, users in expected.items())

    await eventually(enough, within=25)
    await eventually(over, within=15)
    for task_id, users in expected.items():
        assert Counter(_called(system, task_id, users)) == Counter(users), task_id
    assert system.failed.messages == []


def _called(system: System, task_id: str, users: list[str]) -> list[str]:
    called = (call.headers["x-taskqueue-user"] for call in system.calls(task=task_id))
    return [user for user in called if user in set(users)]


async def test_a_redis_that_hangs_delays_and_loses_nothing(
    own_system: System, running: tuple[Process, Process]
) -> None:
    scheduler, worker = running
    users = new_users(20)
    server = (await own_system.redis.info("server"))["process_id"]

    await trigger(scheduler, "spread", users, immediately=False)
    await own_system.target.wait_for_calls(len(own_system.target.calls) + 3)
    os.kill(server, signal.SIGSTOP)
    try:
        await _readyz(scheduler, 503, 6)
    finally:
        os.kill(server, signal.SIGCONT)
    await _readyz(scheduler, 200, LEASE_S + 5)

    await _all_once(own_system, worker, {"spread": users})


async def test_a_redis_that_forgets_its_scripts_is_not_noticed(
    own_system: System, running: tuple[Process, Process]
) -> None:
    scheduler, worker = running
    users, mark = new_users(20), len(scheduler.lines)

    await trigger(scheduler, "spread", users, immediately=False)
    while len(_called(own_system, "spread", users)) < len(users):
        await own_system.redis.script_flush()
        await own_system.target.wait_for_calls(len(own_system.target.calls) + 1)

    await _all_once(own_system, worker, {"spread": users})
    assert [line for line in scheduler.lines[mark:] if line["level"] in {"warning", "error"}] == []


async def test_a_redis_that_was_emptied_is_worked_with_anew(
    own_system: System, running: tuple[Process, Process]
) -> None:
    scheduler, worker = running
    lost, users = new_users(20), new_users(5)
    own_system.failed.messages.clear()

    await trigger(scheduler, "spread", lost, immediately=False)
    await own_system.target.wait_for_calls(len(own_system.target.calls) + 3)
    mark = len(scheduler.lines)
    await own_system.redis.flushall()
    emptied_at = asyncio.get_running_loop().time()
    await scheduler.wait_for("leader_changed", after=mark, leading=True)
    took_s = asyncio.get_running_loop().time() - emptied_at

    assert took_s < LEASE_S + 5
    await own_system.enable("after", *users)
    _write(own_system, "after", _in_seconds(3600))
    await _indexed(scheduler, "after", len(users))
    _write(own_system, "after", _in_seconds(3))
    await _all_once(own_system, worker, {"after": users})
    assert max(Counter(_called(own_system, "spread", lost)).values()) == 1


async def test_a_wrong_password_is_told_once_without_it_and_mended_without_a_restart(
    own_redis: OwnRedis, own_system: System, running: tuple[Process, Process]
) -> None:
    _, address = own_redis.start()
    place = Place(amqp_url=own_system.place.amqp_url, redis_address=address, redis_db=0)
    admin = place.client()
    await admin.config_set("requirepass", "right")
    scheduler = await own_system.scheduler({**SETTINGS, "redis": {"addresses": [address], "password": PASSWORD}})

    told = await scheduler.wait_for("connection_lost", service="redis", within=60)
    await _readyz(scheduler, 503, 5)
    await admin.config_set("requirepass", PASSWORD)
    await admin.aclose()
    await scheduler.wait_ready()

    assert "redis.password" in told["error"]
    assert PASSWORD not in str(scheduler.lines) + scheduler.errors
    assert len(scheduler.events("connection_lost", service="redis")) == 1
    assert await scheduler.terminate() == 0
