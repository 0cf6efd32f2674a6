"""Users per second from their preferences into the audience index, and from there into slot lists; and what it takes.

Every user has three tasks enabled. The memory is that of a process of its own which does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr
from rounds import compare

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import process_environment
from taskqueue.core.task import Task
from taskqueue.errors import DamagedKeyError
from taskqueue.runtime import run
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.audience_sync import AudienceSync
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.planner import PlanDefaults, Planner
from taskqueue.store import keys
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.preferences import PreferenceStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import Switches

BATCH = 1000
TASKS = ("nightly", "weekly", "hourly")
ENABLED = frozenset(TASKS)

#: of a million users; fewer are compared with Redis in proportion, so that the pace is the same
RELOAD_INTERVAL = timedelta(minutes=5)
WATCHED_S = 20.0

_LOAD = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('HSET', 'taskqueue:users:user_' .. number .. ':tasks', unpack(ARGV, 3))
end
"""


async def main(users: int, rounds: int) -> None:
    """Fill an empty database with users, then index and plan them, round by round."""
    async with redis() as store:
        if await store.command("DBSIZE"):
            raise SystemExit("database 15 of this Redis is not empty; nothing measured")
        try:
            await load(store, users)
            print(f"planning: {users:,} users of {len(TASKS)} tasks", flush=True)
            await compare_index(store, users, rounds)
            await compare_plan(store, users, rounds)
            print("  one process, with nothing but index and planner", flush=True)
            words = [sys.executable, __file__, "--alone", "--users", str(users)]
            alone = await asyncio.create_subprocess_exec(*words)
            if await alone.wait():
                raise SystemExit("the process of its own failed")
        finally:
            await store.command("FLUSHDB", "ASYNC")


@asynccontextmanager
async def redis() -> AsyncIterator[RedisStore]:
    """Database 15 of the Redis that the environment names."""
    environ = process_environment()
    settings = RedisSettings(
        addresses=tuple(json.loads(environ["TASKQUEUE_REDIS__ADDRESSES"])),
        password=SecretStr(environ.get("TASKQUEUE_REDIS__PASSWORD", "")),
        db=15,
    )
    store = RedisStore(settings, client_name="benchmark")
    try:
        yield store
    finally:
        await store.close()


async def load(store: RedisStore, users: int) -> None:
    """Make the users inside Redis: their making is not what is measured."""
    switches = [text for task in TASKS for text in (task, "1")]
    for start in range(0, users, 20_000):
        await store.command("EVAL", _LOAD, 0, start, min(start + 20_000, users) - 1, *switches)


# --- speed ------------------------------------------------------------------------------------------------------------


async def compare_index(store: RedisStore, users: int, rounds: int) -> None:
    """Print how fast the index is filled, beside the commands that a reader without a script would send."""

    async def index_cold() -> float:
        began = time.perf_counter()
        async with following(store, AudienceIndex()) as index:
            seconds = time.perf_counter() - began
            if len(index) != users:
                raise SystemExit(f"{len(index)} of {users} users in the index")
        return users / seconds

    async def read_only() -> float:
        began = time.perf_counter()
        async for piece in PreferenceStore(store, Scripts(store, asset_dir("lua"))).scan():
            await store.pipeline([("HGETALL", key) for key in piece])
        return users / (time.perf_counter() - began)

    sides = ("audience index, cold", index_cold), ("SCAN and pipelined HGETALL alone", read_only)
    await compare("users/s", *sides, rounds=rounds)


@asynccontextmanager
async def following(
    store: RedisStore, index: AudienceIndex, reload_interval: timedelta = timedelta(hours=1)
) -> AsyncIterator[AudienceIndex]:
    """The index, once its own synchronisation is ready, which goes on meanwhile."""
    preferences = PreferenceStore(store, Scripts(store, asset_dir("lua")))
    sync = AudienceSync(
        index, preferences, lambda: user_changes(store), reload_interval=reload_interval, emit=lambda _: None
    )
    running = asyncio.create_task(sync.run())
    ready = asyncio.create_task(sync.ready.wait())
    await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if running.done():
        running.result()
    try:
        yield index
    finally:
        running.cancel()
        await asyncio.wait([running])


async def compare_plan(store: RedisStore, users: int, rounds: int) -> None:
    """Print how fast one task's users come into slot lists, beside the bare writing of one list."""
    async with following(store, AudienceIndex()) as index, planning(store, index, TASKS[:1]) as plan:

        async def plan_round() -> float:
            return users / await plan.next_hour(users)

        async def push_only() -> float:
            began = time.perf_counter()
            for start in range(0, users, BATCH):
                await store.command("RPUSH", "benchmark", *(f"user_{start + number}" for number in range(BATCH)))
            rate = users / (time.perf_counter() - began)
            await store.command("UNLINK", "benchmark")
            return rate

        sides = ("order, slots, lists with cursor", plan_round), ("RPUSH alone, same batches", push_only)
        await compare("users/s", *sides, rounds=rounds)


@dataclass(slots=True)
class Clock:
    """Tells the time that it is set to."""

    time: datetime

    def __call__(self) -> datetime:
        """Return that time."""
        return self.time


@dataclass(frozen=True, slots=True)
class Planning:
    """A planner, and the clock that it goes by."""

    planner: Planner
    plan: PlanStore
    store: RedisStore
    clock: Clock

    async def next_hour(self, users: int) -> float:
        """Plan what is due at the next hour; return the seconds. Checks the slots and removes them."""
        self.clock.time += timedelta(hours=1)
        began = time.perf_counter()
        await self.planner.tick("benchmark")
        seconds = time.perf_counter() - began
        members = [member for member, _ in await self.plan.live(None, 9)]
        for occurrence, progress in (await self.plan.read(members)).values():
            slots = range(occurrence.spread.slots)
            lists = [keys.slot(occurrence.task_id, number, progress.suffix) for number in slots]
            lengths = await self.store.pipeline([("LLEN", key) for key in lists])
            if sum(lengths) != users or max(lengths) - min(lengths) > 1:
                raise SystemExit(f"{sum(lengths)} of {users} users planned, slots of {min(lengths)} to {max(lengths)}")
            await self.store.pipeline([("UNLINK", key) for key in lists])
        await self.store.command("DEL", keys.OCCURRENCES, keys.PLAIN_SLOT_OWNERS)
        return seconds


@asynccontextmanager
async def planning(store: RedisStore, index: AudienceIndex, tasks: tuple[str, ...]) -> AsyncIterator[Planning]:
    """A planner for hourly `tasks`, at half past midnight and ready for one o'clock."""
    await store.command("SET", keys.LEASE, "benchmark")
    clock = Clock(datetime(2026, 1, 1, 0, 30, tzinfo=UTC))
    defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=BATCH)
    plan = PlanStore(store, Scripts(store, asset_dir("lua")))
    planner = Planner(plan, index, catalog(tasks), defaults, set_aside=_damaged, now=clock, emit=lambda _: None)
    await planner.tick("benchmark")
    clock.time -= timedelta(minutes=31)
    yield Planning(planner, plan, store, clock)
    await store.command("DEL", keys.DUE, keys.DUE_RULES, keys.LEASE)


def catalog(tasks: tuple[str, ...]) -> CatalogWatch:
    """Return what a tasks.yaml of hourly tasks comes to."""
    entry = "{id: %s, interval: {type: hourly}, config: {endpoint: 'http://localhost/'}}"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.yaml"
        path.write_text(f"tasks: [{', '.join(entry % task for task in tasks)}]\n")
        return CatalogWatch(path, poll_interval=timedelta(1), allow_mass_delete=False, emit=lambda _: None)


# --- what it takes ----------------------------------------------------------------------------------------------------


async def alone(users: int) -> None:
    """Measure memory, pauses of the event loop and the share of a core, in this process."""
    print(f"    {'before':<44} {memory()}", flush=True)
    async with redis() as store:
        share = users / 1_000_000
        index = AudienceIndex()
        pace = following(store, index, RELOAD_INTERVAL * share)
        async with watched("cold index"):
            await pace.__aenter__()
        await at_rest(store, RELOAD_INTERVAL.total_seconds() * share / 10)
        async with planning(store, index, TASKS) as plan:
            for number in range(1, 4):
                async with watched(f"{len(TASKS)} plans of {users:,} users, {number}. time"):
                    await plan.next_hour(users)
        await pace.__aexit__(None, None, None)
        async with watched(f"{users:,} users left, as many others came"):
            await churn(index, users)
        check(index, users)


async def at_rest(store: RedisStore, before_s: float) -> None:
    """Print how much of a core the reconciliation takes here and in Redis."""
    await asyncio.sleep(before_s + 1)
    began, own, server = time.monotonic(), own_cpu_s(), await redis_cpu_s(store)
    await asyncio.sleep(WATCHED_S)
    passed = time.monotonic() - began
    own, server = (own_cpu_s() - own) / passed, (await redis_cpu_s(store) - server) / passed
    print(f"    {'reconciling at the pace of 5m a million':<44} {own:.1%} of a core, Redis {server:.1%}", flush=True)


async def churn(index: AudienceIndex, users: int) -> None:
    """Let every user leave and another one come."""
    for number in range(users):
        index.apply(Switches(user_id=f"user_{number}", exists=False))
        index.apply(Switches(user_id=f"later_{number}", on=ENABLED))
        if number % BATCH == 0:
            await asyncio.sleep(0)


def check(index: AudienceIndex, users: int) -> None:
    """End the program when the index does not hold `users` for each task."""
    counts = [index.count(task) for task in tasks_of(TASKS)]
    if counts != [users] * len(TASKS):
        raise SystemExit(f"{counts} users in the index instead of {users}")


def tasks_of(tasks: tuple[str, ...]) -> list[Task]:
    """Return the tasks."""
    return list(catalog(tasks).tasks.values())


@asynccontextmanager
async def watched(what: str) -> AsyncIterator[None]:
    """Print how long it took, the memory, and how much was computed at most while nothing else had its turn.

    Not how late the loop was: on a machine with other work that would tell of the others.
    """
    held, clock = [0.0], time.perf_counter

    async def beat() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            held.append(max(held.pop(), time.thread_time() - began))

    beating = asyncio.create_task(beat())
    began = clock()
    try:
        yield
    finally:
        beating.cancel()
    passed = clock() - began
    print(f"    {what:<44} {memory()}, {passed:.1f} s, holding the loop up to {held[0] * 1000:.0f} ms", flush=True)


def memory() -> str:
    """Return what the process takes now, and took at most."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    now, highest = (
        next(int(line.split()[1]) for line in lines if line.startswith(name)) for name in ("VmRSS", "VmHWM")
    )
    return f"{now / 1024:,.0f} MB, at most {highest / 1024:,.0f}"


def own_cpu_s() -> float:
    """Return the seconds that this process has computed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def redis_cpu_s(store: RedisStore) -> float:
    """Return the seconds that Redis has computed."""
    info = await store.command("INFO", "cpu")
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TASKQUEUE_REDIS__ADDRESSES", '["127.0.0.1:6379"]')
    run(lambda: alone(options.users) if options.alone else main(options.users, options.rounds))


async def _damaged(_token: str, error: DamagedKeyError) -> None:
    raise error
