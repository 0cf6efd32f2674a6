"""A scheduler's connections to RabbitMQ, one of which is down or hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest
from aiormq.exceptions import ChannelAccessRefused
from redis.asyncio import Redis

from taskqueue.broker import lane_watch
from taskqueue.broker.connection import Session
from taskqueue.broker.names import READY_QUEUES, queue_name
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerError, BrokerUnavailableError
from taskqueue.runtime import utc_now
from taskqueue.scheduler import publishers as publishers_module
from taskqueue.scheduler.publishers import Publishers
from taskqueue.telemetry.scheduler_events import JobsReleased
from tests.support.inbox import eventually
from tests.support.publishers import connected_publisher
from tests.support.release_dock import RELEASE_BATCH, SECOND, NewDock, put_back
from tests.support.scheduling import NewScheduler, TasksFile, task_type


@pytest.fixture
async def fresh(broker_url: str, session: Session) -> AsyncIterator[Publisher]:
    """A connection on which nothing was published yet."""
    async with connected_publisher(broker_url, name="fresh") as publisher:
        yield publisher


@pytest.fixture
def away(broker_url: str) -> Publisher:
    """A connection that is down."""
    return Publisher([broker_url], name="away")


async def test_jobs_of_a_priority_whose_connection_is_down_go_out_on_another_and_hold_up_nobody(
    new_dock: NewDock, redis: Redis, away: Publisher
) -> None:
    dock = await new_dock(direct={Priority.HIGH: away})
    now, many = utc_now(), 2 * RELEASE_BATCH + 1
    for number in range(many):
        await put_back(redis, f"high-{number}", now - 5 * SECOND)
    await put_back(redis, "normal", now - SECOND, priority=Priority.NORMAL)

    await dock.until_released(many + 1)

    counts = dict.fromkeys((queue_name(Priority.HIGH), queue_name(Priority.NORMAL)), 0)
    for event in dock.events.of(JobsReleased):
        counts[event.queue] += event.count
    assert list(counts.values()) == [many, 1]


async def test_a_silent_queue_whose_connection_is_down_comes_to_no_other_ready_queue_s(
    new_dock: NewDock, redis: Redis, away: Publisher, fresh: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = await new_dock(direct={Priority.HIGH: away}, lane=fresh)
    for number in range(5):
        await put_back(redis, f"high-{number}", utc_now() - SECOND)
    around, beside = list[int](), list[int]()

    async def unheard(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        around.append(len(outgoing))
        return [BrokerUnavailableError("no confirm") for _ in outgoing]

    async def count(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        beside.append(len(outgoing))
        return [None for _ in outgoing]

    monkeypatch.setattr(fresh, "publish_all", unheard)
    monkeypatch.setattr(dock.publisher, "publish_all", count)
    for seconds in (0, 0.5, 1.5, 2):
        dock.ahead = seconds * SECOND
        with suppress(BrokerError):
            await dock.releaser.round()
    assert around == [5, 1]

    fresh.silent_since = asyncio.get_running_loop().time()
    for seconds in (4, 9, 18, 40):
        dock.ahead = seconds * SECOND
        with suppress(BrokerError):
            await dock.releaser.round()

    assert (around, beside) == ([5, 1], [])


@pytest.mark.parametrize("down", [*(priority.name.lower() for priority in Priority), "delayed"])
async def test_with_one_connection_down_a_scheduler_leads_and_releases_jobs_of_every_priority(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, down: str
) -> None:
    tasks_file.write(task_type("report"))
    first = await new_scheduler("first")
    await first.leads()
    publishers = (scheduler := first.scheduler).publishers
    for publisher in publishers.all:
        await publisher.wait_ready(15)
    await (publishers.lane if down == "delayed" else publishers.direct[Priority[down.upper()]]).stop(5)

    for priority in Priority:
        await put_back(redis, f"user-{priority}", utc_now(), priority=priority)
    for priority in Priority:
        name = queue_name(priority)
        await first.events.wait_for(JobsReleased, lambda event, name=name: event.queue == name, within=20)

    assert scheduler.ready()["rabbitmq"]
    assert scheduler.health()["publishing"] == "disconnected"
    assert scheduler._broker_answers()
    assert (await publishers.depths()).keys() == set(READY_QUEUES)


async def test_one_silent_queue_costs_no_leader_its_lease_where_nothing_else_is_published(
    new_scheduler: NewScheduler, tasks_file: TasksFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ChannelAccessRefused("ACCESS_REFUSED")

    monkeypatch.setattr(lane_watch, "attach", refuse)  # so that no probes go through the delayed queue
    tasks_file.write(task_type("report"))
    first = await new_scheduler("first")
    await first.leads()
    low = first.scheduler.publishers.direct[Priority.LOW]
    await low.wait_ready(15)

    low.silent_since = asyncio.get_running_loop().time()

    await eventually(lambda: _is(first.scheduler._broker_answers()), 20)
    assert low.silent_since is not None


async def test_depths_say_nothing_of_publishing_where_all_ready_queues_are_silent(fresh: Publisher) -> None:
    publishers = Publishers(direct=dict.fromkeys(Priority, fresh), lane=fresh)
    fresh.silent_since = asyncio.get_running_loop().time()

    assert await publishers.depths()

    assert not publishers.answers(leading=True)


async def test_the_silence_of_a_former_leader_says_nothing_after_a_while(
    fresh: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers = Publishers(direct=dict.fromkeys(Priority, fresh), lane=fresh)
    fresh.silent_since = asyncio.get_running_loop().time()
    assert not publishers.answers(leading=False)

    monkeypatch.setattr(publishers_module, "_SILENCE_HOLDS_S", -1.0)

    assert publishers.answers(leading=False)
    assert not publishers.answers(leading=True)


async def _is(value: bool) -> bool:
    return value
