"""The worker process, put together."""

from __future__ import annotations

import asyncio
import json
import platform
import random
import secrets
import time
from collections.abc import Mapping
from typing import NoReturn

from taskqueue import __version__
from taskqueue.assets import asset_dir
from taskqueue.broker.consumer import Consumers
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.config.sections import RateLimitSettings
from taskqueue.config.settings import WorkerSettings
from taskqueue.core.instants import rfc3339
from taskqueue.errors import StoreError
from taskqueue.ops_server import OpsServer
from taskqueue.runtime import Now, Supervisor
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.fleet import HEARTBEAT_TTL, FleetKind, Presence
from taskqueue.store.health import StoreHealth
from taskqueue.store.hosts import HostStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.limit_overrides import LimitOverrides
from taskqueue.store.limits import Limit, Limits, LimitStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.events import Emitter, ProcessStarted
from taskqueue.telemetry.metrics import Metrics
from taskqueue.worker.attempt import AttemptDefaults, Caller
from taskqueue.worker.cancellations import CancellationWatch
from taskqueue.worker.definitions import Definitions
from taskqueue.worker.guard import guards_of
from taskqueue.worker.handle import Handler, HandleTerms
from taskqueue.worker.hands import Hands, Identity
from taskqueue.worker.hosts import Hosts
from taskqueue.worker.http_call import HttpCaller
from taskqueue.worker.intake import Intake
from taskqueue.worker.live_limits import LiveLimits
from taskqueue.worker.perseverance import Perseverance
from taskqueue.worker.references import References
from taskqueue.worker.request import USER_AGENT
from taskqueue.worker.routes import worker_routes
from taskqueue.worker.settle import Background, Settler
from taskqueue.worker.stats import WorkerStats
from taskqueue.worker.watchdog import Watchdog

#: the leader hears of this worker's limits so often, also one that has lost them with its Redis
_TELL_LIMITS_EVERY_S = 60.0

#: a delivery that nobody began within this goes back to where other workers can take it
_LONGEST_WAIT_S = 600.0

#: a broker that does not answer may take so much of the time to drain; at most a fifth of it
_QUIET_S = 5.0

#: of the time to drain, what is kept for recording the calls that had to be cut; at most a fifth of it
_RECORDING_S = 3.0


class Worker:
    """One worker: start, quiet, stop. `environ` is what `${env:NAME}` in headers refers to."""

    def __init__(
        self,
        settings: WorkerSettings,
        environ: Mapping[str, str],
        metrics: Metrics,
        emit: Emitter,
        *,
        now: Now | None = None,
    ) -> None:
        instance = settings.worker.instance_id
        self._settings = settings
        self._emit = emit
        self._identity = Identity(incarnation=f"{instance}:{secrets.token_hex(4)}", heartbeat_ttl=HEARTBEAT_TTL)
        self._store = RedisStore(settings.redis, client_name=f"taskqueue-worker-{instance}")
        scripts = Scripts(self._store, asset_dir("lua"))
        self._store_health = StoreHealth(self._store, emit)
        self._now: Now = now or self._store_health.clock
        self._presence = Presence(
            self._store, scripts, FleetKind.WORKER, self._identity.incarnation, self._present_status
        )
        self._jobs, self._limits = JobStore(self._store, scripts), LimitStore(self._store, scripts)
        self._live_limits = LiveLimits(_limits(settings.rate_limit))
        self._overrides, self._hosts = LimitOverrides(self._store, scripts), self._build_hosts()
        self._stats = WorkerStats(time.monotonic)
        emit.subscribe("worker_stats", self._stats.handle)
        self.publisher = Publisher(
            settings.queue.candidates, name=f"taskqueue worker {instance} (publish)", prepare=declare, emit=emit
        )
        self._intake = Intake()
        self.consumers = self._build_consumers()
        self._watchdog = Watchdog(self.consumers, clock=time.monotonic, emit=emit)
        self._http = HttpCaller(user_agent=USER_AGENT, guards=guards_of(settings.guard))
        self._stopping, self._give_up = asyncio.Event(), asyncio.Event()
        catalog, api_tasks = CatalogStore(self._store, scripts), ApiTaskStore(self._store, scripts)
        self._definitions = Definitions(catalog, api_tasks, set(settings.rate_limit.per_task), emit)
        self._caller = Caller(self._http, References(environ), self._defaults(), now=self._now)
        self._cancellations = CancellationWatch(Cancellations(self._store, scripts), self._caller)
        self.hands = self._build_hands()
        self._server = self._build_server(metrics)
        self._supervisor = Supervisor(emit)

    async def start(self) -> None:
        """Listen and begin to connect; jobs are taken as soon as Redis and RabbitMQ answer."""
        await self._server.start()
        await self._http.start()
        self._supervisor.start("redis", self._store_health.run)
        self._supervisor.start("definitions", self._store_health.outlasting(self._definitions.run))
        self._supervisor.start("heartbeat", self._store_health.outlasting(self._beat_for_ever))
        self._supervisor.start("presence", self._store_health.outlasting(self._presence.run))
        self._supervisor.start("limits", self._store_health.outlasting(self._tell_limits_for_ever))
        self._supervisor.start("cancellations", self._store_health.outlasting(self._cancellations.run))
        self._supervisor.start("overrides", self._store_health.outlasting(self._follow_overrides))
        self._supervisor.start("hosts", self._store_health.outlasting(self._hosts.share_for_ever))
        self._supervisor.start("give-back", self._give_back_old_for_ever)
        self._supervisor.start("watchdog", self._watchdog.run)
        for number in range(self._settings.worker.pool_size):
            self._supervisor.start(f"hands-{number + 1}", self.hands.work)
        await self.publisher.start()
        await self.consumers.start()
        self._emit(ProcessStarted(process="worker", version=__version__))

    async def quiet(self) -> None:
        """Take no more deliveries and give back those that nobody has begun."""
        self._stopping.set()
        await self._server.quiet()
        await self.consumers.quiet(within=min(_QUIET_S, self._settings.worker.shutdown_timeout.total_seconds() / 5))
        await self.hands.give_back_waiting("stopping")

    async def stop(self, deadline: float) -> None:
        """Finish what is running; what is not done shortly before `deadline` is cut and put back for another try."""
        now = asyncio.get_running_loop().time
        recording_s = min(_RECORDING_S, (deadline - now()) / 5)
        if not await self._idle_until(deadline - recording_s):
            self._caller.cut()
            self._give_up.set()
            await self._idle_until(deadline)
        await self._supervisor.stop()
        await self.consumers.stop(max(0.1, deadline - now()))
        await self.publisher.stop(max(0.1, deadline - now()))
        await self._http.stop()
        await self._last_beat()
        await self._presence.leave()
        await self._server.stop(deadline)
        await self._store.close()

    @property
    def port(self) -> int | None:
        """The port of the ops server, None before it listens."""
        return self._server.port

    def ready(self) -> dict[str, bool]:
        """Return what /readyz checks."""
        return {
            "redis": self._store_health.reachable,
            "rabbitmq_publish": self.publisher.connection.connected,
            "rabbitmq_consume": self.consumers.live,
        }

    def health(self) -> dict[str, object]:
        """Return the body of /health: the spec's fields, then ours."""
        checks = self.ready()
        return {
            "status": "healthy" if all(checks.values()) else "unhealthy",
            "workers": self._settings.worker.pool_size,
            "active_jobs": self.hands.active,
            "rate_limit": {
                "current": self._stats.admitted_last_second(),
                "max": _plain(self._settings.rate_limit.global_),
            },
            "version": __version__,
            "checks": checks,
        }

    def stats(self) -> dict[str, object]:
        """Return the body of /stats: the spec's fields, then ours."""
        return {**self._stats.as_dict(), "waiting": len(self._intake), "tasks": len(asyncio.all_tasks())}

    async def _idle_until(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                await self.hands.idle.wait()
        except TimeoutError:
            return False
        return True

    async def _beat_for_ever(self) -> NoReturn:
        while True:
            status = json.dumps({**self._present_status(), "at": rfc3339(self._now())})
            await self._jobs.beat(self._identity.incarnation, status, HEARTBEAT_TTL)
            await asyncio.sleep(HEARTBEAT_TTL.total_seconds() / 4)

    def _present_status(self) -> Mapping[str, object]:
        return {
            "worker_id": self._settings.worker.instance_id,
            "host": platform.node(),
            "capacity": self._settings.worker.pool_size,
            "current_load": self.hands.active,
        }

    async def _tell_limits_for_ever(self) -> NoReturn:
        while True:
            await self._limits.write(self._live_limits.own)
            await asyncio.sleep(_TELL_LIMITS_EVERY_S)

    async def _follow_overrides(self) -> NoReturn:
        await self._live_limits.follow(self._overrides, self._now)

    async def _give_back_old_for_ever(self) -> NoReturn:
        # RabbitMQ closes the channel of a consumer that holds a message for 30 minutes (consumer_timeout).
        while True:
            await asyncio.sleep(_LONGEST_WAIT_S / 10)
            received_before = asyncio.get_running_loop().time() - _LONGEST_WAIT_S
            await self.hands.give_back_waiting("waited too long for free hands", received_before=received_before)

    async def _last_beat(self) -> None:
        try:
            await self._jobs.last_beat(self._identity.incarnation)
        except StoreError:
            return  # the heartbeat ends by itself

    def _defaults(self) -> AttemptDefaults:
        execution = self._settings.execution
        return AttemptDefaults(
            timeout=execution.timeout,
            max_retries=execution.max_retries,
            retry_delay=execution.retry_delay,
            max_retry_delay=execution.max_retry_delay,
            max_response_bytes=execution.max_response_bytes,
        )

    def _build_consumers(self) -> Consumers:
        queue, worker = self._settings.queue, self._settings.worker
        return Consumers(
            queue.candidates,
            name=f"taskqueue worker {worker.instance_id} (consume)",
            prefetch=queue.prefetch_by_queue(worker.pool_size),
            on_delivery=self._intake.put,
            prepare=declare,
            emit=self._emit,
        )

    def _build_hosts(self) -> Hosts:
        return Hosts(
            HostStore(self._store),
            self._identity.incarnation,
            most_calls=self._settings.worker.pool_size,
            now=self._now,
            jitter=random.random,
            emit=self._emit,
        )

    def _build_hands(self) -> Hands:
        perseverance = Perseverance(self._give_up)
        terms = HandleTerms(
            worker_id=self._settings.worker.instance_id,
            limits=self._live_limits,
            hosts=self._hosts,
            heartbeat_ttl=HEARTBEAT_TTL,
            sleepers=max(1, self._settings.worker.pool_size // 4),
            defaults=self._defaults(),
        )
        handler = Handler(
            self._jobs,
            self._caller,
            terms,
            perseverance,
            stopping=self._stopping,
            now=self._now,
            jitter=random.random,
            emit=self._emit,
        )
        background = Background(definition=self._definitions.get, attempts=ExecutionStore(self._store).attempts)
        settler = Settler(self._jobs, self.publisher, perseverance, background, now=self._now, emit=self._emit)
        return Hands(
            self._intake,
            self._definitions,
            handler,
            settler,
            perseverance,
            self._identity,
            now=self._now,
            emit=self._emit,
        )

    def _build_server(self, metrics: Metrics) -> OpsServer:
        server = self._settings.server
        return OpsServer(
            host=server.host,
            port=server.port,
            ready=self.ready,
            metrics=metrics,
            emit=self._emit,
            routes=worker_routes(self.stats, self.health),
        )


def _plain(rate: float | None) -> float | int | None:
    """Return a whole number as one: 100, not 100.0."""
    return int(rate) if rate is not None and rate.is_integer() else rate


def _limits(settings: RateLimitSettings) -> Limits:
    tasks = {task_id: _limit(rate) for task_id, rate in settings.per_task.items() if rate is not None}
    return Limits(global_=None if settings.global_ is None else _limit(settings.global_), tasks=tasks)


def _limit(rate: float) -> Limit:
    """Return the bucket of `rate` jobs per second: a second's worth may come at once, and at least one job."""
    return Limit(rate=rate, burst=max(1.0, rate))
