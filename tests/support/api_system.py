"""A whole system with its API: what runs, and somebody who calls it with a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar, cast

import httpx

from taskqueue.core.instants import rfc3339
from tests.support.api_requests import ApiRequests, Body
from tests.support.inbox import eventually
from tests.support.mirror import answer, mirror
from tests.support.processes import Process
from tests.support.raw_endpoint import raw_endpoint
from tests.support.system import Settings, System, merged

#: an admin of these tests alone
TOKEN = "acceptance-tests-0123456789abcdef"

#: what the endpoint answers that tasks call which name none
REPORT = {"records_processed": 10000, "output_file": "s3://bucket/report.pdf"}

#: the statuses after which an execution changes no more
ENDED = frozenset({"success", "failed", "cancelled", "skipped"})

_T = TypeVar("_T")


class Client(ApiRequests):
    """Calls one API with a token. Each method checks the status of the answer and returns its body."""

    def __init__(self, url: str, token: str = TOKEN) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=15)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, path: str, status_code: int = 200, /, **parameters: Any) -> Body:
        """GET it."""
        return cast(Body, (await self.ask("GET", path, status_code, params=parameters or None)).json())

    async def delete(self, path: str, status: int = 204) -> None:
        """DELETE it."""
        response = await self.ask("DELETE", path, status)
        assert (response.content == b"") is (status == 204)

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def create(self, **fields: object) -> str:
        """Make a task that is not due by itself, with `fields`, and return its id."""
        body = {"task_name": "report"} | fields
        if "task_type" not in fields:
            body |= {"task_type": "cron", "schedule_expression": "0 0 29 2 *"}
        return str((await self.post("/tasks", body, 201))["task_id"])

    async def task(self, task_id: str) -> Body:
        """Return a task."""
        return await self.get(f"/tasks/{task_id}")

    async def task_is(self, task_id: str, within: float = 15, **fields: object) -> Body:
        """Return the task once it has these fields."""

        async def found() -> Body | None:
            body = await self.task(task_id)
            return body if fields.items() <= body.items() else None

        return await _first(found, within)

    # --- executions ---------------------------------------------------------------------------------------------------

    async def trigger(self, task_id: str) -> str:
        """Trigger a task and return the id of the execution."""
        return str((await self.post(f"/tasks/{task_id}/trigger", status=202))["execution_id"])

    async def execution(self, execution_id: str) -> Body:
        """Return an execution."""
        return await self.get(f"/executions/{execution_id}")

    async def execution_is(self, execution_id: str, *statuses: str, within: float = 15) -> Body:
        """Return the execution once it has one of these statuses; without any, once it has ended."""

        async def found() -> Body | None:
            body = await self.execution(execution_id)
            return body if body["status"] in (statuses or ENDED) else None

        return await _first(found, within)

    async def executions(self, task_id: str, **parameters: Any) -> list[Body]:
        """Return the executions of a task, the latest first."""
        return cast(list[Body], (await self.get(f"/tasks/{task_id}/executions", **parameters))["executions"])

    async def executions_are(self, task_id: str, *statuses: str, within: float = 20) -> list[Body]:
        """Return the executions of a task once there are so many, with these statuses, the latest first."""

        async def found() -> list[Body] | None:
            rows = await self.executions(task_id)
            return rows if tuple(row["status"] for row in rows) == statuses else None

        return await _first(found, within)

    async def run_once(self, task_id: str) -> Body:
        """Trigger a task and return the execution once it has ended."""
        return await self.execution_is(await self.trigger(task_id))


async def _first(found: Callable[[], Awaitable[_T | None]], within: float) -> _T:
    """Return the first answer of `found` that is not None. Raises TimeoutError when none comes."""
    results: list[_T] = []

    async def there() -> bool:
        result = await found()
        if result is not None:
            results.append(result)
        return bool(results)

    await eventually(there, within)
    return results[0]


@dataclass(slots=True, kw_only=True)
class ApiSystem:
    """What runs. `reports` is the URL of the endpoint that tasks call which name none: it answers with REPORT."""

    system: System
    scheduler: Process
    worker: Process
    process: Process
    client: Client
    reports: str

    def target(self, path: str = "/ok", **config: object) -> dict[str, object]:
        """Return the fields of a request for a task that calls `path` of the scripted target."""
        return {"config": {"endpoint": self.system.target.url + path, **config}}

    def worker_settings(self) -> Settings:
        """Return what lets a worker call the endpoints of these tests."""
        return worker_settings(self.system, self.reports)

    def api_settings(self) -> Settings:
        """Return the settings of an API of these tests."""
        return api_settings(self.reports)

    def target_calls(self, task_id: str) -> int:
        """Return how many calls for the task have arrived at the target."""
        return len(self.system.calls(task=task_id))


def worker_settings(system: System, *urls: str) -> Settings:
    """Return what lets a worker call the target and `urls`, which are no public addresses."""
    allowed = [url.removeprefix("http://") for url in (system.target.url, *urls)]
    return {
        "worker": {"instance_id": "worker-1"},
        "execution": {"retry_delay": "100ms"},
        "guard": {"allow": allowed},
    }


def api_settings(reports: str, **more: object) -> Settings:
    """Return the settings of an API that lets TOKEN do everything, as often as it likes."""
    section = {"default_target": reports + "/tasks/{task_name}", "bootstrap_token": TOKEN}
    return {"api": {**section, "rate_limit": 100_000.0, "rate_burst": 1_000_000, **more}}


@asynccontextmanager
async def reports_endpoint(report: object = REPORT) -> AsyncIterator[str]:
    """Serve an endpoint that answers each request with `report`; the value is its URL."""
    async with raw_endpoint(mirror(lambda _head, _body: answer(200, json.dumps(report).encode()))) as url:
        yield url


async def start_api(system: System, settings: Settings, environment: Mapping[str, str] | None = None) -> Process:
    """Return an API process that is ready."""
    process = await system.processes.start("api", merged(system.place.settings(), settings), environment)
    await process.wait_ready()
    return process


@asynccontextmanager
async def api_system(
    system: System, *, scheduler: Settings | None = None, api: Settings | None = None, report: object = REPORT
) -> AsyncIterator[ApiSystem]:
    """Start one of each process in `system`, and an endpoint that answers with `report`; they are ready."""
    async with reports_endpoint(report) as reports:
        system.write_tasks(system.task("nightly_cleanup", name="Nightly cleanup"))
        named: Settings = {"scheduler": {"instance_id": "scheduler-1"}}
        leader, worker = await system.scheduler_and_worker(
            worker_settings(system, reports), scheduler=merged(named, scheduler or {}), watch_failed=False
        )
        process = await start_api(system, merged(api_settings(reports), api or {}))
        async with Client(url_of(process)) as client:
            yield ApiSystem(
                system=system, scheduler=leader, worker=worker, process=process, client=client, reports=reports
            )


def url_of(process: Process) -> str:
    """Return where a process listens."""
    return str(process.http.base_url).rstrip("/")


def in_seconds(seconds: float) -> str:
    """Return the instant after so many seconds, as requests have it."""
    return rfc3339((datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0))
