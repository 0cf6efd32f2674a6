"""What the parts of a scheduler work with: a clock to set, a tasks.yaml to write, events to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import SecretStr

from taskqueue.config.catalog import parse_catalog
from taskqueue.config.sections import RedisSettings
from taskqueue.core.task import Task
from taskqueue.dev.services import Redis as RedisService
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.main import Scheduler
from taskqueue.store.connection import RedisStore
from taskqueue.telemetry.events import Emit, Event
from taskqueue.telemetry.scheduler_events import LeaderChanged

DAILY = {"type": "daily", "at_time": "10:00"}

AnyEvent = TypeVar("AnyEvent", bound=Event)


class Clock:
    """A `Now` that stands still at `time`."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def __call__(self) -> datetime:
        return self.time


class EventLog:
    """An `Emit` that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Return the events of one kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(
        self,
        kind: type[AnyEvent],
        where: Callable[[AnyEvent], bool] = lambda _: True,
        *,
        after: int = 0,
        within: float = 10,
    ) -> AnyEvent:
        """Return the first event of the kind that satisfies `where` behind the first `after`, when it is there."""
        async with asyncio.timeout(within):
            while True:
                self._news.clear()
                for event in self.events[after:]:
                    if isinstance(event, kind) and where(event):
                        return event
                await self._news.wait()


def task_type(task_id: str, interval: Mapping[str, object] | None = None, **fields: object) -> dict[str, object]:
    """Return an entry of tasks.yaml; daily at 10:00 where nothing else is said."""
    config = {"endpoint": "http://127.0.0.1:1/"}
    return {"id": task_id, "interval": dict(interval or DAILY), "config": config, **fields}


def task_of(entry: Mapping[str, object]) -> Task:
    """Return the task that an entry of tasks.yaml stands for."""
    text = yaml.safe_dump({"tasks": [dict(entry)]})
    return next(iter(parse_catalog(text, "tasks.yaml").tasks.values()))


class TasksFile:
    """A tasks.yaml and whoever watches it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *entries: Mapping[str, object]) -> None:
        """Write the file in place."""
        self.path.write_text(yaml.safe_dump({"tasks": [dict(entry) for entry in entries]}), encoding="utf-8")

    def watch(self, emit: Emit, *, allow_mass_delete: bool = True) -> CatalogWatch:
        """Return a watch of the file that polls when told."""
        interval = timedelta(hours=1)
        return CatalogWatch(self.path, poll_interval=interval, allow_mass_delete=allow_mass_delete, emit=emit)

    async def change(self, watch: CatalogWatch, *entries: Mapping[str, object]) -> None:
        """Write the file and let `watch` take it over."""
        self.write(*entries)
        await watch.poll()
        await watch.poll()


def redis_settings(service: RedisService, database: int, **fields: object) -> RedisSettings:
    """Return the settings of a database of the tests' Redis."""
    password = SecretStr(service.password or "")
    values = {"addresses": (service.address,), "db": database, "password": password, **fields}
    return RedisSettings.model_validate(values)


def redis_store(service: RedisService, database: int, **fields: object) -> RedisStore:
    """Return a store of a database of the tests' Redis."""
    return RedisStore(redis_settings(service, database, **fields), client_name="test")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningScheduler:
    """A scheduler and what it has told."""

    scheduler: Scheduler
    events: EventLog

    async def leads(self, leading: bool = True, *, after: int = 0, within: float = 20) -> LeaderChanged:
        """Return the first event behind the first `after` that says so, when it is there."""
        return await self.events.wait_for(
            LeaderChanged, lambda event: event.leading is leading, after=after, within=within
        )

    async def stop(self) -> None:
        """Stop it cleanly; a second time without effect."""
        await self.scheduler.quiet()
        await self.scheduler.stop(asyncio.get_running_loop().time() + 2)


NewScheduler = Callable[..., Awaitable[RunningScheduler]]
