from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.broker.consumer import Delivery
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.attempt_record import Trail
from taskqueue.core.codec import encode_message
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.failures import read_failure
from taskqueue.core.job import JobMessage, JobSource, Metadata
from taskqueue.core.retry import Cancel, Complete, Decision, Drop, Fail, Park, Retry
from taskqueue.core.state import Status
from taskqueue.core.task import Priority, Task
from taskqueue.errors import MessageError
from taskqueue.store import keys
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.connection import RedisStore
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.executions import ExecutionStore
from taskqueue.store.jobs import FAILED, AdmitTerms, Claimant, JobStore, Switch, Verdict
from taskqueue.store.scripts import Scripts
from taskqueue.worker.handle import Handled
from taskqueue.worker.perseverance import Perseverance
from taskqueue.worker.settle import Background, Settler
from tests.support.failed_queue import FailedQueue
from tests.support.inbox import Consume, Inbox
from tests.support.values import a_message, a_record, a_task, an_attempt

ME = Claimant(incarnation="worker-1:0001", delivery=1)
FAILURE = Fail(reason="permanent", code="http_410", detail="the endpoint answered 410")


@pytest.fixture
def jobs(store: RedisStore, scripts: Scripts) -> JobStore:
    return JobStore(store, scripts)


async def defined(_task_id: str) -> Task:
    return a_task()


@pytest.fixture
def settler(jobs: JobStore, publisher: Publisher, store: RedisStore) -> Settler:
    return Settler(
        jobs,
        publisher,
        Perseverance(asyncio.Event()),
        Background(definition=defined, attempts=ExecutionStore(store).attempts),
        now=lambda: datetime.now(UTC),
        emit=lambda _event: None,
    )


@pytest.fixture
async def failed(amqp_url: str, publisher: Publisher) -> AsyncIterator[FailedQueue]:
    assert publisher.connection.connected
    queue = FailedQueue()
    await queue.open(amqp_url)
    yield queue
    await queue.close()


@pytest.fixture
async def inbox(consume: Consume) -> Inbox:
    return await consume({Priority.NORMAL: 5})


def _due_message() -> JobMessage:
    now = datetime.now(UTC)
    return a_message(scheduled_at=now, execute_after=now)


async def _claimed(jobs: JobStore, message: JobMessage) -> None:
    terms = AdmitTerms(
        switch=Switch.OPTIONAL,
        max_age=timedelta(days=1),
        global_limit=None,
        task_limit=None,
        kept=timedelta(days=1),
        heartbeat_ttl=timedelta(seconds=15),
        rerun_lost=True,
    )
    assert (await jobs.admit(message.job, ME, terms)).verdict is Verdict.RUN


async def _delivered(publisher: Publisher, inbox: Inbox, message: JobMessage) -> Delivery:
    body = encode_message(message)
    await publisher.publish(Outgoing(body=body, message_id=message.job.id, routing_key="jobs.normal"), 5)
    return await inbox.next()


async def _left(inbox: Inbox) -> int:
    """Return how many messages come back once the consumers are gone."""
    await inbox.consumers.stop(5)
    return inbox.deliveries.qsize()


def _handled(decision: Decision, record: ExecutionResult | None = None) -> Handled:
    return Handled(decision=decision, record=record, called=True)


async def test_a_retry_waits_in_redis_with_its_next_attempt_before_it_is_acked(
    settler: Settler, jobs: JobStore, store: RedisStore, scripts: Scripts
) -> None:
    message = _due_message()
    await _claimed(jobs, message)
    until = datetime.now(UTC) + timedelta(minutes=1)

    await settler.record(message, ME, _handled(Retry(at=until), a_record(message.job, status=Status.RETRYING)))

    (waiting,) = await DelayedStore(store, scripts).due_until(until, 10)
    assert waiting.body == encode_message(message.for_attempt(2))
    assert abs(waiting.due - until) < timedelta(milliseconds=1)
    assert b'"status":"retrying"' in (await jobs.execution(message.job.id) or b"")


async def test_the_end_of_a_planned_job_counts_for_its_occurrence(settler: Settler, store: RedisStore) -> None:
    message = _due_message()
    planned = replace(message, metadata=Metadata(correlation_id="daily_report:today", source=JobSource.SCHEDULER))
    record = keys.occurrence("daily_report", "today")
    await store.command("HSET", record, "counted_for", "daily_report", "state", "planning")

    await settler.record(planned, ME, _handled(Complete(), a_record(message.job)))

    assert await store.command("HGET", record, "ended") == b"1"


async def test_a_failed_message_says_what_was_to_be_called_and_what_the_attempts_came_to(
    settler: Settler, store: RedisStore, publisher: Publisher, inbox: Inbox, failed: FailedQueue
) -> None:
    message = _due_message()
    for number in (1, 2):
        await store.command("RPUSH", keys.attempts(message.job.id), an_attempt(attempt=number).to_json())

    await settler.settle(await _delivered(publisher, inbox, message), message.job, _handled(FAILURE))

    headers = (await failed.wait_for(message.job.id)).headers
    assert (headers["taskqueue-task"], headers["taskqueue-method"]) == ("daily_report", "POST")
    assert headers["taskqueue-endpoint"] == a_task().target.endpoint
    assert [each["attempt"] for each in json.loads(str(headers["taskqueue-outcomes"]))] == [1, 2]


async def test_what_redis_cannot_tell_keeps_no_failed_job_from_its_queue(
    settler: Settler, store: RedisStore, publisher: Publisher, inbox: Inbox, failed: FailedQueue
) -> None:
    message = _due_message()
    await store.command("SET", keys.attempts(message.job.id), "spoilt")

    await settler.settle(await _delivered(publisher, inbox, message), message.job, _handled(FAILURE))

    assert (await failed.wait_for(message.job.id)).headers["taskqueue-outcomes"] == "[]"


async def test_a_park_keeps_the_attempt(settler: Settler, jobs: JobStore, store: RedisStore, scripts: Scripts) -> None:
    message = _due_message()
    until = datetime.now(UTC) + timedelta(minutes=1)

    await settler.record(message, ME, _handled(Park(until=until, reason="early")))

    (waiting,) = await DelayedStore(store, scripts).due_until(until, 10)
    assert waiting.body == encode_message(message)
    assert await jobs.execution(message.job.id) is None


async def test_a_job_that_its_limit_held_back_waits_in_the_list_of_that_limit(
    settler: Settler, store: RedisStore, scripts: Scripts
) -> None:
    message, delayed = _due_message(), DelayedStore(store, scripts)
    park = Park(until=datetime.now(UTC), reason="limit_task", waits_for="task:daily_report")

    await settler.record(message, ME, _handled(park))

    (waiting,) = await delayed.head("task:daily_report", 10)
    assert waiting.body == encode_message(message)
    assert await delayed.count() == 0


async def test_the_first_end_of_a_job_stands(settler: Settler, jobs: JobStore) -> None:
    message = _due_message()
    await _claimed(jobs, message)

    first = await settler.record(message, ME, _handled(Complete(), a_record(message.job)))
    second = await settler.record(message, ME, _handled(FAILURE, a_record(message.job, status=Status.FAILED)))

    assert first.decision == Complete()
    assert second.decision == Drop(reason="ended_elsewhere")
    assert b'"status":"success"' in (await jobs.execution(message.job.id) or b"")


async def test_a_failure_is_in_the_failed_queue_before_it_is_acked(
    settler: Settler, publisher: Publisher, inbox: Inbox, failed: FailedQueue, store: RedisStore
) -> None:
    message = _due_message()
    delivery = await _delivered(publisher, inbox, message)

    handled = await settler.record(message, ME, _handled(FAILURE, a_record(message.job, status=Status.FAILED)))
    between = await store.command("GET", keys.done(message.job.id))
    await settler.settle(delivery, message.job, handled)

    entry = await failed.wait_for(message.job.id)
    assert entry.body == delivery.body
    assert (entry.reason, entry.headers["taskqueue-error-code"]) == ("permanent", "http_410")
    assert entry.headers["taskqueue-attempts"] == 1
    assert between == b"failing:permanent"
    assert await store.command("GET", keys.done(message.job.id)) == FAILED.encode()
    assert await _left(inbox) == 0


async def test_a_failure_that_is_put_away_again_after_its_worker_died_is_the_same_one(
    settler: Settler, publisher: Publisher, inbox: Inbox, failed: FailedQueue
) -> None:
    message = _due_message()
    delivery = await _delivered(publisher, inbox, message)
    error = ErrorDetail(code="http_410", message="the endpoint answered 410", retry=False)
    record = a_record(message.job, status=Status.FAILED, error=error)
    handled = await settler.record(message, ME, _handled(FAILURE, record))
    await settler.settle(delivery, message.job, handled)
    lost = Fail(reason="permanent", code="permanent", detail="its worker was lost before it could say more")

    await settler.settle(await _delivered(publisher, inbox, message), message.job, _handled(lost))

    def came_twice(_message: object) -> bool:
        return len(failed.of(message.job.id)) == 2

    await failed.wait_until(came_twice)
    first, second = (read_failure(each.body, None, each.headers) for each in failed.of(message.job.id))
    assert second.identity == first.identity
    assert second.failed_at == record.completed_at
    assert (second.code, second.detail) == (first.code, first.detail) == ("http_410", "the endpoint answered 410")


@pytest.mark.parametrize("kept", ["", "{", '{"status":"failed"}', a_record(a_message().job).to_json()])
async def test_a_failure_without_a_record_that_tells_of_it_is_put_away_all_the_same(
    settler: Settler,
    store: RedisStore,
    publisher: Publisher,
    inbox: Inbox,
    failed: FailedQueue,
    kept: str,
) -> None:
    message = _due_message()
    if kept:
        await store.command("SET", keys.execution(message.job.id), kept)
    else:
        await store.command("RPUSH", keys.execution(message.job.id), "spoilt")

    await settler.settle(await _delivered(publisher, inbox, message), message.job, _handled(FAILURE))

    failure = await failed.wait_for(message.job.id)
    assert failure.headers["taskqueue-error-code"] == "http_410"


async def test_a_message_that_cannot_be_read_is_put_aside_as_it_is(
    settler: Settler, publisher: Publisher, inbox: Inbox, failed: FailedQueue
) -> None:
    await publisher.publish(Outgoing(body=b"<job/>", message_id="m1", routing_key="jobs.normal"), 5)
    delivery = await inbox.next()

    await settler.reject(delivery, MessageError("malformed", "not JSON"))

    entry = await failed.wait_for("m1")
    assert (entry.body, entry.reason) == (b"<job/>", "malformed")
    assert await _left(inbox) == 0


async def test_what_is_given_back_is_delivered_again(settler: Settler, publisher: Publisher, inbox: Inbox) -> None:
    message = _due_message()
    delivery = await _delivered(publisher, inbox, message)

    await settler.give_back(delivery, "stopping")
    again = await inbox.next()

    assert again.redelivered
    assert again.body == delivery.body
    await again.ack()


async def test_what_came_back_often_waits_in_redis_before_the_broker_takes_it_for_poison(
    settler: Settler, publisher: Publisher, inbox: Inbox, store: RedisStore
) -> None:
    message = _due_message()
    delivery = await _delivered(publisher, inbox, message)
    for _ in range(4):
        await settler.give_back(delivery, "stopping")
        delivery = await inbox.next()

    await settler.give_back(delivery, "stopping")

    assert await store.command("HGET", keys.delayed_job(message.job.id), "message") == delivery.body
    assert await _left(inbox) == 0


async def test_a_retry_of_a_job_that_was_cancelled_meanwhile_is_its_end(
    settler: Settler, jobs: JobStore, store: RedisStore, scripts: Scripts
) -> None:
    message = _due_message()
    await _claimed(jobs, message)
    await jobs.beat(ME.incarnation, "{}", timedelta(seconds=15))
    await Cancellations(store, scripts).cancel(message.job.id)
    said = ErrorDetail(code="http_503", message="the endpoint answered 503", retry=True)
    tried_again_at = datetime.now(UTC) + timedelta(minutes=1)
    trail = Trail(attempt=an_attempt(next_attempt=tried_again_at))
    record = a_record(message.job, status=Status.RETRYING, error=said, next_attempt=tried_again_at, trail=trail)

    handled = Handled(decision=Retry(at=tried_again_at), record=record, called=True)
    found = await settler.record(message, ME, handled)

    assert found.decision == Cancel()
    text = "the job was cancelled before its next attempt; the last attempt: the endpoint answered 503"
    error = ErrorDetail(code="cancelled", message=text, retry=False)
    expected = replace(record, status=Status.CANCELLED, error=error, next_attempt=None)
    assert await jobs.execution(message.job.id) == expected.to_json().encode()
    assert await ExecutionStore(store).attempts(message.job.id) == (an_attempt(),)
    assert await store.command("GET", keys.done(message.job.id)) == b"cancelled"
    assert await store.command("ZCARD", keys.DELAYED) == 0
