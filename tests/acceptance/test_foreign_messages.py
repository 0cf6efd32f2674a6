"""Messages of other systems: read where they keep to the format, and put aside once where they do not."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import kombu
import pika
import pytest

from taskqueue.core.instants import parse_rfc3339, rfc3339
from tests.support.processes import Process
from tests.support.raw_properties import FAR_FUTURE, NOT_TEXT, publish_raw, short, table, timestamp
from tests.support.system import System, foreign_message, new_users

CONTRACT = Path(__file__).parents[1] / "contract"

pytestmark = pytest.mark.timeout(60)

Publish = Callable[..., None]


@pytest.fixture(scope="module")
async def worker(shared_system: System) -> Process:
    shared_system.write_tasks(shared_system.task("daily_report", "/reports"))
    _, worker = await shared_system.scheduler_and_worker()
    return worker


def publish_with_pika(
    amqp_url: str, body: bytes, *, exchange: str, routing_key: str, message_id: str | None, expiration_ms: int | None
) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        expiration = None if expiration_ms is None else str(expiration_ms)
        properties = pika.BasicProperties(delivery_mode=2, message_id=message_id, expiration=expiration)
        channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)


def publish_with_kombu(
    amqp_url: str, body: bytes, *, exchange: str, routing_key: str, message_id: str | None, expiration_ms: int | None
) -> None:
    with kombu.Connection(amqp_url) as connection:
        kombu.Producer(connection).publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            content_type="application/json",
            content_encoding="utf-8",
            expiration=None if expiration_ms is None else expiration_ms / 1000,
            message_id=message_id,
        )


async def publish(
    system: System,
    body: bytes,
    *,
    client: Publish = publish_with_pika,
    exchange: str = "taskqueue",
    routing_key: str = "jobs.normal",
    message_id: str | None = None,
    expiration_ms: int | None = None,
) -> None:
    await asyncio.to_thread(
        client,
        system.place.amqp_url,
        body,
        exchange=exchange,
        routing_key=routing_key,
        message_id=message_id,
        expiration_ms=expiration_ms,
    )


@pytest.mark.parametrize("client", [publish_with_pika, publish_with_kombu])
@pytest.mark.parametrize(
    "routing_key",
    ["jobs.high", "jobs.normal", "jobs.low", "taskqueue.jobs.high", "taskqueue.jobs.normal", "taskqueue.jobs.low"],
)
async def test_a_message_in_the_specs_format_is_executed(
    shared_system: System, worker: Process, client: Publish, routing_key: str
) -> None:
    (user,) = new_users(1)
    message = foreign_message("daily_report", user)

    await publish(shared_system, json.dumps(message).encode(), client=client, routing_key=routing_key)
    await worker.wait_for("job_settled", job_id=message["job"]["id"], status="success")

    (call,) = shared_system.calls(user=user)
    assert call.body == b'{"user_id":"12345"}'
    assert call.headers["idempotency-key"] == message["job"]["id"]


@pytest.mark.parametrize("client", [publish_with_pika, publish_with_kombu])
async def test_a_message_put_straight_into_the_delayed_queue_is_executed_when_it_expires(
    shared_system: System, worker: Process, client: Publish
) -> None:
    (user,) = new_users(1)
    message = foreign_message("daily_report", user)

    await publish(
        shared_system,
        json.dumps(message).encode(),
        client=client,
        exchange="",
        routing_key="taskqueue.jobs.delayed",
        expiration_ms=500,
    )
    await worker.wait_for("job_settled", job_id=message["job"]["id"], status="success")

    assert len(shared_system.calls(user=user)) == 1


async def test_a_message_with_only_what_cannot_be_derived_is_executed(shared_system: System, worker: Process) -> None:
    (user,) = new_users(1)
    message = foreign_message("daily_report", user)
    job = {name: message["job"][name] for name in ("id", "task_type_id", "user_id", "scheduled_at")}

    await publish(shared_system, json.dumps({"version": "1.0", "job": job, "later": [1]}).encode())
    await worker.wait_for("job_settled", job_id=job["id"], status="success")

    (call,) = shared_system.calls(user=user)
    assert call.body == b""


async def test_a_message_that_is_early_waits_for_its_time(shared_system: System, worker: Process) -> None:
    (user,) = new_users(1)
    message = foreign_message("daily_report", user)
    due = parse_rfc3339(message["job"]["execute_after"]) + timedelta(seconds=2)
    message["job"]["execute_after"] = rfc3339(due)

    await publish(shared_system, json.dumps(message).encode())
    await worker.wait_for("job_settled", job_id=message["job"]["id"], decision="park", reason="early")
    await worker.wait_for("job_settled", job_id=message["job"]["id"], status="success")

    (call,) = shared_system.calls(user=user)
    assert due.timestamp() <= call.at < due.timestamp() + 1.5
    assert call.headers["x-taskqueue-attempt"] == "1"


async def test_the_same_message_twice_is_executed_once(shared_system: System, worker: Process) -> None:
    (user,) = new_users(1)
    message = foreign_message("daily_report", user)
    body = json.dumps(message).encode()

    await publish(shared_system, body)
    await worker.wait_for("job_settled", job_id=message["job"]["id"], status="success")
    await publish(shared_system, body)
    await worker.wait_for("duplicate_dropped", job_id=message["job"]["id"])

    assert len(shared_system.calls(user=user)) == 1


async def test_a_user_who_is_switched_off_is_not_called(shared_system: System, worker: Process) -> None:
    (user,) = new_users(1)
    await shared_system.set_preference(user, "daily_report", on=False)
    message = foreign_message("daily_report", user)

    await publish(shared_system, json.dumps(message).encode())
    await worker.wait_for("job_skipped", job_id=message["job"]["id"], reason="preference_off")

    assert shared_system.calls(user=user) == []


def changed(**job: object) -> bytes:
    return json.dumps(foreign_message("daily_report", "nobody", **job)).encode()


def without(name: str) -> bytes:
    message = foreign_message("daily_report", "nobody")
    del message["job"][name]
    return json.dumps(message).encode()


def versioned(version: object) -> bytes:
    return json.dumps({**foreign_message("daily_report", "nobody"), "version": version}).encode()


BAD_MESSAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "malformed"),
    "not JSON": (b"<job/>", "malformed"),
    "not UTF-8": (b'{"version":"1.0","job":"\xff"}', "malformed"),
    "a list": (b"[1]", "malformed"),
    "NaN": (b'{"version":"1.0","job":NaN}', "malformed"),
    "nested without end": (b"[" * 100_000, "malformed"),
    "an endless number": (b'{"version":"1.0","job":' + b"9" * 10_000 + b"}", "malformed"),
    "no version": (b'{"job":{}}', "malformed"),
    "no job": (b'{"version":"1.0"}', "malformed"),
    "a number as version": (versioned(1), "malformed"),
    "a later version": (versioned("2.0"), "unknown_version"),
    "no id": (without("id"), "malformed"),
    "no user": (without("user_id"), "malformed"),
    "no time": (without("scheduled_at"), "malformed"),
    "an empty id": (changed(id=""), "malformed"),
    "a task id that is none": (changed(task_type_id="a b"), "malformed"),
    "a lone surrogate as user": (changed(user_id="\ud800"), "malformed"),
    "a lone surrogate as id": (changed(id="\ud800"), "malformed"),
    "a time without zone": (changed(execute_after="2026-01-01T00:00:00"), "malformed"),
    "attempt zero": (changed(attempt=0), "malformed"),
    "attempt true": (changed(attempt=True), "malformed"),
    "a priority that is none": (changed(priority=7), "malformed"),
    "a payload that is not base64": (changed(payload="%%%"), "malformed"),
    "oversized": (changed(payload="QUFB" * 100_000), "oversized"),
    "an unknown task": (changed(task_type_id="nobody_knows_it"), "unknown_task"),
}


async def test_the_specs_own_example_is_executed_although_its_times_are_years_ago(
    shared_system: System, worker: Process
) -> None:
    example = (CONTRACT / "messages" / "spec_example.json").read_bytes()
    await shared_system.enable("daily_report", "user_12345")

    await publish(shared_system, example)

    await worker.wait_for("job_settled", user_id="user_12345", status="success")
    (call,) = shared_system.calls(user="user_12345")
    assert call.headers["idempotency-key"] == "550e8400-e29b-41d4-a716-446655440000"
    assert call.headers["x-taskqueue-scheduled-at"] == "2024-01-15T10:00:00Z"
    assert json.loads(call.body) == {"user_id": "12345"}


@pytest.mark.parametrize("name", BAD_MESSAGES)
async def test_a_bad_message_goes_to_the_failed_queue_once_and_harms_no_other(
    shared_system: System, worker: Process, name: str
) -> None:
    body, reason = BAD_MESSAGES[name]
    message_id = str(uuid.uuid4())
    (user,) = new_users(1)
    good: dict[str, Any] = foreign_message("daily_report", user)

    await publish(shared_system, body, message_id=message_id)
    await publish(shared_system, json.dumps(good).encode())
    failed = await shared_system.failed.wait_for(message_id)
    await worker.wait_for("job_settled", job_id=good["job"]["id"], status="success")

    assert failed.reason == reason
    assert failed.body == body
    assert failed.headers["taskqueue-error-message"]
    assert len(shared_system.failed.of(message_id)) == 1
    assert worker.events("delivery_failed") == []


UNREADABLE = {
    "message_id": short(NOT_TEXT),
    "timestamp": timestamp(FAR_FUTURE),
    "headers": table((NOT_TEXT, b"t\x01")),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_of_a_message_with_an_unreadable_property_the_body_decides(
    shared_system: System, worker: Process, name: str
) -> None:
    (user,) = new_users(1)
    good: dict[str, Any] = foreign_message("daily_report", user)
    bad = f"no job {uuid.uuid4()}".encode()

    for body in (bad, json.dumps(good).encode()):
        await publish_raw(shared_system.place.amqp_url, body, "jobs.normal", **{name: UNREADABLE[name]})
    failed = await shared_system.failed.wait_until(lambda message: message.body == bad)
    await worker.wait_for("job_settled", job_id=good["job"]["id"], status="success")

    assert failed.reason == "malformed"
    assert len(shared_system.failed.of(failed.message_id or "")) == 1
    assert len(shared_system.calls(user=user)) == 1
    assert worker.events("connection_lost") == []


@pytest.mark.usefixtures("worker")
async def test_a_bad_message_without_an_id_is_put_aside_as_well(shared_system: System) -> None:
    body = f"no message at all {uuid.uuid4()}".encode()

    await publish(shared_system, body)
    failed = await shared_system.failed.wait_until(lambda message: message.body == body)

    assert failed.reason == "malformed"
    assert failed.message_id


async def test_an_unknown_task_is_recorded_as_failed(shared_system: System, worker: Process) -> None:
    (user,) = new_users(1)
    message = foreign_message("misspelled", user)

    await publish(shared_system, json.dumps(message).encode(), message_id="unknown-task")
    await shared_system.failed.wait_for("unknown-task")
    await worker.wait_for("job_settled", job_id=message["job"]["id"], decision="fail", reason="unknown_task")

    record = await shared_system.execution(message["job"]["id"])
    assert record["status"] == "failed"
    assert record["error"]["code"] == "unknown_task"
    assert "misspelled" in record["error"]["message"]


async def test_no_message_ended_without_a_reason_or_as_a_defect(shared_system: System, worker: Process) -> None:
    assert [message for message in shared_system.failed.messages if not message.reason] == []
    assert [line for line in worker.lines if line["level"] == "error"] == []
