"""A job: one user's share of one occurrence, as it travels through RabbitMQ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from taskqueue.core.task import Priority

#: `distribution_slot` of a job that was not spread over a window
NOT_DISTRIBUTED = -1


class JobSource(StrEnum):
    """Who made a job (`metadata.source`). Messages of other systems may carry other words."""

    SCHEDULER = "scheduler"
    TRIGGER = "trigger"
    API = "api"
    DEPENDENCY = "dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The spec's Job. `payload` is the decoded bytes; all instants are aware UTC."""

    id: str
    task_type_id: str
    user_id: str
    scheduled_at: datetime
    execute_after: datetime
    attempt: int
    priority: Priority
    payload: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the spec keeps beside the job in a message."""

    correlation_id: str
    source: str
    distribution_slot: int = NOT_DISTRIBUTED


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMessage:
    """One AMQP message: a job and its metadata."""

    job: Job
    metadata: Metadata

    @property
    def occurrence(self) -> str | None:
        """The id of the occurrence in which the scheduler planned the job; None for any other job."""
        task_id, _, occurrence_id = self.metadata.correlation_id.partition(":")
        planned = self.metadata.source == JobSource.SCHEDULER and task_id == self.job.task_type_id
        return occurrence_id or None if planned else None

    def received(self, now: datetime) -> JobMessage:
        """Return the message as due now at the earliest: its age counts from here, whatever its times say."""
        if self.job.execute_after >= now:
            return self
        return replace(self, job=replace(self.job, execute_after=now))

    def for_attempt(self, attempt: int) -> JobMessage:
        """Return the message of another attempt of the same job."""
        return replace(self, job=replace(self.job, attempt=attempt))
