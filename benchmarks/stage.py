"""Where the scheduler is measured: Redis and RabbitMQ of this run, users, tasks.yaml, and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import SecretStr

from taskqueue.broker.connection import connect_any
from taskqueue.broker.topology import declare
from taskqueue.broker.upkeep import purge_queues, queues_in_use
from taskqueue.config.sections import RedisSettings
from taskqueue.config.settings import process_environment
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.occurrence import DEFAULT_COHORT, scheduled_occurrence_id
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

#: planning.py uses 15
DATABASE = 14

TASKS = ("bench_0", "bench_1", "bench_2")

_NEVER_NOW = "0 0 29 2 *"

_PROGRAMS = Path(__file__).resolve().parent.parent / "cmd"

#: plain hashes as other systems write them, made inside Redis: their making is not what is measured
_LOAD = """
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('HSET', string.format('taskqueue:users:user_%07d:tasks', number), unpack(ARGV, 3))
end
"""
_LOADED_AT_ONCE = 20_000


class Process:
    """A scheduler or worker process, and `lines`, its log so far."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self._process = process
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def leading(self) -> bool:
        """Whether it said last that it leads."""
        said = [line["leading"] for line in self.lines if line["event"] == "leader_changed"]
        return self.running and bool(said) and bool(said[-1])

    @property
    def took_over_at(self) -> float:
        """When it said last that it leads, unix seconds."""
        said = [line["ts"] for line in self.lines if line["event"] == "leader_changed" and line["leading"]]
        return datetime.fromisoformat(said[-1]).timestamp()

    async def wait_for(self, event: str, within_s: float, **fields: object) -> dict[str, Any]:
        """Return the first line of `event` with these fields. Raises SystemExit with the log's end when none comes."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for line in self.lines:
                        if line["event"] == event and fields.items() <= line.items():
                            return line
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            last = "\n".join(json.dumps(line) for line in self.lines[-10:])
            raise SystemExit(f"{self.name}: no {event} {fields} within {within_s:g} s; its log ends:\n{last}") from None

    async def ready(self, within_s: float) -> float:
        """Return the seconds from its start of work until /readyz says yes: with the index cold, that is the index."""
        port = (await self.wait_for("port_bound", 60))["port"]
        began = datetime.fromisoformat((await self.wait_for("process_started", 60))["ts"]).timestamp()
        until = time.time() + within_s
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while time.time() < until:
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == httpx.codes.OK:
                    return time.time() - began
                await asyncio.sleep(0.05)
        raise SystemExit(f"{self.name}: not ready within {within_s:g} s")

    async def end(self, number: signal.Signals) -> float:
        """Send the signal; return when it was sent, unix seconds, once the process has ended."""
        sent = time.time()
        if self.running:
            self._process.send_signal(number)
        async with asyncio.timeout(30):
            await self._process.wait()
            await self._reader
        return sent

    def memory_mb(self) -> tuple[float, float]:
        """Return resident memory now and its highest so far, in MB (10⁶ bytes)."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith("Vm")}
        return kib["VmRSS"] * 1024 / 1e6, kib["VmHWM"] * 1024 / 1e6

    def cpu_s(self) -> float:
        """Return the seconds of processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self.lines.append(json.loads(raw))
            self._news.set()


class Stage:
    """Redis and RabbitMQ, empty at the beginning and emptied at the end."""

    def __init__(self, environment: Mapping[str, str], store: RedisStore, directory: Path) -> None:
        self.store = store
        self.amqp_url = environment["TASKQUEUE_QUEUE__URL"]
        self.directory = directory
        #: of the processes that are started here
        self.environment = {**environment, "TASKQUEUE_REDIS__DB": str(DATABASE)}
        self._tasks_file = directory / "tasks.yaml"
        self._processes: list[Process] = []

    # --- what is there ------------------------------------------------------------------------------------------------

    async def load_users(self, users: int) -> None:
        """Switch every task of TASKS on for `users` users."""
        switches = [text for task in TASKS for text in (task, "1")]
        for first in range(0, users, _LOADED_AT_ONCE):
            last = min(first + _LOADED_AT_ONCE, users) - 1
            await self.store.command("EVAL", _LOAD, 0, first, last, *switches)

    def write_tasks(
        self, instant: datetime | None, window_s: float, endpoint: str = "http://localhost:9/", tasks: int = len(TASKS)
    ) -> None:
        """Make the first of TASKS due at `instant` alone, a whole minute; None: never."""
        crons = [_NEVER_NOW if instant is None else f"{instant:%M %H %d %m} *"] * tasks + [_NEVER_NOW] * len(TASKS)
        document = {
            "tasks": [
                {
                    "id": task,
                    "interval": {"type": "cron", "cron": cron},
                    "distribution_window": f"{window_s:g}s",
                    "config": {"endpoint": endpoint, "method": "POST"},
                }
                for task, cron in zip(TASKS, crons, strict=False)
            ]
        }
        fresh = self._tasks_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(document), encoding="utf-8")
        fresh.rename(self._tasks_file)

    async def start(
        self, program: str, name: str, settings: Mapping[str, Mapping[str, object]] | None = None
    ) -> Process:
        """Start a scheduler or a worker; returns before it is ready."""
        if program == "scheduler":
            # A leader that finds no tail does not trust the delayed queue for its first minute; the queue is empty.
            await self.store.command("SET", keys.LANE_TAIL, to_unix_ms(datetime.now(UTC)), "NX")
            settings = {"tasks": {"config_file": str(self._tasks_file), "poll_interval": "200ms"}, **(settings or {})}
        child = await asyncio.create_subprocess_exec(
            *self.command(program, name, settings or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self.environment,
            limit=1 << 20,
        )
        process = Process(name, child)
        self._processes.append(process)
        return process

    def command(self, program: str, name: str, settings: Mapping[str, Mapping[str, object]]) -> tuple[str, ...]:
        """Return how to start a scheduler or a worker with these settings, in `environment`."""
        document: dict[str, dict[str, object]] = {
            "server": {"host": "127.0.0.1", "port": 0},
            "monitoring": {"log_format": "json", "metrics_interval": "1m"},
        }
        for section, values in settings.items():
            document[section] = {**document.get(section, {}), **values}
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return sys.executable, str(_PROGRAMS / f"{program}.py"), "--config", str(path)

    async def end_all(self) -> None:
        """Kill what runs and forget everything but the users' preferences."""
        for process in self._processes:
            await process.end(signal.SIGKILL)
        self._processes.clear()
        cursor: object = "0"
        while True:
            cursor, found = await self.store.command("SCAN", cursor, "MATCH", f"{keys.PREFIX}*", "COUNT", 5000)
            if ours := [key for key in found if not key.startswith(keys.USERS_PREFIX.encode())]:
                await self.store.command("UNLINK", *ours)
            if int(cursor) == 0:
                break
        await empty_queues(self.amqp_url)

    # --- what is measured ---------------------------------------------------------------------------------------------

    async def progress(self, instant: datetime, field: str) -> int:
        """Return `planned` or `released` of the occurrences at `instant`, over all tasks."""
        occurrence = scheduled_occurrence_id(DEFAULT_COHORT, instant)
        commands = [("HGET", keys.occurrence(task, occurrence), field) for task in TASKS]
        return sum(int(reply or 0) for reply in await self.store.pipeline(commands))

    async def redis_memory_mb(self) -> float:
        """Return Redis's `used_memory` in MB (10⁶ bytes)."""
        return float((await self.redis_info("memory"))["used_memory"]) / 1e6

    async def redis_cpu_s(self) -> float:
        """Return the seconds of processor time that Redis has used."""
        info = await self.redis_info("cpu")
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    async def redis_info(self, section: str) -> dict[str, str]:
        """Return one section of INFO."""
        reply = await self.store.command("INFO", section)
        if isinstance(reply, dict):
            return {str(name): str(value) for name, value in reply.items()}
        lines = (reply.decode() if isinstance(reply, bytes) else str(reply)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def next_minute(ahead_s: float) -> datetime:
    """Return the first whole minute that is at least `ahead_s` away."""
    instant = (datetime.now(UTC) + timedelta(seconds=ahead_s)).replace(second=0, microsecond=0)
    return instant + timedelta(minutes=1)


async def empty_queues(amqp_url: str) -> None:
    """Purge our queues."""
    session = await connect_any([amqp_url], "benchmark")
    try:
        await purge_queues(session)
    finally:
        await session.close()


@asynccontextmanager
async def stage(environment: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Borrow a database and a virtual host that must be empty. Raises SystemExit when they are not.

    `environment` names the services; None: that of this process.
    """
    environment = process_environment() if environment is None else environment
    settings = RedisSettings(
        addresses=tuple(json.loads(environment["TASKQUEUE_REDIS__ADDRESSES"])),
        password=SecretStr(environment.get("TASKQUEUE_REDIS__PASSWORD", "")),
        db=DATABASE,
    )
    store = RedisStore(settings, client_name="benchmark")
    await refuse_what_is_used(store, environment["TASKQUEUE_QUEUE__URL"])
    with tempfile.TemporaryDirectory(prefix="taskqueue-benchmark-") as folder:
        made = Stage(environment, store, Path(folder))
        try:
            yield made
        finally:
            await made.end_all()
            await store.command("FLUSHDB", "ASYNC")
            await store.close()


async def refuse_what_is_used(store: RedisStore, amqp_url: str) -> None:
    """Declare the queues. Raises SystemExit when something is in them or in the database."""
    if await store.command("DBSIZE"):
        raise SystemExit(f"database {DATABASE} of this Redis is not empty; nothing measured")
    session = await connect_any([amqp_url], "benchmark")
    try:
        await declare(session)
        if busy := await queues_in_use(session):
            raise SystemExit(f"{', '.join(busy)} already in use; nothing measured")
    finally:
        await session.close()
