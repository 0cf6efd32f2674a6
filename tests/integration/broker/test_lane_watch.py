from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote, urlsplit

import httpx
import pytest

from taskqueue.broker.connection import Session
from taskqueue.broker.lane_watch import LaneWatch
from taskqueue.broker.names import DELAYED_QUEUE
from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.core.task import Priority
from taskqueue.dev.services import RabbitMQ
from taskqueue.telemetry.events import Event, LaneStuck, LaneUnwatched
from tests.support.inbox import Consume, Inbox, eventually
from tests.support.rabbitmq_control import frozen_queue
from tests.support.tcp_proxy import TcpProxy

LEAD = timedelta(milliseconds=300)
PATIENCE = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class Watching:
    """A watch that runs, and what it told."""

    watch: LaneWatch
    events: list[Event] = field(default_factory=list)

    async def has_measured(self) -> bool:
        return self.watch.lag is not None

    async def is_stuck(self) -> bool:
        return self.watch.stuck

    async def is_late(self) -> bool:
        return self.watch.lag is not None and self.watch.lag > PATIENCE

    async def flows(self) -> bool:
        return not self.watch.stuck


Watch = Callable[..., Awaitable[Watching]]
Limits = Callable[[int], Awaitable[None]]
Limited = Callable[[dict[str, str]], AbstractAsyncContextManager[Publisher]]


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    """Call it with a publisher to watch the lane on its connection, and with another one for the probes."""
    async with AsyncExitStack() as stack:

        async def start(publisher: Publisher, lane: Publisher | None = None) -> Watching:
            events: list[Event] = []
            watching = LaneWatch(
                publisher,
                lane or publisher,
                instance="test",
                ahead=lead,
                interval=timedelta(milliseconds=200),
                patience=PATIENCE,
                confirm_within=PATIENCE,
                emit=events.append,
            )
            stack.push_async_callback(_ended, asyncio.create_task(watching.run()))
            return Watching(watch=watching, events=events)

        yield start


async def lead() -> timedelta:
    return LEAD


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def management(rabbitmq: RabbitMQ) -> AsyncIterator[httpx.AsyncClient]:
    """RabbitMQ's management API, of a broker with the settings that we recommend."""
    if rabbitmq.management_url is None or not rabbitmq.restartable:
        pytest.skip("needs a RabbitMQ of our own")
    async with httpx.AsyncClient(
        base_url=rabbitmq.management_url, auth=("guest", "guest"), timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def limits(amqp_url: str, management: httpx.AsyncClient) -> Limits:
    """Call it with how many messages `taskqueue.jobs.low` may hold from now on."""

    async def limit(messages: int) -> None:
        policy = {"pattern": r"^taskqueue\.jobs\.low$", "apply-to": "queues", "definition": {"max-length": messages}}
        (await management.put(f"/api/policies/{vhost_of(amqp_url)}/full", json=policy)).raise_for_status()

    return limit


@pytest.fixture
def limited(amqp_url: str, management: httpx.AsyncClient) -> Limited:
    """Call it with rights to get a connected publisher that has no others."""

    @asynccontextmanager
    async def connected(rights: dict[str, str]) -> AsyncIterator[Publisher]:
        parts, vhost = urlsplit(amqp_url), vhost_of(amqp_url)
        user = f"limited-{vhost}"
        (await management.put(f"/api/users/{user}", json={"password": "s3cret", "tags": ""})).raise_for_status()
        (await management.put(f"/api/permissions/{vhost}/{user}", json=rights)).raise_for_status()
        publisher = Publisher([f"amqp://{user}:s3cret@{parts.hostname}:{parts.port}/{vhost}"], name="limited")
        await publisher.start()
        await publisher.wait_ready(10)
        yield publisher
        await publisher.stop(5)

    return connected


def vhost_of(url: str) -> str:
    return quote(urlsplit(url).path[1:], safe="")


async def test_a_lane_that_flows_is_not_stuck_and_hardly_late(publisher: Publisher, watch: Watch) -> None:
    watching = await watch(publisher)

    await eventually(watching.has_measured)

    assert watching.watch.lag is not None
    assert watching.watch.lag < PATIENCE
    assert not watching.watch.stuck
    assert watching.events == []


async def test_before_the_first_probe_is_due_nothing_is_known(publisher: Publisher) -> None:
    watching = LaneWatch(publisher, publisher, instance="test", ahead=lead)

    assert (watching.lag, watching.stuck) == (None, False)


async def test_a_full_ready_queue_stops_the_lane_and_workers_who_empty_it_heal_it(
    publisher: Publisher, watch: Watch, consume: Consume, limits: Limits
) -> None:
    # More than the broker's dead-letter worker holds at once: all that it holds is refused, again and again.
    jobs = [
        Outgoing(body=b"{}", message_id=str(number), routing_key="jobs.low", delay=timedelta(milliseconds=100))
        for number in range(600)
    ]
    watching = await watch(publisher)
    await eventually(watching.has_measured)

    await limits(10)
    await publisher.publish_all(jobs, 30)
    await eventually(watching.is_stuck, within=20)
    lag = watching.watch.lag
    inbox = await consume({Priority.LOW: 100})
    working = asyncio.create_task(_work(inbox))
    await eventually(watching.flows, within=60)
    await _ended(working)

    assert lag is not None
    assert lag > PATIENCE
    assert [event.stuck for event in watching.events if isinstance(event, LaneStuck)] == [True, False]
    assert watching.watch.lag is not None
    assert watching.watch.lag <= PATIENCE


async def test_a_lane_that_confirms_nothing_while_the_rest_does_is_stuck_and_the_publisher_is_heard(
    publisher: Publisher, watch: Watch, rabbitmq: RabbitMQ, amqp_url: str
) -> None:
    watching = await watch(publisher)
    await eventually(watching.has_measured)

    async with frozen_queue(rabbitmq, amqp_url, DELAYED_QUEUE):
        await eventually(watching.is_stuck)
        answering = publisher.answering
        await eventually(watching.is_late)

    assert answering
    await eventually(watching.flows, within=20)
    assert [event.stuck for event in watching.events if isinstance(event, LaneStuck)] == [True, False]


async def test_probes_that_cannot_be_sent_say_nothing_of_the_lane(publisher: Publisher) -> None:
    asked = 0

    async def ahead() -> timedelta:
        nonlocal asked
        asked += 1
        return LEAD

    async def asked_again() -> bool:
        return asked > 2

    unconnected = Publisher(["amqp://127.0.0.1:1/"], name="unconnected")
    watch = LaneWatch(publisher, unconnected, instance="test", ahead=ahead, interval=timedelta(milliseconds=50))
    watching = asyncio.create_task(watch.run())
    await eventually(asked_again)
    said = watch.lag, watch.stuck
    await _ended(watching)

    assert said == (None, False)


async def _work(inbox: Inbox) -> None:
    while True:
        await (await inbox.deliveries.get()).ack()


async def test_two_leaders_and_strangers_do_not_disturb_each_other(
    publisher: Publisher, watch: Watch, session: Session
) -> None:
    first, second = await watch(publisher), await watch(publisher)
    for body in (b"", b"0:1", b"\xff" * 100):
        await publisher.publish(Outgoing(body=body, message_id="stranger", routing_key="jobs.low"), 5)
    await eventually(first.has_measured)
    await eventually(second.has_measured)

    for body in (b"", b"0:1", b"\xff" * 100):
        await publisher.publish(Outgoing(body=body, message_id="stranger", routing_key="lane"), 5)
    first.watch._last_lag_s = second.watch._last_lag_s = None  # to see the next ones come

    await eventually(first.has_measured)
    await eventually(second.has_measured)
    assert not first.watch.stuck
    assert not second.watch.stuck
    assert session.alive


async def test_probes_that_are_due_when_nobody_watches_have_a_queue_to_go_to(
    publisher: Publisher, watch: Watch
) -> None:
    watching = LaneWatch(publisher, publisher, instance="gone", ahead=lead)
    task = asyncio.create_task(watching.run())

    async def probed() -> bool:
        return bool(watching._under_way)

    await eventually(probed)
    await _ended(task)

    assert not watching._under_way
    await publisher.publish(Outgoing(body=b"", message_id="late", routing_key="lane"), 5)  # refused without a queue


async def test_it_measures_again_after_the_connection_was_cut(
    network: TcpProxy, network_url: str, watch: Watch
) -> None:
    publisher = Publisher([network_url], name="cut")
    await publisher.start()
    await publisher.wait_ready(10)
    watching = await watch(publisher)
    await eventually(watching.has_measured)

    await network.cut()
    watching.watch._last_lag_s = None

    await eventually(watching.has_measured, within=20)
    assert not watching.watch.stuck
    await publisher.stop(5)


async def test_what_was_stuck_before_an_outage_is_stuck_until_a_probe_comes_back(
    network: TcpProxy, network_url: str, watch: Watch
) -> None:
    publisher = Publisher([network_url], name="cut")
    await publisher.start()
    await publisher.wait_ready(10)
    watching = await watch(publisher)
    await eventually(watching.has_measured)
    network.freeze()
    network.refusing = True
    watching.watch._under_way = {b"lost": asyncio.get_running_loop().time() - 60}
    await network.cut()
    network.thaw()

    async def parted() -> bool:
        return not watching.watch._under_way

    await eventually(parted)
    assert watching.watch.stuck
    network.refusing = False
    await eventually(watching.flows, within=30)
    await publisher.stop(5)


async def test_a_probe_that_was_purged_is_forgotten_with_the_next_that_comes(
    publisher: Publisher, watch: Watch
) -> None:
    watching = await watch(publisher)
    await eventually(watching.has_measured)
    lost = {b"lost": asyncio.get_running_loop().time() - 60}
    watching.watch._under_way = lost | watching.watch._under_way

    assert watching.watch.stuck
    await eventually(watching.flows)


async def test_without_the_right_to_declare_it_says_so_once_and_is_quiet(
    session: Session, watch: Watch, limited: Limited
) -> None:
    async with limited({"configure": "^$", "write": "^taskqueue", "read": "^taskqueue"}) as publisher:
        watching = await watch(publisher)

        async def told() -> bool:
            return bool(watching.events)

        await eventually(told)

        (event,) = watching.events
        assert isinstance(event, LaneUnwatched)
        assert "taskqueue.lane" in event.error
        assert (watching.watch.lag, watching.watch.stuck) == (None, False)
        await publisher.publish(Outgoing(body=b"{}", message_id="m", routing_key="jobs.low"), 5)  # nothing else suffers


async def test_the_rights_that_the_documentation_asks_for_are_enough(
    session: Session, watch: Watch, limited: Limited
) -> None:
    rights = {
        "configure": r"^taskqueue\.lane(\.|$)",
        "write": r"^taskqueue(\.delay|\.lane(\..*)?)?$",
        "read": r"^taskqueue(\.lane(\..*)?)?$",
    }
    async with limited(rights) as publisher:
        watching = await watch(publisher)

        await eventually(watching.has_measured)

        assert watching.events == []
