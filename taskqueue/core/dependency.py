"""Dependencies between API tasks: what a task that is due waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DependencyType(StrEnum):
    """How the other task has to have ended."""

    SUCCESS = "success"
    #: in success or in failure
    COMPLETION = "completion"
    #: in any state: cancelled or skipped will do as well
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One thing that `task_id` waits for: that `on` has ended as `type` says."""

    dependency_id: str
    task_id: str
    on: str
    type: DependencyType
    created_at: datetime
