"""API processes share nothing but Redis: any number of them, coming and going, are one API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from tests.support.api_system import ApiSystem, Client, in_seconds, start_api, url_of

pytestmark = pytest.mark.timeout(120)

#: requests that are under way at any time while a process is told to end
CALLERS = 8


@pytest.fixture(scope="module")
async def other(running: ApiSystem) -> AsyncIterator[Client]:
    """A client of a second API process."""
    async with Client(url_of(await start_api(running.system, running.api_settings()))) as client:
        yield client


async def test_what_one_process_has_done_the_other_knows_at_once(api: Client, other: Client) -> None:
    task_id = await api.create()
    await other.patch(f"/tasks/{task_id}", {"priority": "low"})
    await api.post(f"/tasks/{task_id}/pause")

    task = await other.task(task_id)
    assert (task["priority"], task["status"]) == ("low", "paused")
    await other.delete(f"/tasks/{task_id}")
    await api.get(f"/tasks/{task_id}", 404)


async def test_of_two_that_change_the_same_version_one_is_told_so(api: Client, other: Client) -> None:
    task_id = await api.create()
    tag = (await api.ask("GET", f"/tasks/{task_id}", 200)).headers["etag"]

    answers = await asyncio.gather(
        *(
            client.http.patch(f"/api/v1/tasks/{task_id}", json={"max_retries": number}, headers={"If-Match": tag})
            for number, client in enumerate([api, other] * 5, start=10)
        )
    )

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 9
    (won,) = (answer for answer in answers if answer.status_code == 200)
    assert (await api.task(task_id))["updated_at"] == won.json()["updated_at"]


async def test_the_same_key_at_two_processes_makes_one_task(api: Client, other: Client) -> None:
    body = {"task_name": "keyed_once", "task_type": "cron", "schedule_expression": "0 0 29 2 *"}

    answers = await asyncio.gather(
        *(
            client.http.post("/api/v1/tasks", json=body, headers={"Idempotency-Key": "keyed-once"})
            for client in [api, other] * 5
        )
    )

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert (await api.get("/tasks", name="keyed_once"))["total"] == 1


async def test_a_process_that_was_killed_takes_nothing_along(api: Client, running: ApiSystem) -> None:
    first = await start_api(running.system, running.api_settings())
    async with Client(url_of(first)) as client:
        task_id = await client.create(
            task_type="one_time", next_execution_time=in_seconds(2), **running.target("/slow/500")
        )
    await first.kill()

    await api.task_is(task_id, status="completed")
    second = await start_api(running.system, running.api_settings())
    async with Client(url_of(second)) as client:
        (execution,) = await client.executions(task_id)

    assert execution["status"] == "success"
    assert running.target_calls(task_id) == 1


async def test_a_process_that_is_told_to_end_answers_what_it_has_begun_and_loses_nothing(
    api: Client, running: ApiSystem
) -> None:
    process = await start_api(running.system, running.api_settings())
    answered: list[httpx.Response] = []

    async def keep_creating(caller: int) -> None:
        body = {"task_name": f"drained-{caller}", "task_type": "cron", "schedule_expression": "0 0 29 2 *"}
        # Once it takes no more connections there is nothing to be told.
        with suppress(httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            while True:
                answered.append(await client.http.post("/api/v1/tasks", json=body))

    async with Client(url_of(process)) as client:
        callers = [asyncio.create_task(keep_creating(number)) for number in range(CALLERS)]
        while len(answered) < 10 * CALLERS:
            await asyncio.wait(callers, timeout=0.02)
        code = await process.terminate()
        async with asyncio.timeout(20):
            await asyncio.gather(*callers)

    assert code == 0
    assert {answer.status_code for answer in answered} == {201}
    totals = [(await api.get("/tasks", name=f"drained-{caller}"))["total"] for caller in range(CALLERS)]
    # A request whose connection ended before its answer may have been done: each caller has one such at most.
    assert len(answered) <= sum(totals) <= len(answered) + CALLERS
    for answer in answered:
        await api.get(f"/tasks/{answer.json()['task_id']}")


async def test_a_thousand_tasks_are_made_and_deleted_in_two_requests(api: Client) -> None:
    tasks: list[dict[str, object]] = [
        {
            "task_name": "one-of-many",
            "task_type": "one_time",
            "next_execution_time": in_seconds(3600 + number),
            "payload": {"number": number},
        }
        for number in range(1000)
    ]
    tasks[7]["priority"] = "urgent"
    tasks[500]["task_type"] = "cron"

    created = await api.post("/tasks/bulk", {"tasks": tasks}, 201)
    listed = await api.get("/tasks", name="one-of-many", limit=1)
    middle = await api.task(created["task_ids"][499])
    unknown = "00000000-0000-4000-8000-000000000000"
    deleted = await api.post("/tasks/bulk-delete", {"task_ids": [unknown, *created["task_ids"]]})

    assert (created["created"], created["failed"], len(created["task_ids"])) == (998, 2, 998)
    assert [error["index"] for error in created["errors"]] == [7, 500]
    assert created["errors"][0]["errors"][0]["pointer"] == "/tasks/7/priority"
    assert listed["total"] == 998
    # In the order of the request, without the two that were refused.
    assert middle["payload"] == {"number": 501}
    assert (deleted["deleted"], deleted["failed"]) == (998, 1)
    assert (deleted["errors"][0]["index"], deleted["errors"][0]["task_id"]) == (0, unknown)
    assert (await api.get("/tasks", name="one-of-many"))["total"] == 0


async def test_more_tasks_than_one_request_may_have_are_refused_whole(api: Client) -> None:
    task = {"task_name": "too-many", "task_type": "one_time", "next_execution_time": in_seconds(3600)}

    await api.post("/tasks/bulk", {"tasks": [task] * 1001}, 422)

    assert (await api.get("/tasks", name="too-many"))["total"] == 0
