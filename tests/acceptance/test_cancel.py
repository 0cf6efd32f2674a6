"""Cancelling a job before, while, between and after its calls, as its endpoint sees it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pika
import pytest
from pydantic import SecretStr

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.instants import rfc3339
from taskqueue.dev.services import Redis as RedisService
from taskqueue.store.cancellations import Cancellations, CancelOutcome
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.task_stats import Ends, TaskStatsStore
from tests.support.inbox import eventually
from tests.support.system import Place, System, foreign_message, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: how soon a call that runs is cut
REACHED_WITHIN_S = 2.0


@pytest.fixture
async def store(place: Place) -> AsyncIterator[RedisStore]:
    """As the API has it: another process, which knows nothing but Redis."""
    settings = RedisSettings(
        addresses=(place.redis_address,), db=place.redis_db, password=SecretStr(place.redis_password)
    )
    store = RedisStore(settings, client_name="test-cancel")
    yield store
    await store.close()


@pytest.fixture
def cancellations(store: RedisStore) -> Cancellations:
    return Cancellations(store, Scripts(store, asset_dir("lua")))


async def job_called(system: System, user: str, calls: int = 1) -> str:
    """Return the id of the user's job once it was called so often."""
    await eventually(lambda: _called(system, user, calls), 15)
    return system.calls(user=user)[0].headers["x-taskqueue-job"]


async def _called(system: System, user: str, calls: int) -> bool:
    return len(system.calls(user=user)) >= calls


async def publish(place: Place, message: Mapping[str, object]) -> None:
    """Send a message as another system would."""

    def send() -> None:
        with pika.BlockingConnection(pika.URLParameters(place.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("taskqueue", "jobs.normal", json.dumps(message).encode(), properties, mandatory=True)

    await asyncio.to_thread(send)


async def ended(system: System, job_id: str, within: float = 10.0) -> str:
    """Return how the job ended, once it has."""

    async def has_ended() -> bool:
        return bool(await system.redis.exists(f"taskqueue:done:{job_id}"))

    await eventually(has_ended, within)
    return str((await system.execution(job_id))["status"])


async def test_a_hanging_call_is_cut_within_two_seconds_and_recorded_as_cancelled(
    system: System, cancellations: Cancellations, store: RedisStore
) -> None:
    system.write_tasks(system.task("hang", "/block", retries=5))
    scheduler, worker = await system.scheduler_and_worker()
    cancelled, other = new_users(2)
    await trigger(scheduler, "hang", [cancelled, other])
    job_id = await job_called(system, cancelled)
    await job_called(system, other)
    assert system.target.blocked == 2

    answer = await cancellations.cancel(job_id)
    began = time.monotonic()
    await eventually(lambda: _blocked(system, 1))
    took_s = time.monotonic() - began
    settled = await worker.wait_for("job_settled", decision="cancel")
    system.target.release()
    await system.drained(scheduler, worker)

    assert answer.outcome is CancelOutcome.RUNNING
    assert took_s < REACHED_WITHIN_S
    assert (settled["job_id"], settled["status"]) == (job_id, "cancelled")
    record = await system.execution(job_id)
    assert (record["status"], record["attempt"], record["error"]["code"]) == ("cancelled", 1, "cancelled")
    assert (record["error"]["retry"], "next_attempt" in record) == (False, False)
    assert record["duration"] > 0
    assert len(system.calls(user=cancelled)) == len(system.calls(user=other)) == 1
    assert len(worker.events("job_settled", status="success")) == 1
    assert system.failed.messages == []
    assert (await cancellations.cancel(job_id)).word == "cancelled"
    stats = await TaskStatsStore(store).of_file_task("hang", datetime.now(UTC))
    assert stats.ends == Ends(total=2, success=1, failed=0)


async def _blocked(system: System, count: int) -> bool:
    return system.target.blocked == count


async def test_a_job_is_not_called_that_was_cancelled_before_it_came(
    system: System, place: Place, cancellations: Cancellations
) -> None:
    system.write_tasks(system.task("ok"))
    scheduler, worker = await system.scheduler_and_worker()
    message = foreign_message("ok", *new_users(1))
    job_id = message["job"]["id"]

    assert (await cancellations.cancel(job_id)).outcome is CancelOutcome.MARKED
    await publish(place, message)
    status = await ended(system, job_id)
    await system.drained(scheduler, worker)

    assert status == "cancelled"
    assert system.target.calls == []


async def test_a_waiting_job_ends_at_once_and_never_comes_back(
    system: System, place: Place, cancellations: Cancellations
) -> None:
    system.write_tasks(system.task("ok"))
    scheduler, worker = await system.scheduler_and_worker()
    # Parked by a worker to whom it came long before its time.
    message = foreign_message("ok", *new_users(1), execute_after=rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    job_id = message["job"]["id"]
    await publish(place, message)
    await worker.wait_for("job_settled", decision="park")

    answer = await cancellations.cancel(job_id)
    status = (await system.execution(job_id))["status"]
    await system.drained(scheduler, worker)

    assert (answer.outcome, status) == (CancelOutcome.CANCELLED, "cancelled")
    assert system.target.calls == []


async def test_a_job_that_waits_behind_a_limit_is_cancelled_and_the_others_are_called(
    system: System, cancellations: Cancellations
) -> None:
    system.write_tasks(system.task("one", "/block", max_concurrency=1))
    scheduler, worker = await system.scheduler_and_worker({"worker": {"pool_size": 4}})
    users = new_users(3)
    await trigger(scheduler, "one", users)
    await system.target.wait_for_calls(1)

    async def two_wait() -> bool:
        return int(await system.redis.zcard("taskqueue:waiting:concurrency:one")) == 2

    await eventually(two_wait, 15)
    first, _ = await system.redis.zrange("taskqueue:waiting:concurrency:one", 0, -1)
    answer = await cancellations.cancel(first.decode())
    record = await system.execution(first.decode())
    for _ in range(2):
        await eventually(lambda: _blocked(system, 1), 15)
        system.target.release()
    await system.drained(scheduler, worker, within=30)

    assert answer.outcome is CancelOutcome.CANCELLED
    assert (record["status"], record["user_id"]) == ("cancelled", record["user_id"])
    called = [call.headers["x-taskqueue-user"] for call in system.target.calls]
    assert sorted(called) == sorted(set(users) - {record["user_id"]})


async def test_a_retrying_job_is_not_tried_again(system: System, cancellations: Cancellations) -> None:
    system.write_tasks(system.task("down", "/status/503", retries=5, retry_delay="1h"))
    scheduler, worker = await system.scheduler_and_worker()
    (user,) = new_users(1)
    await trigger(scheduler, "down", [user])
    job_id = await job_called(system, user)
    await worker.wait_for("job_settled", decision="retry")

    answer = await cancellations.cancel(job_id)
    record = await system.execution(job_id)
    await system.drained(scheduler, worker)

    assert answer.outcome is CancelOutcome.CANCELLED
    assert (record["status"], record["attempt"]) == ("cancelled", 2)
    assert len(system.calls(user=user)) == 1


async def test_a_worker_that_stood_still_cuts_the_call_when_it_goes_on(
    system: System, cancellations: Cancellations
) -> None:
    system.write_tasks(system.task("hang", "/block"))
    scheduler, worker = await system.scheduler_and_worker()
    (user,) = new_users(1)
    await trigger(scheduler, "hang", [user])
    job_id = await job_called(system, user)

    worker.send(signal.SIGSTOP)
    answer = await cancellations.cancel(job_id)
    worker.send(signal.SIGCONT)
    await eventually(lambda: _blocked(system, 0), REACHED_WITHIN_S)
    status = await ended(system, job_id)
    await system.drained(scheduler, worker)

    assert (answer.outcome, status) == (CancelOutcome.RUNNING, "cancelled")
    assert len(system.calls(user=user)) == 1


async def test_a_cancel_outlasts_a_restart_of_redis(
    system: System, cancellations: Cancellations, redis_server: RedisService
) -> None:
    if not redis_server.restartable:
        pytest.skip("this Redis is not ours to kill")
    system.write_tasks(system.task("hang", "/block"))
    scheduler, worker = await system.scheduler_and_worker()
    (user,) = new_users(1)
    await trigger(scheduler, "hang", [user])
    job_id = await job_called(system, user)

    worker.send(signal.SIGSTOP)
    await cancellations.cancel(job_id)
    await asyncio.to_thread(redis_server.kill)
    worker.send(signal.SIGCONT)
    await asyncio.to_thread(redis_server.start)
    status = await ended(system, job_id, within=20)
    await system.drained(scheduler, worker, within=30)

    assert status == "cancelled"
    assert len(system.calls(user=user)) == 1


async def test_a_worker_that_takes_over_from_a_killed_one_does_not_call_a_cancelled_job(
    system: System, cancellations: Cancellations
) -> None:
    system.write_tasks(system.task("hang", "/block"))
    scheduler, first = await system.scheduler_and_worker()
    (user,) = new_users(1)
    await trigger(scheduler, "hang", [user])
    job_id = await job_called(system, user)

    first.send(signal.SIGSTOP)
    answer = await cancellations.cancel(job_id)
    await first.kill()
    second = await system.worker()
    await second.wait_ready()
    status = await ended(system, job_id, within=30)
    await system.drained(scheduler, second, within=30)

    assert (answer.outcome, status) == (CancelOutcome.RUNNING, "cancelled")
    assert len(system.calls(user=user)) == 1


async def test_what_has_ended_cannot_be_cancelled(system: System, cancellations: Cancellations) -> None:
    system.write_tasks(system.task("ok"))
    scheduler, worker = await system.scheduler_and_worker()
    (user,) = new_users(1)
    await trigger(scheduler, "ok", [user])
    job_id = await job_called(system, user)
    await ended(system, job_id)

    answer = await cancellations.cancel(job_id)

    assert (answer.outcome, answer.word) == (CancelOutcome.ENDED, "success")
    assert (await system.execution(job_id))["status"] == "success"
    await system.drained(scheduler, worker)
