"""A whole system for acceptance tests: an endpoint, a tasks.yaml, and any number of schedulers and workers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from redis.asyncio import Redis

from taskqueue.broker.connection import connect
from taskqueue.broker.names import DELAYED_QUEUE, READY_QUEUES
from taskqueue.broker.topology import queue_depths
from taskqueue.core.instants import rfc3339, to_unix_ms
from taskqueue.dev.target import Call, Target
from tests.support.failed_queue import FailedQueue
from tests.support.inbox import eventually
from tests.support.processes import Process, Processes

#: an interval that is due on leap days only: for task types whose jobs come from triggers and other systems
NEVER_NOW = {"type": "cron", "cron": "0 0 29 2 *"}

Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where RabbitMQ and Redis are, for processes and for the test itself."""

    amqp_url: str
    redis_address: str
    redis_db: int
    redis_password: str = field(default="", repr=False)

    def settings(self) -> dict[str, dict[str, object]]:
        """Return what every settings file of this place says."""
        redis = {"addresses": [self.redis_address], "db": self.redis_db, "password": self.redis_password}
        return {
            "redis": redis,
            "queue": {"url": self.amqp_url},
            "monitoring": {"log_level": "debug", "log_format": "json", "metrics_interval": "1m"},
            "server": {"host": "127.0.0.1", "port": 0},
        }

    def client(self) -> Redis:
        """Return a client of the database."""
        host, _, port = self.redis_address.rpartition(":")
        return Redis(host=host, port=int(port), db=self.redis_db, password=self.redis_password or None)


def merged(*settings: Settings) -> dict[str, dict[str, object]]:
    """Return the sections of all `settings`; the later ones win, key by key."""
    result: dict[str, dict[str, object]] = {}
    for each in settings:
        for section, values in each.items():
            result[section] = {**result.get(section, {}), **values}
    return result


class System:
    """Use it as a context; everything started in it ends with it."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place = place
        self.target = Target()
        self.failed = FailedQueue()
        self.redis = place.client()
        self.tasks_file = directory / "tasks.yaml"
        self.processes = Processes(directory)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.redis.aclose)
        await self._stack.enter_async_context(self.target)
        self._stack.push_async_callback(self.failed.close)
        await self._stack.enter_async_context(self.processes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # --- what runs ----------------------------------------------------------------------------------------------------

    def task(self, task_id: str, path: str = "/ok", **fields: object) -> dict[str, object]:
        """Return a task type for tasks.yaml that calls `path` of the endpoint, is never due by itself, and retries."""
        return {
            "id": task_id,
            "interval": NEVER_NOW,
            "config": {"endpoint": self.target.url + path},
            "retry_delay": "100ms",
            "distribution_window": "0s",
            **fields,
        }

    def write_tasks(self, *tasks: Mapping[str, object]) -> None:
        """Write tasks.yaml."""
        self.tasks_file.write_text(yaml.safe_dump({"tasks": [dict(task) for task in tasks]}), encoding="utf-8")

    async def scheduler(self, settings: Settings | None = None) -> Process:
        """Start a scheduler; `settings` are added to those of the place."""
        tasks = {"tasks": {"config_file": str(self.tasks_file), "poll_interval": "100ms"}}
        return await self.processes.start("scheduler", merged(self.place.settings(), tasks, settings or {}))

    async def worker(self, settings: Settings | None = None, environment: Mapping[str, str] | None = None) -> Process:
        """Start a worker; `settings` are added to those of the place."""
        limits = {"rate_limit": {"global": None}}
        return await self.processes.start("worker", merged(self.place.settings(), limits, settings or {}), environment)

    async def scheduler_and_worker(
        self,
        worker: Settings | None = None,
        *,
        scheduler: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        watch_failed: bool = True,
    ) -> tuple[Process, Process]:
        """Start one of each and return them when they are ready and the failed queue is watched, which empties it.

        `environment` is added to that of the worker.

        The delayed queue is in use at once, as it is behind a leader that worked until a moment ago; the first leader
        ever does not trust it for a minute, because it cannot know what others left in there.
        """
        await self.redis.set("taskqueue:lane_tail", to_unix_ms(datetime.now(UTC)))
        both = await self.scheduler(scheduler), await self.worker(worker, environment)
        for process in both:
            await process.wait_ready()
        await both[0].wait_for("leader_changed", leading=True)
        if watch_failed:
            await self.failed.open(self.place.amqp_url)
        return both

    # --- what is asked of it ------------------------------------------------------------------------------------------

    async def enable(self, task_id: str, *user_ids: str) -> None:
        """Switch the task on for the users, as another system would: in its own hash, and nothing else."""
        for user_id in user_ids:
            await self.set_preference(user_id, task_id, on=True)

    async def set_preference(self, user_id: str, task_id: str, *, on: bool) -> None:
        """Switch the task on or off for a user."""
        key = f"taskqueue:users:{user_id}:tasks"
        await self.redis.hset(key, task_id, str(int(on)))

    async def execution(self, job_id: str) -> dict[str, Any]:
        """Return the record of a job. Raises KeyError where there is none."""
        text = await self.redis.get(f"taskqueue:execution:{job_id}")
        if text is None:
            raise KeyError(f"no execution of {job_id}")
        return dict(json.loads(text))

    def calls(self, **headers: str) -> list[Call]:
        """Return the calls so far with these headers: `user="u1"` is `X-TaskQueue-User: u1`, and so on."""
        wanted = {f"x-taskqueue-{name.replace('_', '-')}": value for name, value in headers.items()}
        return [call for call in self.target.calls if wanted.items() <= call.headers.items()]

    async def drained(self, scheduler: Process, *workers: Process, within: float = 15.0) -> None:
        """Stop the workers, cleanly, and check that there is nothing left to do: all that will happen has happened."""

        async def kept_in_redis() -> int:
            listed = await self.redis.zcard("taskqueue:delayed") + await self.redis.zcard("taskqueue:occurrences")
            return int(listed + await self.redis.scard("taskqueue:waiting"))

        async def nothing_left() -> bool:
            if await kept_in_redis():
                return False
            active = [(await worker.http.get("/health")).json()["active_jobs"] for worker in workers]
            if any(active) or any((await self.depths()).values()):
                return False
            # A job that was in RabbitMQ at the first look may have been put back to wait before the last.
            return await kept_in_redis() == 0

        await eventually(nothing_left, within)
        for worker in workers:
            assert await worker.terminate() == 0
        assert not any((await self.depths()).values()), "a worker gave jobs back although it was idle"
        failures = scheduler.events("loop_failed")
        assert failures == [], failures

    async def depths(self) -> Mapping[str, int | None]:
        """Return how many messages are ready in each queue that jobs pass through."""
        session = await connect(self.place.amqp_url, "test")
        try:
            return await queue_depths(session, (*READY_QUEUES, DELAYED_QUEUE))
        finally:
            await session.close()


async def trigger(
    scheduler: Process, task_id: str, user_ids: Sequence[str], *, immediately: bool = True
) -> httpx.Response:
    """Ask a scheduler for jobs now."""
    body = {"task_type_id": task_id, "user_ids": list(user_ids), "execute_immediately": immediately}
    response = await scheduler.http.post("/schedule/trigger", json=body)
    assert response.status_code == 202, response.text
    return response


def new_users(count: int) -> list[str]:
    """Return user ids that no other test has."""
    mark = uuid.uuid4().hex[:8]
    return [f"user-{mark}-{number}" for number in range(count)]


def foreign_message(task_id: str, user_id: str, /, **job: object) -> dict[str, Any]:
    """Return a message in the spec's format, with every field, due now, as another system would write it."""
    now = datetime.now(UTC)
    return {
        "version": "1.0",
        "job": {
            "id": str(uuid.uuid4()),
            "task_type_id": task_id,
            "user_id": user_id,
            "scheduled_at": rfc3339(now - timedelta(minutes=5)),
            "execute_after": rfc3339(now),
            "attempt": 1,
            "priority": 1,
            "payload": "eyJ1c2VyX2lkIjoiMTIzNDUifQ==",
            "created_at": rfc3339(now - timedelta(hours=1)),
            **job,
        },
        "metadata": {"correlation_id": "req_789", "source": "billing", "distribution_slot": 93},
    }
