"""A Redis that refuses writes in the middle of a plan: the plan stands still where it was, and goes on from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from redis.asyncio import Redis

from taskqueue.errors import PlanningError, StoreError
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import OccurrencePlanned
from tests.support.plan_desk import HOUR, MINUTE, PLAN_BATCH, TEN, InterruptedPlanStore, NewDesk, in_order, names
from tests.support.scheduling import TasksFile, task_type

#: the setting by which Redis refuses every write, and what the error says of it
REFUSALS = {
    "out of memory": ("maxmemory", "raise maxmemory"),
    "too few replicas": ("min-replicas-to-write", "NOREPLICAS"),
}


@pytest.fixture
async def settings(redis: Redis) -> AsyncIterator[Redis]:
    """A Redis that takes writes again in the end."""
    before: Mapping[str, str] = {name: (await redis.config_get(name))[name] for name, _ in REFUSALS.values()}
    yield redis
    for name, value in before.items():
        await redis.config_set(name, value)


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_plan_that_is_refused_in_its_middle_goes_on_where_it_was(
    new_desk: NewDesk,
    tasks_file: TasksFile,
    store: RedisStore,
    scripts: Scripts,
    settings: Redis,
    name: str,
    after: int,
) -> None:
    setting, remedy = REFUSALS[name]
    # All in one slot list: a script that begins another one deletes what stands there first, and then Redis counts it
    # as begun and lets it end.
    tasks_file.write(task_type("report", distribution_window="10s"))

    async def refuse() -> None:
        await settings.config_set(setting, 1)

    desk = new_desk(plan=InterruptedPlanStore(store, scripts, after=after, interrupt=refuse))
    desk.enable(*names(30))
    await desk.tick_at(TEN - HOUR / 2)

    with pytest.raises(PlanningError, match=remedy):
        await desk.tick_at(TEN - MINUTE)
    planned = await desk.planned()
    with pytest.raises(StoreError, match=remedy):
        await desk.planner.resume(desk.token)
    await settings.config_set(setting, 0)
    await desk.planner.resume(desk.token)
    await desk.tick_at(TEN)

    assert len(planned) == after * PLAN_BATCH
    assert await desk.planned() == in_order(names(30))
    assert len(desk.events.of(OccurrencePlanned)) == 1
