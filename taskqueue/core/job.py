"""A job: one user's share of one occurrence, as it travels through RabbitMQ."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from taskqueue.core.task import Priority
from taskqueue.core.value import value

#: `distribution_slot` of a job that was not spread over a window
NOT_DISTRIBUTED = -1

#: begins the correlation id of a planned job that was replayed; no task id holds a slash
_REPLAYED = "replay/"


class JobSource(StrEnum):
    """Who made a job (`metadata.source`). Messages of other systems may carry other words."""

    SCHEDULER = "scheduler"
    TRIGGER = "trigger"
    API = "api"
    DEPENDENCY = "dependency"


#: see core/outcome.SUCCESS
_SCHEDULER = JobSource.SCHEDULER


@value
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


@value
class Metadata:
    """What the spec keeps beside the job in a message."""

    correlation_id: str
    source: str
    distribution_slot: int = NOT_DISTRIBUTED


@value
class JobMessage:
    """One AMQP message: a job and its metadata."""

    job: Job
    metadata: Metadata

    @property
    def occurrence(self) -> str | None:
        """The id of the occurrence in which the scheduler planned the job; None for any other job."""
        task_id, _, occurrence_id = self.metadata.correlation_id.partition(":")
        planned = self.metadata.source == _SCHEDULER and task_id == self.job.task_type_id
        return occurrence_id or None if planned else None

    def received(self, now: datetime) -> JobMessage:
        """Return the message as due now at the earliest: its age counts from here, whatever its times say."""
        if self.job.execute_after >= now:
            return self
        return replace(self, job=replace(self.job, execute_after=now))

    def for_attempt(self, attempt: int) -> JobMessage:
        """Return the message of another attempt of the same job."""
        return replace(self, job=replace(self.job, attempt=attempt))

    def replayed(self, due: datetime) -> JobMessage:
        """Return the message of the same job begun anew: its first attempt is due, and its age counts, from `due` on.

        Its end has counted for its occurrence already: it is told apart from what the occurrence still waits for.
        """
        metadata = self.metadata
        if self.occurrence is not None:
            metadata = replace(metadata, correlation_id=_REPLAYED + metadata.correlation_id)
        return replace(self, job=replace(self.job, attempt=1, execute_after=due), metadata=metadata)
