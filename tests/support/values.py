"""Values that tests build on: each is complete and plain, and a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from hypothesis import strategies as st

from taskqueue.core.attempt_record import AttemptRecord
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.job import Job, JobMessage, JobSource, Metadata
from taskqueue.core.occurrence import Occurrence
from taskqueue.core.outcome import OutcomeClass
from taskqueue.core.state import Status
from taskqueue.core.task import Priority, Target, Task
from taskqueue.core.wait import WaitRecord

#: the instant of the spec's example
TEN_O_CLOCK = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)

_UTC_ONLY = st.just(UTC)

#: everything that a test of ours may put into an id: no half characters, which UTF-8 cannot write
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def instants(
    first_year: int = 2, last_year: int = 9997, zones: st.SearchStrategy[Any] = _UTC_ONLY
) -> st.SearchStrategy[datetime]:
    """Return aware instants of those years."""
    first, last = date(first_year, 1, 1), date(last_year, 12, 31)
    return st.datetimes(datetime.combine(first, time.min), datetime.combine(last, time.max), timezones=zones)


def a_job(**changes: Any) -> Job:
    """Return the job of the spec's example, with `changes`."""
    fields: dict[str, Any] = {
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "task_type_id": "daily_report",
        "user_id": "user_12345",
        "scheduled_at": TEN_O_CLOCK,
        "execute_after": TEN_O_CLOCK + timedelta(minutes=15, seconds=30),
        "attempt": 1,
        "priority": Priority.NORMAL,
        "payload": b'{"user_id":"12345"}',
        "created_at": TEN_O_CLOCK - timedelta(hours=1),
    }
    return Job(**fields | changes)


def a_message(**changes: Any) -> JobMessage:
    """Return the message of the spec's example, with `changes` to its job."""
    metadata = Metadata(correlation_id="req_789", source="scheduler", distribution_slot=93)
    return JobMessage(job=a_job(**changes), metadata=metadata)


def a_task(**changes: Any) -> Task:
    """Return a task that runs every day, with `changes`."""
    fields: dict[str, Any] = {
        "id": "daily_report",
        "name": "Daily report",
        "interval": Every(kind=EveryKind.DAILY, value=1),
        "target": Target(endpoint="https://api.example.com/reports/daily"),
    }
    return Task(**fields | changes)


def an_occurrence(**changes: Any) -> Occurrence:
    """Return an occurrence of six users over a minute, one per slot, with `changes`."""
    fields: dict[str, Any] = {
        "id": "20240115T100000Z",
        "task_id": "daily_report",
        "cohort": "",
        "source": JobSource.SCHEDULER,
        "scheduled_at": TEN_O_CLOCK,
        "starts_at": TEN_O_CLOCK,
        "created_at": TEN_O_CLOCK - timedelta(minutes=1),
        "window": timedelta(minutes=1),
        "users": 6,
        "correlation_id": "daily_report:20240115T100000Z",
    }
    return Occurrence(**fields | changes)


def a_record(job: Job, **changes: Any) -> ExecutionResult:
    """Return the record of a successful attempt of `job` that took 250 ms, with `changes`."""
    fields: dict[str, Any] = {
        "job_id": job.id,
        "status": Status.SUCCESS,
        "started_at": TEN_O_CLOCK,
        "completed_at": TEN_O_CLOCK + timedelta(milliseconds=250),
        "task_type_id": job.task_type_id,
        "user_id": job.user_id,
        "attempt": job.attempt,
        "worker_id": "worker-1",
    }
    return ExecutionResult(**fields | changes)


def an_attempt(**changes: Any) -> AttemptRecord:
    """Return what is kept of a first attempt that failed after 250 ms, with `changes`."""
    fields: dict[str, Any] = {
        "attempt": 1,
        "started_at": TEN_O_CLOCK,
        "completed_at": TEN_O_CLOCK + timedelta(milliseconds=250),
        "outcome": OutcomeClass.RETRYABLE,
        "http_status": 503,
        "code": "http_503",
        "message": "the endpoint answered 503",
        "worker_id": "worker-1",
    }
    return AttemptRecord(**fields | changes)


def a_wait(limit: str = "global", *, since: datetime = TEN_O_CLOCK, attempt: int = 1) -> WaitRecord:
    """Return that a job was put aside for a limit."""
    return WaitRecord.for_limit(limit, since=since, attempt=attempt)
