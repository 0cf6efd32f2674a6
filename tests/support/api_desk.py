"""What the API process writes and reads, without its HTTP: tasks, what they depend on, triggers, and their ends."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.api_task import ApiTask, ApiTaskState, TaskStatus, TaskType
from taskqueue.core.dependency import Dependency, DependencyType
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.task import Target
from taskqueue.store import keys
from taskqueue.store.api_dependencies import DependencyStore
from taskqueue.store.api_runs import ApiRuns
from taskqueue.store.api_task_search import ApiTaskSearch
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.connection import RedisStore
from taskqueue.store.file_tasks import FileTasks
from taskqueue.store.scripts import Scripts
from tests.support.inbox import eventually
from tests.support.system import System

#: a cron task that is due on leap days only, but for the instant that a test gives it
LEAP_DAYS = "0 0 29 2 *"

WITHIN_S = 20.0


class ApiDesk:
    """Use it as a context, beside the processes of a system."""

    def __init__(self, system: System) -> None:
        self._system = system
        place = system.place
        password = SecretStr(place.redis_password)
        settings = RedisSettings(addresses=(place.redis_address,), db=place.redis_db, password=password)
        self.store = RedisStore(settings, client_name="taskqueue-test-api")
        scripts = Scripts(self.store, asset_dir("lua"))
        self.tasks = ApiTaskStore(self.store, scripts)
        self.search = ApiTaskSearch(self.store, scripts)
        self.runs = ApiRuns(self.store, scripts)
        self.dependencies = DependencyStore(self.store, scripts)
        self.file_tasks = FileTasks(self.store, scripts)
        self.cancellations = Cancellations(self.store, scripts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    def guard(self) -> dict[str, dict[str, object]]:
        """Return the worker's settings that let API tasks call endpoints of the test, on its own machine."""
        return {"guard": {"allow": ["127.0.0.1"], "ports": ["1-65535"]}}

    async def make(self, path: str = "/ok", *, due: datetime | None = None, **fields: Any) -> ApiTask:
        """Make a task that calls `path` at `due`, by default now."""
        now = now_ms()
        task = ApiTask(
            **{
                "task_id": str(uuid.uuid4()),
                "task_name": "test",
                "task_type": TaskType.CRON,
                "payload": {"from": "the API"},
                "max_retries": 0,
                "target": Target(endpoint=self._system.target.url + path),
                "created_at": now,
                "updated_at": now,
                **({} if "task_type" in fields else {"schedule_expression": LEAP_DAYS}),
                **fields,
            }
        )
        await self.tasks.create(task, ApiTaskState(status=TaskStatus.SCHEDULED, next_at=due or now))
        return task

    async def once(self, path: str = "/ok", *, at: datetime | None = None, **fields: Any) -> ApiTask:
        """Make a task that runs once, by default now."""
        at = at or now_ms()
        return await self.make(path, due=at, task_type=TaskType.ONE_TIME, run_at=at, **fields)

    async def state(self, task: ApiTask) -> ApiTaskState:
        """Return what has become of a task."""
        known = await self.tasks.get(task.task_id)
        assert known is not None
        return known[1]

    async def reaches(self, task: ApiTask, status: TaskStatus) -> ApiTaskState:
        """Wait until the task has this status, and return its state."""

        async def reached() -> bool:
            return (await self.state(task)).status is status

        await eventually(reached, WITHIN_S)
        return await self.state(task)

    async def executions(self, task: ApiTask) -> list[str]:
        """Return the ids of the task's executions, the earliest first."""
        members = await self.store.command("ZRANGE", keys.api_executions(task.task_id), 0, -1)
        return [member.decode() for member in members]

    async def ended(self, task: ApiTask, count: int = 1, status: str = "success") -> Mapping[str, Any]:
        """Wait until `count` executions of the task have ended, the latest one so, and return its record."""

        async def all_ended() -> bool:
            return int((await self.counts(task)).get("total", 0)) >= count

        await eventually(all_ended, WITHIN_S)
        record = await self._system.execution((await self.executions(task))[-1])
        assert record["status"] == status, record
        return record

    async def counts(self, task: ApiTask) -> dict[str, int]:
        """Return the task's counts of ends."""
        flat = await self.store.command("HGETALL", keys.api_stats(task.task_id))
        return {name.decode(): int(count) for name, count in flat.items()}

    async def depend(self, child: ApiTask, parent: ApiTask, kind: DependencyType) -> str:
        """Let `child` wait for `parent`; return the dependency's id."""
        dependency_id = str(uuid.uuid4())
        refused = await self.dependencies.add(
            Dependency(
                dependency_id=dependency_id,
                task_id=child.task_id,
                on=parent.task_id,
                type=kind,
                created_at=now_ms(),
            )
        )
        assert refused is None
        return dependency_id


def now_ms() -> datetime:
    """Return now, in whole milliseconds, as Redis keeps instants."""
    return from_unix_ms(to_unix_ms(datetime.now(UTC)))


def in_seconds(seconds: float) -> datetime:
    """Return an instant from now."""
    return now_ms() + timedelta(seconds=seconds)
