"""What the API tells of the system: its status, workers, statistics and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from task_scheduler.api.models import Condition, Items, WorkerCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatus:
    """Who leads, who stands by, and how much there is to run."""

    leader: str | None
    followers: tuple[str, ...]
    tasks_scheduled: int
    tasks_pending: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersStatus:
    """How many workers there are; capacity and load are in jobs, of the active ones."""

    total: int
    active: int
    inactive: int
    total_capacity: int
    current_load: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """How many messages are ready in each queue; None where RabbitMQ cannot be asked."""

    high_priority: int | None
    medium_priority: int | None
    low_priority: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Whether tasks run; `reasons` says why not."""

    status: Condition
    scheduler: SchedulerStatus
    workers: WorkersStatus
    queue: QueueStatus
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker, as its latest heartbeat shows it."""

    worker_id: str
    status: WorkerCondition
    capacity: int
    current_load: int
    last_heartbeat: datetime
    uptime_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerList(Items[Worker]):
    """All workers that were there within the last minutes."""

    workers: tuple[Worker, ...]
    total: int

    @property
    def _items(self) -> tuple[Worker, ...]:
        return self.workers


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDays:
    """Counts of the present UTC day and the six before it."""

    executions: int
    success_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatistics:
    """How the executions of a task went; rates are from 0 to 1, and None without any execution."""

    task_id: str
    total_executions: int
    successful_executions: int
    failed_executions: int
    success_rate: float | None
    average_duration_ms: int | None
    p50_duration_ms: int | None
    p95_duration_ms: int | None
    p99_duration_ms: int | None
    last_7_days: LastDays


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A request that changed something, or tried to: who, when, what, and the status of the answer."""

    at: datetime
    method: str
    route: str
    ids: Mapping[str, str]
    token_id: str
    status: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog(Items[Change]):
    """A page of the audit log, the latest first; `next` is the `before` of the page that follows, None on the last."""

    entries: tuple[Change, ...]
    next: str | None

    @property
    def _items(self) -> tuple[Change, ...]:
        return self.entries
