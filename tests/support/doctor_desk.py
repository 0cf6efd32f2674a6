"""A small system that is well, on services of its own, for `taskqueue doctor` to look at and for tests to break."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import yaml
from redis.asyncio import Redis as RedisClient

from taskqueue.assets import asset_dir
from taskqueue.broker.connection import connect
from taskqueue.broker.deliveries import RawDelivery
from taskqueue.broker.names import READY_QUEUES
from taskqueue.broker.topology import declare
from taskqueue.cli.doctor_examination import examine
from taskqueue.cli.doctor_subject import Subject
from taskqueue.config.catalog import load_catalog
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.doctor import Finding
from taskqueue.dev.services import RabbitMQ
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.fleet import FleetKind, Presence
from taskqueue.store.lease import Lease
from taskqueue.store.limits import Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts

TASK: Mapping[str, Any] = {
    "id": "daily_report",
    "name": "Daily report",
    "interval": {"type": "daily", "value": 1},
    "config": {"endpoint": "http://127.0.0.1:9/"},
    "distribution_window": "10m",
}


@dataclass(slots=True, kw_only=True)
class DoctorDesk:
    """What there is to look at. `environ` is the environment that references are resolved in."""

    subject: Subject
    redis: RedisClient
    rabbitmq: RabbitMQ | None
    amqp_url: str
    directory: Path
    management: httpx.AsyncClient
    #: what the worker took
    taken: list[RawDelivery]
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def vhost(self) -> str:
        """The virtual host, as it stands in paths of the management API."""
        return quote(urlsplit(self.amqp_url).path[1:], safe="")

    async def look(self, *checks: str, **changes: Any) -> list[Finding]:
        """Return what doctor finds with these checks alone; `changes` are to the subject."""
        subject = replace(self.subject, wanted=frozenset(checks), environ=self.environ, **changes)
        return (await examine(subject)).findings

    def as_user(self, user: str, password: str) -> str:
        """Return the AMQP URL of another user."""
        parts = urlsplit(self.amqp_url)
        return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()

    async def write_tasks(self, *tasks: Mapping[str, Any]) -> None:
        """Put tasks into tasks.yaml and in force."""
        (self.directory / "tasks.yaml").write_text(yaml.safe_dump({"tasks": list(tasks)}), encoding="utf-8")
        async with _store(self.subject.redis) as store:
            catalog = load_catalog(self.directory / "tasks.yaml")
            token = (await store.command("GET", "taskqueue:distribution:lock")).decode()
            await CatalogStore(store, Scripts(store, asset_dir("lua"))).write(token, catalog.tasks, catalog.revision)


@asynccontextmanager
async def doctor_desk(
    rabbitmq: RabbitMQ | None, amqp_url: str, redis_address: str, directory: Path
) -> AsyncIterator[DoctorDesk]:
    """Set up what a running system leaves: the topology, two schedulers and a worker that show themselves, a task.

    The worker takes jobs, and keeps them.

    Without a RabbitMQ only what is in Redis.
    """
    management_url = None if rabbitmq is None else rabbitmq.management_url
    worker = None if rabbitmq is None else await connect(amqp_url, "test worker")
    taken = list[RawDelivery]()
    if worker is not None:
        await declare(worker)
        for queue in READY_QUEUES:
            await worker.consume(await worker.open_channel(), queue, taken.append)
    config = directory / "scheduler.yaml"
    config.write_text("tasks: {config_file: tasks.yaml}\n", encoding="utf-8")
    redis = RedisSettings(addresses=(redis_address,))
    host, _, port = redis_address.rpartition(":")
    client = RedisClient(host=host, port=int(port))
    await client.flushall()
    subject = Subject(
        redis=redis,
        amqp_urls=(amqp_url,),
        scheduler=load_scheduler_settings(config, {}),
        management=management_url,
        wanted=frozenset(),
        environ={},
        canary_within=timedelta(seconds=1),
    )
    async with httpx.AsyncClient(
        base_url=management_url or "", auth=("guest", "guest"), timeout=30, trust_env=False
    ) as management:
        desk = DoctorDesk(
            subject=subject,
            redis=client,
            rabbitmq=rabbitmq,
            amqp_url=amqp_url,
            directory=directory,
            management=management,
            taken=taken,
        )
        await _show_processes(redis)
        await desk.write_tasks(TASK)
        try:
            yield desk
        finally:
            await client.aclose()
            if worker is not None:
                await worker.close()


async def _show_processes(settings: RedisSettings) -> None:
    async with _store(settings) as store:
        scripts = Scripts(store, asset_dir("lua"))
        assert await Lease(store, scripts, name="scheduler-1", ttl=timedelta(minutes=5)).acquire()
        for name in ("scheduler-1", "scheduler-2"):
            await Presence(store, scripts, FleetKind.SCHEDULER, f"{name}:1", _says(instance_id=name)).beat()
        worker = _says(worker_id="worker-1", capacity=10, current_load=0)
        await Presence(store, scripts, FleetKind.WORKER, "worker-1:1", worker).beat()
        await LimitStore(store, scripts).write(Limits(global_=Limit(rate=1000, burst=1000)))


def _says(**status: object) -> Any:
    return lambda: status


@asynccontextmanager
async def _store(settings: RedisSettings) -> AsyncIterator[RedisStore]:
    store = RedisStore(settings, client_name="taskqueue-test")
    try:
        yield store
    finally:
        await store.close()


def problems(findings: Sequence[Finding]) -> str:
    """Return the findings as text, for a failing test."""
    return json.dumps([finding.as_dict() for finding in findings], indent=1)
