"""Executions over the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from taskqueue.cli.api_client import ApiAccess, ApiClient, api_client, path_of
from taskqueue.cli.exec_source import Cancelled, Executions, Record
from taskqueue.core.instants import parse_rfc3339
from taskqueue.core.log_line import Level, LogLine
from taskqueue.core.state import Status
from taskqueue.errors import ConflictError
from taskqueue.store.cancellations import CancelOutcome


@asynccontextmanager
async def open_api(access: ApiAccess) -> AsyncIterator[Executions]:
    """Open a client of the API."""
    async with api_client(access) as client:
        yield _ApiExecutions(client)


class _ApiExecutions:
    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def record(self, job_id: str) -> tuple[Record, bool]:
        return await self._client.get(path_of("executions", job_id)), True

    async def status(self, job_id: str) -> Status | None:
        return Status((await self._client.get(path_of("executions", job_id)))["status"])

    async def log(self, job_id: str) -> Sequence[LogLine]:
        lines = (await self._client.get(path_of("executions", job_id, "logs")))["logs"]
        return [
            LogLine(
                timestamp=parse_rfc3339(line["timestamp"]), level=Level(line["level"]), message=str(line["message"])
            )
            for line in lines
        ]

    async def cancel(self, job_id: str) -> Cancelled:
        try:
            answer = await self._client.post(path_of("executions", job_id, "cancel"))
        except ConflictError as error:
            return Cancelled(outcome=CancelOutcome.ENDED, detail=f"nothing is changed: {error}")
        if answer["status"] == Status.CANCELLED:
            return Cancelled(outcome=CancelOutcome.CANCELLED, detail="cancelled")
        detail = "runs, and its worker has not cut the call yet; if that ends first, its own end stands"
        return Cancelled(outcome=CancelOutcome.RUNNING, detail=detail)

    async def rows(self, task_id: str, limit: int | None) -> AsyncIterator[tuple[Record, int]]:
        async for row, total in self._client.rows(path_of("tasks", task_id, "executions"), "executions", {}, limit):
            yield row, total
