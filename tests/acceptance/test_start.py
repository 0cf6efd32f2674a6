"""Starting: with a wrong configuration, with a busy port, and before the services are there."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import STARTUP_S, Program
from tests.support.system import Place, System, new_users, trigger
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def networks(place: Place) -> AsyncIterator[tuple[TcpProxy, TcpProxy]]:
    """What lies before RabbitMQ and before Redis: at first, nothing answers there."""
    broker = urlsplit(place.amqp_url)
    redis_host, _, redis_port = place.redis_address.rpartition(":")
    async with AsyncExitStack() as stack:
        proxies = TcpProxy(broker.hostname or "", broker.port or 5672), TcpProxy(redis_host, int(redis_port))
        for proxy in proxies:
            proxy.refusing = True
            await stack.enter_async_context(proxy)
        yield proxies


@pytest.fixture
def distant_settings(place: Place, networks: tuple[TcpProxy, TcpProxy]) -> dict[str, dict[str, object]]:
    """Settings that lead through `networks`."""
    parts = urlsplit(place.amqp_url)
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{networks[0].port}").geturl()
    return {"queue": {"url": url}, "redis": {"addresses": [f"127.0.0.1:{networks[1].port}"]}}


async def test_processes_wait_for_services_that_are_not_there_yet(
    system: System, networks: tuple[TcpProxy, TcpProxy], distant_settings: dict[str, dict[str, object]]
) -> None:
    system.write_tasks(system.task("ok"))
    scheduler, worker = await system.scheduler(distant_settings), await system.worker(distant_settings)

    for process in (scheduler, worker):
        await process.wait_for("port_bound", within=STARTUP_S)
        for service in ("redis", "rabbitmq"):
            line = await process.wait_for("connection_lost", service=service)
            assert line["level"] == "warning"
        answers = [(await process.http.get(path)).status_code for path in ("/livez", "/readyz", "/health")]
        assert answers == [200, 503, 503]
    for network in networks:
        network.refusing = False
    for process in (scheduler, worker):
        await process.wait_ready()
        assert (await process.http.get("/health")).status_code == 200
    (user,) = new_users(1)
    await trigger(scheduler, "ok", [user])
    await worker.wait_for("job_settled", user_id=user, status="success")

    for process, connections in ((scheduler, 4), (worker, 2)):
        assert len(process.events("connection_lost", service="redis")) == 1
        assert len(process.events("connection_lost", service="rabbitmq")) == connections
        assert await process.terminate() == 0
    assert worker.errors == scheduler.errors == ""


async def test_a_worker_on_a_busy_port_works_and_listens_once_it_is_free(system: System) -> None:
    system.write_tasks(system.task("ok"))
    scheduler = await system.scheduler()
    await scheduler.wait_ready()
    (user,) = new_users(1)

    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        worker = await system.worker({"server": {"port": port}})
        line = await worker.wait_for("port_busy", within=STARTUP_S)
        await trigger(scheduler, "ok", [user])
        await worker.wait_for("job_settled", user_id=user, status="success")
        assert worker.events("port_bound") == []

    assert (line["level"], line["port"]) == ("warning", port)
    await worker.wait_for("port_bound", port=port)
    await worker.wait_ready()


@pytest.mark.parametrize("program", ["scheduler", "worker"])
async def test_a_key_that_does_not_exist_ends_the_process_with_its_place(system: System, program: Program) -> None:
    path = system.tasks_file.with_name(f"{program}.yaml")
    path.write_text("redis:\n  db: 0\n  databse: 1\n", encoding="utf-8")

    process = await system.processes.start_with(program, path, program)

    assert await process.ended(STARTUP_S) == 2
    assert f"{program}.yaml:3:3" in process.errors
    assert "databse" in process.errors
    assert "Traceback" not in process.errors
    assert process.lines == []


@pytest.mark.parametrize("program", ["scheduler", "worker"])
async def test_a_settings_file_that_is_missing_is_named(system: System, program: Program, tmp_path: Path) -> None:
    process = await system.processes.start_with(program, tmp_path / "nowhere.yaml", program)

    assert await process.ended(STARTUP_S) == 2
    assert "nowhere.yaml" in process.errors
    assert "Traceback" not in process.errors


async def test_a_first_tasks_file_that_is_broken_ends_the_scheduler_with_its_place(system: System) -> None:
    system.tasks_file.write_text("tasks:\n  - id: a b\n", encoding="utf-8")

    process = await system.scheduler()

    assert await process.ended(STARTUP_S) == 2
    assert "tasks.yaml:2:9" in process.errors
    assert "Traceback" not in process.errors


async def test_a_variable_that_names_no_setting_is_refused_without_its_value(system: System) -> None:
    process = await system.worker(environment={"TASKQUEUE_REDIS__PASWORD": "canary-secret"})

    assert await process.ended(STARTUP_S) == 2
    assert "TASKQUEUE_REDIS__PASWORD" in process.errors
    assert "canary-secret" not in process.errors


async def test_an_address_that_is_not_this_machines_is_named(system: System) -> None:
    process = await system.worker({"server": {"host": "no-such-host.invalid"}})

    assert await process.ended(STARTUP_S) == 2
    assert "no-such-host.invalid" in process.errors
    assert "Traceback" not in process.errors
