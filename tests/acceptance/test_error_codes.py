"""What goes wrong at an endpoint is told everywhere by the same code: in the record, the log and the failed queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import pytest

from tests.support.error_matrix import CANARY, Case, all_cases
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: one of each road through the worker, by what happens
_CHOSEN = (
    "nothing listens on the port",
    "an expired certificate",
    "a secret that the worker does not have",
    "never answered",
    "closed after the request, without an answer",
    "reset amid the body of a 200",
    "garbage",
    "headers without an end",
    "a redirect",
    "404",
    "503",
    "closed amid the body of a 404",
)
_CASES = [case for case in all_cases() if case.what in _CHOSEN]


@pytest.fixture(scope="module")
async def endpoints() -> AsyncIterator[Mapping[str, str]]:
    """The URL of each case's endpoint."""
    async with AsyncExitStack() as stack:
        yield {case.what: await stack.enter_async_context(case.endpoint()) for case in _CASES}


async def test_each_failure_is_told_by_one_code_and_tried_again_as_its_class_says(
    system: System, endpoints: Mapping[str, str]
) -> None:
    assert len(_CASES) == len(_CHOSEN)
    tasks = {f"case-{number}": case for number, case in enumerate(_CASES)}
    system.write_tasks(*(_task(system, task_id, case, endpoints[case.what]) for task_id, case in tasks.items()))
    scheduler, worker = await system.scheduler_and_worker()

    for task_id in tasks:
        await trigger(scheduler, task_id, new_users(1))

    await asyncio.gather(*(_told(system, worker, task_id, case) for task_id, case in tasks.items()))


def _task(system: System, task_id: str, case: Case, url: str) -> dict[str, object]:
    config = {"endpoint": f"{url}/{CANARY}", "headers": {"X-Secret": CANARY, **case.headers}}
    return system.task(task_id, config=config, retries=1, timeout="1s")


async def _told(system: System, worker: Process, task_id: str, case: Case) -> None:
    line = await worker.wait_for("job_settled", task=task_id, decision="fail")
    message = await system.failed.wait_for(line["job_id"])
    record = await system.execution(line["job_id"])
    ended = worker.events("attempt_ended", task=task_id)

    expected = case.expected
    attempts = 1 if expected.retry == "permanent" else 2
    assert [each["error_code"] for each in ended] == [expected.code] * attempts
    assert record["error"]["code"] == message.headers["taskqueue-error-code"] == expected.code
    assert record["error"]["retry"] is False
    assert message.reason == ("permanent" if attempts == 1 else "retries_exhausted")
    assert message.headers["taskqueue-attempts"] == attempts
    for text in (str(message.headers["taskqueue-error-message"]), str(record["error"]), str(ended)):
        assert CANARY not in text
