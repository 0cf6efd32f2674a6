"""`taskqueue top`, `worker list` and `queue list` of a running system, on a terminal and elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.support.commands import run_command
from tests.support.own_redis import own_redis_servers
from tests.support.sdk_system import SdkApi
from tests.support.tcp_proxy import TcpProxy
from tests.support.terminal import a_terminal, started

_WITHIN_S = 20.0
_LEAVES_THE_SCREEN = "\x1b[?1049l"


class Watching:
    """`taskqueue top` at a terminal of its own, and somebody who looks at it."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.terminal = terminal
        self._seen = ""

    async def shows(self, text: str) -> None:
        """Return once it has drawn `text` since this was asked for last."""
        deadline = time.monotonic() + _WITHIN_S
        while text not in self._seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self._seen[-3000:]!r}"
            await asyncio.sleep(0.05)
            self._seen += self._read()
        self._seen = self._seen.partition(text)[2]

    def types(self, keys: str) -> None:
        """Type."""
        os.write(self.terminal, keys.encode())

    async def ended(self) -> int:
        """Return the exit code, when it has left the terminal as it was."""
        await self.shows(_LEAVES_THE_SCREEN)
        async with asyncio.timeout(_WITHIN_S):
            return await asyncio.to_thread(self.process.wait, _WITHIN_S)

    def _read(self) -> str:
        with suppress(BlockingIOError, OSError):
            return os.read(self.terminal, 65_536).decode(errors="replace")
        return ""


@contextmanager
def watching(environment: dict[str, str], columns: int = 80) -> Iterator[Watching]:
    """Run `taskqueue top` at a terminal of that width."""
    ours, theirs = a_terminal(columns)
    os.set_blocking(ours, False)
    before = termios.tcgetattr(theirs)
    command = [str(Path(sys.executable).with_name("taskqueue")), "top", "--every", "0.5"]
    process = started(command, theirs, {"NO_COLOR": "1", **environment})
    try:
        yield Watching(process, ours)
        assert process.poll() is not None
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)


# --- top --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 100])
async def test_top_shows_what_runs_until_q_is_pressed(sdk_api: SdkApi, direct: dict[str, str], columns: int) -> None:
    with watching(direct, columns) as top:
        await top.shows("scheduler-1, since")
        await top.shows("1 active, 0 of 10 busy")
        await top.shows("consumers")
        await top.shows("for their time")
        top.types("q")

        assert await top.ended() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_signal_ends_top_and_leaves_the_terminal_as_it_was(
    sdk_api: SdkApi, direct: dict[str, str], number: signal.Signals, code: int
) -> None:
    with watching(direct) as top:
        await top.shows("1 active")
        top.process.send_signal(number)

        assert await top.ended() == code


async def test_a_service_that_goes_away_is_shown_as_away_and_comes_back_by_itself(
    sdk_api: SdkApi, direct: dict[str, str]
) -> None:
    parts = urlsplit(direct["TASKQUEUE_QUEUE__URL"])
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        login = f"{parts.username}:{parts.password}@" if parts.username else ""
        url = parts._replace(netloc=f"{login}127.0.0.1:{proxy.port}").geturl()
        with watching({**direct, "TASKQUEUE_QUEUE__URL": url}) as top:
            await top.shows("consumers")
            proxy.refusing = True
            proxy.cut()
            await top.shows("RabbitMQ is away")
            await top.shows("1 active")
            proxy.refusing = False
            await top.shows("consumers")
            top.types("q")

            assert await top.ended() == 0


async def test_beside_a_frozen_redis_top_goes_on_with_rabbitmq_and_quits(
    sdk_api: SdkApi, direct: dict[str, str]
) -> None:
    with own_redis_servers() as own:
        _, address = own.start()
        with closing(redis.Redis.from_url(f"redis://{address}")) as client:
            server: int = client.info("server")["process_id"]
        environment = {"TASKQUEUE_REDIS__ADDRESSES": json.dumps([address]), "TASKQUEUE_REDIS__PASSWORD": ""}
        with watching({**direct, **environment}) as top:
            await top.shows("nobody leads")
            await top.shows("consumers")
            os.kill(server, signal.SIGSTOP)
            await top.shows("Redis is away")
            await top.shows(address)
            await top.shows("consumers")
            top.types("q")

            assert await top.ended() == 0


async def test_where_no_terminal_is_one_picture_is_printed_as_data(sdk_api: SdkApi, direct: dict[str, str]) -> None:
    ended = await run_command("top", environment=direct)

    seen: dict[str, Any] = ended.json()
    assert (ended.code, seen["away"]) == (0, {"redis": None, "rabbitmq": None})
    assert (seen["leader"], seen["workers"][0]["worker_id"]) == ("scheduler-1", "worker-1")
    assert seen["executions"]["ended_per_s"] is not None
    assert all(row["growth_per_s"] is not None for row in seen["queues"])


async def test_one_picture_without_a_service_has_the_other_and_is_exit_5(
    sdk_api: SdkApi, direct: dict[str, str]
) -> None:
    ended = await run_command("top", "--once", environment={**direct, "TASKQUEUE_REDIS__ADDRESSES": '["127.0.0.1:1"]'})

    seen = ended.json()
    assert (ended.code, seen["workers"], len(seen["queues"])) == (5, None, 5)
    assert "127.0.0.1:1" in seen["away"]["redis"]


# --- workers and queues -----------------------------------------------------------------------------------------------


async def test_workers_are_listed_with_their_host_and_load(sdk_api: SdkApi, direct: dict[str, str]) -> None:
    listed = await run_command("worker", "list", environment=direct)
    shown = await run_command("worker", "show", "worker-1", "-o", "table", environment=direct)
    missing = await run_command("worker", "show", "worker-9", environment=direct)

    (worker,) = listed.json()
    assert (worker["worker_id"], worker["host"], worker["state"], worker["load"]) == (
        "worker-1",
        os.uname().nodename,
        "active",
        "0/10",
    )
    assert (shown.code, "worker-1" in shown.out, missing.code) == (0, True, 3)


async def test_queues_are_listed_with_messages_and_consumers(sdk_api: SdkApi, direct: dict[str, str]) -> None:
    ended = await run_command("queue", "list", "--over", "0.2", environment=direct)

    rows = {row["queue"]: row for row in ended.json()}
    assert (ended.code, len(rows)) == (0, 5)
    assert rows["taskqueue.jobs.high"]["consumers"] == 1
    assert rows["taskqueue.jobs.failed"] == {
        "queue": "taskqueue.jobs.failed",
        "ready": 0,
        "consumers": 0,
        "growth_per_s": 0.0,
    }
