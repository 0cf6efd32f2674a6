"""What the API answers, as frozen dataclasses: the members of openapi.json, instants as aware datetimes in UTC.

A member that a newer API adds is ignored. A word that it adds to a Literal is kept as it came. JSON of the user
(`payload`, `result`) is what `json.loads` makes of it; `tags`, `config.headers` and `interval` are dicts with the keys
as they were given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeAlias, TypeVar

TaskType: TypeAlias = Literal["cron", "one_time", "interval"]
TaskStatus: TypeAlias = Literal["scheduled", "paused", "waiting", "completed", "failed"]
TaskSource: TypeAlias = Literal["file", "api"]
Priority: TypeAlias = Literal["high", "medium", "low"]
DependencyType: TypeAlias = Literal["success", "completion", "any"]
#: "queued" is what a trigger answers; the others are where an execution stands
ExecutionStatus: TypeAlias = Literal[
    "queued", "pending", "running", "success", "failed", "retrying", "cancelled", "skipped"
]
Outcome: TypeAlias = Literal["success", "retryable", "permanent", "cancelled"]
Level: TypeAlias = Literal["INFO", "WARNING", "ERROR"]
Condition: TypeAlias = Literal["healthy", "degraded", "unhealthy"]
WorkerCondition: TypeAlias = Literal["active", "inactive"]

#: the statuses after which an execution changes no more
ENDED: frozenset[ExecutionStatus] = frozenset({"success", "failed", "cancelled", "skipped"})

_Item = TypeVar("_Item")


class Items(ABC, Generic[_Item]):
    """An answer that is a list: it can be iterated and indexed, and has a length."""

    __slots__ = ()

    @property
    @abstractmethod
    def _items(self) -> tuple[_Item, ...]: ...

    def __iter__(self) -> Iterator[_Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, position: int) -> _Item:
        return self._items[position]


# --- tasks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task, as it was when it was made. `etag` is what `if_match` of `update_task` takes; None in lists."""

    task_id: str
    task_name: str
    status: TaskStatus
    next_execution_time: datetime | None
    created_at: datetime
    etag: str | None = field(default=None, metadata={"header": "etag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow(Task):
    """A task in a list."""

    task_type: TaskType
    schedule_expression: str | None
    timezone: str
    last_execution_time: datetime | None
    enabled: bool
    priority: Priority
    tags: Mapping[str, str]
    source: TaskSource
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a task calls. Header values that were spelled out are shown as `***`."""

    endpoint: str
    method: str
    headers: Mapping[str, str]
    max_duration: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails(TaskRow):
    """A task with all that is known of it."""

    payload: Any
    timeout_seconds: int
    max_retries: int
    retry_count: int
    interval: Mapping[str, Any] | None
    config: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage(Items[TaskRow]):
    """A page of tasks, the latest first. `total` counts those on all pages, exactly if `total_is_exact`."""

    tasks: tuple[TaskRow, ...]
    total: int
    limit: int
    offset: int
    total_is_exact: bool = True

    @property
    def _items(self) -> tuple[TaskRow, ...]:
        return self.tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdated:
    """What a change has changed; `etag` is that of the task now."""

    task_id: str
    updated_fields: tuple[str, ...]
    next_execution_time: datetime | None
    updated_at: datetime
    etag: str | None = field(default=None, metadata={"header": "etag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPaused:
    """A task that does not run."""

    task_id: str
    status: TaskStatus
    paused_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResumed:
    """A task that runs again."""

    task_id: str
    status: TaskStatus
    next_execution_time: datetime | None
    resumed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkProblem:
    """Why one task of many was refused: the one at `index` of the request."""

    index: int
    code: str
    detail: str
    task_id: str | None = None
    errors: tuple[WrongField, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongField:
    """A wrong field, by its JSON pointer in the request."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkCreated:
    """How many of the tasks were created, with their ids in the order of the request, and why others were not."""

    created: int
    failed: int
    task_ids: tuple[str, ...]
    errors: tuple[BulkProblem, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDeleted:
    """How many of the tasks were deleted, and why others were not."""

    deleted: int
    failed: int
    errors: tuple[BulkProblem, ...] | None = None


# --- dependencies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """The task `task_id` waits for the end of another."""

    dependency_id: str
    task_id: str
    depends_on_task_id: str
    dependency_type: DependencyType


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDependency:
    """One of the tasks that a task waits for."""

    dependency_id: str
    depends_on_task_id: str
    depends_on_task_name: str
    dependency_type: DependencyType


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyList(Items[ListedDependency]):
    """All tasks that a task waits for."""

    dependencies: tuple[ListedDependency, ...]

    @property
    def _items(self) -> tuple[ListedDependency, ...]:
        return self.dependencies


# --- executions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a task, with all its attempts."""

    execution_id: str
    task_id: str | None
    status: ExecutionStatus
    queued_at: datetime | None
    worker_id: str | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    retry_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTriggered(Execution):
    """A run that was just queued; of a task type that runs for users, `execution_ids` has one for each of them."""

    task_id: str
    queued_at: datetime
    worker_id: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    retry_number: int = 0
    execution_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of the endpoint. `http_status` is None where no answer came, or where all went well."""

    attempt: int
    worker_id: str
    started_at: datetime
    completed_at: datetime
    duration_ms: int
    outcome: Outcome
    http_status: int | None
    error_code: str | None
    error_message: str | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFailure:
    """Why the latest attempt failed, and whether another one may help."""

    code: str
    message: str
    retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionDetails(Execution):
    """A run with all that is known of it; `result` is what the endpoint answered."""

    result: Any
    is_retry: bool
    error: ExecutionFailure | None
    reason: str | None
    next_attempt_at: datetime | None
    attempts: tuple[Attempt, ...]

    @property
    def ended(self) -> bool:
        """Whether it changes no more, also where a newer API has another word for such an end."""
        return self.status in ENDED or self.completed_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionList(Items[Execution]):
    """A page of the executions of a task, the latest first. `total` counts those on all pages."""

    executions: tuple[Execution, ...]
    total: int
    limit: int
    offset: int

    @property
    def _items(self) -> tuple[Execution, ...]:
        return self.executions


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCancelled:
    """An execution that was cancelled; `cancelled_at` is None while its worker still has to cut the call."""

    execution_id: str
    status: ExecutionStatus
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of the log of an execution."""

    timestamp: datetime
    level: Level
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLog(Items[LogLine]):
    """The log of an execution, in the order of time."""

    execution_id: str
    logs: tuple[LogLine, ...]

    @property
    def _items(self) -> tuple[LogLine, ...]:
        return self.logs
