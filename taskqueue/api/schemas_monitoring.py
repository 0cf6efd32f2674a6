"""The answers about the system as a whole."""

from __future__ import annotations

from enum import StrEnum

from taskqueue.api.schemas import AnswerBody, Instant


class Condition(StrEnum):
    """How the whole is doing."""

    HEALTHY = "healthy"
    #: tasks run, but something is missing that should be there
    DEGRADED = "degraded"
    #: no task runs
    UNHEALTHY = "unhealthy"


class SchedulerStatus(AnswerBody):
    """The schedulers, and what they have to do."""

    leader: str | None
    """Instance id of the scheduler that leads; null while none does."""
    followers: list[str]
    """Instance ids of those that stand by."""
    tasks_scheduled: int
    """Tasks that are to run: scheduled, or waiting for another task."""
    tasks_pending: int | None
    """Jobs that wait: for their time, for room under a limit, or in a ready queue; null without RabbitMQ."""


class WorkersStatus(AnswerBody):
    """The workers, taken together."""

    total: int
    active: int
    inactive: int
    """Silent for seven seconds, without a good-bye; forgotten after five minutes."""
    total_capacity: int
    """Jobs that can run at a time on the active ones."""
    current_load: int
    """Jobs that run there."""


class QueueStatus(AnswerBody):
    """Messages ready in each queue; null where that cannot be seen."""

    high_priority: int | None
    medium_priority: int | None
    low_priority: int | None


class SystemStatus(AnswerBody):
    """How the whole is doing."""

    status: Condition
    """unhealthy: no task runs. degraded: something is missing that should be there."""
    scheduler: SchedulerStatus
    workers: WorkersStatus
    queue: QueueStatus
    reasons: list[str]
    """What is wrong; none where all is well."""


class WorkerCondition(StrEnum):
    """Whether a worker works."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class WorkerView(AnswerBody):
    """A worker at its latest heartbeat."""

    worker_id: str
    status: WorkerCondition
    """inactive: silent for seven seconds, without a good-bye."""
    capacity: int
    """Jobs that can run at a time."""
    current_load: int
    """Jobs that run; 0 of an inactive one, of which nothing is known."""
    last_heartbeat: Instant
    uptime_seconds: int
    """At its latest heartbeat."""


class WorkerList(AnswerBody):
    """All workers of the last five minutes, by id, but for those that have said good-bye."""

    workers: list[WorkerView]
    total: int
