"""Where `taskqueue exec` gets executions from: straight from Redis, or from the API where one is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from taskqueue.cli.api_client import ApiOptions
from taskqueue.config.settings import load_scheduler_settings
from taskqueue.core.log_line import LogLine
from taskqueue.core.state import Status
from taskqueue.store.cancellations import CancelOutcome

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What cancelling came to, and the same in words."""

    outcome: CancelOutcome
    detail: str


class Executions(Protocol):
    """Reads and cancels executions, which are jobs.

    Raises StoreError straight from Redis and what cli/api_client.py says over the API.
    """

    async def record(self, job_id: str) -> tuple[Record, bool]:
        """Return what is known about a job, and whether that is anything; over the API NotFoundError says that."""

    async def status(self, job_id: str) -> Status | None:
        """Return how it stands with a job; None where nothing is known about it."""

    async def log(self, job_id: str) -> Sequence[LogLine]:
        """Return all lines of its log in the order of their time."""

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job."""

    def rows(self, task_id: str, limit: int | None) -> AsyncIterator[tuple[Record, int]]:
        """Yield (execution, how many there are in all) of a task, the latest first. Raises NotFoundError."""


def executions_of(options: ApiOptions, config: Path) -> AbstractAsyncContextManager[Executions]:
    """Open what the command line names: the address of an API decides.

    Raises ConfigError, and UnauthorizedError where an API is named without a token.
    """
    if options.api:
        from taskqueue.cli.exec_api import open_api

        return open_api(options.access())
    from taskqueue.cli.exec_direct import open_redis

    return open_redis(load_scheduler_settings(config).redis)
