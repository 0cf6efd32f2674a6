"""What the endpoints work with; one object per process, put together by main.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from taskqueue.api.auth import Authenticator
from taskqueue.api.task_types import TaskTypes
from taskqueue.broker.connection import BrokerConnection
from taskqueue.broker.ready_depths import ReadyDepths
from taskqueue.config.settings import ApiSettings
from taskqueue.runtime import Now
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Emit


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Stores are made from `store` and `scripts` where they are needed: they hold no state; `task_types` remembers
    those of the present revision.

    `now` counts by the clock of Redis. `broker` has a session while RabbitMQ is connected.
    """

    settings: ApiSettings
    store: RedisStore
    scripts: Scripts
    broker: BrokerConnection
    depths: ReadyDepths
    authenticator: Authenticator
    task_types: TaskTypes
    now: Now
    emit: Emit


def services_of(request: Request) -> Services:
    """Return the services of the process that answers `request`."""
    return cast(Services, request.app.state.services)


#: for a parameter of an endpoint
ServicesOf = Annotated[Services, Depends(services_of)]
