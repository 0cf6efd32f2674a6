from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from taskqueue.broker.publisher import Outgoing
from taskqueue.core.codec import decode_message
from taskqueue.core.instants import from_unix_ms, rfc3339, to_unix_ms
from taskqueue.core.job import JobSource, Metadata
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerError
from taskqueue.runtime import utc_now
from taskqueue.telemetry.scheduler_events import SlotListGone
from tests.support.release_dock import RELEASE_BATCH, SECOND, Dock, NewDock, names


async def test_jobs_go_through_the_delayed_queue_in_due_order_and_none_is_early(dock: Dock) -> None:
    at = utc_now() + SECOND
    await dock.planned(names(30, "a"), at, window=2 * SECOND)
    await dock.planned(names(20, "b"), at + SECOND / 2, window=SECOND, task_id="another")

    await dock.until_released()
    await dock.take(50)

    assert dock.released() == {"lane": 50}
    dues = [message.job.execute_after for message, _ in dock.arrived]
    assert dues == sorted(dues)
    assert all(came >= message.job.execute_after for message, came in dock.arrived)
    assert max(came - message.job.execute_after for message, came in dock.arrived) < 2 * SECOND


async def test_what_is_due_goes_straight_to_its_queue(dock: Dock) -> None:
    await dock.planned(names(3), utc_now() - SECOND)

    await dock.releaser.round()

    assert await dock.take(3) == names(3)
    assert dock.released() == {"direct": 3}


async def test_nothing_goes_out_before_the_lead(dock: Dock) -> None:
    occurrence = await dock.planned(names(3), utc_now() + 65 * SECOND)

    await dock.releaser.round()

    assert dock.released() == {}
    assert (await dock.progress(occurrence)).released == 0


async def test_jobs_take_the_queue_of_their_task_s_priority(dock: Dock) -> None:
    await dock.planned(["ann"], utc_now() - SECOND, task_id="urgent")
    await dock.planned(["bob"], utc_now() - SECOND)

    await dock.releaser.round()

    found = set()
    for _ in range(2):
        delivery = await dock.inbox.next(10)
        await delivery.ack()
        job = decode_message(delivery.body).job
        found.add((delivery.queue, job.user_id, job.priority))
    assert found == {(Priority.HIGH, "ann", Priority.HIGH), (Priority.NORMAL, "bob", Priority.NORMAL)}


async def test_a_job_due_before_the_tail_of_the_lane_is_held_and_blocks_nobody(dock: Dock) -> None:
    now = utc_now()
    await dock.lane_reaches(now + 30 * SECOND)
    await dock.planned(["late-comer"], now + 1.5 * SECOND)
    await dock.planned(["behind the tail"], now + 40 * SECOND, task_id="another")

    rest = await dock.releaser.round()

    assert dock.released() == {"lane": 1}
    assert rest <= timedelta(milliseconds=250)
    await dock.nothing_came()
    await dock.until_released(2)
    assert await dock.take(1) == ["late-comer"]
    (message, came), *_ = dock.arrived
    assert timedelta(0) <= came - message.job.execute_after < SECOND


async def test_a_round_ends_in_time_for_a_job_that_is_held(dock: Dock) -> None:
    await dock.lane_reaches(utc_now() + 30 * SECOND)
    await dock.planned(["late-comer"], utc_now() + timedelta(milliseconds=100))

    rest = await dock.releaser.round()

    assert rest <= timedelta(milliseconds=100)


async def test_a_list_is_released_from_its_head_although_its_tail_could_go(dock: Dock) -> None:
    now = utc_now()
    await dock.lane_reaches(now + 30 * SECOND)
    occurrence = await dock.planned(names(4), now + 28 * SECOND, window=8 * SECOND)

    await dock.releaser.round()

    assert dock.released() == {}
    assert (await dock.progress(occurrence)).released == 0


async def test_a_leader_that_knows_nothing_of_the_lane_puts_nothing_into_it_for_one_lead(dock: Dock) -> None:
    await dock.redis.delete("taskqueue:lane_tail")
    await dock.releaser.begin()
    await dock.planned(["ann"], utc_now() + 30 * SECOND)

    await dock.releaser.round()
    assert dock.released() == {}

    dock.ahead = 31 * SECOND
    await dock.releaser.round()
    assert dock.released() == {"direct": 1}


async def test_the_next_leader_knows_how_far_the_lane_is_filled(dock: Dock, new_dock: NewDock) -> None:
    now = utc_now()
    await dock.planned(["ann"], now + 30 * SECOND)
    await dock.releaser.round()

    other = await new_dock()
    await other.planned(["bob"], now + 20 * SECOND, task_id="another")
    await other.releaser.round()

    assert dock.released() == {"lane": 1}


async def test_a_large_occurrence_is_released_in_pieces_each_user_once(dock: Dock) -> None:
    users = names(4 * RELEASE_BATCH + 7)
    occurrence = await dock.planned(users, utc_now() - SECOND, window=45 * SECOND)
    dock.ahead = 60 * SECOND

    await dock.until_released()

    assert await dock.take(len(users)) == users
    assert len({message.job.id for message, _ in dock.arrived}) == len(users)
    assert [slot for slot, _ in pairwise(message.metadata.distribution_slot for message, _ in dock.arrived)] == sorted(
        message.metadata.distribution_slot for message, _ in dock.arrived[:-1]
    )
    assert (await dock.progress(occurrence)).released == len(users)
    assert await dock.redis.keys("taskqueue:distribution:report:*") == []


async def test_users_who_are_still_being_planned_are_released_when_they_are(dock: Dock) -> None:
    occurrence = await dock.planned(names(3), utc_now() - SECOND, complete=False)
    await dock.releaser.round()
    assert await dock.take(3) == names(3)
    assert await dock.live() == [occurrence.member]

    progress = await dock.progress(occurrence)
    await dock.plan.append(dock.token, occurrence, progress, ["late"], "further", last=True)
    await dock.until_released()

    assert await dock.take(1) == ["late"]


async def test_an_occurrence_is_noted_as_execution_when_its_instant_has_come(dock: Dock) -> None:
    at = (utc_now() + 30 * SECOND).replace(microsecond=0)
    await dock.planned(["ann", "bob"], at, window=1000 * SECOND)
    await dock.releaser.round()
    assert await dock.plan.last_execution("report") is None

    dock.ahead = 31 * SECOND
    await dock.releaser.round()

    assert await dock.plan.last_execution("report") == rfc3339(at)


async def test_an_execution_is_noted_although_all_is_released_ahead_of_it(dock: Dock) -> None:
    at = (utc_now() + 30 * SECOND).replace(microsecond=0)
    occurrence = await dock.planned(["ann"], at)
    await dock.releaser.round()
    await dock.releaser.round()
    assert await dock.live() == [occurrence.member]

    dock.ahead = 31 * SECOND
    await dock.releaser.round()

    assert (await dock.plan.last_execution("report"), await dock.live()) == (rfc3339(at), [])


async def test_an_occurrence_without_users_is_noted_and_closed(dock: Dock) -> None:
    at = (utc_now() - SECOND).replace(microsecond=0)
    await dock.planned([], at)

    await dock.releaser.round()

    assert (await dock.plan.last_execution("report"), await dock.live()) == (rfc3339(at), [])


async def test_an_occurrence_that_was_abandoned_before_its_instant_is_no_execution(dock: Dock) -> None:
    at = (utc_now() + 30 * SECOND).replace(microsecond=0)
    occurrence = await dock.planned(["ann", "bob"], at, window=1000 * SECOND)
    await dock.releaser.round()
    await dock.plan.abandon(dock.token, occurrence, await dock.progress(occurrence))

    dock.ahead = 31 * SECOND
    await dock.releaser.round()

    assert await dock.plan.last_execution("report") is None


async def test_a_cohort_s_occurrence_is_not_the_task_s_execution(dock: Dock) -> None:
    await dock.planned(["ann"], utc_now() - SECOND, cohort="0123456789abcdef")

    await dock.until_released()

    assert await dock.plan.last_execution("report") is None


async def test_hundreds_of_tasks_at_one_instant_all_go_out_ahead_of_it(dock: Dock) -> None:
    at = utc_now() + 30 * SECOND
    for number in range(200):
        await dock.planned([f"user-{number}"], at, task_id=f"task-{number}")

    rests = [await dock.releaser.round() for _ in range(4)]

    assert sum(dock.released().values()) == 200
    assert not any(rests[:3])


async def test_a_retry_is_released_when_it_is_due_and_removed(dock: Dock) -> None:
    job_id = await dock.delayed("ann", utc_now() - SECOND)

    await dock.releaser.round()

    delivery = await dock.inbox.next(10)
    await delivery.ack()
    assert (delivery.message_id, delivery.queue) == (job_id, Priority.HIGH)
    assert decode_message(delivery.body).job.attempt == 2
    assert await dock.redis.keys("taskqueue:delayed*") == []


async def test_a_job_that_was_put_back_meanwhile_stays(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await dock.delayed("ann", utc_now() - SECOND)
    publish_all = dock.publisher.publish_all

    async def publish_and_park(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        results = await publish_all(outgoing, within)
        await dock.delayed("ann", utc_now() + 50 * SECOND, attempt=3)
        return results

    monkeypatch.setattr(dock.publisher, "publish_all", publish_and_park)  # between confirm and removal
    await dock.releaser.round()

    assert await dock.take(1) == ["ann"]
    assert await dock.redis.zrange("taskqueue:delayed", 0, -1) == [job_id]
    assert await dock.redis.hget(f"taskqueue:delayed:job:{job_id}", "attempt") == "3"


async def test_a_waiting_job_whose_message_expired_is_removed(dock: Dock) -> None:
    await dock.redis.zadd("taskqueue:delayed", {"expired": 1})

    await dock.releaser.round()

    assert await dock.redis.zcard("taskqueue:delayed") == 0


async def test_a_retry_stays_while_only_its_first_attempt_was_released_again(dock: Dock) -> None:
    # What a crash between confirm and trim leaves behind, once the worker has failed the first attempt.
    now = utc_now()
    await dock.lane_reaches(now + 40 * SECOND)
    occurrence = await dock.planned(["ann"], now - SECOND)
    job_id = await dock.delayed("ann", now + 20 * SECOND, job_id=occurrence.job_id("ann"))

    await dock.releaser.round()

    assert dock.released() == {"direct": 1}
    assert await dock.redis.zrange("taskqueue:delayed", 0, -1) == [job_id]


async def test_more_waiting_jobs_than_one_round_takes_all_go_out_in_order(dock: Dock) -> None:
    began = utc_now() - 100 * SECOND
    users = names(3 * RELEASE_BATCH)
    for number, user in enumerate(users):
        await dock.delayed(user, began + number * SECOND / 10)

    await dock.until_released()

    assert await dock.take(len(users)) == users


async def test_a_deleted_slot_list_is_passed_over_and_told(dock: Dock) -> None:
    users = names(6)
    occurrence = await dock.planned(users, utc_now() - 60 * SECOND, window=30 * SECOND)
    await dock.redis.delete("taskqueue:distribution:report:1")

    await dock.until_released()

    assert await dock.take(4) == [*users[:2], *users[4:]]
    assert dock.events.of(SlotListGone) == [SlotListGone(task="report", occurrence=occurrence.id, slot=1, users=2)]


async def test_users_whom_somebody_else_appended_to_a_slot_list_displace_nobody(dock: Dock) -> None:
    users = names(6)
    await dock.planned(users, utc_now() - 60 * SECOND, window=30 * SECOND)
    for slot in range(3):
        await dock.redis.rpush(f"taskqueue:distribution:report:{slot}", "stranger", "stranger-2")

    await dock.until_released()

    assert await dock.take(6) == users
    await dock.nothing_came()


async def test_an_occurrence_whose_record_is_gone_is_forgotten(dock: Dock) -> None:
    occurrence = await dock.planned(names(3), utc_now() - SECOND)
    await dock.redis.delete(f"taskqueue:occurrence:{occurrence.member}")

    await dock.releaser.round()

    assert (await dock.live(), dock.released()) == ([], {})
    assert await dock.redis.hgetall("taskqueue:distribution:owners") == {}


async def test_a_record_that_goes_before_its_instant_leaves_nothing_behind(dock: Dock) -> None:
    occurrence = await dock.planned(["ann"], utc_now() + 30 * SECOND)
    await dock.releaser.round()
    await dock.redis.delete(f"taskqueue:occurrence:{occurrence.member}")

    dock.ahead = 31 * SECOND
    await dock.releaser.round()

    assert await dock.live() == []
    assert await dock.redis.keys("taskqueue:occurrence:*") == []


@pytest.mark.parametrize(("immediate", "slots"), [(True, [-1, -1, -1]), (False, [0, 1, 2])])
async def test_a_trigger_is_released_at_once_or_spread(dock: Dock, immediate: bool, slots: list[int]) -> None:
    now = from_unix_ms(to_unix_ms(utc_now() - 60 * SECOND))
    trigger = Occurrence(
        id="3f0c",
        task_id="report",
        cohort=DEFAULT_COHORT,
        source=JobSource.TRIGGER,
        scheduled_at=now,
        starts_at=now,
        created_at=now,
        window=timedelta(0) if immediate else 30 * SECOND,
        users=3,
        correlation_id="req_789",
        distributed=not immediate,
    )
    await dock.plan.add_trigger(trigger, names(3), 2)

    await dock.until_released()

    assert await dock.take(3) == names(3)
    messages = [message for message, _ in dock.arrived]
    assert [message.metadata for message in messages] == [
        Metadata(correlation_id="req_789", source="trigger", distribution_slot=slot) for slot in slots
    ]
    step = timedelta(0) if immediate else 10 * SECOND
    assert [message.job.execute_after for message in messages] == [now + number * step for number in range(3)]
    assert await dock.plan.last_execution("report") is None
