"""The scheduler process, put together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import timedelta

from taskqueue import __version__
from taskqueue.assets import asset_dir
from taskqueue.broker.connection import Setup
from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.settings import SchedulerSettings
from taskqueue.core.instants import rfc3339
from taskqueue.core.task import Priority, Removed
from taskqueue.ops_server import OpsServer
from taskqueue.runtime import Now, Supervisor, utc_now
from taskqueue.scheduler.api_index_keeper import ApiIndexKeeper
from taskqueue.scheduler.api_instants import ApiInstants
from taskqueue.scheduler.api_tasks import ApiTasks
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.audience_sync import AudienceSync
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.file_tasks import FileTaskLoops
from taskqueue.scheduler.gate_watch import GateStores, GateWatch
from taskqueue.scheduler.gates import Gates
from taskqueue.scheduler.leader import Leader, LeaderWork
from taskqueue.scheduler.measures import LeaderMeasures
from taskqueue.scheduler.planner import PlanDefaults, Planner
from taskqueue.scheduler.publishers import Publishers
from taskqueue.scheduler.release import Releaser, ReleaseTerms
from taskqueue.scheduler.routes import SchedulerRoutes, scheduler_health
from taskqueue.store.api_indexes import ApiIndexes
from taskqueue.store.api_runs import ApiRuns
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.file_task_list import FileTaskList
from taskqueue.store.fleet import FleetKind, Presence
from taskqueue.store.health import StoreHealth
from taskqueue.store.lease import Lease
from taskqueue.store.plan import PlanStore
from taskqueue.store.preferences import PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Emit, ProcessStarted
from taskqueue.telemetry.metrics import Metrics
from taskqueue.telemetry.scheduler_events import AudienceCounted

#: a scheduler has nothing of its own in flight: what it has not published stays in Redis
SHUTDOWN_TIMEOUT = timedelta(seconds=10)


class Scheduler:
    """One scheduler: start, quiet, stop. Raises ConfigError when tasks.yaml has no valid first version."""

    def __init__(self, settings: SchedulerSettings, metrics: Metrics, emit: Emit, *, now: Now | None = None) -> None:
        self._instance = instance = settings.scheduler.instance_id
        self._settings = settings
        self._emit = emit
        self._started_at = utc_now()
        self._store = RedisStore(settings.redis, client_name=f"taskqueue-scheduler-{instance}")
        scripts = Scripts(self._store, asset_dir("lua"))
        self._store_health = StoreHealth(self._store, emit)
        self._now: Now = now or self._store_health.clock
        self.catalog = CatalogWatch(
            settings.tasks.config_file,
            poll_interval=settings.tasks.poll_interval,
            allow_mass_delete=settings.tasks.allow_mass_delete,
            emit=emit,
        )
        ready = {
            each: self._new_publisher(f"taskqueue scheduler {instance} {each.name.lower()}", declare)
            for each in Priority
        }
        lane = self._new_publisher(f"taskqueue scheduler {instance} delayed")
        self.publishers = Publishers(direct=ready, lane=lane)
        #: also for what is no job: probes of the delayed queue come back on it
        self.normal = ready[Priority.NORMAL]
        self.index = AudienceIndex()
        self.audience = AudienceSync(
            self.index,
            PreferenceStore(self._store, scripts),
            lambda: user_changes(self._store),
            reload_interval=settings.tasks.reload_interval,
            emit=emit,
        )
        process = f"{instance}:{secrets.token_hex(4)}"
        self._presence = Presence(self._store, scripts, FleetKind.SCHEDULER, process, self._status)
        self._file_tasks = FileTaskLoops(FileTaskList(self._store, scripts), self.catalog, now=self._now)
        self._leader = self._build_leader(scripts, PlanStore(self._store, scripts))
        self._server = self._build_server(metrics, PlanStore(self._store, scripts))
        self._supervisor = Supervisor(emit)

    async def start(self) -> None:
        """Listen and begin to connect; the work begins as soon as Redis and RabbitMQ answer."""
        await self._server.start()
        for publisher in self.publishers.all:
            await publisher.start()
        self._supervisor.start("redis", self._store_health.run)
        self._supervisor.start("presence", self._store_health.outlasting(self._presence.run))
        self._supervisor.start("catalog", self.catalog.run)
        self._supervisor.start("paused", self._store_health.outlasting(self._file_tasks.follow))
        self._supervisor.start("audience", self._store_health.outlasting(self.audience.run))
        self._supervisor.start("audience-count", self._count_audience)
        self._supervisor.start("leader", self._lead_when_the_time_is_known)
        self._emit(ProcessStarted(process="scheduler", version=__version__))

    async def quiet(self) -> None:
        """Give the lease back: another scheduler plans and releases from here on."""
        await self._server.quiet()
        await self._supervisor.stop("leader")

    async def stop(self, deadline: float) -> None:
        """Close everything."""
        await self._supervisor.stop()
        await self._presence.leave()
        left_s = max(0.1, deadline - asyncio.get_running_loop().time())
        await asyncio.gather(*(publisher.stop(left_s) for publisher in self.publishers.all))
        await self._server.stop(deadline)
        await self._store.close()

    @property
    def port(self) -> int | None:
        """The port of the ops server, None before it listens."""
        return self._server.port

    def ready(self) -> dict[str, bool]:
        """Return what /readyz checks. A follower with a warm index is as ready as the leader."""
        return {
            "redis": self._store_health.reachable,
            "rabbitmq": self.publishers.broker_connected,
            "audience_index": self.audience.ready.is_set(),
        }

    def health(self) -> dict[str, object]:
        """Return the body of /health."""
        checks = self.ready()
        return scheduler_health(
            healthy=all(checks.values()),
            started=self._started_at,
            now=utc_now(),
            leader=self._leader.leading,
            checks=checks,
            tasks={"revision": self.catalog.revision, "count": len(self.catalog.tasks), "error": self.catalog.error},
            audience=self.audience.health(),
            publishing=self._publishing(),
        )

    def _publishing(self) -> str:
        if self.publishers.blocked:
            return "blocked"
        return "ok" if all(each.connection.connected for each in self.publishers.all) else "disconnected"

    def _broker_answers(self) -> bool:
        return self.publishers.answers(leading=self._leader.leading)

    def _status(self) -> Mapping[str, object]:
        """Return what this scheduler says of itself at each beat."""
        since = self._leader.leading_since
        return {"instance_id": self._instance, "leading_since": None if since is None else rfc3339(since)}

    async def _lead_when_the_time_is_known(self) -> None:
        # A host whose clock is off must not plan anything by it, not even once.
        await self._store_health.clock.known.wait()
        await self._leader.run()

    async def _count_audience(self) -> None:
        while True:
            for task in self.catalog.tasks.values():
                self._emit(AudienceCounted(task=task.id, users=self.index.count(task)))
            await asyncio.sleep(self._settings.monitoring.metrics_interval.total_seconds())

    def _new_publisher(self, name: str, prepare: Setup | None = None) -> Publisher:
        queue = self._settings.queue
        return Publisher(
            queue.candidates, name=name, confirm_window=queue.confirm_window, prepare=prepare, emit=self._emit
        )

    def _build_leader(self, scripts: Scripts, plan: PlanStore) -> Leader:
        settings, section = self._settings, self._settings.scheduler
        lease = Lease(self._store, scripts, name=section.instance_id, ttl=section.lease_ttl)
        gates, delayed = Gates(section.max_ready), DelayedStore(self._store, scripts)
        terms = ReleaseTerms(lead=section.lead, batch_size=section.batch_size)
        releaser = Releaser(
            (plan, delayed), self.publishers, self.catalog, lease, gates, terms, now=self._now, emit=self._emit
        )
        lane = LaneWatch(
            self.normal,
            self.publishers.lane,
            instance=section.instance_id,
            ahead=releaser.lane_ahead,
            emit=self._emit,
        )
        damaged, runs = DamagedKeys(scripts, self._emit), ApiRuns(self._store, scripts)
        interval = settings.monitoring.metrics_interval
        work = LeaderWork(
            broker_connected=self._broker_answers,
            catalog=self.catalog,
            catalog_store=CatalogStore(self._store, scripts, Removed(settings.tasks.removed)),
            gates=self._gate_watch(gates, delayed, lane, scripts),
            damaged=damaged,
            measures=LeaderMeasures(delayed, lambda: lane.lag, interval=interval, emit=self._emit),
            audience=self.audience,
            planner=self._planner(plan, damaged),
            releaser=releaser,
            file_tasks=self._file_tasks,
            api_tasks=ApiTasks(runs, lease, now=self._now, emit=self._emit),
            api_instants=ApiInstants(runs, lease, now=self._now, emit=self._emit),
            api_indexes=ApiIndexKeeper(ApiIndexes(self._store, scripts), lease, emit=self._emit),
        )
        instance, check_interval = section.instance_id, section.check_interval
        return Leader(lease, work, instance=instance, check_interval=check_interval, now=self._now, emit=self._emit)

    def _gate_watch(self, gates: Gates, delayed: DelayedStore, lane: LaneWatch, scripts: Scripts) -> GateWatch:
        stores = GateStores.of(self._store, scripts)
        return GateWatch(
            gates, stores, delayed.running, self.publishers.depths, lane, self.catalog, now=self._now, emit=self._emit
        )

    def _planner(self, plan: PlanStore, damaged: DamagedKeys) -> Planner:
        defaults, set_aside = self._defaults(), damaged.set_aside
        return Planner(plan, self.index, self.catalog, defaults, set_aside=set_aside, now=self._now, emit=self._emit)

    def _build_server(self, metrics: Metrics, plan: PlanStore) -> OpsServer:
        routes = SchedulerRoutes(
            self.catalog, self.index, plan, self._defaults(), health=self.health, now=self._now
        ).routes()
        server = self._settings.server
        return OpsServer(
            host=server.host, port=server.port, ready=self.ready, metrics=metrics, emit=self._emit, routes=routes
        )

    def _defaults(self) -> PlanDefaults:
        section = self._settings.scheduler
        return PlanDefaults(
            distribution_window=section.distribution_window,
            batch_size=section.batch_size,
            check_interval=section.check_interval,
            removed=Removed(self._settings.tasks.removed),
        )
