"""Places for systems that are killed, and the table of what was seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from taskqueue.dev.services import RabbitMQ
from taskqueue.dev.services import Redis as RedisService
from tests.support.failing_processes import ForkServer
from tests.support.kill_arena import LANES, KillArena, NewArena
from tests.support.kill_table import KillTable
from tests.support.own_redis import own_redis_servers
from tests.support.system import Place
from tests.support.virtual_hosts import VirtualHosts

_TABLE = pytest.StashKey[KillTable]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = KillTable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[_TABLE].lines()
    if lines:
        terminalreporter.section("kill points")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def kill_table(pytestconfig: pytest.Config) -> KillTable:
    """What was seen at each kill point; printed at the end."""
    return pytestconfig.stash[_TABLE]


@pytest.fixture
def place(amqp_url: str, redis_server: RedisService, redis_db: int) -> Place:
    """This test's own virtual host and database."""
    return Place(
        amqp_url=amqp_url,
        redis_address=redis_server.address,
        redis_db=redis_db,
        redis_password=redis_server.password,
    )


@pytest.fixture(scope="session")
async def fork_server() -> AsyncIterator[ForkServer]:
    """What starts programs with failpoints."""
    async with ForkServer() as server:
        yield server


@pytest.fixture
def new_arena(place: Place, tmp_path: Path, fork_server: ForkServer) -> NewArena:
    """Make the arena of a test, with settings of its own."""
    return partial(KillArena, place, tmp_path, fork_server)


@pytest.fixture
async def arena(new_arena: NewArena) -> AsyncIterator[KillArena]:
    """Two schedulers with the shortest lease and a worker, for one test."""
    async with new_arena() as arena:
        yield arena


@pytest.fixture
def lanes(rabbitmq: RabbitMQ, _virtual_hosts: VirtualHosts) -> Iterator[list[Place]]:
    """As many places as systems are killed at the same time.

    Each has a Redis of its own: schedulers are told of a flush of another database of theirs too.
    """
    if rabbitmq.management_url is None:
        pytest.skip("virtual hosts of their own need RabbitMQ's management API")
    with ExitStack() as stack:
        servers = stack.enter_context(own_redis_servers())
        yield [
            Place(
                amqp_url=stack.enter_context(_virtual_hosts.empty()),
                redis_address=servers.start()[1],
                redis_db=0,
            )
            for _ in range(LANES)
        ]
