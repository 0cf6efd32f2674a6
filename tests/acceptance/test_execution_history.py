"""What `taskqueue exec` tells about a job afterwards: its attempts, and its log with what the endpoint returned."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.inbox import eventually
from tests.support.mirror import answer, headers_of, mirror
from tests.support.processes import Process
from tests.support.raw_endpoint import raw_endpoint
from tests.support.system import NEVER_NOW, System, new_users, trigger

pytestmark = pytest.mark.timeout(60)


def _third_time_lucky(head: str, _body: bytes) -> bytes:
    attempt = int(headers_of(head)["x-taskqueue-attempt"])
    body = json.dumps({"logs": [{"level": "warning", "message": f"try {attempt}"}]}).encode()
    return answer(200 if attempt == 3 else 503, body)


def _gone(_head: str, _body: bytes) -> bytes:
    return answer(410, b"gone")


@pytest.fixture(scope="module")
async def scheduler(shared_system: System) -> AsyncIterator[Process]:
    lucky, gone = raw_endpoint(mirror(_third_time_lucky)), raw_endpoint(mirror(_gone))
    async with lucky as lucky_url, gone as gone_url:
        shared_system.write_tasks(
            *(
                {"id": task_id, "interval": NEVER_NOW, "config": {"endpoint": url}, "retry_delay": "100ms"}
                for task_id, url in (("lucky", lucky_url), ("gone", gone_url), ("unwanted", gone_url))
            )
        )
        scheduler, _ = await shared_system.scheduler_and_worker()
        yield scheduler


async def ended_job(system: System, scheduler: Process, task_id: str, *, wanted: bool = True) -> str:
    """Let the task call for a new user and return the id of the job once it has ended."""
    (user,) = new_users(1)
    if not wanted:
        await system.set_preference(user, task_id, on=False)
    before = set(await system.redis.keys("taskqueue:done:*"))
    await trigger(scheduler, task_id, [user])

    async def ended() -> bool:
        return bool(set(await system.redis.keys("taskqueue:done:*")) - before)

    await eventually(ended, 20)
    (key,) = set(await system.redis.keys("taskqueue:done:*")) - before
    return str(key.decode().removeprefix("taskqueue:done:"))


async def told(verb: str, job_id: str, directory: Path, system: System) -> str:
    settings = directory / "operator.yaml"
    settings.write_text(json.dumps(system.place.settings()), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from taskqueue.cli.main import main; main()"),
        *("exec", verb, job_id, "--config", str(settings)),
        env={name: value for name, value in os.environ.items() if not name.startswith("TASKQUEUE_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


async def test_a_job_that_was_retried_tells_of_each_attempt(
    shared_system: System, scheduler: Process, tmp_path: Path
) -> None:
    job_id = await ended_job(shared_system, scheduler, "lucky")

    shown = json.loads(await told("show", job_id, tmp_path, shared_system))
    log = (await told("logs", job_id, tmp_path, shared_system)).splitlines()

    assert [(each["attempt"], each["outcome"], each["http_status"]) for each in shown["attempts"]] == [
        (1, "retryable", 503),
        (2, "retryable", 503),
        (3, "success", 200),
    ]
    times = [line.split()[0] for line in log]
    assert times == sorted(times)
    lines = [re.sub(r"\d+ ms|is due at \S+| on \S+$", "…", line.split(maxsplit=1)[1]) for line in log]
    assert lines == [
        "INFO    attempt 1 began…",
        "WARNING try 1",
        "WARNING answered 503 in …; attempt 2 …",
        "INFO    attempt 2 began…",
        "WARNING try 2",
        "WARNING answered 503 in …; attempt 3 …",
        "INFO    attempt 3 began…",
        "WARNING try 3",
        "INFO    answered 200 in …",
    ]


async def test_a_job_that_failed_for_good_says_why(shared_system: System, scheduler: Process, tmp_path: Path) -> None:
    job_id = await ended_job(shared_system, scheduler, "gone")

    log = (await told("logs", job_id, tmp_path, shared_system)).splitlines()

    assert log[-1].split(maxsplit=1)[1] == "ERROR   failed for good: http_410: the endpoint answered 410"


async def test_a_job_that_nobody_wanted_says_so(shared_system: System, scheduler: Process, tmp_path: Path) -> None:
    job_id = await ended_job(shared_system, scheduler, "unwanted", wanted=False)

    (line,) = (await told("logs", job_id, tmp_path, shared_system)).splitlines()

    assert line.split(maxsplit=1)[1] == "INFO    skipped: preference_off"
