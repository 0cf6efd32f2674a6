"""`make demo` and `taskqueue dev` as people run them: clean, with defects planted, and stopped half-way."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml

from taskqueue.dev.local_server import free_ports
from taskqueue.dev.probe import port_answers
from taskqueue.dev.services import RabbitMQ, Redis, Services
from tests.support.inbox import eventually

pytestmark = pytest.mark.timeout(300)  # the demo waits for a whole minute and its window

_DEMO = (sys.executable, "-m", "taskqueue.dev.demo")

#: where `taskqueue dev` has its endpoint unless something else listens there
_TARGET_PORT = 8082
_DEV = (sys.executable, "-c", "from taskqueue.cli.main import main; main()", "dev")

#: seconds for a line that needs processes to start, or a whole minute to begin
_LINE_WITHIN_S = 150.0


@pytest.fixture
def environment(amqp_url: str, redis_server: Redis, redis_db: int, tmp_path: Path) -> dict[str, str]:
    """Points a program at an empty virtual host and at the session's Redis; temporary files go to `tmp_path`."""
    rabbitmq = RabbitMQ(origin="test", amqp_url=amqp_url, management_url=None)
    services = Services(rabbitmq=rabbitmq, redis=redis_server)
    return {**os.environ, **services.environment(), "TMPDIR": str(tmp_path), "COLUMNS": "80"}


@asynccontextmanager
async def program(*command: str, environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*command: str, environment: Mapping[str, str]) -> tuple[int | None, str]:
    async with program(*command, environment=environment) as process:
        output, _ = await process.communicate()
        return process.returncode, output.decode()


async def text_until(process: asyncio.subprocess.Process, mark: str) -> str:
    assert process.stdout is not None
    text = ""
    async with asyncio.timeout(_LINE_WITHIN_S):
        while mark not in text:
            line = await process.stdout.readline()
            assert line, f"the program ended without {mark!r}:\n{text}"
            text += line.decode()
    return text


def kept_directories(parent: Path) -> list[Path]:
    return list(parent.glob("taskqueue-demo-*"))


def scheduler_port(directory: Path) -> int:
    settings = yaml.safe_load((directory / "scheduler.yaml").read_text())
    return int(settings["server"]["port"])


async def test_the_demo_finds_nothing_wrong_and_leaves_nothing_behind(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, text = await run(*_DEMO, "--quick", environment=environment)

    assert code == 0, text
    assert "jobs did what the preferences say" in text
    assert "\r" not in text
    assert kept_directories(tmp_path) == []


@pytest.mark.faults
async def test_a_lost_an_early_and_a_doubled_job_make_the_demo_fail(environment: dict[str, str]) -> None:
    plants = [word for plant in ("lost", "early", "doubled") for word in ("--plant", plant)]

    code, text = await run(*_DEMO, "--quick", *plants, environment=environment)

    planted = dict(re.findall(r"planted: (\w+), demo_report for (\S+)$", text, re.MULTILINE))
    assert code == 1, text
    assert "wrong: 1 doubled, 1 early, 1 lost" in text
    for kind, user in planted.items():
        assert f"{kind}: demo_report for {user} " in text
    assert planted.keys() == {"lost", "early", "doubled"}


async def test_a_stopped_demo_takes_its_processes_along(environment: dict[str, str], tmp_path: Path) -> None:
    async with program(*_DEMO, environment=environment) as process:
        await text_until(process, "jobs are planned")
        (directory,) = kept_directories(tmp_path)
        port = scheduler_port(directory)
        assert port_answers("127.0.0.1", port)

        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()

    assert process.returncode == 130, output.decode()
    assert not port_answers("127.0.0.1", port)
    assert kept_directories(tmp_path) == []


async def test_dev_says_where_everything_is_and_ends_with_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    (target_port,) = free_ports(1)
    options = ("--directory", str(tmp_path / "dev"), "--target-port", str(target_port))
    async with program(*_DEV, *options, environment=environment) as process:
        text = await text_until(process, "Ctrl-C stops everything")
        (curl,) = re.findall(r"curl .*", text)
        pages, in_another_shell = text.replace(curl, "").split("in another shell:\n")
        urls = [url for url in re.findall(r"http://\S+", pages) if ":15672" not in url]
        async with httpx.AsyncClient(trust_env=False) as client:
            statuses = {url: (await client.get(url)).status_code for url in urls}

        listed = await asyncio.create_subprocess_shell(curl, stdout=asyncio.subprocess.PIPE)
        tasks, _ = await listed.communicate()
        ran = await _run_once(curl)
        shell_lines = re.findall(r"^    (.+)$", in_another_shell, re.MULTILINE)
        shown = await _in_another_shell(*shell_lines, "taskqueue task list -o json", environment=environment)

        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()

    assert {"demo_report"} <= {task["task_id"] for task in json.loads(tasks)["tasks"]}
    assert ran == "success"
    assert '"user_id": "demo-user-002"' in shown
    assert '"task_id": "demo_report"' in shown
    assert len(statuses) == 5
    assert set(statuses.values()) == {200}, statuses
    assert process.returncode == 0, output.decode()
    assert not any(port_answers("127.0.0.1", int(port)) for port in re.findall(r"127\.0\.0\.1:(\d+)/", "".join(urls)))


async def _in_another_shell(*lines: str, environment: dict[str, str]) -> str:
    """Run the lines in a shell that knows of RabbitMQ and Redis what we were told; return what they print."""
    shell = await asyncio.create_subprocess_exec(
        "sh", "-ec", "\n".join(lines), stdout=asyncio.subprocess.PIPE, env=environment
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 30)
    assert shell.returncode == 0, output.decode()
    return output.decode()


async def _run_once(curl: str) -> str:
    """Make a task at the API that a curl line names, trigger it, and return how that ended."""
    *_, authorization, url = shlex.split(curl)
    name, _, token = authorization.partition(": ")
    task = {"task_name": "report", "task_type": "cron", "schedule_expression": "0 0 29 2 *"}
    async with httpx.AsyncClient(trust_env=False, headers={name: token}) as client:
        task_id = (await client.post(url, json=task)).json()["task_id"]
        execution_id = (await client.post(f"{url}/{task_id}/trigger")).json()["execution_id"]
        execution = url.replace("/tasks", f"/executions/{execution_id}")

        async def ended() -> bool:
            return (await client.get(execution)).json()["status"] not in {"pending", "running"}

        await eventually(ended, 15)
        return str((await client.get(execution)).json()["status"])


async def test_dev_keeps_a_tasks_file_that_somebody_edited_and_takes_a_free_port_for_the_endpoint(
    environment: dict[str, str], tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.yaml"
    tasks.write_text("tasks: []\n")
    async with AsyncExitStack() as stack:
        with suppress(OSError):  # something else listens there already, which does as well
            stack.enter_context(socket.create_server(("127.0.0.1", _TARGET_PORT)))
        process = await stack.enter_async_context(program(*_DEV, "--directory", str(tmp_path), environment=environment))
        await text_until(process, "Ctrl-C stops everything")
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()

    assert "exit code" not in output.decode()
    assert tasks.read_text() == "tasks: []\n"
    assert process.returncode == 0
