"""A system whose jobs fail and are replayed: who runs `taskqueue failed` there, and what lies in the failed queue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aio_pika
import yaml

from taskqueue.broker.connection import connect
from taskqueue.broker.names import FAILED_QUEUE
from taskqueue.broker.topology import queue_depths
from tests.support.failing_processes import ForkServer
from tests.support.failpoints import VARIABLE, Failpoint
from tests.support.inbox import eventually
from tests.support.processes import _clean_environment
from tests.support.system import System, merged, trigger

_COMMAND = "from taskqueue.cli.main import main; main()"
_WITHIN_S = 60.0


class FailedDesk:
    """Runs the command beside `system`, in whose failed queue nobody else reads."""

    def __init__(self, system: System, directory: Path) -> None:
        self._system = system
        self._directory = directory
        self._config = directory / "failed.yaml"
        tasks = {"tasks": {"config_file": str(system.tasks_file)}}
        self._config.write_text(yaml.safe_dump(merged(system.place.settings(), tasks)), encoding="utf-8")

    async def fail(self, scheduler: Any, jobs: Mapping[str, Sequence[str]]) -> None:
        """Let jobs of these users fail for good, by task; returns when all are put away. The users' rules stay."""
        before = await self.depth()
        users = [user_id for each in jobs.values() for user_id in each]
        for user_id in users:
            self._system.target.set_user_rule(user_id, "/status/400")
        for task_id, user_ids in jobs.items():
            await trigger(scheduler, task_id, user_ids)

        async def put_away() -> bool:
            marks = [key async for key in self._system.redis.scan_iter("taskqueue:done:*")]
            words = await self._system.redis.mget(marks) if marks else []
            return await self.depth() == before + len(users) and not any(w.startswith(b"failing") for w in words)

        await eventually(put_away, _WITHIN_S)

    def mend(self, user_ids: Sequence[str]) -> None:
        """Let calls for these users succeed from now on."""
        for user_id in user_ids:
            self._system.target.set_user_rule(user_id, None)

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run `taskqueue failed`; return its exit code and all that it said."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _COMMAND,
            "failed",
            *arguments,
            "--config",
            str(self._config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_clean_environment(),
        )
        async with asyncio.timeout(_WITHIN_S):
            out, _ = await child.communicate()
        return child.returncode or 0, out.decode()

    async def run_forked(
        self, server: ForkServer, *arguments: str, failpoint: Failpoint | None = None
    ) -> tuple[int, str]:
        """The same in a fork of a running interpreter, which dies at `failpoint`: its exit code is then -9."""
        armed = {} if failpoint is None else {VARIABLE: str(failpoint)}
        child = await server.fork(
            arguments=["failed", *arguments, "--config", str(self._config)],
            environment={**_clean_environment(), **armed},
            directory=str(self._directory),
        )
        async with asyncio.timeout(_WITHIN_S):
            out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
            return await child.wait(), (out + err).decode()

    async def depth(self) -> int:
        """Return how many messages are ready."""
        session = await connect(self._system.place.amqp_url, "test")
        try:
            return (await queue_depths(session, [FAILED_QUEUE]))[FAILED_QUEUE] or 0
        finally:
            await session.close()

    async def lying(self) -> dict[str, tuple[bytes, dict[str, Any]]]:
        """Return body and headers of each message by its id; they stay. Headers of the broker are left out."""
        found: dict[str, tuple[bytes, dict[str, Any]]] = {}
        async with await aio_pika.connect(self._system.place.amqp_url) as connection:
            queue = await (await connection.channel()).get_queue(FAILED_QUEUE)
            while (message := await queue.get(no_ack=False, fail=False)) is not None:
                assert message.message_id not in found, f"{message.message_id} lies there twice"
                headers = {name: value for name, value in message.headers.items() if not name.startswith("x-")}
                found[str(message.message_id)] = (message.body, headers)
        await eventually(lambda: self._has(len(found)))
        return found

    async def _has(self, count: int) -> bool:
        return await self.depth() >= count
