"""A whole system that everything may happen to: schedulers, workers, users, tasks, and what must come of it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
import yaml
from redis.exceptions import RedisError

from taskqueue.core.instants import to_unix_ms
from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.services import RabbitMQ
from tests.support.chaos_model import ChaosModel, ChaosVerdict, TaskModel, Timeline, Trouble
from tests.support.chaos_posts import Kind, Posts
from tests.support.chaos_rest import complaints, left
from tests.support.failing_processes import FailingProcesses, ForkServer
from tests.support.inbox import eventually
from tests.support.kill_arena import leads
from tests.support.system import NEVER_NOW, Place, Settings, System, new_users

Answer = TypeVar("Answer")

USERS = 120

LEASE_S = 3

#: seconds from when users and tasks are written until the first event
STARTED_WITHIN_S = 15.0

#: seconds for all to be done, once everything is well again
DONE_WITHIN_S = 90.0

#: tasks of which every user has an instant of its own, with the path of the endpoint and their fields
_ONE_BY_ONE: dict[str, tuple[str, dict[str, object]]] = {
    "own": ("/ok", {}),
    "edited": ("/ok", {}),
    "gone": ("/ok", {}),
    "off": ("/ok", {}),
    "switched": ("/slow/300", {"default_enabled": False}),
    "limited": ("/slow/200", {"max_concurrency": 3}),
    "failing": ("/fail/2", {"priority": "high"}),
    "slow": ("/slow/1500", {"priority": "low"}),
}

_EVERY_MINUTE = ("often", "queued", "skipping")


class ChaosSystem:
    """Use it as a context. `lasts_s` is for how long something happens to it; `notes` tell what, and when."""

    def __init__(
        self,
        place: Place,
        directory: Path,
        server: ForkServer,
        *,
        redis_server: LocalServer,
        rabbitmq: RabbitMQ,
        seed: int,
        lasts_s: float,
    ) -> None:
        self.system = System(place, directory)
        self.system.processes = FailingProcesses(directory, server)
        self.redis = self.system.redis
        self.redis_server, self.rabbitmq = redis_server, rabbitmq
        self.lasts_s = lasts_s
        self.model = ChaosModel()
        self.users = new_users(USERS)
        self.tasks: dict[str, dict[str, object]] = {}
        self.notes: list[str] = []
        #: held while a task is gone: nobody can make its definition again
        self.catalog_lock = asyncio.Lock()
        #: one thing at a time is done to each of these
        self.store_lock, self.broker_lock, self.target_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._directory = directory
        self._random = random.Random(seed)
        scheduler = {"lease_ttl": f"{LEASE_S}s", "batch_size": 20, "check_interval": "2s", "lead": "4s"}
        settings: dict[Kind, Settings] = {
            "scheduler": {"scheduler": scheduler},
            "worker": {"worker": {"pool_size": 20}},
        }
        self.posts = Posts(self.system, settings, self._random, self.note)

    async def __aenter__(self) -> Self:
        await self.system.__aenter__()
        self.system._stack.push_async_callback(self.posts.close)
        try:
            self.began = time.time() + STARTED_WITHIN_S
            await self._prepare()
            # The lane is in use at once: see System.scheduler_and_worker.
            await self.redis.set("taskqueue:lane_tail", to_unix_ms(datetime.now(UTC)))
            await self.posts.fill(scheduler=3, worker=2)
            # Instants before somebody leads for the first time are nobody's.
            await eventually(self._led, self.began - time.time())
            await asyncio.sleep(self.began - time.time())
        except BaseException:
            await self.system.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self.posts.ever():
            text = "".join(json.dumps(line) + "\n" for line in process.lines)
            (self._directory / f"{process.name}.log").write_text(text, encoding="utf-8")
        await self.system.__aexit__(kind, error, traceback)

    async def _led(self) -> bool:
        return bool(self.posts.leading)

    # --- users and tasks ----------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Write users and tasks: those of one task are due all together, of others minute by minute or one by one."""
        first, end = int(self.began), int(self.began + self.lasts_s)
        bounds: dict[str, object] = {"start_at": _rfc3339(first), "end_at": _rfc3339(end)}
        often = {"interval": {"cron": "* * * * *"}, "distribution_window": f"{int(self.lasts_s / 3)}s", **bounds}
        self._add_task("often", "/ok", often)
        self._add_task("queued", "/slow/200", {**often, "overlap": "queue", "max_concurrency": 4})
        self._add_task("skipping", "/slow/100", {**often, "overlap": "skip"})
        crowded = first + int(self.lasts_s / 3)
        window = f"{int(self.lasts_s / 4)}s"
        self._add_task("crowd", "/ok", {"interval": daily(crowded), "distribution_window": window})
        for task_id, (path, fields) in _ONE_BY_ONE.items():
            self._add_task(task_id, path, fields)
        self.model.tasks["skipping"].may_skip = True
        self.model.tasks["queued"].in_turn = True
        self.model.tasks["limited"].most, self.model.tasks["limited"].takes_s = 3, 0.2
        await self._prepare_users({"crowd": {crowded}, **dict.fromkeys(_EVERY_MINUTE, _minutes(first, end))}, end)
        self._add_task("manual", "/ok", {})
        self._add_task("spread", "/ok", {"distribution_window": "6s"})
        self.write_tasks()

    def _add_task(self, task_id: str, path: str, fields: dict[str, object]) -> None:
        lasting = {"retries": 14, "retry_delay": "200ms", "catch_up": "all", "max_age": "1h", "interval": NEVER_NOW}
        self.tasks[task_id] = self.system.task(task_id, path, **{**lasting, "default_enabled": True, **fields})
        self.model.tasks[task_id] = TaskModel()

    async def _prepare_users(self, shared: dict[str, set[int]], end: int) -> None:
        pipeline = self.redis.pipeline()
        for user in self.users:
            pipeline.hset(f"taskqueue:users:{user}:tasks", "switched", "1")
            for task_id, task in self.model.tasks.items():
                own = {self._random.randrange(int(self.began) + 2, end)}
                instants = shared.get(task_id, own)
                task.switches[user] = Timeline(first=True)
                task.instants[user] = Timeline(first=frozenset(instants))
                if task_id not in shared:
                    pipeline.hset(settings_key(user, task_id), "custom_interval", json.dumps(daily(*instants)))
        await pipeline.execute()

    def write_tasks(self) -> None:
        """Write tasks.yaml with what is present now, by an atomic rename."""
        tasks = [task for task_id, task in self.tasks.items() if self.model.tasks[task_id].present.last]
        new = self.system.tasks_file.with_suffix(".new")
        new.write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
        new.rename(self.system.tasks_file)

    async def trigger(self, task_id: str, count: int, *, immediately: bool) -> None:
        """Ask for jobs of new users until a scheduler has accepted, as a client does that keeps its Idempotency-Key."""
        users = new_users(count)
        self.model.triggered[task_id] += users
        body = {"task_type_id": task_id, "user_ids": users, "execute_immediately": immediately}

        async def accepted() -> bool:
            for scheduler in sorted(self.posts.running("scheduler"), key=leads, reverse=True):
                try:
                    answer = await scheduler.http.post(
                        "/schedule/trigger", json=body, headers={"Idempotency-Key": users[0]}, timeout=3
                    )
                except (httpx.TransportError, StopIteration):
                    continue  # it is not there now, or does not listen yet
                assert answer.status_code in {202, 503}, answer.text
                if answer.status_code == 202:
                    return True
            return False

        await eventually(accepted, 60)

    # --- what happens -------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Write down what is done."""
        self.notes.append(f"{time.time() - self.began:7.2f} {text}")

    def a_while(self, chance: random.Random, most: float) -> float:
        """Return some seconds, `most` of them at most, and fewer where all is to be over soon."""
        return chance.uniform(0.5, min(most, self.lasts_s / 4))

    @asynccontextmanager
    async def trouble(self, kept: list[Trouble]) -> AsyncIterator[None]:
        """Keep when the block began and ended."""
        since = time.time()
        try:
            yield
        finally:
            kept.append(Trouble(since=since, until=time.time()))

    async def insist(self, act: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do something in Redis, which may be away for a while."""
        async with asyncio.timeout(40):
            while True:
                try:
                    return await act()
                except (RedisError, OSError):
                    await asyncio.sleep(0.1)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until all that must be done is done and nothing is left to do. Raises AssertionError with what is."""
        await self.posts.ready()
        found: list[str] = []

        async def over() -> bool:
            nonlocal found
            await asyncio.sleep(0.2)  # the next look costs as much as a job
            missing = self.model.ledger(time.time()).missing(self.system.target.calls)
            found = [*map(str, missing), *await left(self.system, self.posts)]
            return not found

        try:
            await eventually(over, DONE_WITHIN_S)
        except TimeoutError:
            raise AssertionError(f"after {DONE_WITHIN_S} s there is still {len(found)}: {found[:30]}") from None
        self.note(f"all is done, with {len(self.system.target.calls)} calls")

    async def complaints(self) -> list[str]:
        """Return what is not as it must be once all is done."""
        return await complaints(self.system, self.posts)

    def verdict(self) -> ChaosVerdict:
        """Judge all calls so far."""
        return self.model.judge(self.system.target.calls, time.time())


def daily(instant: int) -> dict[str, object]:
    """Return the interval that has this instant, in unix seconds, and none soon after."""
    return {"type": "daily", "at_time": f"{datetime.fromtimestamp(instant, UTC):%H:%M:%S}"}


def settings_key(user: str, task_id: str) -> str:
    """Return the key of a user's settings for a task."""
    return f"taskqueue:users:{user}:settings:{task_id}"


def _minutes(first: int, end: int) -> set[int]:
    return set(range(-(-first // 60) * 60, end + 1, 60))


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
