"""Jobs of a task that is gone from tasks.yaml go out as its last definition says: its priority and its limits hold."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.core.host_limit import HostReport
from taskqueue.core.task import Priority
from taskqueue.core.waiting import concurrency_limit
from taskqueue.runtime import utc_now
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.gate_watch import GateStores, GateWatch
from taskqueue.scheduler.gates import Gates
from taskqueue.store.catalog import StandingCatalog
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.hosts import HostStore
from taskqueue.store.scripts import Scripts
from tests.support.release_dock import SECOND, Dock
from tests.support.scheduling import EventLog, TasksFile, task_type

HOST = "http://127.0.0.1:1"


@pytest.fixture
def gates() -> Gates:
    return Gates(100_000)


@pytest.fixture
def watch(tasks_file: TasksFile, events: EventLog) -> CatalogWatch:
    tasks_file.write(task_type("report"), task_type("narrow", max_concurrency=2))
    return tasks_file.watch(events)


@pytest.fixture
def gate_watch(gates: Gates, watch: CatalogWatch, store: RedisStore, scripts: Scripts, events: EventLog) -> GateWatch:
    running = DelayedStore(store, scripts).running
    lane = cast("LaneWatch", None)  # looked at by a loop that does not run here
    stores = GateStores.of(store, scripts)
    return GateWatch(gates, stores, running, _no_depths, lane, watch, now=utc_now, emit=events)


async def _no_depths() -> dict[str, int]:
    return {}


async def test_they_go_with_the_priority_that_the_task_had(dock: Dock, tasks_file: TasksFile) -> None:
    await dock.planned(["ann"], utc_now() - SECOND, task_id="urgent")
    await tasks_file.change(dock.releaser._catalog, task_type("report"))

    await dock.releaser.round()

    delivery = await dock.inbox.next(10)
    await delivery.ack()
    assert delivery.queue == Priority.HIGH


async def test_those_that_wait_for_a_place_go_no_faster_than_places_come_free(
    gates: Gates, watch: CatalogWatch, gate_watch: GateWatch, tasks_file: TasksFile
) -> None:
    await tasks_file.change(watch, task_type("report"))

    await gate_watch._look_at_places()

    room = gates.room(concurrency_limit("narrow"), utc_now().timestamp())
    assert room is not None
    assert room <= 3


async def test_those_of_a_host_in_trouble_stay_with_the_leader(
    gates: Gates, watch: CatalogWatch, gate_watch: GateWatch, tasks_file: TasksFile, store: RedisStore
) -> None:
    now = utc_now()
    closed = HostReport(limit=1, in_flight=0, closed_until=now.timestamp() + 60, since=now.timestamp())
    await HostStore(store).tell("worker", {HOST: closed}, now)
    await tasks_file.change(watch, task_type("report"))

    await gate_watch._look_at_hosts()

    assert gates.room_for("narrow", Priority.NORMAL, now.timestamp()) == 0


async def test_a_new_leader_knows_the_tasks_that_were_removed_before_it(
    gates: Gates, watch: CatalogWatch, gate_watch: GateWatch
) -> None:
    gone = replace(watch.tasks["narrow"], id="gone")
    watch.succeed(StandingCatalog(tasks=watch.tasks, removed={"gone": gone}))

    await gate_watch._look_at_places()

    assert gates.room(concurrency_limit("gone"), utc_now().timestamp()) is not None
