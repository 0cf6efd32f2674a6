"""The delayed queue in the hands of a releaser: nothing stands in it before what is due earlier, nor waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from random import Random

import pytest
from redis.asyncio import Redis

from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.broker.names import DELAYED_QUEUE, queue_name
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.task import Priority
from taskqueue.dev.services import RabbitMQ
from taskqueue.errors import BrokerError, PublishRefusedError
from taskqueue.runtime import utc_now
from taskqueue.scheduler import release
from taskqueue.telemetry.events import LoopFailed
from taskqueue.telemetry.scheduler_events import JobsReleased, LaneClosed
from tests.support.inbox import eventually
from tests.support.publishers import connected_publisher
from tests.support.rabbitmq_control import frozen_queue, set_memory_alarm
from tests.support.release_dock import RELEASE_BATCH, SECOND, Dock, NewDock, names, put_back
from tests.support.scheduling import NewScheduler, TasksFile, task_type

NewPublisher = Callable[..., Awaitable[Publisher]]


@pytest.fixture
async def new_publisher(broker_url: str) -> AsyncIterator[NewPublisher]:
    """Call it for a publisher with a connection of its own."""
    async with AsyncExitStack() as stack:

        async def new_publisher(confirm_window: int = 500) -> Publisher:
            another = connected_publisher(broker_url, name="another", confirm_window=confirm_window)
            return await stack.enter_async_context(another)

        yield new_publisher


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let releasers wait for a confirm for one second only."""
    monkeypatch.setattr(release, "_CONFIRM_WITHIN_S", 1.0)


async def test_a_probe_of_the_delayed_queue_comes_before_no_job_that_is_due_earlier(
    new_dock: NewDock, new_publisher: NewPublisher
) -> None:
    slow = await new_publisher(confirm_window=1)  # so that there is time for many probes between two jobs
    dock = await new_dock(publisher=slow)
    await dock.lane_reaches(utc_now())
    watch = LaneWatch(slow, slow, instance="test", ahead=dock.releaser.lane_ahead, interval=timedelta(milliseconds=1))
    watching = asyncio.create_task(watch.run())
    await eventually(lambda: _is(watch.lag is not None))

    await dock.planned(names(50), utc_now() + SECOND, window=40 * SECOND)
    await dock.until_released(50)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching

    assert dock.released() == {"lane": 50}
    assert await dock.take(3, within=8) == names(3)


async def test_whatever_comes_in_while_the_delayed_queue_is_filled_waits_behind_nothing_that_is_later(
    dock: Dock,
) -> None:
    random, asked = Random(5), dict[str, datetime]()

    async def ask() -> None:
        for number in range(40):
            now = utc_now()
            at = now + random.uniform(-1, 3.5) * SECOND
            if number % 2:
                users = names(5, f"planned-{number}")
                task_id, window = random.choice(("report", "urgent")), random.choice((0, 1)) * SECOND
                await dock.planned(users, at, task_id=task_id, window=window, cohort=f"{number:016x}")
            else:
                users = [f"retry-{number}"]
                await dock.delayed(users[0], at)
            asked.update(dict.fromkeys(users, now))
            await asyncio.sleep(0.05)

    asking, taking = asyncio.create_task(ask()), asyncio.create_task(dock.take(120))
    while not taking.done():
        rest = await dock.releaser.round()
        await asyncio.wait({taking}, timeout=rest.total_seconds())
    await asking

    assert dock.released().keys() == {"lane", "direct"}
    arrived = {message.job.user_id: (message.job.execute_after, came) for message, came in dock.arrived}
    assert arrived.keys() == asked.keys()
    assert min(came - due for due, came in arrived.values()) >= timedelta(0)
    assert max(came - max(due, asked[user]) for user, (due, came) in arrived.items()) < 3 * SECOND


async def test_a_delayed_queue_that_confirms_nothing_is_gone_around_until_it_has_taken_one_job(
    new_dock: NewDock,
    new_publisher: NewPublisher,
    rabbitmq: RabbitMQ,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane = await new_publisher()
    dock = await new_dock(lane=lane)
    await dock.lane_reaches(utc_now())
    await dock.planned(names(3), utc_now() + 5 * SECOND)
    await dock.planned(names(RELEASE_BATCH, "later"), utc_now() + 120 * SECOND, task_id="another")

    async with frozen_queue(rabbitmq, broker_url, DELAYED_QUEUE):
        monkeypatch.setattr(release, "_CONFIRM_WITHIN_S", 1.0)
        with pytest.raises(BrokerError, match="confirmed 0 of 3"):
            await dock.releaser.round()
        monkeypatch.undo()
        dock.ahead = 6 * SECOND
        await dock.releaser.round()
        assert await dock.take(3) == names(3)
    await eventually(lambda: _is(lane.unconfirmed == 0))
    await dock.releaser.round()
    dock.ahead = 75 * SECOND  # what was sent there before has come out by then
    for _ in range(3):
        await dock.releaser.round()

    assert dock.released() == {"direct": 3, "lane": RELEASE_BATCH}
    assert [(event.closed, event.reason) for event in dock.events.of(LaneClosed)] == [
        (True, "silent"),
        (False, "silent"),
    ]


async def test_what_rabbitmq_takes_in_only_after_an_alarm_holds_up_nothing(
    dock: Dock, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = utc_now()
    await dock.lane_reaches(begun)
    await set_memory_alarm(rabbitmq, on=True)  # which this connection hears of at its next message
    try:
        await dock.planned(names(5), begun + 8 * SECOND)
        with monkeypatch.context() as patch:
            patch.setattr(release, "_CONFIRM_WITHIN_S", 1.0)
            with pytest.raises(BrokerError):
                await dock.releaser.round()
        await eventually(lambda: _is(utc_now() > begun + 6 * SECOND))
    finally:
        await set_memory_alarm(rabbitmq, on=False)
    await eventually(lambda: _is(not dock.publisher.connection.blocked))
    await dock.planned(["behind"], begun + 9 * SECOND, task_id="another")

    await dock.until_released(6, within=15)
    await dock.take(6)

    late = [came - message.job.execute_after for message, came in dock.arrived]
    assert dock.released() == {"direct": 6}
    assert max(late) < 3 * SECOND, late


async def test_after_a_refusal_one_job_tries_the_delayed_queue_before_the_others(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dock.planned(names(5), utc_now() + 50 * SECOND)
    publish_all, sent, refusing = dock.publisher.publish_all, list[int](), True

    async def full(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        sent.append(len(outgoing))
        return [PublishRefusedError("full")] * len(outgoing) if refusing else await publish_all(outgoing, within)

    monkeypatch.setattr(dock.publisher, "publish_all", full)
    with pytest.raises(BrokerError):
        await dock.releaser.round()
    dock.ahead = 31 * SECOND
    with pytest.raises(BrokerError):
        await dock.releaser.round()
    dock.ahead, refusing = 62 * SECOND, False
    await dock.planned(names(5), utc_now() + 110 * SECOND, task_id="another")
    await dock.releaser.round()
    assert sent == [5, 1, 5, 1]  # the five of before are due by then, and go straight to their queue


async def test_a_delayed_queue_that_goes_on_refusing_is_not_told_open_before_it_has_taken_a_job(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dock.planned(names(5), utc_now() + 110 * SECOND)

    async def full(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        return [PublishRefusedError("full")] * len(outgoing)

    with monkeypatch.context() as patch:
        patch.setattr(dock.publisher, "publish_all", full)
        for seconds in (55, 86):
            dock.ahead = seconds * SECOND
            with pytest.raises(BrokerError):
                await dock.releaser.round()
            await dock.releaser.round()
    assert [event.closed for event in dock.events.of(LaneClosed)] == [True]

    dock.ahead = 117 * SECOND
    await dock.planned(names(1, "later"), utc_now() + 150 * SECOND, task_id="another")
    await dock.until_released(6)
    await dock.releaser.round()
    assert [(event.closed, event.reason) for event in dock.events.of(LaneClosed)] == [
        (True, "refused"),
        (False, "refused"),
    ]


async def test_a_delayed_queue_whose_own_connection_stays_down_is_told_closed_until_it_is_back(
    new_dock: NewDock, broker_url: str
) -> None:
    lane = Publisher([broker_url], name="lane")
    dock = await new_dock(lane=lane)
    await dock.releaser.round()
    dock.ahead = 4 * SECOND
    await dock.releaser.round()
    assert dock.events.of(LaneClosed) == []  # after an outage of all, each connection comes back in its own time
    dock.ahead = 6 * SECOND
    await dock.releaser.round()
    assert [(event.closed, event.reason) for event in dock.events.of(LaneClosed)] == [(True, "disconnected")]

    await lane.start()
    try:
        await lane.wait_ready(15)
        await dock.releaser.round()
    finally:
        await lane.stop(5)
    assert [(event.closed, event.reason) for event in dock.events.of(LaneClosed)[1:]] == [(False, "disconnected")]


async def test_without_rabbitmq_nothing_is_said_to_go_around_the_delayed_queue(
    new_dock: NewDock, broker_url: str
) -> None:
    away = Publisher([broker_url], name="away")
    dock = await new_dock(publisher=away, lane=away)

    await dock.releaser.round()

    assert dock.events.of(LaneClosed) == []


@pytest.mark.usefixtures("impatient")
async def test_a_ready_queue_that_takes_nothing_holds_up_no_job_of_another(
    new_scheduler: NewScheduler, redis: Redis, tasks_file: TasksFile, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    tasks_file.write(task_type("report"))
    first = await new_scheduler("first")
    async with frozen_queue(rabbitmq, broker_url, queue_name(Priority.LOW)):
        await put_back(redis, "held-up", utc_now(), priority=Priority.LOW)
        await first.events.wait_for(LoopFailed, lambda event: event.loop == "release", within=30)
        for priority in (Priority.NORMAL, Priority.HIGH):
            await put_back(redis, f"free-{priority}", utc_now(), priority=priority)
        for priority in (Priority.NORMAL, Priority.HIGH):
            name = queue_name(priority)
            await first.events.wait_for(JobsReleased, lambda event, name=name: event.queue == name, within=20)


@pytest.mark.usefixtures("impatient")
async def test_a_delayed_queue_that_takes_nothing_keeps_no_due_job_of_a_fresh_leader_from_its_queue(
    new_scheduler: NewScheduler, redis: Redis, tasks_file: TasksFile, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    tasks_file.write(task_type("report"))
    # An earlier leader used the lane, so this one does not keep out of it for the length of a lead.
    await redis.set("taskqueue:lane_tail", to_unix_ms(utc_now()))
    async with frozen_queue(rabbitmq, broker_url, DELAYED_QUEUE):
        began = utc_now()
        await put_back(redis, "at-once", began)
        await put_back(redis, "soon", began + 2 * SECOND)
        first = await new_scheduler("first")

        async def all_out() -> bool:
            return not await redis.zcard("taskqueue:delayed")

        await eventually(all_out, 20)
        took = utc_now() - began

    assert {event.mode for event in first.events.of(JobsReleased)} == {"direct"}
    assert took < 10 * SECOND


@pytest.mark.usefixtures("impatient")
async def test_a_ready_queue_that_takes_nothing_costs_no_leader_its_lease(
    new_scheduler: NewScheduler, redis: Redis, tasks_file: TasksFile, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    tasks_file.write(task_type("report"))
    scheduler = (first := await new_scheduler("first")).scheduler
    await put_back(redis, "before", utc_now())
    await eventually(lambda: _is(bool(first.events.of(JobsReleased))))
    async with frozen_queue(rabbitmq, broker_url, queue_name(Priority.HIGH)):
        await put_back(redis, "then", utc_now())
        await eventually(lambda: _is(scheduler.publishers.direct[Priority.HIGH].silent_since is not None))

        # The probes of the delayed queue are confirmed, each five seconds.
        await eventually(lambda: _is(scheduler._broker_answers()))


async def _is(value: bool) -> bool:
    return value
