"""Finds or starts the RabbitMQ and the Redis that development and tests need.

Each is looked for in this order:

1. the environment: TASKQUEUE_QUEUE__URL (and TASKQUEUE_DEV_MANAGEMENT_URL for its management API),
   TASKQUEUE_REDIS__ADDRESSES and TASKQUEUE_REDIS__PASSWORD;
2. a Docker engine that answers and can run the image, where `taskqueue[containers]` is installed and
   TASKQUEUE_DEV_CONTAINERS is not `no`;
3. an installed rabbitmq-server or redis-server, started in a temporary directory on ports of its own;
4. the system's packages, where apt-get is there and we are root.

What is started here ends with the context that started it. When this process is killed outright the servers end too;
only their temporary directory stays.
"""

from __future__ import annotations

import contextlib
import json
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from taskqueue.dev import containers, packages
from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.probe import amqp_answers, await_answer, port_answers, redis_answers
from taskqueue.dev.rabbitmq_local import find_rabbitmq_server, local_rabbitmq
from taskqueue.dev.redis_local import find_redis_server, local_redis
from taskqueue.errors import ServiceError

Progress = Callable[[str], None]
Answer = TypeVar("Answer")

#: seconds that a service named in the environment gets to answer: CI starts it at the same moment as us
_EXTERNAL_DEADLINE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that answers. `origin` says where it comes from; `server` is there when it is a process of ours."""

    origin: str
    server: LocalServer | None = None

    @property
    def restartable(self) -> bool:
        """Whether `kill`, `stop` and `start` work."""
        return self.server is not None

    def kill(self) -> None:
        """End the service as a crash would; its data and its address stay. Raises ServiceError if it is not ours.

        RabbitMQ 3.10 loses a quorum queue that was declared in the last second or two (rabbitmq/ra#443).
        """
        self._own_server().kill()

    def stop(self) -> None:
        """End the service in its own orderly way. Raises ServiceError if it is not ours."""
        self._own_server().stop()

    def start(self) -> None:
        """Start the service again, with its data, at its address. Raises ServiceError if it is not ours."""
        self._own_server().start()

    def _own_server(self) -> LocalServer:
        if self.server is None:
            raise ServiceError(f"this service ({self.origin}) was not started as a local process and is left alone")
        return self.server


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQ(Service):
    """A RabbitMQ; `management_url` is the root of its management pages, None where they are not known."""

    amqp_url: str = field(repr=False)
    management_url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis(Service):
    """A Redis at `address` (`host:port`)."""

    address: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """RabbitMQ and Redis, ready for use."""

    rabbitmq: RabbitMQ
    redis: Redis

    def environment(self) -> dict[str, str]:
        """Return the variables that point every taskqueue process at these services."""
        return {
            "TASKQUEUE_QUEUE__URL": self.rabbitmq.amqp_url,
            "TASKQUEUE_REDIS__ADDRESSES": json.dumps([self.redis.address]),
            "TASKQUEUE_REDIS__PASSWORD": self.redis.password,
        }


@contextlib.contextmanager
def development_services(
    environ: Mapping[str, str], progress: Progress, *, management: bool = False, install: bool = True
) -> Iterator[Services]:
    """Find or start both services, and end at the exit of the context what was started.

    `progress` gets a line before each step that takes time. `management` asks for RabbitMQ's management pages.
    `install` allows the last resort, installing packages. Raises ServiceError.
    """
    with (
        redis_service(environ, progress, install=install) as redis,
        rabbitmq_service(environ, progress, management=management, install=install) as rabbitmq,
    ):
        yield Services(rabbitmq=rabbitmq, redis=redis)


@contextlib.contextmanager
def rabbitmq_service(
    environ: Mapping[str, str], progress: Progress, *, management: bool = False, install: bool = True
) -> Iterator[RabbitMQ]:
    """Find or start RabbitMQ alone; see `development_services`."""
    if url := environ.get("TASKQUEUE_QUEUE__URL"):
        _await_named("TASKQUEUE_QUEUE__URL", url, default_port=5672, answers=amqp_answers)
        management_url = environ.get("TASKQUEUE_DEV_MANAGEMENT_URL")
        yield RabbitMQ(origin="TASKQUEUE_QUEUE__URL", amqp_url=url, management_url=management_url)
        return
    with contextlib.ExitStack() as started:
        if urls := _container(started, containers.rabbitmq_container(progress), environ, progress):
            yield RabbitMQ(origin=containers.RABBITMQ_IMAGE, amqp_url=urls[0], management_url=urls[1])
            return
        program = _program(find_rabbitmq_server, "rabbitmq-server", environ, progress, install=install)
        with _own_directory("rabbitmq") as directory:
            local = local_rabbitmq(program, directory, environ, management=management)
            progress(f"starting {program}")
            with _running(local.port_mapper), _running(local.server):
                yield RabbitMQ(
                    origin=str(program),
                    server=local.server,
                    amqp_url=local.amqp_url,
                    management_url=local.management_url,
                )


@contextlib.contextmanager
def redis_service(environ: Mapping[str, str], progress: Progress, *, install: bool = True) -> Iterator[Redis]:
    """Find or start Redis alone; see `development_services`."""
    if addresses := environ.get("TASKQUEUE_REDIS__ADDRESSES"):
        address = _first_address(addresses)
        _await_named("TASKQUEUE_REDIS__ADDRESSES", f"redis://{address}", default_port=6379, answers=redis_answers)
        password = environ.get("TASKQUEUE_REDIS__PASSWORD", "")
        yield Redis(origin="TASKQUEUE_REDIS__ADDRESSES", address=address, password=password)
        return
    with contextlib.ExitStack() as started:
        if published := _container(started, containers.redis_container(progress), environ, progress):
            yield Redis(origin=containers.REDIS_IMAGE, address=published)
            return
        program = _program(find_redis_server, "redis-server", environ, progress, install=install)
        with _own_directory("redis") as directory:
            server, address = local_redis(program, directory, environ)
            progress(f"starting {program}")
            with _running(server):
                yield Redis(origin=str(program), server=server, address=address)


def _container(
    started: contextlib.ExitStack,
    container: contextlib.AbstractContextManager[Answer],
    environ: Mapping[str, str],
    progress: Progress,
) -> Answer | None:
    """Start `container` where an engine answers; None where none does, or where it cannot run the image."""
    if not containers.containers_work(environ):
        return None
    try:
        return started.enter_context(container)
    except ServiceError as error:
        progress(f"{error}; going on without containers")
        return None


def _first_address(text: str) -> str:
    try:
        addresses = json.loads(text)
    except ValueError:
        addresses = None
    if not isinstance(addresses, list) or not addresses or not isinstance(addresses[0], str):
        raise ServiceError('TASKQUEUE_REDIS__ADDRESSES is not a list in JSON; write ["127.0.0.1:6379"]')
    return addresses[0]


def _await_named(variable: str, url: str, *, default_port: int, answers: Callable[[str, int], bool]) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or default_port
    except ValueError:
        raise ServiceError(f"{variable} is not a URL or address; correct or unset it") from None
    if parts.scheme.endswith("s"):  # amqps: the handshake is inside TLS
        answers, port = port_answers, parts.port or default_port - 1
    if not await_answer(answers, host, port, deadline=_EXTERNAL_DEADLINE):
        raise ServiceError(f"{variable} names {host}:{port} and no such service answers there; start it or unset it")


def _program(
    find: Callable[[Mapping[str, str]], Path | None],
    package: str,
    environ: Mapping[str, str],
    progress: Progress,
    *,
    install: bool,
) -> Path:
    if program := find(environ):
        return program
    if install and packages.can_install(environ):
        packages.install([package], environ, progress)
        if program := find(environ):
            return program
    raise ServiceError(
        f"{package} is not installed and no Docker engine answers; install it (Debian, Ubuntu: apt-get install"
        f" {package}; macOS: brew install {package.removesuffix('-server')}), start Docker,"
        " or name running services in TASKQUEUE_QUEUE__URL and TASKQUEUE_REDIS__ADDRESSES"
    )


@contextlib.contextmanager
def _running(server: LocalServer) -> Iterator[None]:
    # Nothing outlives the directory of the data, so there is nothing that an orderly end would save.
    server.start()
    try:
        yield
    finally:
        server.kill()


@contextlib.contextmanager
def _own_directory(name: str) -> Iterator[Path]:
    with (
        _sigterm_unwinds(),
        # A server that was just killed may still be writing its last file.
        tempfile.TemporaryDirectory(prefix=f"taskqueue-{name}-", ignore_cleanup_errors=True) as directory,
    ):
        yield Path(directory)


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Make SIGTERM leave through every `finally`, unless the program has its own plan for it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _exit:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
