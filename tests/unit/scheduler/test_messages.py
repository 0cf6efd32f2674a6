from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.codec import decode_message
from taskqueue.core.ids import scheduled_job_id, triggered_jobs
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence
from taskqueue.core.task import Priority
from taskqueue.scheduler.messages import PlannedMessages, payload_of
from taskqueue.store.plan import SlotUser

TEN = datetime(2024, 1, 15, 10, tzinfo=UTC)


def occurrence(source: JobSource = JobSource.SCHEDULER, *, distributed: bool = True) -> Occurrence:
    return Occurrence(
        id="20240115T100000Z",
        task_id="daily_report",
        cohort=DEFAULT_COHORT,
        source=source,
        scheduled_at=TEN,
        starts_at=TEN,
        created_at=TEN - timedelta(minutes=1),
        window=timedelta(minutes=30),
        users=60,
        correlation_id="req_789",
        distributed=distributed,
    )


def user(user_id: str = "user_12345", parameters: str = "") -> SlotUser:
    return SlotUser(user_id=user_id, parameters=parameters)


def test_the_message_is_that_of_the_spec() -> None:
    body = json.loads(PlannedMessages(occurrence(), Priority.NORMAL).encode(31, user())[1])

    assert body == {
        "version": "1.0",
        "job": {
            "id": scheduled_job_id("daily_report", "user_12345", TEN),
            "task_type_id": "daily_report",
            "user_id": "user_12345",
            "scheduled_at": "2024-01-15T10:00:00Z",
            "execute_after": "2024-01-15T10:15:30Z",
            "attempt": 1,
            "priority": 1,
            "payload": "eyJ1c2VyX2lkIjoidXNlcl8xMjM0NSJ9",
            "created_at": "2024-01-15T09:59:00Z",
        },
        "metadata": {"correlation_id": "req_789", "source": "scheduler", "distribution_slot": 93},
    }


def test_a_worker_reads_what_was_written() -> None:
    message = decode_message(PlannedMessages(occurrence(), Priority.HIGH).encode(0, user('Zoë "ü" 1'))[1])

    assert (message.job.user_id, message.job.priority) == ('Zoë "ü" 1', Priority.HIGH)
    assert json.loads(message.job.payload) == {"user_id": 'Zoë "ü" 1'}


def test_a_job_that_was_not_distributed_has_no_slot() -> None:
    message = decode_message(PlannedMessages(occurrence(distributed=False), Priority.NORMAL).encode(31, user())[1])

    assert message.metadata.distribution_slot == -1


def test_a_triggered_job_is_another_than_the_scheduled_one() -> None:
    job = decode_message(PlannedMessages(occurrence(JobSource.TRIGGER), Priority.NORMAL).encode(0, user())[1]).job

    assert job.id == triggered_jobs("daily_report", "20240115T100000Z")("user_12345")


def test_parameters_go_into_the_payload() -> None:
    assert json.loads(payload_of(user(parameters='{"format": "pdf"}'))) == {
        "user_id": "user_12345",
        "parameters": {"format": "pdf"},
    }


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param("{}", id="none"),
        pytest.param("[1]", id="a list"),
        pytest.param("format=pdf", id="no JSON"),
        pytest.param('{"a": NaN}', id="not a JSON number"),
        pytest.param('{"a": 1e999}', id="infinity"),
        pytest.param(r'{"a": "\ud800"}', id="a lone surrogate"),
        pytest.param('{"a":' * 100_000, id="endless nesting"),
        pytest.param('{"a": ' + "9" * 5000 + "}", id="an endless number"),
    ],
)
def test_parameters_that_cannot_be_sent_are_left_out(parameters: str) -> None:
    assert payload_of(user(parameters=parameters)) == b'{"user_id":"user_12345"}'
