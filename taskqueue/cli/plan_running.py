"""What runs now, as `taskqueue plan` compares with it: read from Redis as the scheduler reads it, nothing written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf

from taskqueue.assets import asset_dir
from taskqueue.cli.progress import Advance
from taskqueue.config.sections import RedisSettings
from taskqueue.core.forecast import Schedule
from taskqueue.core.host_limit import HostReport, host_of, over_all_workers
from taskqueue.core.occurrence import DEFAULT_COHORT
from taskqueue.core.task import Task
from taskqueue.core.waiting import concurrency_limit, task_limit
from taskqueue.errors import InvalidValueError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore, StandingCatalog
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.file_task_list import FileTaskList
from taskqueue.store.fleet import Fleet
from taskqueue.store.hosts import HostStore
from taskqueue.store.limit_overrides import LimitOverrides, Override
from taskqueue.store.limits import Limits, LimitStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.preferences import FIRST, LAST, PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.task_stats import TaskStatsStore

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsOnTheirWay:
    """Jobs of a task: `planned` stand in slots, `waiting` wait for a limit of the task alone, `running` are called.

    `running` is None for a task without `max_concurrency`. Those that stand in RabbitMQ, wait for a retry or for a
    limit of several tasks are not told apart by task.
    """

    planned: int = 0
    waiting: int = 0
    running: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What Redis says at `now`. `index` is None where nobody asked it, `standing` where nothing runs yet."""

    now: datetime
    standing: StandingCatalog | None = None
    revision: str = ""
    index: AudienceIndex | None = None
    #: whether the audience is that of all preferences, and not of those alone that could be read in the time
    complete: bool = True
    #: preferences that are not what they should be, and say nothing
    ignored: int = 0
    #: task types that are paused through the API
    paused: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    #: whether a worker lives: one that has told no limits has none
    worked: bool = False
    overrides: Mapping[str, Override] = field(default_factory=dict)
    #: hosts in trouble, over all workers
    hosts: Mapping[str, HostReport] = field(default_factory=dict)
    #: how long a call takes on the average, of tasks for which that matters
    means: Mapping[str, timedelta] = field(default_factory=dict)
    #: of the tasks that are gone from the new file
    leftovers: Mapping[str, JobsOnTheirWay] = field(default_factory=dict)

    @property
    def known(self) -> Set[str]:
        """The ids of the task types in force, those included that this version cannot read."""
        return frozenset() if self.standing is None else self.standing.tasks.keys() | self.standing.unreadable

    def task(self, task_id: str) -> Task | None:
        """Return the definition in force; None without one that can be read."""
        return None if self.standing is None else self.standing.tasks.get(task_id)

    def in_force(self, task: Task) -> bool:
        """Return whether the task would run: neither its file nor the API has switched it off."""
        return task.enabled and task.id not in self.paused

    def users(self, task: Task | None) -> int | None:
        """Return how many users get the task; None where the audience is not known."""
        if self.index is None:
            return None
        return self.index.count(task) if task is not None and self.in_force(task) else 0

    @property
    def limits_known(self) -> bool:
        """Whether it is known which limits there are; it is not where no worker has told any and none lives."""
        return self.worked or bool(self.limits.by_name())

    def most_schedules(self, task: Task) -> int:
        """Return how many schedules the task has at most, without looking for them."""
        return 1 + (0 if self.index is None else len(self.index.cohorts(task.id)))

    def schedules(self, task: Task) -> list[Schedule]:
        """Return the task's cohorts with their users: those of its own interval first, then the largest."""
        if not self.in_force(task):
            return []
        index = self.index or AudienceIndex()
        own = [
            Schedule(cohort=cohort, rule=task.rule(interval), users=users)
            for cohort, interval in index.cohorts(task.id).items()
            if (users := sum(map(len, index.enabled_users(task, cohort))))
        ]
        own.sort(key=lambda schedule: (-schedule.users, schedule.cohort))
        others = sum(schedule.users for schedule in own)
        return [Schedule(cohort=DEFAULT_COHORT, rule=task.rule(), users=index.count(task) - others), *own]


async def read_running(settings: RedisSettings, new: Mapping[str, Task], advance: Advance) -> Running:
    """Return what runs, and what bears upon the `new` tasks. Raises StoreError."""
    store = RedisStore(settings, client_name="taskqueue-plan")
    try:
        return await running_from(store, new, advance)
    finally:
        await store.close()


async def running_from(
    store: RedisStore, new: Mapping[str, Task], advance: Advance, *, reading_s: float = inf
) -> Running:
    """Return what runs, as `read_running` does; preferences are read for `reading_s` seconds at most."""
    scripts, clock = Scripts(store, asset_dir("lua")), ServerClock(store)
    await clock.sync()
    catalog = CatalogStore(store, scripts)
    revision, standing = await catalog.revision(), await catalog.standing()
    audience = await _audience(PreferenceStore(store, scripts), advance, time.monotonic() + reading_s)
    reports = await HostStore(store).read(clock())
    hosts = {host: over_all_workers(said.values()) for host, said in reports.items() if said}
    return Running(
        now=clock(),
        standing=None if revision is None else standing,
        revision=revision or "",
        index=audience.index,
        complete=audience.complete,
        ignored=audience.ignored,
        paused=await FileTaskList(store, scripts).paused(),
        limits=await LimitStore(store, scripts).read(),
        worked=any(worker.active for worker in await Fleet(store).workers()),
        overrides=await LimitOverrides(store, scripts).read(clock()),
        hosts=hosts,
        means=await _means(store, new.values(), hosts, clock()),
        leftovers=await _leftovers(store, scripts, [task for task in standing.tasks.values() if task.id not in new]),
    )


@dataclass(slots=True)
class _Audience:
    index: AudienceIndex = field(default_factory=AudienceIndex)
    ignored: int = 0
    complete: bool = False


async def _audience(preferences: PreferenceStore, advance: Advance, until: float) -> _Audience:
    """Read the preferences of all users, some hundred at a time; about 90 bytes of each user stay."""
    audience, cursor = _Audience(), FIRST
    while not audience.complete:
        cursor, found = await preferences.read_next(cursor)
        for preference in found:
            try:
                audience.index.apply(preference)
            except InvalidValueError:
                audience.ignored += 1
        advance(len(found))
        audience.complete = cursor == LAST
        if time.monotonic() > until:
            break
    return audience


async def _means(
    store: RedisStore, tasks: Iterable[Task], hosts: Mapping[str, HostReport], now: datetime
) -> dict[str, timedelta]:
    stats, found = TaskStatsStore(store), dict[str, timedelta]()
    for task in tasks:
        if task.max_concurrency is not None or host_of(task.target.endpoint) in hosts:
            average_ms = (await stats.of_file_task(task.id, now)).average_ms
            if average_ms:
                found[task.id] = average_ms * _MILLISECOND
    return found


async def _leftovers(store: RedisStore, scripts: Scripts, removed: list[Task]) -> dict[str, JobsOnTheirWay]:
    if not removed:
        return {}
    planned, delayed = Counter[str](), DelayedStore(store, scripts)
    async for records in PlanStore(store, scripts).all_live():
        for occurrence, progress in records:
            planned[occurrence.task_id] += max(0, occurrence.users - progress.released)
    waiting = await delayed.waiting_counts()
    limited = [task.id for task in removed if task.max_concurrency is not None]
    # The leader's own look would also free the places of lost workers.
    counts = await store.read(*(("ZCARD", keys.running(task_id)) for task_id in limited))
    running = dict(zip(limited, map(int, counts), strict=True))
    return {
        task.id: JobsOnTheirWay(
            planned=planned[task.id],
            waiting=sum(waiting.get(limit(task.id), 0) for limit in (task_limit, concurrency_limit)),
            running=running.get(task.id),
        )
        for task in removed
    }
