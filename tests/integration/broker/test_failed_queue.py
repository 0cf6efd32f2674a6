"""Taking messages out of the failed queue, and borrowing a virtual host."""

from __future__ import annotations

from datetime import UTC, datetime

from taskqueue.broker.connection import Session, connect
from taskqueue.broker.failed import failed_message, take_failed
from taskqueue.broker.names import FAILED_QUEUE, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.broker.upkeep import purge_queues, queues_in_use
from taskqueue.core.failures import ATTEMPTS_HEADER, REASON_HEADER
from taskqueue.core.task import Priority
from tests.support.inbox import Consume

_CONFIRM_S = 5.0


def failed(body: bytes) -> Outgoing:
    return failed_message(
        body,
        message_id="job-1",
        reason="retries_exhausted",
        error_code="http_500",
        error_message="the endpoint answered 500",
        attempts=3,
        failed_at=datetime(2026, 1, 2, tzinfo=UTC),
        queue="taskqueue.jobs.normal",
    )


async def test_what_failed_is_taken_with_its_body_and_its_reason(session: Session, publisher: Publisher) -> None:
    await publisher.publish(failed(b"not json"), _CONFIRM_S)

    (message,) = await take_failed(session, 10)

    assert (message.body, message.message_id) == (b"not json", "job-1")
    assert (message.headers[REASON_HEADER], message.headers[ATTEMPTS_HEADER]) == ("retries_exhausted", 3)


async def test_what_was_taken_is_gone_and_the_rest_stays_in_order(session: Session, publisher: Publisher) -> None:
    for body in (b"1", b"2", b"3"):
        await publisher.publish(failed(body), _CONFIRM_S)

    first = await take_failed(session, 2)
    second = await take_failed(session, 2)

    assert [[message.body for message in taken] for taken in (first, second)] == [[b"1", b"2"], [b"3"]]


async def test_a_failed_queue_without_messages_gives_none(session: Session) -> None:
    assert await take_failed(session, 10) == []


async def test_a_virtual_host_without_our_queues_is_not_in_use(amqp_url: str) -> None:
    session = await connect(amqp_url, "test")
    try:
        assert await queues_in_use(session) == []
        await purge_queues(session)
    finally:
        await session.close()


async def test_empty_queues_are_not_in_use(session: Session) -> None:
    assert await queues_in_use(session) == []


async def test_messages_put_a_queue_in_use_until_they_are_purged(session: Session, publisher: Publisher) -> None:
    await publisher.publish(failed(b""), _CONFIRM_S)
    assert await queues_in_use(session) == [FAILED_QUEUE]

    await purge_queues(session)

    assert await queues_in_use(session) == []


async def test_a_consumer_puts_a_queue_in_use(session: Session, consume: Consume) -> None:
    await consume({Priority.HIGH: 1})

    assert await queues_in_use(session) == [f"taskqueue.{routing_key(Priority.HIGH)}"]
