"""A Redis of this test's own with a lease that is held, and the parts of a scheduler on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from taskqueue.assets import asset_dir
from taskqueue.broker.connection import Session, connect
from taskqueue.broker.names import QUEUES
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.settings import SchedulerSettings
from taskqueue.core.task import Priority
from taskqueue.dev.services import RabbitMQ
from taskqueue.dev.services import Redis as RedisService
from taskqueue.runtime import utc_now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.gates import Gates
from taskqueue.scheduler.main import Scheduler
from taskqueue.scheduler.planner import PlanDefaults, Planner
from taskqueue.scheduler.publishers import Publishers
from taskqueue.scheduler.release import Releaser, ReleaseTerms
from taskqueue.store.connection import RedisStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.lease import Lease
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.metrics import Metrics
from tests.support.inbox import Consume
from tests.support.plan_desk import PLAN_BATCH, Desk, NewDesk
from tests.support.publishers import connected_publisher
from tests.support.release_dock import RELEASE_BATCH, SECOND, Dock, NewDock
from tests.support.scheduling import (
    Clock,
    EventLog,
    NewScheduler,
    RunningScheduler,
    TasksFile,
    redis_settings,
    redis_store,
    task_type,
)
from tests.support.virtual_hosts import VirtualHosts


@pytest.fixture
async def redis(redis_server: RedisService, redis_db: int) -> AsyncIterator[Redis]:
    """What another system uses to write preferences, and an operator to look."""
    host, _, port = redis_server.address.rpartition(":")
    client = Redis(
        host=host, port=int(port), db=redis_db, password=redis_server.password or None, decode_responses=True
    )
    yield client
    await client.aclose()


@pytest.fixture
async def store(redis_server: RedisService, redis_db: int) -> AsyncIterator[RedisStore]:
    """The scheduler's own connections."""
    store = redis_store(redis_server, redis_db)
    yield store
    await store.close()


@pytest.fixture
def scripts(store: RedisStore) -> Scripts:
    return Scripts(store, asset_dir("lua"))


@pytest.fixture
def plan(store: RedisStore, scripts: Scripts) -> PlanStore:
    return PlanStore(store, scripts)


@pytest.fixture
def new_lease(store: RedisStore, scripts: Scripts) -> Callable[[str], Lease]:
    """Call it with the name of a scheduler."""
    return lambda name: Lease(store, scripts, name=name, ttl=timedelta(minutes=1))


@pytest.fixture
async def lease(new_lease: Callable[[str], Lease]) -> Lease:
    """A lease that is held."""
    lease = new_lease("leader")
    assert await lease.acquire()
    return lease


@pytest.fixture
def token(lease: Lease) -> str:
    return lease.token


@pytest.fixture
def index() -> AudienceIndex:
    return AudienceIndex()


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def tasks_file(tmp_path: Path) -> TasksFile:
    return TasksFile(tmp_path / "tasks.yaml")


@pytest.fixture
def clock() -> Clock:
    """Half past nine of a Monday."""
    return Clock(datetime(2024, 1, 15, 9, 30, tzinfo=UTC))


@pytest.fixture(scope="module")
def broker_url(rabbitmq: RabbitMQ, _virtual_hosts: VirtualHosts) -> Iterator[str]:
    """A virtual host for all tests of a module: making one for each would take most of the time."""
    with _virtual_hosts.empty() as url:
        yield url


@pytest.fixture(scope="module")
async def session(broker_url: str) -> AsyncIterator[Session]:
    session = await connect(broker_url, "test")
    await declare(session)
    yield session
    await session.close()


@pytest.fixture
async def new_scheduler(
    broker_url: str, redis_server: RedisService, redis_db: int, tasks_file: TasksFile
) -> AsyncIterator[NewScheduler]:
    """Call it for a scheduler that runs in this process; `name` is its own."""
    running: list[RunningScheduler] = []

    async def new_scheduler(
        name: str, queue_url: str = broker_url, *, removed: str = "finish", **redis: object
    ) -> RunningScheduler:
        settings = SchedulerSettings(
            scheduler={"instance_id": name, "lease_ttl": "2s"},
            redis=redis_settings(redis_server, redis_db, **redis),
            queue={"url": queue_url},
            tasks={"config_file": tasks_file.path, "poll_interval": "50ms", "removed": removed},
            monitoring={"metrics_interval": "200ms"},
            server={"host": "127.0.0.1", "port": 0},
        )
        events = EventLog()
        scheduler = RunningScheduler(scheduler=Scheduler(settings, Metrics(version="1"), events), events=events)
        running.append(scheduler)
        await scheduler.scheduler.start()
        return scheduler

    yield new_scheduler
    for scheduler in running:
        await scheduler.stop()


@pytest.fixture(scope="module")
async def publisher(broker_url: str, session: Session) -> AsyncIterator[Publisher]:
    async with connected_publisher(broker_url, name="test release") as publisher:
        yield publisher


@pytest.fixture
async def consume(broker_url: str, session: Session) -> AsyncIterator[Consume]:
    async with session.passing_channel("emptying the queues") as channel:
        for queue in QUEUES:
            await channel.queue_purge(queue)
    consume = Consume(url=broker_url)
    async with consume.stack:
        yield consume


@pytest.fixture
async def new_dock(
    plan: PlanStore,
    redis: Redis,
    scripts: Scripts,
    lease: Lease,
    publisher: Publisher,
    consume: Consume,
    tasks_file: TasksFile,
    events: EventLog,
) -> NewDock:
    """Call it for a releaser that has begun."""
    tasks_file.write(task_type("report"), task_type("urgent", priority="high"))

    async def new_dock(
        *,
        publisher: Publisher = publisher,
        lane: Publisher | None = None,
        direct: Mapping[Priority, Publisher] | None = None,
        stores: tuple[PlanStore, DelayedStore] | None = None,
        gates: Gates | None = None,
    ) -> Dock:
        inbox = await consume(dict.fromkeys(Priority, 5000))
        releaser = Releaser(
            stores or (plan, DelayedStore(plan._store, scripts)),
            Publishers(direct=dict.fromkeys(Priority, publisher) | (direct or {}), lane=lane or publisher),
            tasks_file.watch(events),
            lease,
            gates or Gates(100_000),
            ReleaseTerms(lead=60 * SECOND, batch_size=RELEASE_BATCH),
            now=lambda: utc_now() + dock.ahead,
            emit=events,
        )
        dock = Dock(
            releaser=releaser,
            publisher=publisher,
            plan=plan,
            redis=redis,
            token=lease.token,
            inbox=inbox,
            events=events,
        )
        await dock.releaser.begin()
        return dock

    return new_dock


@pytest.fixture
async def dock(new_dock: NewDock) -> Dock:
    """A releaser that has begun and knows that the delayed queue is empty."""
    dock = await new_dock()
    await dock.lane_reaches(utc_now())
    return dock


@pytest.fixture
def new_desk(
    plan: PlanStore,
    scripts: Scripts,
    redis: Redis,
    index: AudienceIndex,
    tasks_file: TasksFile,
    events: EventLog,
    clock: Clock,
    token: str,
) -> NewDesk:
    """Call it for a planner; the same index, clock and events serve all."""
    set_aside = DamagedKeys(scripts, events).set_aside

    def new_desk(*, plan: PlanStore = plan, token: str = token) -> Desk:
        defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=PLAN_BATCH)
        watch = tasks_file.watch(events)
        planner = Planner(plan, index, watch, defaults, set_aside=set_aside, now=clock, emit=events)
        return Desk(planner=planner, plan=plan, redis=redis, index=index, events=events, clock=clock, token=token)

    return new_desk


@pytest.fixture
def desk(tasks_file: TasksFile, new_desk: NewDesk) -> Desk:
    """A planner for `report`, daily at ten, that has ticked at half past nine."""
    tasks_file.write(task_type("report"))
    return new_desk()
