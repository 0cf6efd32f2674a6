"""Users per second from their preferences into the audience index, and from there into slot lists."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr
from rounds import Measure, compare

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import process_environment
from taskqueue.core.preference import UserPreference
from taskqueue.runtime import run
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.audience_sync import AudienceSync
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.planner import PlanDefaults, Planner
from taskqueue.store import keys
from taskqueue.store.changes import user_changes
from taskqueue.store.connection import RedisStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import UserStore

USERS = 100_000
BATCH = 1000
TASK = "tasks: [{id: nightly, interval: {type: hourly}, distribution_window: 30m, config: {endpoint: 'http://localhost/'}}]\n"


async def main() -> None:
    """Fill Redis with users, then index and plan them, round by round, in a database that was empty."""
    environ = process_environment()
    settings = RedisSettings(
        addresses=tuple(json.loads(environ["TASKQUEUE_REDIS__ADDRESSES"])),
        password=SecretStr(environ.get("TASKQUEUE_REDIS__PASSWORD", "")),
        db=15,
    )
    store = RedisStore(settings, client_name="benchmark")
    if await store.command("DBSIZE"):
        raise SystemExit("database 15 of this Redis is not empty; nothing measured")
    try:
        await measure(store)
    finally:
        await store.command("FLUSHDB")
        await store.close()


async def measure(store: RedisStore) -> None:
    """Print both comparisons."""
    users = [f"user_{number}" for number in range(USERS)]
    user_store = UserStore(store)
    for start in range(0, USERS, BATCH):
        piece = (UserPreference(user_id=user, enabled_tasks={"nightly": True}) for user in users[start : start + BATCH])
        await user_store.write(piece, "2026-01-01T00:00:00Z")

    async def index_cold() -> float:
        began = time.perf_counter()
        await fill(AudienceIndex(), store, user_store)
        return USERS / (time.perf_counter() - began)

    async def read_only() -> float:
        began = time.perf_counter()
        async for piece in user_store.scan():
            await store.pipeline([("HGETALL", key) for key in piece])
        return USERS / (time.perf_counter() - began)

    print(f"planning: {USERS:,} users of one task")
    await compare("users/s", ("audience index, cold", index_cold), ("SCAN and HGETALL alone", read_only))

    index = AudienceIndex()
    await fill(index, store, user_store)
    plan_round = await planner_of(store, index)

    async def push_only() -> float:
        began = time.perf_counter()
        for start in range(0, USERS, BATCH):
            await store.command("RPUSH", "benchmark", *users[start : start + BATCH])
        rate = USERS / (time.perf_counter() - began)
        await store.command("DEL", "benchmark")
        return rate

    await compare("users/s", ("order, slots, lists with cursor", plan_round), ("RPUSH alone, same batches", push_only))


async def fill(index: AudienceIndex, store: RedisStore, user_store: UserStore) -> None:
    """Run the index's own synchronisation until it is ready."""

    def changes() -> AsyncIterator[list[str] | None]:
        return user_changes(store)

    sync = AudienceSync(index, user_store, changes, reload_interval=timedelta(hours=1), emit=lambda _: None)
    running = asyncio.create_task(sync.run())
    await sync.ready.wait()
    running.cancel()
    await asyncio.wait([running])
    if len(index) != USERS:
        raise SystemExit(f"{len(index)} of {USERS} users in the index")


async def planner_of(store: RedisStore, index: AudienceIndex) -> Measure:
    """Return a round of planning: the next occurrence each time, counted in Redis afterwards."""
    plan = PlanStore(store, Scripts(store, asset_dir("lua")))
    hour = [datetime(2026, 1, 1, tzinfo=UTC)]
    await store.command("SET", keys.LEASE, "benchmark")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.yaml"
        path.write_text(TASK)
        watch = CatalogWatch(path, poll_interval=timedelta(1), allow_mass_delete=False, emit=lambda _: None)
    defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=BATCH)
    planner = Planner(plan, index, watch, defaults, now=lambda: hour[0], emit=lambda _: None)
    await planner.tick("benchmark")

    async def plan_round() -> float:
        hour[0] += timedelta(minutes=59)
        began = time.perf_counter()
        await planner.tick("benchmark")
        rate = USERS / (time.perf_counter() - began)
        hour[0] += timedelta(minutes=1)
        ((member, _),) = await plan.live(None, 2)
        occurrence, progress = (await plan.read([member]))[member]
        lists = [keys.slot("nightly", number, progress.suffix) for number in range(occurrence.spread.slots)]
        lengths = await store.pipeline([("LLEN", key) for key in lists])
        if sum(lengths) != USERS or max(lengths) - min(lengths) > 1:
            raise SystemExit(f"{sum(lengths)} of {USERS} users planned, slots of {min(lengths)} to {max(lengths)}")
        await store.pipeline([("DEL", key) for key in (*lists, keys.OCCURRENCES, keys.PLAIN_SLOT_OWNERS)])
        return rate

    return plan_round


if __name__ == "__main__":
    run(main)
