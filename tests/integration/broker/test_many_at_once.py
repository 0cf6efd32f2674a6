"""`publish_all` with many messages: each one's outcome is its own, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskqueue.broker.connection import Session
from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare, queue_depths
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerUnavailableError, PublishRefusedError
from tests.support.inbox import Consume, eventually
from tests.support.publishers import connected_publisher
from tests.support.tcp_proxy import TcpProxy

WINDOW = 50


def message(name: str, routing_key: str = "jobs.normal", body: bytes = b"{}") -> Outgoing:
    return Outgoing(body=body, message_id=name, routing_key=routing_key)


@pytest.fixture
async def far(network_url: str) -> AsyncIterator[Publisher]:
    """A publisher behind `network`, with a window of 50."""
    async with connected_publisher(network_url, name="far", within=10, confirm_window=WINDOW) as publisher:
        yield publisher


async def sent(publisher: Publisher, count: int) -> None:
    """Wait until so many are without a confirm."""

    async def so_many() -> bool:
        return publisher.unconfirmed == count

    await eventually(so_many)


async def test_no_more_than_the_window_are_without_a_confirm(network: TcpProxy, far: Publisher) -> None:
    network.freeze()
    publishing = asyncio.create_task(far.publish_all([message(str(i)) for i in range(300)], 30))
    await sent(far, WINDOW)
    for _ in range(100):
        await asyncio.sleep(0)
    at_rest = far.unconfirmed
    network.thaw()

    assert await publishing == [None] * 300
    assert at_rest == WINDOW
    assert far.unconfirmed == 0


async def test_refused_and_returned_ones_are_told_from_all_others(publisher: Publisher, session: Session) -> None:
    async with session.passing_channel("making a full queue") as channel:
        full = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
        await channel.queue_declare("full", durable=True, arguments=full)
        await channel.queue_bind("full", "taskqueue", "jobs.full")
    await publisher.publish_all([message(f"fills {i}", "jobs.full") for i in range(5)], 5)

    async def is_full() -> bool:
        return isinstance((await publisher.publish_all([message("full?", "jobs.full")], 5))[0], PublishRefusedError)

    await eventually(is_full)
    keys = ["jobs.normal", "jobs.full", "jobs.high", "jobs.nobody"] * 200

    results = await publisher.publish_all([message(str(i), key) for i, key in enumerate(keys)], 30)

    told = {"jobs.normal": "None", "jobs.high": "None", "jobs.full": "nack", "jobs.nobody": "no queue"}
    assert all(told[key] in str(result) for key, result in zip(keys, results, strict=True))
    assert sum(isinstance(result, PublishRefusedError) for result in results) == 400
    depths = await queue_depths(session)
    assert (depths["taskqueue.jobs.normal"], depths["taskqueue.jobs.high"]) == (200, 200)


async def test_a_body_of_several_frames_arrives_whole(publisher: Publisher, consume: Consume) -> None:
    sizes = [131_063, 131_064, 131_065, 300_000, 0, 1]  # around the largest frame that RabbitMQ takes

    results = await publisher.publish_all([message(f"{size}", body=b"x" * size) for size in sizes], 10)
    inbox = await consume({Priority.NORMAL: 10})

    assert results == [None] * len(sizes)
    assert [len((await inbox.next()).body) for _ in sizes] == sizes


async def test_two_at_a_time_each_keep_their_order(publisher: Publisher, consume: Consume) -> None:
    batches = [[message(f"{side}{i}") for i in range(1000)] for side in "ab"]

    results = await asyncio.gather(*(publisher.publish_all(batch, 30) for batch in batches))
    inbox = await consume({Priority.NORMAL: 2000})
    arrived = [(await inbox.next()).message_id or "" for _ in range(2000)]

    assert results == [[None] * 1000, [None] * 1000]
    for batch in batches:
        side = batch[0].message_id[0]
        assert [name for name in arrived if name[0] == side] == [each.message_id for each in batch]


async def test_many_callers_at_once_find_room_with_the_writer(publisher: Publisher) -> None:
    results = await asyncio.gather(*(publisher.publish_all([message(f"{i}")], 30) for i in range(200)))

    assert results == [[None]] * 200


async def test_one_id_in_two_calls_is_told_apart(publisher: Publisher) -> None:
    results = await asyncio.gather(
        *(publisher.publish_all([message("same", key)], 5) for key in ("jobs.nobody", "jobs.low", "jobs.nobody"))
    )

    assert [type(result) for (result,) in results] == [PublishRefusedError, type(None), PublishRefusedError]


async def test_who_is_cancelled_leaves_the_channel_in_order(
    network: TcpProxy, far: Publisher, session: Session
) -> None:
    network.freeze()
    mixed = [message(str(i), "jobs.nobody" if i % 2 else "jobs.normal") for i in range(20)]
    publishing = asyncio.create_task(far.publish_all(mixed, 30))
    await sent(far, 20)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    network.thaw()

    results = await far.publish_all([message("after", "jobs.high"), message("nowhere", "jobs.nobody")], 5)

    assert [type(result) for result in results] == [type(None), PublishRefusedError]
    assert far.unconfirmed == 0
    depths = await queue_depths(session)
    assert (depths["taskqueue.jobs.normal"], depths["taskqueue.jobs.high"]) == (10, 1)


async def test_a_return_that_may_be_an_earlier_ones_is_unknown(network: TcpProxy, far: Publisher) -> None:
    network.freeze()
    given_up = await far.publish_all([message("same", "jobs.nobody")], 0.05)
    again = asyncio.create_task(far.publish_all([message("same"), message("other", "jobs.nobody")], 30))
    await sent(far, 2)
    network.thaw()

    results = await again

    assert [type(result) for result in given_up] == [BrokerUnavailableError]
    assert [type(result) for result in results] == [BrokerUnavailableError, PublishRefusedError]


async def test_a_republished_id_does_not_wait_for_the_one_given_up(network: TcpProxy, far: Publisher) -> None:
    network.freeze()
    await far.publish_all([message("same")], 0.05)
    again = asyncio.create_task(far.publish_all([message("same")], 30))
    await asyncio.sleep(0)
    network.thaw()

    assert await again == [None]


async def test_a_channel_that_the_broker_closes_leaves_the_rest_unknown(publisher: Publisher, session: Session) -> None:
    async with session.passing_channel("breaking the topology") as channel:
        await channel.exchange_delete("taskqueue")

    results = await publisher.publish_all([message(str(i)) for i in range(1200)], 30)

    assert {type(result) for result in results} == {BrokerUnavailableError}
    assert "no exchange 'taskqueue'" in str(results[-1])
    await declare(session)

    async def published() -> bool:
        return await publisher.publish_all([message("after")], 5) == [None]

    await eventually(published)


async def test_a_broker_that_confirms_nothing_does_not_answer_until_it_confirms_again(
    far: Publisher, network: TcpProxy
) -> None:
    assert far.answering
    network.freeze()
    await far.publish_all([message("into the void")], 0.2)

    assert not far.answering
    assert far.connection.connected

    network.thaw()
    await far.publish_all([message("heard")], 10)
    assert far.answering
