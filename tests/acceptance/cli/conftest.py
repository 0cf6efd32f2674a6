"""A running system for each module, and commands that are told where it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.commands import Ended, run_command
from tests.support.sdk_system import SdkApi
from tests.support.sdk_system import sdk_api as started_api
from tests.support.system import System

Run = Callable[..., Awaitable[Ended]]


@pytest.fixture(scope="module")
async def sdk_api(shared_system: System) -> AsyncIterator[SdkApi]:
    """A scheduler that leads, a worker, an API, and an endpoint that answers with a result and log lines."""
    async with started_api(shared_system) as api:
        yield api


@pytest.fixture(scope="module")
def direct(sdk_api: SdkApi) -> dict[str, str]:
    """The environment that names Redis and RabbitMQ, and no API."""
    place = sdk_api.running.system.place
    return {
        "TASKQUEUE_REDIS__ADDRESSES": json.dumps([place.redis_address]),
        "TASKQUEUE_REDIS__DB": str(place.redis_db),
        "TASKQUEUE_REDIS__PASSWORD": place.redis_password,
        "TASKQUEUE_QUEUE__URL": place.amqp_url,
        "TASKQUEUE_TASKS__CONFIG_FILE": str(sdk_api.running.system.tasks_file),
    }


@pytest.fixture(scope="module")
def over_api(sdk_api: SdkApi) -> dict[str, str]:
    """The environment that names the API and a token that may do everything; Redis is nowhere."""
    return {
        "TASKQUEUE_API_URL": sdk_api.url,
        "TASKQUEUE_TOKEN": sdk_api.token,
        "TASKQUEUE_REDIS__ADDRESSES": '["127.0.0.1:1"]',
    }


@pytest.fixture(scope="module")
def run(over_api: dict[str, str]) -> Run:
    """Run `taskqueue` over the API; `environment` is added to what names it."""

    async def run(*arguments: str, stdin: str = "", **environment: str) -> Ended:
        return await run_command(*arguments, environment={**over_api, **environment}, stdin=stdin)

    return run
