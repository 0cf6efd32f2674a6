"""Looking through the failed queue while others read, write and fail."""

from __future__ import annotations

import pytest

from taskqueue.broker import failed_browser
from taskqueue.broker.connection import Session, connect
from taskqueue.broker.failed import take_failed
from taskqueue.broker.failed_browser import browse_failed
from taskqueue.broker.names import FAILED_QUEUE
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.topology import queue_depths
from taskqueue.errors import BrokerUnavailableError
from tests.support.inbox import eventually
from tests.support.tcp_proxy import TcpProxy


async def put(publisher: Publisher, *numbers: int) -> None:
    messages = [Outgoing(body=b"%d" % number, message_id=str(number), routing_key="jobs.failed") for number in numbers]
    assert not any(await publisher.publish_all(messages, 5))


async def depth(session: Session) -> int | None:
    return (await queue_depths(session, [FAILED_QUEUE]))[FAILED_QUEUE]


async def seen(session: Session) -> list[int]:
    async with browse_failed(session) as browser:
        return [int(held.message.body) async for held in browser.messages()]


async def test_more_messages_than_one_consumer_is_given_come_in_order_each_time(
    session: Session, publisher: Publisher
) -> None:
    await put(publisher, *range(700))

    assert await seen(session) == await seen(session) == await seen(session) == list(range(700))


async def test_only_what_is_acknowledged_is_gone(session: Session, publisher: Publisher) -> None:
    await put(publisher, *range(300))

    async with browse_failed(session) as browser:
        async for held in browser.messages():
            if int(held.message.body) % 3 == 0:
                await browser.ack(held)
        await browser.settled()

    assert await seen(session) == [number for number in range(300) if number % 3]


async def test_what_comes_in_while_somebody_looks_is_not_looked_at(session: Session, publisher: Publisher) -> None:
    await put(publisher, 0, 1)

    async with browse_failed(session) as browser:
        found = []
        async for held in browser.messages():
            await put(publisher, 7)
            found.append(int(held.message.body))

    assert found == [0, 1]


async def test_messages_that_others_have_taken_are_not_waited_for(
    session: Session, publisher: Publisher, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_browser, "_SILENCE_S", 0.1)
    await put(publisher, *range(5))
    other = await connect(amqp_url, "other")

    async with browse_failed(session) as browser:
        await take_failed(other, 2)
        found = [int(held.message.body) async for held in browser.messages()]

    await other.close()
    assert found == [2, 3, 4]


async def test_a_loop_that_is_left_early_gives_everything_back(session: Session, publisher: Publisher) -> None:
    await put(publisher, *range(5))

    async with browse_failed(session) as browser:
        async for _ in browser.messages():
            break

    async def all_there() -> bool:
        return await depth(session) == 5

    await eventually(all_there)


async def test_a_connection_that_is_lost_is_told_and_everything_goes_back(
    session: Session, publisher: Publisher, network: TcpProxy, network_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_browser, "_SILENCE_S", 0.1)
    await put(publisher, *range(300))
    far = await connect(network_url, "far")

    async def look() -> None:
        async with browse_failed(far) as browser:
            async for held in browser.messages():
                if held.message.body == b"100":
                    network.cut()

    with pytest.raises(BrokerUnavailableError):
        await look()
    await far.close()

    async def all_there() -> bool:
        return await depth(session) == 300

    await eventually(all_there)


def browser_after(last: int, largest: int, *, seen: int = 0, depth: int = 1_000_000) -> failed_browser.FailedBrowser:
    browser = failed_browser.FailedBrowser.__new__(failed_browser.FailedBrowser)
    browser.depth, browser._seen, browser._channels = depth, seen, []
    browser._last, browser._largest = last, largest
    return browser


@pytest.mark.parametrize(
    ("browser", "share"),
    [
        (browser_after(0, 0), 10),
        (browser_after(10, 600, depth=10_000), 20),
        (browser_after(4_000, 600), 4_000),
        (browser_after(10, 4 * 1024 * 1024, depth=10_000), 16),
        (browser_after(4, 128 * 1024 * 1024, depth=100), 1),
        (browser_after(4, 128 * 1024 * 1024, depth=10_000), 5),
        (browser_after(4_000, 600, seen=999_999), 1),
    ],
)
def test_a_share_is_at_most_twice_the_one_before_and_bounded_by_the_largest_message_in_that(
    browser: failed_browser.FailedBrowser, share: int
) -> None:
    assert browser._prefetch() == share


async def test_whoever_holds_messages_is_seen_by_whoever_looks_next(
    session: Session, publisher: Publisher, amqp_url: str
) -> None:
    await put(publisher, *range(15))
    other = await connect(amqp_url, "other")

    async with browse_failed(session) as first:
        found = [int(held.message.body) async for held in first.messages()]
        async with browse_failed(other) as second:
            assert [held async for held in second.messages()] == []
            assert (first.short, second.short) == (False, True)

    await other.close()
    assert found == await seen(session) == list(range(15))


async def test_what_others_take_out_during_a_look_is_told(
    session: Session, publisher: Publisher, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_browser, "_SILENCE_S", 0.1)
    await put(publisher, *range(5))
    other = await connect(amqp_url, "other")

    async with browse_failed(session) as browser:
        await take_failed(other, 2)
        assert len([held async for held in browser.messages()]) == 3
        assert browser.short

    await other.close()


async def test_what_comes_in_while_the_last_messages_are_taken_out_stays(
    session: Session, publisher: Publisher
) -> None:
    await put(publisher, *range(5))

    async with browse_failed(session) as browser:
        async for held in browser.messages():
            if int(held.message.body) == 0:
                await put(publisher, 5, 6)
            if int(held.message.body) < 3:
                await browser.ack(held)
        await browser.settled()

    assert sorted(await seen(session)) == [3, 4, 5, 6]
