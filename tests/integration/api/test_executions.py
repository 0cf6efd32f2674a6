"""Executions through the API, of jobs that the scripts of queue, claim and end have in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from taskqueue.core.api_task import API_USER
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.cancellations import Cancellations
from taskqueue.store.jobs import JobStore
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.claims import FIRST, KEPT, due_job, terms, worker_lives
from tests.support.inbox import eventually
from tests.support.values import a_record

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


class Worker:
    """What a worker does with the runs of API tasks, in Redis."""

    def __init__(self, caller: ApiCaller) -> None:
        self._caller = caller
        self.jobs = JobStore(caller.services.store, caller.services.scripts)

    async def begin(self, execution_id: str) -> Job:
        """Claim the run and let the worker live."""
        job = due_job(id=execution_id, task_type_id=await self._task_of(execution_id), user_id=API_USER)
        await worker_lives(self.jobs, FIRST)
        await self.jobs.admit(job, FIRST, terms())
        return job

    async def end(self, job: Job, status: Status = Status.SUCCESS, **record: Any) -> None:
        """Let the run end now."""
        now = datetime.now(UTC)
        fields = {"status": status, "started_at": now, "completed_at": now, **record}
        await self.jobs.finish(job, FIRST, a_record(job, **fields), called=True, kept=KEPT)

    async def _task_of(self, execution_id: str) -> str:
        return str((await self._caller.get(f"/executions/{execution_id}"))["task_id"])


@pytest.fixture
def worker(caller: ApiCaller) -> Worker:
    return Worker(caller)


async def trigger(caller: ApiCaller, task_id: str) -> str:
    return str((await caller.post(f"/tasks/{task_id}/trigger", status=202))["execution_id"])


@pytest.fixture
async def execution_id(caller: ApiCaller) -> str:
    """A run that is queued."""
    return await trigger(caller, await caller.create())


# --- list and get -----------------------------------------------------------------------------------------------------


async def test_a_run_that_was_triggered_is_listed_as_pending(caller: ApiCaller) -> None:
    task_id = await caller.create()
    triggered = await caller.post(f"/tasks/{task_id}/trigger", status=202)

    page = await caller.get(f"/tasks/{task_id}/executions")

    assert {name: page[name] for name in ("total", "limit", "offset")} == {"total": 1, "limit": 20, "offset": 0}
    assert page["executions"] == [
        {
            "execution_id": triggered["execution_id"],
            "task_id": task_id,
            "worker_id": None,
            "started_at": None,
            "completed_at": None,
            "duration_ms": None,
            "status": "pending",
            "retry_number": 0,
            "queued_at": triggered["queued_at"],
        }
    ]


async def test_the_details_begin_with_the_fields_of_the_row(caller: ApiCaller, execution_id: str) -> None:
    details = await caller.get(f"/executions/{execution_id}")

    (row,) = (await caller.get(f"/tasks/{details['task_id']}/executions"))["executions"]
    assert {name: details[name] for name in row} == row
    assert (details["result"], details["error"], details["attempts"], details["is_retry"]) == (None, None, [], False)


async def test_the_result_of_a_run_is_what_its_endpoint_answered(
    caller: ApiCaller, worker: Worker, execution_id: str
) -> None:
    await worker.end(await worker.begin(execution_id), response=b'{"records_processed": 10000}')

    details = await caller.get(f"/executions/{execution_id}")

    assert (details["status"], details["worker_id"]) == ("success", "worker-1")
    assert details["result"] == {"records_processed": 10000}
    assert [attempt["outcome"] for attempt in details["attempts"]] == ["success"]


@pytest.mark.parametrize("answer", [b"[1e400]", b'"\\udc00"', b"\xff", b"[" * 1000])
async def test_an_answer_that_is_no_sound_json_breaks_no_page(
    caller: ApiCaller, worker: Worker, execution_id: str, answer: bytes
) -> None:
    await worker.end(await worker.begin(execution_id), response=answer)

    assert set((await caller.get(f"/executions/{execution_id}"))["result"]) <= {"body", "encoding"}


async def test_a_page_holds_what_was_asked_for(caller: ApiCaller) -> None:
    task_id = await caller.create()
    runs = {await trigger(caller, task_id) for _ in range(5)}

    pages = [await caller.get(f"/tasks/{task_id}/executions?limit=2&offset={offset}") for offset in (0, 2, 4, 6)]

    assert [len(page["executions"]) for page in pages] == [2, 2, 1, 0]
    assert {page["total"] for page in pages} == {5}
    assert {row["execution_id"] for page in pages for row in page["executions"]} == runs


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=99999999999", "page=2"])
async def test_a_page_that_cannot_be_is_refused(caller: ApiCaller, query: str) -> None:
    task_id = await caller.create()

    problem = await caller.get(f"/tasks/{task_id}/executions?{query}", 422)

    assert [error["parameter"] for error in problem["errors"]] == [query.partition("=")[0]]


async def test_the_executions_of_a_deleted_task_can_still_be_read(caller: ApiCaller, worker: Worker) -> None:
    task_id = await caller.create()
    execution_id = await trigger(caller, task_id)
    await worker.end(await worker.begin(execution_id))

    await caller.delete(f"/tasks/{task_id}")

    assert (await caller.get(f"/tasks/{task_id}/executions"))["total"] == 1
    assert (await caller.get(f"/tasks/{task_id}/stats"))["total_executions"] == 1
    assert (await caller.get(f"/executions/{execution_id}"))["status"] == "success"


@pytest.mark.parametrize("path", ["executions", "stats"])
@pytest.mark.parametrize("task_id", [UNKNOWN, "no such id", "*", "tasks", "x" * 65])
async def test_a_task_that_is_not_there_has_no_history(caller: ApiCaller, path: str, task_id: str) -> None:
    assert (await caller.get(f"/tasks/{task_id}/{path}", 404))["code"] == "no_such_task"


@pytest.mark.parametrize("execution_id", [UNKNOWN, "*", "%00", "%F0%9F%92%A9", "x" * 3000])
async def test_an_execution_that_is_not_there_is_told_so_everywhere(caller: ApiCaller, execution_id: str) -> None:
    path = f"/executions/{execution_id}"
    problems = [
        await caller.get(path, 404),
        await caller.get(f"{path}/logs", 404),
        await caller.post(f"{path}/logs", {"logs": [{"message": "m"}]}, 404),
        await caller.post(f"{path}/cancel", status=404),
    ]

    assert {problem["code"] for problem in problems} == {"no_such_execution"}
    assert await caller.keys("taskqueue:*cancel*") == []


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_lines_that_are_appended_stand_in_the_log_in_the_order_of_their_time(
    caller: ApiCaller, execution_id: str
) -> None:
    first = {"timestamp": "2024-01-08T05:00:01Z", "level": "INFO", "message": "Starting report generation"}
    last = {"timestamp": "2024-01-08T05:05:30Z", "level": "WARNING", "message": "Report generated\nwith gaps"}

    appended = await caller.post(f"/executions/{execution_id}/logs", {"logs": [last]}, 201)
    await caller.post(f"/executions/{execution_id}/logs", {"logs": [first]}, 201)

    assert appended == {"execution_id": execution_id, "logs": [last]}
    assert await caller.get(f"/executions/{execution_id}/logs") == {"execution_id": execution_id, "logs": [first, last]}


async def test_a_line_without_time_and_level_is_one_of_now_and_information(
    caller: ApiCaller, execution_id: str
) -> None:
    answer = await caller.post(f"/executions/{execution_id}/logs", {"logs": [{"message": "done"}]}, 201)

    assert answer["logs"] == [{"timestamp": "2024-01-08T10:00:00Z", "level": "INFO", "message": "done"}]


async def test_the_log_of_a_run_that_waits_is_empty(caller: ApiCaller, execution_id: str) -> None:
    assert await caller.get(f"/executions/{execution_id}/logs") == {"execution_id": execution_id, "logs": []}


async def test_the_workers_lines_stand_beside_those_that_were_appended(
    caller: ApiCaller, worker: Worker, execution_id: str
) -> None:
    job = await worker.begin(execution_id)
    await caller.post(f"/executions/{execution_id}/logs", {"logs": [{"message": "from within"}]}, 201)
    await worker.end(job)

    messages = [line["message"] for line in (await caller.get(f"/executions/{execution_id}/logs"))["logs"]]

    assert messages == ["from within", "attempt 1 began on worker-1", "answered 2xx in 0 ms"]


A_LINE = {"message": "m"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/logs"),
        ({"logs": None}, "/logs"),
        ({"logs": []}, "/logs"),
        ({"logs": [A_LINE] * 101}, "/logs"),
        ({"logs": A_LINE}, "/logs"),
        ({"logs": ["m"]}, "/logs/0"),
        ({"logs": [{}]}, "/logs/0/message"),
        ({"logs": [{"message": ""}]}, "/logs/0/message"),
        ({"logs": [{"message": "x" * 2049}]}, "/logs/0/message"),
        ({"logs": [{"message": 5}]}, "/logs/0/message"),
        ({"logs": [A_LINE | {"level": "info"}]}, "/logs/0/level"),
        ({"logs": [A_LINE | {"level": None}]}, "/logs/0/level"),
        ({"logs": [A_LINE | {"timestamp": "yesterday"}]}, "/logs/0/timestamp"),
        ({"logs": [A_LINE | {"timestamp": None}]}, "/logs/0/timestamp"),
        ({"logs": [A_LINE | {"timestamp": 1704690001}]}, "/logs/0/timestamp"),
        ({"logs": [A_LINE | {"color": "red"}]}, "/logs/0/color"),
        ({"logs": [A_LINE], "more": 1}, "/more"),
    ],
)
async def test_lines_that_are_none_are_refused_by_the_field(
    caller: ApiCaller, execution_id: str, body: dict[str, Any], pointer: str
) -> None:
    problem = await caller.post(f"/executions/{execution_id}/logs", body, 422)

    assert pointers(problem) == [pointer]
    assert await caller.keys("*:logs") == []


async def test_a_line_that_is_long_in_bytes_is_cut_and_says_so(caller: ApiCaller, execution_id: str) -> None:
    answer = await caller.post(f"/executions/{execution_id}/logs", {"logs": [{"message": "ü" * 2048}]}, 201)

    (line,) = answer["logs"]
    assert line["message"].endswith("ü [cut]")
    assert len(line["message"].encode()) <= 2048


# --- cancel -----------------------------------------------------------------------------------------------------------


async def test_a_run_that_waits_is_cancelled_at_once(caller: ApiCaller, execution_id: str) -> None:
    answer = await caller.post(f"/executions/{execution_id}/cancel")

    details = await caller.get(f"/executions/{execution_id}")
    assert answer == {
        "execution_id": execution_id,
        "status": "cancelled",
        "cancelled_at": details["completed_at"],
    }
    assert details["status"] == "cancelled"
    assert await caller.keys("taskqueue:delayed*") == []


async def test_a_run_that_has_ended_cannot_be_cancelled(caller: ApiCaller, worker: Worker, execution_id: str) -> None:
    await worker.end(await worker.begin(execution_id))

    problem = await caller.post(f"/executions/{execution_id}/cancel", status=409)

    assert (problem["code"], problem["execution_status"]) == ("execution_ended", "success")
    assert (await caller.get(f"/executions/{execution_id}"))["status"] == "success"


async def test_a_run_is_cancelled_once(caller: ApiCaller, execution_id: str) -> None:
    await caller.post(f"/executions/{execution_id}/cancel")

    problem = await caller.post(f"/executions/{execution_id}/cancel", status=409)

    assert problem["execution_status"] == "cancelled"


async def marked(caller: ApiCaller, execution_id: str) -> None:
    """Return when the run bears the mark."""

    async def found() -> bool:
        return bool(await Cancellations(caller.services.store, caller.services.scripts).cancelled([execution_id]))

    await eventually(found)


async def cut_when_marked(caller: ApiCaller, worker: Worker, job: Job, status: Status) -> None:
    """Let the worker find the mark, and the call end so."""
    await marked(caller, job.id)
    await worker.end(job, status)


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [(Status.CANCELLED, 200, "cancelled"), (Status.SUCCESS, 409, "success")],
    ids=["cut", "too late"],
)
async def test_a_run_on_a_worker_is_answered_for_when_its_call_has_ended(
    caller: ApiCaller, worker: Worker, execution_id: str, end: Status, status: int, told: str
) -> None:
    job = await worker.begin(execution_id)

    answer, _ = await asyncio.gather(
        caller.post(f"/executions/{execution_id}/cancel", status=status), cut_when_marked(caller, worker, job, end)
    )

    assert answer["status" if status == 200 else "execution_status"] == told


async def test_a_run_whose_worker_takes_long_to_cut_it_is_answered_for_as_running(
    caller: ApiCaller, worker: Worker, execution_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.api.routes.executions._CUT_WITHIN_S", 0.2)
    await worker.begin(execution_id)

    answer = await caller.post(f"/executions/{execution_id}/cancel", status=202)

    assert answer == {"execution_id": execution_id, "status": "running", "cancelled_at": None}
    assert await caller.services.store.command("EXISTS", keys.cancelled(execution_id))


async def test_whoever_hangs_up_leaves_the_cancellation_standing(
    caller: ApiCaller, worker: Worker, execution_id: str
) -> None:
    await worker.begin(execution_id)
    asking = asyncio.create_task(caller.post(f"/executions/{execution_id}/cancel"))
    await marked(caller, execution_id)

    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking

    assert (await caller.get(f"/executions/{execution_id}"))["status"] == "running"


async def test_a_cancellation_sent_again_with_its_key_gets_its_first_answer(
    caller: ApiCaller, execution_id: str
) -> None:
    path = f"/executions/{execution_id}/cancel"

    first = await caller.post(path, idempotency_key="k")

    assert await caller.post(path, idempotency_key="k") == first


# --- statistics -------------------------------------------------------------------------------------------------------


async def test_a_task_that_never_ran_has_statistics_without_rates_and_durations(caller: ApiCaller) -> None:
    task_id = await caller.create()

    assert await caller.get(f"/tasks/{task_id}/stats") == {
        "task_id": task_id,
        "total_executions": 0,
        "successful_executions": 0,
        "failed_executions": 0,
        "success_rate": None,
        "average_duration_ms": None,
        "p50_duration_ms": None,
        "p95_duration_ms": None,
        "p99_duration_ms": None,
        "last_7_days": {"executions": 0, "success_rate": None},
    }
