"""Real services for every test that asks: an empty virtual host of RabbitMQ, an empty database of Redis.

They are found or started once per session, when the first test asks (taskqueue/dev/services.py says where). A laptop
without them skips those tests and says so; with `--require-services`, or CI=true in the environment, they fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TypeVar

import pytest
import redis

from taskqueue.dev.services import RabbitMQ, Redis, Services, rabbitmq_service, redis_service
from taskqueue.errors import ServiceError
from tests.support.virtual_hosts import VirtualHosts, virtual_hosts

#: Redis has 16 databases unless told otherwise; whoever uses one by hand uses the first
_REDIS_DATABASES = range(15, -1, -1)

AnyService = TypeVar("AnyService", RabbitMQ, Redis)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-services",
        action="store_true",
        default=os.environ.get("CI", "").lower() in {"1", "true"},
        help="install RabbitMQ and Redis where that is possible, and fail instead of skipping where they are missing",
    )


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config) -> Iterator[RabbitMQ]:
    """The session's RabbitMQ, for tests that kill it; all others ask for `amqp_url`."""
    required = pytestconfig.getoption("--require-services")
    with _or_skip(rabbitmq_service(os.environ, _tell, management=True, install=required), required) as service:
        yield service


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[Redis]:
    """The session's Redis, for tests that kill it; all others ask for `redis_address` and `redis_db`."""
    required = pytestconfig.getoption("--require-services")
    with _or_skip(redis_service(os.environ, _tell, install=required), required) as service:
        yield service


@pytest.fixture(scope="session")
def services(rabbitmq: RabbitMQ, redis_server: Redis) -> Services:
    """Both, as programs get them: `services.environment()` points a child process at them."""
    return Services(rabbitmq=rabbitmq, redis=redis_server)


@pytest.fixture(scope="session")
def _virtual_hosts(rabbitmq: RabbitMQ) -> Iterator[VirtualHosts]:
    with closing(virtual_hosts(rabbitmq.amqp_url, rabbitmq.management_url)) as hosts:
        yield hosts


@pytest.fixture
def amqp_url(rabbitmq: RabbitMQ, _virtual_hosts: VirtualHosts) -> Iterator[str]:
    """The AMQP URL of a virtual host that is empty and this test's own."""
    if rabbitmq.restartable:
        rabbitmq.start()  # no effect but after a test that killed it and failed
    with _virtual_hosts.empty() as url:
        yield url


@pytest.fixture(scope="session")
def redis_address(redis_server: Redis) -> str:
    """`host:port` of the session's Redis; use only the database `redis_db`."""
    return redis_server.address


@pytest.fixture
def redis_db(redis_server: Redis, _redis_database: int) -> Iterator[int]:
    """The number of a Redis database that is empty and this test's own."""
    if redis_server.restartable:
        redis_server.start()
    with _redis_client(redis_server, _redis_database) as client:
        client.flushdb()
        yield _redis_database
        if not redis_server.restartable:
            client.flushdb()


@pytest.fixture(scope="session")
def _redis_database(redis_server: Redis) -> int:
    # It may be a developer's own Redis: what is in use is not ours to flush.
    for number in _REDIS_DATABASES:
        with _redis_client(redis_server, number) as client:
            if client.dbsize() == 0:
                return number
    raise pytest.UsageError(f"no database of the Redis at {redis_server.address} is empty; the tests need one")


def _redis_client(server: Redis, number: int) -> redis.Redis:
    host, _, port = server.address.rpartition(":")
    return redis.Redis(host=host, port=int(port), password=server.password or None, db=number)


@contextmanager
def _or_skip(context: AbstractContextManager[AnyService], required: bool) -> Iterator[AnyService]:
    try:
        service = context.__enter__()
    except ServiceError as error:
        if required:
            raise
        pytest.skip(f"no service: {error}")
    try:
        yield service
    finally:
        context.__exit__(None, None, None)


def _tell(line: str) -> None:
    print(f"[services] {line}", file=sys.__stderr__)
