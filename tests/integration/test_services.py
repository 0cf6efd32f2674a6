"""taskqueue/dev/services.py on the machine it runs on: what it starts works, restarts, and does not stay behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
import redis

from taskqueue.dev import services
from taskqueue.dev.probe import amqp_answers, await_answer, redis_answers
from taskqueue.dev.redis_local import find_redis_server
from taskqueue.dev.services import RabbitMQ, Redis, rabbitmq_service, redis_service
from taskqueue.errors import ServiceError

pytestmark = pytest.mark.timeout(300)  # some start RabbitMQ

#: a program that starts Redis, says where, and waits for its end
_HOLDER = """
import os, signal
from taskqueue.dev.services import redis_service
with redis_service(os.environ, lambda line: None, install=False) as redis:
    print(redis.address, flush=True)
    signal.pause()
"""


@pytest.fixture
def local_only(redis_server: Redis, tmp_path: Path) -> dict[str, str]:
    """An environment that names no service and wants no containers; temporary files go to `tmp_path`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")}
    if find_redis_server(environ) is None:
        pytest.skip("redis-server is not installed")
    return environ | {"TASKQUEUE_DEV_CONTAINERS": "no", "TMPDIR": str(tmp_path)}


@pytest.fixture
def local_redis(local_only: dict[str, str]) -> Iterator[Redis]:
    with redis_service(local_only, _ignore, install=False) as service:
        yield service


def test_redis_keeps_what_it_acknowledged_across_a_kill(local_redis: Redis) -> None:
    with _client(local_redis.address) as client:
        client.execute_command("CONFIG", "SET", "appendfsync", "always")
        client.set("key", "value")

    local_redis.kill()
    assert not redis_answers(*_host_port(local_redis.address))
    local_redis.start()

    with _client(local_redis.address) as client:
        assert client.get("key") == b"value"


def test_redis_is_set_up_as_in_production(local_redis: Redis) -> None:
    with _client(local_redis.address) as client:
        settings = client.config_get("appendonly", "maxmemory-policy")

    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction"}


def test_starting_what_runs_changes_nothing(local_redis: Redis) -> None:
    with _client(local_redis.address) as client:
        before = client.info("server")["run_id"]

        local_redis.start()

        assert client.info("server")["run_id"] == before


def test_nothing_answers_after_the_context(local_only: dict[str, str]) -> None:
    with redis_service(local_only, _ignore, install=False) as service:
        address = service.address

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(_host_port(address), timeout=1)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_ended_leaves_neither_server_nor_files(
    local_only: dict[str, str], tmp_path: Path, how: signal.Signals
) -> None:
    with _holder(local_only) as holder:
        address = _announced(holder)
        holder.send_signal(how)
        holder.wait(10)

    assert not redis_answers(*_host_port(address))
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_killed_leaves_no_server(local_only: dict[str, str]) -> None:
    with _holder(local_only) as holder:
        address = _announced(holder)
        holder.kill()
        holder.wait(10)

    assert await_answer(lambda host, port: not redis_answers(host, port), *_host_port(address), deadline=5)


def test_a_server_that_cannot_start_says_why(local_only: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "redis-server"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho out of luck\nexit 1\n")
    broken.chmod(0o755)
    environ = local_only | {"PATH": f"{broken.parent}:{local_only['PATH']}"}

    with pytest.raises(ServiceError, match="out of luck"), redis_service(environ, _ignore, install=False):
        pass


def test_what_is_not_installed_is_named_with_the_remedy(local_only: dict[str, str], tmp_path: Path) -> None:
    environ = local_only | {"PATH": str(tmp_path)}

    with (
        pytest.raises(ServiceError, match=r"apt-get install redis-server.*brew install redis.*TASKQUEUE_REDIS"),
        redis_service(environ, _ignore, install=False),
    ):
        pass


def test_a_redis_named_in_the_environment_is_used_and_left_alone(
    local_only: dict[str, str], redis_server: Redis
) -> None:
    environ = local_only | {
        "TASKQUEUE_REDIS__ADDRESSES": json.dumps([redis_server.address]),
        "TASKQUEUE_REDIS__PASSWORD": redis_server.password,
    }

    with redis_service(environ, _ignore) as service:
        assert service.address == redis_server.address
        assert service.origin == "TASKQUEUE_REDIS__ADDRESSES"
        with pytest.raises(ServiceError, match="left alone"):
            service.kill()


def test_a_rabbitmq_named_in_the_environment_is_used(local_only: dict[str, str], amqp_url: str) -> None:
    with rabbitmq_service(local_only | {"TASKQUEUE_QUEUE__URL": amqp_url}, _ignore) as service:
        assert service.amqp_url == amqp_url
        assert not service.restartable


def test_a_dead_address_in_the_environment_is_named_without_its_password(
    local_only: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_EXTERNAL_DEADLINE", 0.0)
    environ = local_only | {"TASKQUEUE_QUEUE__URL": "amqp://guest:hunter2@127.0.0.1:1/"}

    with (
        pytest.raises(ServiceError, match=r"TASKQUEUE_QUEUE__URL names 127\.0\.0\.1:1 ") as raised,
        rabbitmq_service(environ, _ignore),
    ):
        pass

    assert "hunter2" not in str(raised.value)


def test_both_services_are_handed_to_child_processes(services: services.Services) -> None:
    variables = services.environment()

    assert variables["TASKQUEUE_QUEUE__URL"] == services.rabbitmq.amqp_url
    assert json.loads(variables["TASKQUEUE_REDIS__ADDRESSES"]) == [services.redis.address]


def test_a_killed_rabbitmq_comes_back_at_its_address(rabbitmq: RabbitMQ, amqp_url: str) -> None:
    if not rabbitmq.restartable:
        pytest.skip(f"RabbitMQ ({rabbitmq.origin}) is not a process of the tests")
    address = urlsplit(amqp_url)

    rabbitmq.kill()
    assert not amqp_answers(address.hostname or "", address.port or 0)
    rabbitmq.start()

    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        assert connection.is_open


def _ignore(_line: str) -> None:
    """Progress that nobody reads."""


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _client(address: str) -> redis.Redis:
    host, port = _host_port(address)
    return redis.Redis(host=host, port=port)


def _holder(environ: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # a program of this file, on this Python
        [sys.executable, "-c", _HOLDER], env=environ, stdout=subprocess.PIPE, text=True
    )


def _announced(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


#: in a process of its own: the client of a dead engine leaves its socket open
_TELLER = """
import os
from taskqueue.dev.services import redis_service
with redis_service(os.environ, print, install=False) as redis:
    print(redis.origin)
"""


def test_a_container_that_cannot_be_run_is_replaced_by_an_installed_program(
    local_only: dict[str, str], tmp_path: Path
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho 28.0\n", encoding="utf-8")
    docker.chmod(0o755)
    path = f"{docker.parent}{os.pathsep}{local_only['PATH']}"
    engine = {"PATH": path, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "TASKQUEUE_DEV_CONTAINERS": "yes"}

    ended = subprocess.run(  # a program of this file, on this Python
        [sys.executable, "-c", _TELLER], env=local_only | engine, capture_output=True, text=True, timeout=60, check=True
    )

    lines = ended.stdout.splitlines()
    assert lines[0].startswith("starting a container of redis:7.4")
    assert lines[1].startswith("Docker could not run redis:7.4")
    assert lines[1].endswith("going on without containers")
    assert lines[-1].endswith("redis-server")
