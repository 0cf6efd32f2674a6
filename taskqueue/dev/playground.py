"""A scheduler, a worker and an endpoint of our own, with users and tasks: what the demo and `taskqueue dev` run.

The latter has an API as well.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import yaml

from taskqueue.assets import asset_dir
from taskqueue.broker.connection import Session, connect_any
from taskqueue.broker.upkeep import purge_queues, queues_in_use
from taskqueue.config.settings import SchedulerSettings, load_scheduler_settings
from taskqueue.core.instants import rfc3339
from taskqueue.core.preference import UserPreference
from taskqueue.dev.demo_expectation import DemoTask, DemoUser
from taskqueue.dev.demo_inputs import TASKS, demo_users
from taskqueue.dev.local_server import LocalServer
from taskqueue.dev.services import Services
from taskqueue.dev.target import Target
from taskqueue.errors import ServiceError
from taskqueue.runtime import cancel_and_wait, stop_signals
from taskqueue.store.connection import RedisStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import UserStore

_T = TypeVar("_T")

#: our processes shall not be changed by settings meant for other ones; how to reach the services stays
_KEPT_VARIABLES = ("TASKQUEUE_REDIS__", "TASKQUEUE_QUEUE__")

_COMMAND = (sys.executable, "-P", "-c", "from taskqueue.cli.main import main; main()")

#: seconds from the start of a process to its readiness
_START_DEADLINE = 60.0

#: Redis has this many databases unless told otherwise
_DATABASES = 16

_HOST = "127.0.0.1"
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLayout:
    """Where the API listens, and the token that may do everything while it runs; that is written to no file."""

    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The root of the API."""
        return f"http://{_HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything is and how it is set.

    Ports must be free; a `target_port` of 0 takes any. `lead_s` None leaves the scheduler's default. With `keep_tasks`
    a tasks.yaml that is in the directory stays as it is. `api` None: there is no API.
    """

    directory: Path
    scheduler_port: int
    worker_port: int
    api: ApiLayout | None = None
    target_port: int = 0
    window_s: int = 30
    lead_s: int | None = None
    rate_limit: int = 100
    keep_tasks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Playground:
    """Everything runs, `servers` by their names. `store`, `session` and `plan` look at what is in RabbitMQ and Redis.

    `database` is the number of the database of Redis that is used.
    """

    layout: Layout
    users: tuple[DemoUser, ...]
    servers: Mapping[str, LocalServer]
    target: Target
    database: int
    store: RedisStore
    session: Session
    plan: PlanStore

    @property
    def scheduler_url(self) -> str:
        """The root of the scheduler's internal endpoints."""
        return f"http://{_HOST}:{self.layout.scheduler_port}"

    @property
    def worker_url(self) -> str:
        """The root of the worker's internal endpoints."""
        return f"http://{_HOST}:{self.layout.worker_port}"

    async def stop(self) -> dict[str, int | None]:
        """Drain the processes; return their exit codes, None for one that did not run."""
        codes = await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self.servers.values()))
        return dict(zip(self.servers, codes, strict=True))


@asynccontextmanager
async def playground(services: Services, layout: Layout, environ: Mapping[str, str]) -> AsyncIterator[Playground]:
    """Start everything and end it at the exit of the context.

    An empty database of Redis is used and emptied again. Raises ServiceError where there is none, where RabbitMQ's
    virtual host is in use, where the target's port is taken, and where a process does not get ready; BrokerError and
    StoreError.
    """
    async with AsyncExitStack() as stack:
        target = await _running_target(stack, layout.target_port)
        users = demo_users()
        _write_settings(layout, target.url)
        environment = _environment(services, environ)
        settings = load_scheduler_settings(layout.directory / "scheduler.yaml", environment)
        session = await _borrowed_session(stack, settings)
        database, store = await _borrowed_database(stack, settings)
        await UserStore(store).write(map(_preference, users), rfc3339(datetime.now(UTC)))
        environment["TASKQUEUE_REDIS__DB"] = str(database)
        servers = _servers(layout, environment)
        for server in servers.values():
            # Killed, where the owner of the context did not stop it before.
            stack.push_async_callback(asyncio.to_thread, server.kill)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers.values()))
        yield Playground(
            layout=layout,
            users=users,
            servers=servers,
            target=target,
            database=database,
            store=store,
            session=session,
            plan=PlanStore(store, Scripts(store, asset_dir("lua"))),
        )


async def unless_stopped(work: Coroutine[Any, Any, _T]) -> _T | None:
    """Return the result of `work`, or None when SIGINT or SIGTERM came first; it has then been cancelled."""
    with stop_signals() as request:
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(request.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            await cancel_and_wait(working, stopping)


def _environment(services: Services, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("TASKQUEUE_") or name.startswith(_KEPT_VARIABLES)
    }
    return kept | services.environment()


# --- what is borrowed -------------------------------------------------------------------------------------------------


async def _running_target(stack: AsyncExitStack, port: int) -> Target:
    try:
        return await stack.enter_async_context(Target(host=_HOST, port=port))
    except OSError as error:
        raise ServiceError(f"port {port} for the target: {error.strerror}; choose another with --target-port") from None


async def _borrowed_session(stack: AsyncExitStack, settings: SchedulerSettings) -> Session:
    session = await connect_any(settings.queue.candidates, "taskqueue playground")
    stack.push_async_callback(session.close)
    if busy := await queues_in_use(session):
        raise ServiceError(
            f"{session.place}: {', '.join(busy)} already in use; name a virtual host of its own in TASKQUEUE_QUEUE__URL"
        )
    stack.push_async_callback(purge_queues, session)
    return session


async def _borrowed_database(stack: AsyncExitStack, settings: SchedulerSettings) -> tuple[int, RedisStore]:
    """Return the first database of Redis that is empty, and a connection to it."""
    async with _open_store(settings, settings.redis.db) as any_database:
        used = await any_database.command("INFO", "keyspace")
    taken = {int(number) for number in re.findall(r"\bdb([0-9]+)", str(used))}
    number = next((number for number in range(_DATABASES) if number not in taken), None)
    if number is None:
        raise ServiceError(f"no database of the Redis at {settings.redis.addresses[0]} is empty; it needs one")
    store = await stack.enter_async_context(_open_store(settings, number))
    stack.push_async_callback(store.command, "FLUSHDB")
    return number, store


@asynccontextmanager
async def _open_store(settings: SchedulerSettings, database: int) -> AsyncIterator[RedisStore]:
    store = RedisStore(settings.redis.model_copy(update={"db": database}), client_name="taskqueue-playground")
    try:
        yield store
    finally:
        await store.close()


# --- what is started --------------------------------------------------------------------------------------------------


def _servers(layout: Layout, environment: Mapping[str, str]) -> dict[str, LocalServer]:
    servers = {
        "scheduler": _server("scheduler", layout.scheduler_port, layout, environment),
        "worker": _server("worker", layout.worker_port, layout, environment),
    }
    if layout.api is not None:
        with_token = {**environment, "TASKQUEUE_API__BOOTSTRAP_TOKEN": layout.api.token}
        servers["api"] = _server("api", layout.api.port, layout, with_token)
    return servers


def _server(name: str, port: int, layout: Layout, environment: Mapping[str, str]) -> LocalServer:
    return LocalServer(
        name=name,
        command=[*_COMMAND, name, "--config", str(layout.directory / f"{name}.yaml")],
        environment=environment,
        directory=layout.directory,
        ready=lambda: is_ready(f"http://{_HOST}:{port}/readyz"),
        deadline=_START_DEADLINE,
    )


def is_ready(url: str) -> bool:
    """Return whether one of our processes says at its /readyz that it is ready; another program says something else."""
    try:
        answer = httpx.get(url, timeout=1.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and '"accepting_work":true' in answer.text


def kept_target_port(directory: Path) -> int | None:
    """Return the port of this machine that the tasks.yaml in `directory` calls; None where it calls none, or is none.

    With several, the one that it names first.
    """
    try:
        text = (directory / "tasks.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"http://{re.escape(_HOST)}:([0-9]{{1,5}})\b", text)
    port = 0 if found is None else int(found[1])
    return port if 1 <= port <= _LAST_PORT else None


def _write_settings(layout: Layout, target_url: str) -> None:
    planning: dict[str, object] = {"distribution_window": f"{layout.window_s}s"}
    if layout.lead_s is not None:
        planning["lead"] = f"{layout.lead_s}s"
    documents: dict[str, dict[str, object]] = {
        "scheduler": {
            "scheduler": planning,
            "tasks": {"config_file": "tasks.yaml"},
            "server": {"host": _HOST, "port": layout.scheduler_port},
        },
        "worker": {
            "worker": {"pool_size": 20},
            "rate_limit": {"global": layout.rate_limit},
            "server": {"host": _HOST, "port": layout.worker_port},
        },
        "tasks": {"tasks": list(_entries(TASKS, target_url))},
    }
    if layout.api is not None:
        documents["api"] = {
            # Tasks that name no target succeed as well.
            "api": {"default_target": target_url + "/ok"},
            "server": {"host": _HOST, "port": layout.api.port},
        }
        documents["worker"]["guard"] = {"allow": [urlsplit(target_url).netloc]}
    layout.directory.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        path = layout.directory / f"{name}.yaml"
        if not (name == "tasks" and layout.keep_tasks and path.exists()):
            path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _entries(tasks: Iterable[DemoTask], target_url: str) -> Iterable[dict[str, object]]:
    for task in tasks:
        entry: dict[str, object] = {
            "id": task.id,
            "name": task.name,
            "interval": {"cron": task.cron, "timezone": task.timezone},
            "retries": task.retries,
            "retry_delay": "1s",
            "config": {"endpoint": target_url + task.path, "method": task.method},
        }
        if task.window_s is not None:
            entry["distribution_window"] = f"{task.window_s}s"
        yield entry


def _preference(user: DemoUser) -> UserPreference:
    return UserPreference(
        user_id=user.user_id,
        enabled_tasks=user.enabled_tasks,
        parameters=user.parameters,
        custom_intervals={
            task_id: {"type": "cron", "cron": cron, "timezone": timezone}
            for task_id, (cron, timezone) in user.custom_intervals.items()
        },
    )
