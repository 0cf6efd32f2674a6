"""The image, and the services of compose.yaml that run from it: made once, for all tests that ask."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from taskqueue.dev.target import Target
from tests.support.compose_stack import DOCKER, ROOT, Container, Stack
from tests.support.dockerfile import Stage
from tests.support.image_root import Layer, build_image, why_not
from tests.support.inbox import eventually

TASKS = """
tasks:
  - id: nightly
    name: Nightly
    interval: {{type: monthly, value: 1, day: 1, at_time: "00:00"}}
    config: {{endpoint: "{url}/ok", method: POST}}
  - id: weak
    name: Tried again soon
    interval: {{type: monthly, value: 1, day: 1, at_time: "00:00"}}
    config: {{endpoint: "{url}/ok", method: POST}}
    retries: 2
    retry_delay: 500ms
    priority: high
    distribution_window: 3s
"""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Layer]:
    """The image of the Dockerfile."""
    if reason := why_not():
        pytest.skip(f"docker/ IS NOT TESTED: {reason}")
    return build_image(DOCKER / "Dockerfile", ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
async def target() -> AsyncIterator[Target]:
    """What the tasks call."""
    async with Target(host="127.0.0.1", port=0) as target:
        yield target


@pytest.fixture(scope="module")
def stack(
    image: tuple[Stage, Layer], target: Target, services: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """RabbitMQ and Redis as compose.yaml sets them up, with queues that the service `topology` made."""
    directory = tmp_path_factory.mktemp("stack")
    subprocess.run([DOCKER / "make-secrets.sh", directory / "secrets"], check=True, capture_output=True, timeout=60)
    config = directory / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "tasks.yaml").write_text(TASKS.format(url=target.url), encoding="utf-8")
    stage, layer = image
    stack = Stack(directory=directory, stage=stage, layer=layer, secrets=directory / "secrets", config=config)
    try:
        stack.start_redis()
        stack.start_rabbitmq()
        stack.replace_hosts()
        stack.run("topology")
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
async def containers(stack: Stack, target: Target) -> dict[str, list[Container]]:
    """Two schedulers, two workers and an API."""
    more = {
        # A new leader leaves the delayed queue alone for so long, for it cannot know what is in there.
        "scheduler": {"TASKQUEUE_SCHEDULER__LEAD": "2s", "TASKQUEUE_MONITORING__METRICS_INTERVAL": "1s"},
        # Workers refuse to call this machine for tasks of the API unless told so.
        "worker": {"TASKQUEUE_GUARD__ALLOW": f'["{target.url.removeprefix("http://")}"]'},
    }
    counts = {"scheduler": 2, "worker": 2, "api": 1}
    starting = [
        asyncio.to_thread(stack.start, name, number, **more.get(name, {}))
        for name, count in counts.items()
        for number in range(count)
    ]
    started: dict[str, list[Container]] = {name: [] for name in counts}
    for container in await asyncio.gather(*starting):
        started[container.name].append(container)
    async with httpx.AsyncClient(trust_env=False) as http:
        for container in (each for containers in started.values() for each in containers):

            async def ready(url: str = container.url) -> bool:
                return (await http.get(f"{url}/readyz")).status_code == httpx.codes.OK

            await eventually(ready, 30)
    return started
