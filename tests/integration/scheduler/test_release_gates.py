from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from taskqueue.broker.names import queue_name
from taskqueue.broker.publisher import Outgoing
from taskqueue.core.task import Priority
from taskqueue.core.waiting import GLOBAL, task_limit
from taskqueue.errors import BrokerError, BrokerUnavailableError, PublishRefusedError
from taskqueue.runtime import utc_now
from taskqueue.scheduler.gates import Gates
from taskqueue.store.limits import Limit, Limits
from taskqueue.telemetry.scheduler_events import LaneClosed
from tests.support.release_dock import SECOND, Dock, NewDock, names


def limited(rate: float, task_id: str = "report") -> Gates:
    """Return gates that let out so many jobs of the task per second."""
    gates = Gates(100_000)
    gates.limits_are(Limits(tasks={task_id: Limit(rate=rate, burst=rate)}))
    gates.room(task_limit(task_id), utc_now().timestamp() - 60)  # known for a minute
    return gates


async def waiting(dock: Dock, limit: str) -> list[str]:
    """Return the ids of the jobs that wait for the limit, in order."""
    members: list[str] = await dock.redis.zrange(f"taskqueue:waiting:{limit}", 0, -1)
    return members


async def test_what_is_overdue_goes_out_at_the_pace_of_its_task(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(10))
    occurrence = await dock.planned(names(200), utc_now() - SECOND)
    begin = utc_now()

    for step in range(12):
        dock.ahead = step * SECOND / 2
        before = utc_now() + dock.ahead - begin
        await dock.releaser.round()
        after = utc_now() + dock.ahead - begin
        out = sum(dock.released().values())
        assert 10 + 10 * before // SECOND - 1 <= out <= 10 + 10 * after / SECOND

    assert await dock.take(out) == names(200)[:out]
    assert (await dock.progress(occurrence)).released == out


async def test_what_is_planned_closer_than_the_limit_allows_waits_for_its_pace_in_redis(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(10))
    await dock.lane_reaches(utc_now())
    whole_second = utc_now().replace(microsecond=0)
    await dock.planned(names(400), whole_second + 20 * SECOND, window=10 * SECOND)

    for step in range(4):
        dock.ahead = step * SECOND / 2
        await dock.releaser.round()

    # In the first quarter of a second there is room for two of the ten that are due in it.
    assert dock.released()["lane"] == 2
    dock.ahead = 25 * SECOND
    await dock.releaser.round()
    assert dock.released()["direct"] <= 10


async def test_a_hundred_occurrences_at_their_limit_keep_no_other_from_going(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(1))
    for number in range(100):
        await dock.planned(names(5, f"slow-{number}"), utc_now() - 60 * SECOND, cohort=f"{number:016x}")
    await dock.planned(["ann"], utc_now() - SECOND, task_id="another")

    rests = [await dock.releaser.round() for _ in range(3)]

    assert "ann" in await dock.take(2)
    assert rests[0] == timedelta(0)
    assert max(rests) > timedelta(0)


async def test_a_retry_that_its_limit_stops_waits_in_the_limit_s_list_and_lets_others_pass(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(2))
    slow = [await dock.delayed(user, utc_now() - 9 * SECOND + number * SECOND) for number, user in enumerate(names(6))]

    await dock.releaser.round()

    assert await dock.take(2) == names(2)
    assert await waiting(dock, "task:report") == slow[2:]
    assert await dock.redis.zcard("taskqueue:delayed") == 0

    dock.ahead = SECOND
    await dock.releaser.round()
    assert await dock.take(2) == names(6)[2:4]
    dock.ahead = 2 * SECOND
    await dock.releaser.round()
    assert await dock.take(2) == names(6)[4:]
    assert await dock.redis.keys("taskqueue:waiting*") == []
    assert await dock.redis.keys("taskqueue:delayed*") == []


async def test_a_full_ready_queue_gets_nothing_and_its_retries_wait_apart(new_dock: NewDock) -> None:
    gates = Gates(1000)
    gates.depths_are({queue_name(Priority.HIGH): 1000, queue_name(Priority.NORMAL): 0})
    dock = await new_dock(gates=gates)
    job_id = await dock.delayed("retry", utc_now() - SECOND)
    await dock.planned(["urgent"], utc_now() - SECOND, task_id="urgent")
    await dock.planned(["ann"], utc_now() - SECOND)

    await dock.releaser.round()

    assert await dock.take(1) == ["ann"]
    assert await waiting(dock, "queue:high") == [job_id]

    gates.depths_are({queue_name(Priority.HIGH): 10})
    dock.ahead = SECOND
    await dock.until_released(3)
    assert Counter(await dock.take(2)) == Counter(["urgent", "retry"])


async def test_what_is_due_goes_by_priority_first(new_dock: NewDock) -> None:
    gates = Gates(100_000)
    gates.limits_are(Limits(global_=Limit(rate=3, burst=3)))
    gates.room(GLOBAL, utc_now().timestamp() - 60)
    dock = await new_dock(gates=gates)
    await dock.planned(names(10), utc_now() - 60 * SECOND)
    await dock.planned(names(3, "urgent"), utc_now() - SECOND, task_id="urgent")

    await dock.releaser.round()

    assert await dock.take(3) == names(3, "urgent")


async def test_a_stuck_delayed_queue_is_gone_around(new_dock: NewDock) -> None:
    gates = Gates(100_000)
    gates.lane_stuck = True
    dock = await new_dock(gates=gates)
    await dock.lane_reaches(utc_now())
    await dock.planned(["ann"], utc_now() + 10 * SECOND)
    await dock.planned(["bob"], utc_now() + 30 * SECOND, task_id="another")

    await dock.releaser.round()
    assert dock.released() == {}
    dock.ahead = 11 * SECOND
    await dock.releaser.round()
    assert dock.released() == {"direct": 1}

    gates.lane_stuck = False
    await dock.releaser.round()
    assert dock.released() == {"direct": 1, "lane": 1}
    assert [(event.closed, event.reason) for event in dock.events.of(LaneClosed)] == [(True, "stuck"), (False, "stuck")]


async def test_a_delayed_queue_that_refuses_is_gone_around_for_a_while(
    new_dock: NewDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = await new_dock()
    await dock.lane_reaches(utc_now())
    await dock.planned(["ann"], utc_now() + 5 * SECOND)
    publish_all = dock.publisher.publish_all

    async def refuse_the_lane(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        if any(message.delay for message in outgoing):
            return [PublishRefusedError("the queue is full")] * len(outgoing)
        return await publish_all(outgoing, within)

    monkeypatch.setattr(dock.publisher, "publish_all", refuse_the_lane)
    with pytest.raises(BrokerError, match="confirmed 0 of 1"):
        await dock.releaser.round()

    await dock.releaser.round()
    assert dock.released() == {}
    dock.ahead = 5 * SECOND
    await dock.releaser.round()
    assert (dock.released(), await dock.take(1)) == ({"direct": 1}, ["ann"])


async def test_slots_retries_and_a_limit_s_list_together_go_no_faster_than_the_limit(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(10))
    await dock.lane_reaches(utc_now())
    begin = utc_now()
    await dock.planned(names(100), begin - 2 * SECOND)
    for number, user in enumerate(names(60, "retry")):
        await dock.delayed(user, begin - 3 * SECOND + number * SECOND / 20)

    for step in range(16):
        dock.ahead = step * SECOND / 2
        before = utc_now() + dock.ahead - begin
        await dock.releaser.round()
        after = utc_now() + dock.ahead - begin
        assert 10 * before // SECOND <= sum(dock.released().values()) <= 10 + 10 * after / SECOND

    users = await dock.take(sum(dock.released().values()))
    assert {user.partition("-")[0] for user in users} == {"user", "retry"}


async def test_what_rabbitmq_did_not_take_while_it_pushed_back_uses_up_nothing_of_the_limit(
    new_dock: NewDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = await new_dock(gates=limited(10))
    await dock.lane_reaches(utc_now())
    await dock.planned(names(400), utc_now() + SECOND, window=40 * SECOND)

    async def block(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        return [BrokerUnavailableError("accepts no messages") for _ in outgoing]

    with monkeypatch.context() as alarm:
        alarm.setattr(dock.publisher, "publish_all", block)
        alarm.setattr(type(dock.publisher.connection), "blocked", True)
        for dock.ahead in (second * SECOND for second in range(11)):
            with suppress(BrokerError):
                await dock.releaser.round()
    assert dock.released() == {}
    await dock.releaser.round()
    at_once = sum(dock.released().values())
    for dock.ahead in (12 * SECOND, 13 * SECOND, 14 * SECOND):
        await dock.releaser.round()

    assert at_once == 10
    assert 36 <= sum(dock.released().values()) <= 42


async def test_a_list_whose_name_was_lost_is_found_by_the_next_leader(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(2))
    for user in names(4):
        await dock.delayed(user, utc_now() - SECOND)
    await dock.releaser.round()
    await dock.redis.delete("taskqueue:waiting")

    await dock.releaser.begin()
    dock.ahead = SECOND
    await dock.releaser.round()

    assert await dock.take(4) == names(4)


async def test_a_job_in_a_shared_list_that_its_own_limit_stops_goes_into_that_one_s(new_dock: NewDock) -> None:
    gates = Gates(100_000)
    gates.limits_are(Limits(global_=Limit(rate=1, burst=1), tasks={"report": Limit(rate=0.01, burst=1)}))
    dock = await new_dock(gates=gates)
    slow = [await dock.delayed(user, utc_now() - SECOND) for user in names(5)]
    gates.pass_through("another", Priority.NORMAL, None, utc_now().timestamp())
    await dock.releaser.round()
    assert await waiting(dock, "global") == slow

    for step in range(1, 4):
        dock.ahead = step * 2 * SECOND
        await dock.releaser.round()

    assert await dock.take(1) == names(1)
    assert set(await waiting(dock, "task:report")) <= set(slow[1:])
    assert len(await waiting(dock, "task:report")) >= 2


async def test_one_task_behind_its_limit_leaves_the_delayed_queue_to_the_others(new_dock: NewDock) -> None:
    dock = await new_dock(gates=limited(1))
    await dock.lane_reaches(utc_now())
    await dock.planned(names(50), utc_now() - 10 * SECOND)
    await dock.planned(["ann"], utc_now() + 30 * SECOND, task_id="another")

    await dock.releaser.round()

    assert dock.released()["lane"] == 1


async def test_a_clock_that_went_back_does_not_close_the_delayed_queue(new_dock: NewDock) -> None:
    dock = await new_dock()
    await dock.lane_reaches(utc_now() + 3600 * SECOND)
    await dock.planned(["ann"], utc_now() + 60 * SECOND - SECOND / 10)

    await dock.releaser.round()

    assert dock.released() == {"lane": 1}
    assert await dock.releaser.lane_ahead() <= 60 * SECOND
