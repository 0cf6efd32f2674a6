"""The checks of `taskqueue doctor` that ask Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from math import inf
from typing import Final

from taskqueue.assets import asset_dir
from taskqueue.cli.doctor_subject import Clockwork, Subject, in_passing
from taskqueue.cli.plan_report import make_report
from taskqueue.cli.plan_running import running_from
from taskqueue.config.catalog import catalog_of_tasks, load_catalog
from taskqueue.config.sections import PlanningSettings
from taskqueue.core import doctor_store, doctor_system
from taskqueue.core.doctor import CHECKS, Finding, fail, ok, skipped
from taskqueue.core.reference import REFERENCE
from taskqueue.core.task import Task
from taskqueue.errors import ConfigError, InvalidValueError, StoreError
from taskqueue.scheduler.planner import PlanDefaults
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.examination import endless_keys, examine_store, wrong_types
from taskqueue.store.file_task_list import FileTaskList
from taskqueue.store.fleet import Fleet
from taskqueue.store.scripts import Scripts
from taskqueue.worker.references import References

#: seconds that preferences are read for, unless all of them are wanted: some hundred thousand users
_READING_S: Final = 4.0

_OF_SERVER: Final[Mapping[str, Callable[[doctor_store.StoreFacts], Finding]]] = {
    "redis-version": doctor_store.judge_version,
    "redis-cluster": doctor_store.judge_cluster,
    "redis-writes": doctor_store.judge_writes,
    "redis-permissions": doctor_store.judge_permissions,
    "redis-persistence": doctor_store.judge_persistence,
    "redis-eviction": doctor_store.judge_eviction,
    "redis-memory": doctor_store.judge_memory,
    "redis-clock": doctor_store.judge_clock,
}

#: what is looked at in Redis
STORE_CHECKS: Final = tuple(check.id for check in CHECKS if not check.id.startswith("rabbitmq-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """What was found, and the task types in force as far as they are known."""

    findings: list[Finding]
    tasks: Mapping[str, Task]
    reachable: bool


class StoreDoctor:
    """Makes the checks of Redis on one connection."""

    def __init__(self, subject: Subject, store: RedisStore, clockwork: Clockwork) -> None:
        self._subject = subject
        self._store = store
        self._clockwork = clockwork
        self._scripts = Scripts(store, asset_dir("lua"))
        self._catalog = CatalogStore(store, self._scripts)
        self._place = subject.redis_place

    async def examine(self) -> StoreOutcome:
        """Make all checks that are wanted; where Redis cannot be used, say so of each."""
        try:
            await self._store.command("PING")
        except StoreError as error:
            return StoreOutcome(findings=self._unreachable(str(error)), tasks={}, reachable=False)
        run = self._clockwork.run
        findings = [ok("redis-reachable", self._place, "answers as the primary")]
        findings += await run((*_OF_SERVER, "redis-replicas"), self._place, self._server)
        findings += await run(("schedulers", "leader"), "schedulers", self._schedulers)
        findings += await run(("workers",), "workers", self._workers)
        findings += await run(("tasks-file",), "tasks.yaml", self._tasks_file)
        findings += await run(("references",), "tasks", self._references)
        findings += await run(("limits",), "tasks", self._limits)
        findings += await run(("redis-keys-without-ttl",), self._place, self._keys)
        findings += await run(("redis-key-types",), self._place, self._key_types)
        return StoreOutcome(findings=findings, tasks=await self._known_tasks(), reachable=True)

    async def _known_tasks(self) -> Mapping[str, Task]:
        """Return the tasks in force; none where Redis does not tell, which is a finding of other checks."""
        try:
            async with asyncio.timeout_at(self._clockwork.deadline):
                return (await self._catalog.standing()).tasks
        except (StoreError, TimeoutError):
            return {}

    def _unreachable(self, error: str) -> list[Finding]:
        others = [check for check in STORE_CHECKS if check != "redis-reachable"]
        why = "Redis cannot be used"
        return [fail("redis-reachable", self._place, error), *(skipped(check, self._place, why) for check in others)]

    async def _server(self) -> Iterable[Finding]:
        facts = await examine_store(self._store, self._place)
        return [*(judge(facts) for judge in _OF_SERVER.values()), *doctor_store.judge_replicas(facts)]

    async def _schedulers(self) -> Iterable[Finding]:
        fleet = Fleet(self._store)
        seen, lease = await fleet.schedulers(), await fleet.lease()
        return (
            doctor_system.judge_schedulers(seen.leader, seen.followers),
            doctor_system.judge_leader(seen.leader, lease.leader),
        )

    async def _workers(self) -> Iterable[Finding]:
        workers = await Fleet(self._store).workers()
        return doctor_system.judge_workers(
            [worker.worker_id for worker in workers if worker.active],
            [worker.worker_id for worker in workers if not worker.active],
        )

    async def _tasks_file(self) -> Iterable[Finding]:
        scheduler = self._subject.scheduler
        if scheduler is None:
            return (skipped("tasks-file", "tasks.yaml", "not known here", "--config scheduler.yaml"),)
        place = str(scheduler.tasks.config_file)
        try:
            tasks = load_catalog(scheduler.tasks.config_file).tasks
        except ConfigError as error:
            return doctor_system.judge_tasks_file(doctor_system.TasksFile(place=place, problems=error.lines), None)
        paused = await FileTaskList(self._store, self._scripts).paused()
        off = {task_id: replace(task, enabled=False) for task_id, task in tasks.items() if task_id in paused}
        file = doctor_system.TasksFile(place=place, revision=catalog_of_tasks({**tasks, **off}).revision)
        return doctor_system.judge_tasks_file(file, await self._catalog.revision())

    async def _references(self) -> Iterable[Finding]:
        tasks = (await self._catalog.standing()).tasks
        references, problems, count = References(self._subject.environ), list[str](), 0
        for task in tasks.values():
            target = task.target
            texts = (target.endpoint, *target.headers.values(), *target.signing_secrets)
            for reference in {found[0] for text in texts for found in REFERENCE.finditer(text)}:
                count += 1
                try:
                    references.value(f"task {task.id}", reference)
                except InvalidValueError as error:
                    problems.append(str(error).replace("this worker", "this process"))
        return doctor_system.judge_references(sorted(problems), count)

    async def _limits(self) -> Iterable[Finding]:
        """Look ahead as `taskqueue plan` does, from what runs to what runs."""
        tasks = (await self._catalog.standing()).tasks
        reading_s = inf if self._subject.full else _READING_S
        running = await running_from(self._store, tasks, lambda _: None, reading_s=reading_s)
        # Many users' own intervals take seconds, in which the connections must not starve.
        report = await in_passing(
            partial(
                make_report,
                catalog_of_tasks(tasks),
                running,
                self._defaults(),
                at=running.now,
                allow_mass_delete=True,
                advance=lambda _: None,
            )
        )
        calls = sum(host.calls for host in report.hosts)
        return doctor_system.judge_limits(report.findings, tasks=len(tasks), calls=calls, complete=running.complete)

    def _defaults(self) -> PlanDefaults:
        known = self._subject.scheduler
        section = PlanningSettings() if known is None else known.scheduler
        return PlanDefaults(distribution_window=section.distribution_window, batch_size=section.batch_size)

    async def _keys(self) -> Iterable[Finding]:
        found = await endless_keys(self._store, every_key=self._subject.full)
        return doctor_store.judge_endless_keys(found, self._place)

    async def _key_types(self) -> Iterable[Finding]:
        return doctor_store.judge_key_types(await wrong_types(self._store), self._place)


def longest_call(tasks: Mapping[str, Task], default: timedelta) -> tuple[timedelta, str]:
    """Return the longest that a call of one of `tasks` may take, and of which; `default` where a task says nothing."""
    calls = [(task.timeout or default, f"task {task.id}") for task in tasks.values()]
    return max(calls, default=(default, "any task"))
