"""What another hand wrote among the leader's own work: it costs that piece of work at the most, and no other's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from taskqueue.core.codec import decode_message
from taskqueue.core.task import Priority
from taskqueue.errors import DamagedKeyError, StoreUnavailableError
from taskqueue.runtime import utc_now
from taskqueue.store.damage import DamagedKeys
from taskqueue.store.scripts import Scripts
from taskqueue.telemetry.scheduler_events import DamagedKeySetAside, OccurrencePlanned
from tests.support.inbox import Consume
from tests.support.plan_desk import DAY, MINUTE, TEN, InterruptedPlanStore, NewDesk, crash, in_order
from tests.support.release_dock import Dock, names, put_back
from tests.support.scheduling import NewScheduler, TasksFile, task_type


@pytest.fixture
def damaged(dock: Dock, scripts: Scripts) -> DamagedKeys:
    return DamagedKeys(scripts, dock.events)


async def release(dock: Dock, damaged: DamagedKeys) -> None:
    """Release in rounds, and set aside what a round meets, as the leader does."""
    for _ in range(4):
        try:
            await dock.releaser.round()
        except DamagedKeyError as error:
            await damaged.set_aside(dock.token, error)


@pytest.mark.parametrize("slot", [0, 60, 174])
async def test_a_damaged_slot_list_keeps_no_occurrence_from_being_planned_to_its_end(
    new_desk: NewDesk, tasks_file: TasksFile, slot: int
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk()
    desk.enable(*names(30))
    await desk.tick_at(TEN - 3 * MINUTE)
    await desk.redis.set(f"taskqueue:distribution:report:{slot}", "of another hand")
    for seconds in range(3):
        await desk.tick_at(TEN - MINUTE + timedelta(seconds=seconds))

    assert await desk.planned() == in_order(names(30))
    assert [event.key for event in desk.events.of(DamagedKeySetAside)] == [f"taskqueue:distribution:report:{slot}"]
    assert len(desk.events.of(OccurrencePlanned)) == 1


async def test_a_damaged_slot_list_of_an_occurrence_that_another_leader_began_holds_up_no_other(
    new_desk: NewDesk, tasks_file: TasksFile, scripts: Scripts
) -> None:
    tasks_file.write(task_type("broken"), task_type("report"))
    desk = new_desk()
    await desk.tick_at(TEN - 3 * MINUTE)
    for task_id in ("broken", "report"):
        desk.enable(*names(30, task_id), task_id=task_id)
        crashing = InterruptedPlanStore(desk.plan._store, scripts, after=1, interrupt=crash)
        with pytest.raises(StoreUnavailableError):
            await new_desk(plan=crashing).tick_at(TEN)
    await desk.redis.set("taskqueue:distribution:broken:60", "of another hand")

    await desk.planner.resume(desk.token)
    await desk.tick_at(TEN)

    assert sorted(event.task for event in desk.events.of(OccurrencePlanned)) == ["broken", "report"]


async def test_the_slot_keys_of_an_occurrence_that_was_lost_are_used_again(
    new_desk: NewDesk, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report"))
    desk = new_desk()
    desk.enable("ann")
    await desk.tick_at(TEN - 3 * MINUTE)
    await desk.tick_at(TEN)
    await desk.redis.delete("taskqueue:occurrences")
    await desk.redis.rpush("taskqueue:distribution:report:0", "left over")

    await desk.tick_at(TEN + DAY)

    assert [progress.suffix for _, progress in await desk.occurrences()] == [""]
    assert await desk.planned() == ["ann"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(field, "-1") for field in ("users", "planned", "released", "window_ms", "starts_at")],
        *[("released", text) for text in ("+0", "0_0", " 0", "00", "\u0660")],
        ("starts_at", "253402300799000"),
        ("state", "whatever"),
    ],
)
async def test_a_record_with_a_number_that_is_none_is_set_aside_and_all_others_are_released(
    dock: Dock, damaged: DamagedKeys, field: str, value: str
) -> None:
    broken = await dock.planned(names(2, "broken"), utc_now(), task_id="another")
    await dock.planned(names(2), utc_now())
    key = f"taskqueue:occurrence:{broken.member}"
    await dock.redis.hset(key, field, value)

    await release(dock, damaged)

    assert await dock.take(2) == names(2)
    assert dock.released() == {"direct": 2}
    assert await dock.live() == []
    assert [event.key for event in dock.events.of(DamagedKeySetAside)] == [key]


@pytest.mark.parametrize("job_id", ["", "x" * 129], ids=["none", "long"])
async def test_a_waiting_entry_that_is_no_job_id_keeps_no_job_from_going_out(
    dock: Dock, damaged: DamagedKeys, job_id: str
) -> None:
    now = utc_now()
    await dock.delayed("eve", now, job_id=job_id or "stranger")
    if not job_id:
        await dock.redis.rename("taskqueue:delayed:job:stranger", "taskqueue:delayed:job:")
        await dock.redis.zrem("taskqueue:delayed", "stranger")
        await dock.redis.zadd("taskqueue:delayed", {"": now.timestamp() * 1000})
    await dock.delayed("ann", now)

    await release(dock, damaged)

    assert await dock.take(1) == ["ann"]
    assert dock.released() == {"direct": 1}
    assert await dock.redis.zcard("taskqueue:delayed") == 0


async def test_many_damaged_entries_delay_the_work_beside_them_by_less_than_two_seconds(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, consume: Consume
) -> None:
    tasks_file.write(task_type("report"))
    inbox = await consume({Priority.HIGH: 5})
    await redis.zadd("taskqueue:delayed", {b"\xff" + bytes([number]): 1 for number in range(50)})
    await redis.zadd("taskqueue:occurrences", {f"without-a-task-{number}": 1 for number in range(50)})
    scheduler = await new_scheduler("first")
    led = await scheduler.leads()
    await put_back(redis, "ann", utc_now())

    delivery = await inbox.next(2)

    await delivery.ack()
    assert decode_message(delivery.body).job.user_id == "ann"
    assert led.leading
    assert len(scheduler.events.of(DamagedKeySetAside)) == 100


async def test_an_occurrence_that_was_released_and_is_among_the_live_ones_again_leaves_them(dock: Dock) -> None:
    occurrence = await dock.planned(names(2), utc_now())
    await dock.until_released()
    await dock.redis.zadd("taskqueue:occurrences", {occurrence.member: 1})

    await dock.releaser.round()

    assert await dock.live() == []
    assert dock.released() == {"direct": 2}
