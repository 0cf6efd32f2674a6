"""Who lives, as processes show it and the API reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.fleet import FORGOTTEN_AFTER, SILENT_AFTER, Fleet, FleetKind, Presence, SchedulersSeen
from taskqueue.store.scripts import Scripts
from tests.support.inbox import eventually

WORKERS = keys.fleet(FleetKind.WORKER)
STATUS = keys.fleet_status(FleetKind.WORKER)


@pytest.fixture
def fleet(store: RedisStore) -> Fleet:
    return Fleet(store)


class Processes:
    """Lets processes show themselves."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    def worker(self, worker_id: str, mark: str = "aa", *, load: int = 0) -> Presence:
        status = {"worker_id": worker_id, "capacity": 10, "current_load": load}
        return self._presence(FleetKind.WORKER, f"{worker_id}:{mark}", status)

    def scheduler(self, instance_id: str, mark: str = "aa") -> Presence:
        return self._presence(FleetKind.SCHEDULER, f"{instance_id}:{mark}", {"instance_id": instance_id})

    async def silent_for(self, kind: FleetKind, process: str, silence: timedelta) -> None:
        """Let the latest beat of a process lie so far back."""
        seconds, microseconds = await self._store.command("TIME")
        at = int(seconds) * 1000 + int(microseconds) // 1000 - silence // timedelta(milliseconds=1)
        await self._store.command("ZADD", keys.fleet(kind), "XX", at, process)

    def _presence(self, kind: FleetKind, process: str, status: Mapping[str, object]) -> Presence:
        return Presence(self._store, self._scripts, kind, process, lambda: status)


@pytest.fixture
def processes(store: RedisStore, scripts: Scripts) -> Processes:
    return Processes(store, scripts)


async def test_a_worker_that_beats_is_active_with_what_it_says_of_itself(fleet: Fleet, processes: Processes) -> None:
    await processes.worker("worker-1", load=7).beat()

    (worker,) = await fleet.workers()

    assert (worker.worker_id, worker.active) == ("worker-1", True)
    assert (worker.capacity, worker.current_load, worker.uptime) == (10, 7, timedelta(0))
    assert abs(worker.last_heartbeat - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_worker_that_was_silent_for_seven_seconds_is_inactive_and_runs_nothing(
    fleet: Fleet, processes: Processes
) -> None:
    await processes.worker("worker-1", load=7).beat()

    await processes.silent_for(FleetKind.WORKER, "worker-1:aa", SILENT_AFTER)

    (worker,) = await fleet.workers()
    assert (worker.active, worker.current_load) == (False, 0)


async def test_a_worker_that_was_silent_for_a_while_is_forgotten_with_all_it_said(
    fleet: Fleet, processes: Processes, store: RedisStore
) -> None:
    await processes.worker("old").beat()
    await processes.silent_for(FleetKind.WORKER, "old:aa", FORGOTTEN_AFTER)
    assert await fleet.workers() == []

    await processes.worker("new").beat()

    assert await store.command("ZRANGE", WORKERS, 0, -1) == [b"new:aa"]
    assert await store.command("HKEYS", STATUS) == [b"new:aa"]


async def test_who_says_good_bye_is_gone_at_once(fleet: Fleet, processes: Processes, store: RedisStore) -> None:
    worker = processes.worker("worker-1")
    await worker.beat()

    await worker.leave()

    assert await fleet.workers() == []
    assert await store.command("KEYS", "taskqueue:fleet:*") == [keys.FLEET_WATCHED.encode()]


async def test_a_worker_that_came_back_after_a_crash_stands_there_once(fleet: Fleet, processes: Processes) -> None:
    await processes.worker("worker-1", "aa").beat()
    await processes.silent_for(FleetKind.WORKER, "worker-1:aa", SILENT_AFTER)

    await processes.worker("worker-1", "bb").beat()

    assert [worker.active for worker in await fleet.workers()] == [True]


async def test_of_a_worker_that_crashed_twice_the_latest_beat_is_shown(fleet: Fleet, processes: Processes) -> None:
    for mark, silence in (("aa", 60), ("bb", 20), ("cc", 40)):
        await processes.worker("worker-1", mark).beat()
        await processes.silent_for(FleetKind.WORKER, f"worker-1:{mark}", timedelta(seconds=silence))

    (worker,) = await fleet.workers()

    silence = datetime.now(UTC) - worker.last_heartbeat
    assert timedelta(seconds=15) < silence < timedelta(seconds=25)


async def test_two_workers_that_were_given_one_name_both_count(fleet: Fleet, processes: Processes) -> None:
    for mark in ("aa", "bb"):
        await processes.worker("worker-1", mark).beat()

    assert [worker.active for worker in await fleet.workers()] == [True, True]


async def test_the_leader_is_whoever_holds_the_lease_and_lives(
    fleet: Fleet, processes: Processes, store: RedisStore
) -> None:
    for name in ("scheduler-3", "scheduler-1", "scheduler-2"):
        await processes.scheduler(name).beat()

    await store.command("SET", keys.LEASE, "scheduler-1:0123456789abcdef")

    assert await fleet.schedulers() == SchedulersSeen(leader="scheduler-1", followers=("scheduler-2", "scheduler-3"))


async def test_a_leader_that_crashed_leads_no_more_although_its_lease_still_stands(
    fleet: Fleet, processes: Processes, store: RedisStore
) -> None:
    for name in ("scheduler-1", "scheduler-2"):
        await processes.scheduler(name).beat()
    await store.command("SET", keys.LEASE, "scheduler-1:0123456789abcdef")

    await processes.silent_for(FleetKind.SCHEDULER, "scheduler-1:aa", SILENT_AFTER)

    assert await fleet.schedulers() == SchedulersSeen(leader=None, followers=("scheduler-2",))


async def test_nobody_is_there_before_anybody_came(fleet: Fleet) -> None:
    assert await fleet.workers() == []
    assert await fleet.schedulers() == SchedulersSeen(leader=None, followers=())


async def test_a_process_that_runs_shows_itself_again_when_redis_has_forgotten_everything(
    fleet: Fleet, processes: Processes, store: RedisStore
) -> None:
    beating = asyncio.create_task(processes.worker("worker-1").run())

    async def there() -> bool:
        return bool(await fleet.workers())

    await eventually(there)
    await store.command("FLUSHDB")
    await eventually(there)
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "{}", '{"worker_id":"w","capacity":"ten","current_load":1,"uptime":1}', "[" * 100_000],
    ids=["nothing", "half", "a list", "no fields", "no number", "100k deep"],
)
async def test_what_another_hand_wrote_is_no_worker(
    fleet: Fleet, processes: Processes, store: RedisStore, said: str
) -> None:
    await processes.worker("worker-1").beat()
    await processes.worker("strange").beat()
    await store.command("HSET", STATUS, "strange:aa", said)

    assert [worker.worker_id for worker in await fleet.workers()] == ["worker-1"]


@pytest.mark.parametrize("key", [WORKERS, STATUS])
async def test_a_key_of_another_type_is_told_by_its_name(
    fleet: Fleet, processes: Processes, store: RedisStore, key: str
) -> None:
    await store.command("SET", key, "text")

    with pytest.raises(DamagedKeyError, match=key):
        await fleet.workers()
    with pytest.raises(DamagedKeyError, match=key):
        await processes.worker("worker-1").beat()


async def test_nothing_stays_when_the_last_process_was_silent_for_a_while(
    processes: Processes, store: RedisStore
) -> None:
    await processes.worker("worker-1").beat()

    for key in (WORKERS, STATUS):
        assert 0 < await store.command("PTTL", key) <= FORGOTTEN_AFTER // timedelta(milliseconds=1)
    assert json.loads(await store.command("HGET", STATUS, "worker-1:aa"))["worker_id"] == "worker-1"
