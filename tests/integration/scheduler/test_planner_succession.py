from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from taskqueue.errors import LeaseLostError, StoreUnavailableError
from taskqueue.store.connection import RedisStore
from taskqueue.store.lease import Lease
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import Switches
from tests.support.plan_desk import (
    HOUR,
    PLAN_BATCH,
    TEN,
    Desk,
    InterruptedPlanStore,
    NewDesk,
    crash,
    in_order,
    names,
)
from tests.support.scheduling import TasksFile, task_type


async def everything(redis: Redis) -> dict[str, bytes | None]:
    """Return the serialized value of every key."""
    return {key: await redis.dump(key) async for key in redis.scan_iter("*")}


async def test_a_planner_whose_lease_went_to_another_writes_nothing(
    desk: Desk, new_lease: Callable[[str], Lease], redis: Redis
) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    await redis.delete("taskqueue:distribution:lock")
    assert await new_lease("other").acquire()
    before = await everything(redis)

    with pytest.raises(LeaseLostError):
        await desk.tick_at(TEN)

    assert await everything(redis) == before


async def test_a_lease_that_goes_in_the_middle_of_a_plan_stops_it_there(
    new_desk: NewDesk, tasks_file: TasksFile, store: RedisStore, scripts: Scripts, redis: Redis
) -> None:
    tasks_file.write(task_type("report"))

    async def lose_lease() -> None:
        await redis.set("taskqueue:distribution:lock", "other:1")

    desk = new_desk(plan=InterruptedPlanStore(store, scripts, after=2, interrupt=lose_lease))
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)

    with pytest.raises(LeaseLostError):
        await desk.tick_at(TEN)

    assert await desk.planned() == in_order(names(20))[: 2 * PLAN_BATCH]


async def test_of_two_planners_at_the_same_instant_the_leader_plans(
    desk: Desk, new_desk: NewDesk, new_lease: Callable[[str], Lease], redis: Redis
) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    await redis.delete("taskqueue:distribution:lock")
    lease = new_lease("other")
    assert await lease.acquire()
    other = new_desk(token=lease.token)

    stale, leading = await asyncio.gather(desk.tick_at(TEN), other.tick_at(TEN), return_exceptions=True)

    # Where the leader was faster, the other finds nothing left to write.
    assert (stale is None or isinstance(stale, LeaseLostError), leading) == (True, None)
    assert sorted(await other.planned()) == sorted(names(20))


async def test_two_planners_with_one_token_plan_each_user_once(desk: Desk, new_desk: NewDesk) -> None:
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    other = new_desk()

    await asyncio.gather(desk.tick_at(TEN), other.tick_at(TEN), other.planner.resume(desk.token))

    assert await desk.planned() == in_order(names(20))


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("written", [False, True], ids=["not written", "written, answer lost"])
async def test_a_plan_that_was_cut_is_finished_by_the_next_leader(
    new_desk: NewDesk, tasks_file: TasksFile, store: RedisStore, scripts: Scripts, after: int, written: bool
) -> None:
    tasks_file.write(task_type("report"))
    crashing = InterruptedPlanStore(store, scripts, after=after, interrupt=crash, written=written)
    desk = new_desk(plan=crashing)
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    with pytest.raises(StoreUnavailableError):
        await desk.tick_at(TEN)

    other = new_desk()
    await other.planner.resume(other.token)
    await other.planner.tick(other.token)

    assert await other.planned() == in_order(names(20))
    ((_, progress),) = await other.occurrences()
    assert (progress.complete, progress.planned) == (True, 20)
    assert not await other.redis.exists("taskqueue:schedule:lock:report")


async def test_an_audience_that_changed_in_between_skips_and_doubles_nobody(
    new_desk: NewDesk, tasks_file: TasksFile, store: RedisStore, scripts: Scripts
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk(plan=InterruptedPlanStore(store, scripts, after=1, interrupt=crash))
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    with pytest.raises(StoreUnavailableError):
        await desk.tick_at(TEN)
    order = in_order([*names(20), *(f"late-{number}" for number in range(20))])
    place = order.index(in_order(names(20))[PLAN_BATCH - 1])
    leaver, behind = (
        in_order(names(20))[PLAN_BATCH + 2],
        [user for user in order[place + 1 :] if user.startswith("late")],
    )
    assert behind
    desk.enable(*(f"late-{number}" for number in range(20)))
    desk.index.apply(Switches(user_id=leaver, exists=False))

    other = new_desk()
    await other.planner.resume(other.token)

    expected = {*names(20), *behind} - {leaver}
    assert sorted(await other.planned()) == sorted(expected)
    ((occurrence, progress),) = await other.occurrences()
    assert (progress.complete, progress.planned, occurrence.users) == (True, len(expected), 20)


async def test_a_cut_plan_of_a_removed_task_ends_with_those_who_have_a_slot(
    new_desk: NewDesk, tasks_file: TasksFile, store: RedisStore, scripts: Scripts
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk(plan=InterruptedPlanStore(store, scripts, after=1, interrupt=crash))
    desk.enable(*names(20))
    await desk.tick_at(TEN - HOUR / 2)
    with pytest.raises(StoreUnavailableError):
        await desk.tick_at(TEN)

    tasks_file.write()
    other = new_desk()
    await other.planner.resume(other.token)

    assert await other.planned() == in_order(names(20))[:PLAN_BATCH]
    ((_, progress),) = await other.occurrences()
    assert progress.complete
