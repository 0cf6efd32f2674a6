"""A system of its own for each module whose cases do not disturb each other, and one for each test that breaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskqueue.dev.services import RabbitMQ
from taskqueue.dev.services import Redis as RedisService
from tests.support.system import Place, System
from tests.support.virtual_hosts import VirtualHosts


@pytest.fixture
def place(amqp_url: str, redis_server: RedisService, redis_db: int) -> Place:
    """This test's own virtual host and database."""
    return Place(
        amqp_url=amqp_url,
        redis_address=redis_server.address,
        redis_db=redis_db,
        redis_password=redis_server.password,
    )


@pytest.fixture
async def system(place: Place, tmp_path: Path) -> AsyncIterator[System]:
    """A system in which nothing runs but the endpoint, for one test."""
    async with System(place, tmp_path) as system:
        yield system


@pytest.fixture(scope="module")
async def shared_place(
    rabbitmq: RabbitMQ, redis_server: RedisService, _virtual_hosts: VirtualHosts, _redis_database: int
) -> AsyncIterator[Place]:
    """The virtual host and database of one module."""
    for service in (rabbitmq, redis_server):
        if service.restartable:
            service.start()  # no effect but after a test that killed it and failed
    with _virtual_hosts.empty() as amqp_url:
        place = Place(
            amqp_url=amqp_url,
            redis_address=redis_server.address,
            redis_db=_redis_database,
            redis_password=redis_server.password,
        )
        client = place.client()
        await client.flushdb()
        yield place
        await client.flushdb()
        await client.aclose()


@pytest.fixture(scope="module")
async def shared_system(shared_place: Place, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system in which nothing runs but the endpoint, for one module."""
    async with System(shared_place, tmp_path_factory.mktemp("system")) as system:
        yield system
