"""What the storage behind the REST API costs at a million tasks: making, finding, changing and deleting them.

No HTTP here: the API's own stores on a Redis, one call after the other, as one client waits for them.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from pydantic import SecretStr
from report import Goal, Report, machine_of

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import process_environment
from taskqueue.core.api_task import ApiPriority, ApiTask, TaskStatus, TaskType, new_state
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Target
from taskqueue.runtime import run
from taskqueue.store.api_task_search import ApiTaskFilter, ApiTaskSearch
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts

#: what design asks for; the percentile is the 99th
_LIST = _GET = Goal(bound=50.0)
_CREATE = Goal(bound=100.0)
_BULK = Goal(bound=2_000.0, at_least=True)

#: as many as one request may carry
_BULK_SIZE = 1_000
_PAGE = 100

_FIRST_MADE = datetime(2026, 1, 1, tzinfo=UTC)
_EVERY = Every(kind=EveryKind.DAILY, value=1)

#: answered by one index: any page costs the same
INDEXED = {
    "all": ApiTaskFilter(),
    "status": ApiTaskFilter(status=TaskStatus.SCHEDULED),
    "priority": ApiTaskFilter(priority=ApiPriority.HIGH),
    "status, priority": ApiTaskFilter(status=TaskStatus.PAUSED, priority=ApiPriority.LOW),
    "task_type": ApiTaskFilter(task_type=TaskType.CRON),
    "tag": ApiTaskFilter(tags={"env": "production"}),
    "name": ApiTaskFilter(name="report_7"),
    "name begins": ApiTaskFilter(name="report_", name_is_prefix=True),
}
#: these look at ten thousand tasks at most
SEARCHED = {
    "tag, tag, status": ApiTaskFilter(tags={"env": "test", "team": "team_42"}, status=TaskStatus.SCHEDULED),
    "task_type, priority": ApiTaskFilter(task_type=TaskType.CRON, priority=ApiPriority.HIGH),
    "name begins, status": ApiTaskFilter(name="report_", name_is_prefix=True, status=TaskStatus.PAUSED),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The stores that are measured, on a database that is empty at first."""

    store: RedisStore
    tasks: ApiTaskStore
    search: ApiTaskSearch
    dice: random.Random


async def measure(count: int, calls: int, path: Path | None) -> None:
    """Make so many tasks and measure each way to them by so many calls."""
    async with place() as here:
        report = Report(machine=await machine_of(here.store, "not used"))
        ids = await _fill(here, report, count)
        report.part(f"one call at a time, {calls} of each: p99 and, in brackets, p50, in ms; pages of {_PAGE}")
        await _lists(here, report, calls)
        await _single(here, report, ids, calls)
    if path is not None:
        report.write(path)


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """The Redis that the environment names; its database is emptied at the end."""
    environ = process_environment()
    settings = RedisSettings(
        addresses=tuple(json.loads(environ["TASKQUEUE_REDIS__ADDRESSES"])),
        password=SecretStr(environ.get("TASKQUEUE_REDIS__PASSWORD", "")),
        db=int(environ.get("TASKQUEUE_REDIS__DB", "15")),
    )
    store = RedisStore(settings, client_name="benchmark")
    try:
        if await store.command("DBSIZE"):
            raise SystemExit(f"database {settings.db} of this Redis is not empty; nothing measured")
        scripts = Scripts(store, asset_dir("lua"))
        try:
            yield Place(store, ApiTaskStore(store, scripts), ApiTaskSearch(store, scripts), random.Random(6))
        finally:
            await store.command("FLUSHDB", "ASYNC")
    finally:
        await store.close()


async def _fill(here: Place, report: Report, count: int) -> list[str]:
    report.part(f"{count:,} tasks, made {_BULK_SIZE} at a time")
    empty_mb = await _memory_mb(here.store)
    ids, seconds = list[str](), list[float]()
    while len(ids) < count:
        rows = [a_task(here.dice, number) for number in range(len(ids), min(len(ids) + _BULK_SIZE, count))]
        began = time.perf_counter()
        created = await here.tasks.create_many(rows)
        seconds.append(time.perf_counter() - began)
        if not all(created):
            raise SystemExit("a task was there before")
        ids += [task.task_id for task, _ in rows]
    last = seconds[-max(len(seconds) // 10, 1) :]
    report.figure("bulk create, all of them", count / sum(seconds), "tasks/s", _BULK)
    report.figure("bulk create, the last tenth", min(len(last) * _BULK_SIZE, count) / sum(last), "tasks/s", _BULK)
    used_mb = await _memory_mb(here.store) - empty_mb
    report.figure("Redis with them", used_mb, "MB", note=f"{used_mb * 1e6 / count:,.0f} bytes for a task")
    return ids


async def _lists(here: Place, report: Report, calls: int) -> None:
    for names, goal in ((INDEXED, _LIST), (SEARCHED, None)):
        for name, wanted in names.items():
            total = (await here.search.page(wanted, limit=1, offset=0)).total
            for where, offset in (("first", 0), ("middle", total // 2), ("last", max(total - _PAGE, 0))):

                async def page(wanted: ApiTaskFilter = wanted, offset: int = offset) -> None:
                    await here.search.page(wanted, limit=_PAGE, offset=offset)

                await _timed(report, f"list by {name}: {where} page of {total:,}", calls, page, goal)


async def _single(here: Place, report: Report, ids: Sequence[str], calls: int) -> None:
    now = _FIRST_MADE
    chosen = iter(here.dice.sample(ids, min(3 * calls, len(ids))))

    async def get() -> None:
        await here.tasks.get(here.dice.choice(ids))

    async def create() -> None:
        await here.tasks.create(*a_task(here.dice, here.dice.randrange(10**9)))

    async def change() -> None:
        task_id = next(chosen)
        known = await here.tasks.get(task_id)
        if known is not None:
            task, _ = known
            await here.tasks.patch(known, replace(task, priority=ApiPriority.LOW, revision=task.revision + 1))

    async def pause() -> None:
        await here.tasks.set_paused(next(chosen), now)

    async def delete() -> None:
        await here.tasks.delete(next(chosen))

    await _timed(report, "get", calls, get, _GET)
    await _timed(report, "create", calls, create, _CREATE)
    for name, call in {"get and change": change, "pause": pause, "delete": delete}.items():
        await _timed(report, name, calls, call)


async def _timed(
    report: Report, name: str, calls: int, call: Callable[[], Awaitable[None]], goal: Goal | None = None
) -> None:
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    cuts = quantiles(seconds, n=100, method="inclusive")
    report.figure(name, cuts[98] * 1e3, "ms", goal, note=f"{cuts[49] * 1e3:.2f}")


async def _memory_mb(store: RedisStore) -> float:
    info: dict[str, Any] = await store.command("INFO", "memory")
    return float(info["used_memory"]) / 1e6


def a_task(dice: random.Random, number: int) -> ApiTaskRow:
    """Return a task as people make them: nine in ten follow a cron expression, one in ten is paused."""
    made = _FIRST_MADE + timedelta(milliseconds=10 * number)
    kind: dict[str, Any] = {"task_type": TaskType.CRON, "schedule_expression": f"{number % 60} {number % 24} * * *"}
    if number % 20 == 0:
        kind = {"task_type": TaskType.ONE_TIME, "run_at": made + timedelta(days=1)}
    elif number % 20 == 1:
        kind = {"task_type": TaskType.INTERVAL, "interval": _EVERY}
    task = ApiTask(
        task_id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        task_name=f"report_{number % 10_000}" if number % 2 else f"sync_of_account_{number}",
        payload={"report_type": "daily", "recipients": ["admin@example.com"], "account": number},
        priority=list(ApiPriority)[number % 3],
        tags={"team": f"team_{number % 100}", "env": "production" if number % 4 else "test"},
        enabled=number % 10 != 0,
        target=Target(endpoint="https://api.example.com/jobs/report"),
        created_at=made,
        updated_at=made,
        **kind,
    )
    return task, new_state(task, made)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="1,000,000 unless told otherwise")
    parser.add_argument("--calls", type=int, default=300, help="of each kind: 300 unless told otherwise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    run(lambda: measure(options.tasks, options.calls, options.json))


if __name__ == "__main__":
    main()
