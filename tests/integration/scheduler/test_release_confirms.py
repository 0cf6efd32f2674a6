from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.errors import BrokerError, BrokerUnavailableError, LeaseLostError, PublishRefusedError
from taskqueue.runtime import utc_now
from taskqueue.scheduler.gates import Gates
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.lease import Lease
from taskqueue.store.limits import Limit, Limits
from tests.support.inbox import eventually
from tests.support.publishers import connected_publisher
from tests.support.release_dock import RELEASE_BATCH, SECOND, Dock, NewDock, names
from tests.support.tcp_proxy import TcpProxy


async def test_without_the_lease_nothing_is_published(dock: Dock) -> None:
    await dock.planned(["ann"], utc_now() + 5 * SECOND)
    await dock.redis.set("taskqueue:distribution:lock", "other:1")

    with pytest.raises(LeaseLostError):
        await dock.releaser.round()

    await dock.nothing_came()
    assert await dock.redis.lrange("taskqueue:distribution:report:0", 0, -1) == ["ann"]


async def test_with_a_lease_that_cannot_be_trusted_nothing_is_published(dock: Dock, lease: Lease) -> None:
    await dock.planned(["ann"], utc_now() - SECOND)
    await lease.release()

    with pytest.raises(LeaseLostError):
        await dock.releaser.round()

    await dock.nothing_came()


async def test_a_leader_whose_lease_ends_while_it_raises_the_lane_s_tail_publishes_nothing(
    dock: Dock, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dock.planned(["ann"], utc_now() + 5 * SECOND)
    raise_lane_tail = DelayedStore.raise_lane_tail

    async def sleep_past_the_lease(store: DelayedStore, token: str, tail: datetime, kept_ms: int) -> None:
        await raise_lane_tail(store, token, tail, kept_ms)
        monkeypatch.setattr(lease, "_trusted_until", 0.0)

    monkeypatch.setattr(DelayedStore, "raise_lane_tail", sleep_past_the_lease)
    with pytest.raises(LeaseLostError):
        await dock.releaser.round()

    await dock.nothing_came()
    assert await dock.redis.lrange("taskqueue:distribution:report:0", 0, -1) == ["ann"]


@pytest.fixture
async def network(broker_url: str) -> AsyncIterator[TcpProxy]:
    """What lies between the releaser and RabbitMQ."""
    parts = urlsplit(broker_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def far_publisher(broker_url: str, network: TcpProxy) -> AsyncIterator[Publisher]:
    """A publisher on the far side of `network`."""
    parts = urlsplit(broker_url)
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{network.port}").geturl()
    async with connected_publisher(url, name="far") as publisher:
        yield publisher


async def test_nothing_leaves_redis_without_a_confirm_and_all_arrives_later(
    new_dock: NewDock, far_publisher: Publisher, network: TcpProxy
) -> None:
    dock = await new_dock(publisher=far_publisher)
    await dock.lane_reaches(utc_now())
    occurrence = await dock.planned(names(40), utc_now() - SECOND)
    job_id = await dock.delayed("retry", utc_now() - SECOND)
    network.freeze()
    releasing = asyncio.create_task(dock.releaser.round())
    await eventually(lambda: _is(bool(far_publisher.unconfirmed)))

    await network.cut()
    with pytest.raises(BrokerError, match="confirmed 0 of 41"):
        await releasing
    assert (await dock.progress(occurrence)).released == 0
    assert await dock.redis.lrange("taskqueue:distribution:report:0", 0, -1) == names(40)
    assert await dock.redis.zrange("taskqueue:delayed", 0, -1) == [job_id]

    network.thaw()
    await far_publisher.wait_ready(15)
    await eventually(lambda: _is(far_publisher.connection.connected), 15)
    await dock.until_released()
    came = await dock.take(41)
    assert sorted(set(came)) == sorted([*names(40), "retry"])
    assert dock.released() == {"direct": 41}


async def test_of_a_partly_confirmed_list_only_the_head_is_trimmed(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    occurrence = await dock.planned(names(5), utc_now() - SECOND)
    publish_all = dock.publisher.publish_all

    async def refuse_the_third(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        sent = [
            replace(each, routing_key="jobs.nobody") if number == 2 else each for number, each in enumerate(outgoing)
        ]
        return await publish_all(sent, within)

    monkeypatch.setattr(dock.publisher, "publish_all", refuse_the_third)  # RabbitMQ itself refuses it
    with pytest.raises(BrokerError, match="confirmed 4 of 5"):
        await dock.releaser.round()
    monkeypatch.undo()

    assert (await dock.progress(occurrence)).released == 2
    await dock.until_released()
    came = await dock.take(7)
    assert sorted(set(came)) == names(5)
    assert len({message.job.id for message, _ in dock.arrived}) == 5


async def test_a_queue_that_confirms_nothing_gets_one_job_at_a_time_and_holds_up_no_other(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dock.planned(names(RELEASE_BATCH), utc_now() - SECOND)
    await dock.delayed("urgent", utc_now() - SECOND)
    publish_all, sent = dock.publisher.publish_all, list[int]()

    async def unheard(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        if outgoing[0].routing_key != "jobs.normal":
            return await publish_all(outgoing, within)
        sent.append(len(outgoing))
        return [BrokerUnavailableError("no confirm") for _ in outgoing]

    monkeypatch.setattr(dock.publisher, "publish_all", unheard)
    with pytest.raises(BrokerError, match=f"confirmed 1 of {RELEASE_BATCH + 1}"):
        await dock.releaser.round()
    for seconds in (0, 0.5, 1.5, 2, 3.5, 4, 5):
        dock.ahead = seconds * SECOND
        with suppress(BrokerError):
            await dock.releaser.round()
    monkeypatch.undo()
    assert sent == [RELEASE_BATCH, 1, 1]

    dock.ahead = 10 * SECOND
    await dock.until_released()
    assert sorted(await dock.take(RELEASE_BATCH + 1)) == sorted([*names(RELEASE_BATCH), "urgent"])


async def test_the_try_of_a_silent_queue_is_not_spent_on_a_job_that_a_gate_keeps_back(
    new_dock: NewDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = Gates(100_000)
    dock = await new_dock(gates=gates)
    await dock.lane_reaches(utc_now())
    await dock.planned(names(5), utc_now() - SECOND)
    sent = list[int]()

    async def unheard(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        sent.append(len(outgoing))
        return [BrokerUnavailableError("no confirm") for _ in outgoing]

    monkeypatch.setattr(dock.publisher, "publish_all", unheard)
    with pytest.raises(BrokerError):
        await dock.releaser.round()
    gates.limits_are(Limits(tasks={"report": Limit(rate=0, burst=1)}))
    for seconds in range(2, 10):
        dock.ahead = seconds * SECOND
        await dock.releaser.round()
    gates.limits_are(Limits())
    dock.ahead = 10 * SECOND
    with pytest.raises(BrokerError):
        await dock.releaser.round()

    assert sent == [5, 1]


async def test_a_delayed_queue_that_refused_a_job_is_left_alone_when_the_release_begins_anew(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dock.planned(names(5), utc_now() + 20 * SECOND)
    refused = list[int]()

    async def refuse(outgoing: Sequence[Outgoing], within: float) -> list[BrokerError | None]:
        refused.append(len(outgoing))
        return [PublishRefusedError("full") for _ in outgoing]

    monkeypatch.setattr(dock.publisher, "publish_all", refuse)
    with pytest.raises(BrokerError):
        await dock.releaser.round()
    await dock.releaser.begin()
    await dock.releaser.round()

    assert refused == [5]


async def _is(value: bool) -> bool:
    return value
