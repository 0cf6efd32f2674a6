"""The bodies about dependencies between tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from taskqueue.api.schemas import AnswerBody, RequestBody
from taskqueue.core.dependency import DependencyType


class AddDependency(RequestBody):
    """What a task is to wait for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"depends_on_task_id": "550e8400-e29b-41d4-a716-446655440000", "dependency_type": "success"}]
        }
    )

    depends_on_task_id: Annotated[str, Field(min_length=1, max_length=200)]
    """The task that has to end first; another one made through the API."""
    dependency_type: Annotated[DependencyType, Field(strict=False)] = DependencyType.SUCCESS
    """How it has to end: `success`; `completion`, in success or failure; `any`, also cancelled or skipped."""


class DependencyAdded(AnswerBody):
    """A dependency that was added."""

    dependency_id: str
    task_id: str
    depends_on_task_id: str
    dependency_type: DependencyType


class ListedDependency(AnswerBody):
    """A dependency of the task that was asked for."""

    dependency_id: str
    depends_on_task_id: str
    depends_on_task_name: str
    dependency_type: DependencyType


class DependencyList(AnswerBody):
    """All that a task waits for, the oldest first."""

    dependencies: list[ListedDependency]
