"""RabbitMQ and Redis for development, in containers: where a Docker engine answers and testcontainers is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from taskqueue.dev.probe import amqp_answers, await_answer, port_answers, redis_answers
from taskqueue.dev.programs import find_program
from taskqueue.dev.rabbitmq_local import DEAD_LETTER_ARGUMENTS
from taskqueue.errors import ServiceError

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

RABBITMQ_IMAGE = "rabbitmq:4.1-management"
REDIS_IMAGE = "redis:7.4"

#: seconds for the engine to say its version; without an engine the answer takes 0.05 s
_PROBE_DEADLINE = 5.0

#: seconds from a started container to a service that answers
_START_DEADLINE = 120.0

_REDIS_COMMAND = ["redis-server", "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]


def containers_work(environ: Mapping[str, str]) -> bool:
    """Return whether containers can be started; TASKQUEUE_DEV_CONTAINERS=no says that they shall not be.

    Docker's own command is asked, since it alone knows every way in which an engine can be chosen.
    """
    if environ.get("TASKQUEUE_DEV_CONTAINERS") == "no" or importlib.util.find_spec("testcontainers") is None:
        return False
    docker = find_program("docker", environ)
    return docker is not None and _engine_answers(str(docker), environ)


@contextlib.contextmanager
def rabbitmq_container(progress: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Run RabbitMQ; yield its AMQP URL and the root of its management pages. Raises ServiceError."""
    settings = {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": DEAD_LETTER_ARGUMENTS}
    with _container(RABBITMQ_IMAGE, [5672, 15672], progress, environment=settings) as container:
        host, port = _address(container, 5672, amqp_answers)
        _, management_port = _address(container, 15672, port_answers)
        yield f"amqp://guest:guest@{host}:{port}/", f"http://{host}:{management_port}"


@contextlib.contextmanager
def redis_container(progress: Callable[[str], None]) -> Iterator[str]:
    """Run Redis; yield its `host:port`. Raises ServiceError."""
    with _container(REDIS_IMAGE, [6379], progress, command=_REDIS_COMMAND) as container:
        host, port = _address(container, 6379, redis_answers)
        yield f"{host}:{port}"


def _engine_answers(docker: str, environ: Mapping[str, str]) -> bool:
    try:
        asked = subprocess.run(  # noqa: S603  # docker by its found path, with fixed arguments
            [docker, "version", "--format", "{{.Server.Version}}"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@contextlib.contextmanager
def _container(
    image: str,
    ports: list[int],
    progress: Callable[[str], None],
    *,
    environment: dict[str, str] | None = None,
    command: list[str] | None = None,
) -> Iterator[DockerContainer]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  # optional, and 0.3 s to import

    progress(f"starting a container of {image}; the first time its image is downloaded")
    with _docker_errors_translated(image):
        container = DockerContainer(image, env=environment).with_exposed_ports(*ports)
    try:
        with _docker_errors_translated(image):
            (container.with_command(command) if command else container).start()
        yield container
    finally:
        container.stop()


@contextlib.contextmanager
def _docker_errors_translated(image: str) -> Iterator[None]:
    from docker.errors import DockerException  # noqa: PLC0415  # comes with testcontainers, so as optional

    try:
        yield
    except (DockerException, OSError, RuntimeError) as error:
        raise ServiceError(
            f"Docker could not run {image} ({error}); set TASKQUEUE_DEV_CONTAINERS=no to use installed programs instead"
        ) from error


def _address(container: DockerContainer, port: int, answers: Callable[[str, int], bool]) -> tuple[str, int]:
    with _docker_errors_translated(container.image):
        host, published = container.get_container_host_ip(), container.get_exposed_port(port)
    if not await_answer(answers, host, published, deadline=_START_DEADLINE):
        raise ServiceError(f"{container.image} did not answer at {host}:{published} within {_START_DEADLINE:.0f} s")
    return host, published
