"""The workers that `worker_throughput.py` compares: how each gets its jobs, is started, and is checked afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from endpoint import Hit
from peer_job import ENDPOINT_VARIABLE, PARAMETERS, peer_queue, user
from peers import PEERS_PYTHON, peer_environment
from stage import TASKS, Stage

from taskqueue.assets import asset_dir
from taskqueue.broker.names import queue_name, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.config.catalog import interval_from_dict
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, scheduled_occurrence_id
from taskqueue.core.task import Priority, Target, Task
from taskqueue.scheduler.messages import PlannedMessages
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore
from taskqueue.store.plan import SlotUser
from taskqueue.store.scripts import Scripts

_TASK = TASKS[0]
_TOKEN = "benchmark"
_HERE = Path(__file__).resolve().parent

#: far above what any worker does, so that they are looked at for every job and never hold one back
_GLOBAL_LIMIT, _TASK_LIMIT = 900_000, 800_000


class Contender(Protocol):
    """One worker. `queue` is where its jobs wait."""

    name: str
    queue: str

    async def fill(self, jobs: int) -> None:
        """Put the jobs into its queue, and whatever else they need where it belongs."""

    def command(self) -> Sequence[str]:
        """Return how to start it."""

    def environment(self) -> Mapping[str, str]:
        """Return the environment that it is started in."""

    async def check(self, hits: Sequence[Hit]) -> None:
        """Raise SystemExit when what it leaves behind is not what these requests should have left. Tidy up."""


#: the shipped worker with the log of its peers
OURS = "taskqueue"


class Ours:
    """The shipped worker: claim, preference, global and task limit, call, record with its TTL, metrics.

    `log_level`: at `warning` it writes no line for a job, as its peers do here; as shipped it writes one.
    """

    queue = queue_name(Priority.NORMAL)

    def __init__(self, name: str, place: Stage, endpoint: str, concurrency: int, *, log_level: str) -> None:
        self.name = name
        self._log_level = log_level
        self._place = place
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._ids: set[str] = set()

    async def fill(self, jobs: int) -> None:
        """Switch the task on for every user, write its definition, and publish what a scheduler would."""
        await self._place.load_users(jobs)
        task = Task(
            id=_TASK,
            name=_TASK,
            interval=interval_from_dict({"type": "daily"}),
            target=Target(endpoint=self._endpoint, headers={"Content-Type": "application/json"}),
        )
        await self._place.store.command("SET", keys.LEASE, _TOKEN)
        scripts = Scripts(self._place.store, asset_dir("lua"))
        await CatalogStore(self._place.store, scripts).write(_TOKEN, {_TASK: task}, "1")
        messages = PlannedMessages(_occurrence(jobs), Priority.NORMAL)
        encoded = [
            messages.encode(number, SlotUser(user_id=user(number), parameters=PARAMETERS)) for number in range(jobs)
        ]
        self._ids = {job_id for job_id, _ in encoded}
        key = routing_key(Priority.NORMAL)
        await self._publish([Outgoing(body=body, message_id=job_id, routing_key=key) for job_id, body in encoded])

    def command(self) -> Sequence[str]:
        """Return the command of the shipped program."""
        limits: dict[str, object] = {"global": _GLOBAL_LIMIT, "per_task": {_TASK: _TASK_LIMIT}}
        settings: dict[str, dict[str, object]] = {
            "worker": {"pool_size": self._concurrency},
            "rate_limit": limits,
            "monitoring": {"log_level": self._log_level},
        }
        return self._place.command("worker", "worker", settings)

    def environment(self) -> Mapping[str, str]:
        """Return what points it at the services of this run."""
        return self._place.environment

    async def check(self, hits: Sequence[Hit]) -> None:
        """Every job was called once, has a record of its success, and took its tokens of both limits."""
        called = {hit.key for hit in hits}
        if called != self._ids or len(hits) != len(called):
            raise SystemExit(f"{len(hits)} requests for {len(called)} jobs of {len(self._ids)}")
        records = await self._place.store.pipeline([("GET", keys.execution(job_id)) for job_id in self._ids])
        successes = sum(record is not None and json.loads(record)["status"] == "success" for record in records)
        if successes != len(self._ids):
            raise SystemExit(f"{successes} records of success for {len(self._ids)} jobs")
        for limit in (keys.GLOBAL_LIMIT, keys.task_limit(_TASK)):
            if not await self._place.store.command("EXISTS", limit):
                raise SystemExit(f"{limit} was never asked")
        await self._place.store.command("FLUSHDB")

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        publisher = Publisher([self._place.amqp_url], name="benchmark")
        await publisher.start()
        await publisher.wait_ready(30)
        errors = [error for error in await publisher.publish_all(outgoing, 120) if error is not None]
        await publisher.stop(5)
        if errors:
            raise SystemExit(f"{len(errors)} of {len(outgoing)} jobs not published: {errors[0]}")


def _occurrence(users: int) -> Occurrence:
    now = datetime.now(UTC).replace(microsecond=0)
    occurrence_id = scheduled_occurrence_id(DEFAULT_COHORT, now)
    return Occurrence(
        id=occurrence_id,
        task_id=_TASK,
        cohort=DEFAULT_COHORT,
        source=JobSource.SCHEDULER,
        scheduled_at=now,
        starts_at=now,
        created_at=now,
        window=timedelta(0),
        users=users,
        correlation_id=f"{_TASK}:{occurrence_id}",
    )


@dataclass(slots=True)
class Peer:
    """A worker of `peer_NAME.py`, in the environment of the peers; `words` start it, after the Python."""

    name: str
    program: str
    words: Sequence[str]
    place: Stage
    endpoint: str

    @property
    def queue(self) -> str:
        """Where its jobs wait."""
        return peer_queue(self.program)

    async def fill(self, jobs: int) -> None:
        """Let it publish them in its own format."""
        filling = await asyncio.create_subprocess_exec(
            *(str(PEERS_PYTHON), f"peer_{self.program}.py", "fill", str(jobs)),
            cwd=_HERE,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
        )
        if await filling.wait():
            raise SystemExit(f"{self.name}: its queue could not be filled")

    def command(self) -> Sequence[str]:
        """Return the command of its worker."""
        return str(PEERS_PYTHON), *self.words

    def environment(self) -> Mapping[str, str]:
        """Return what points it at the services of this run."""
        return {**peer_environment(self.place.environment), ENDPOINT_VARIABLE: self.endpoint}

    async def check(self, hits: Sequence[Hit]) -> None:
        """Nothing more: it writes nothing down."""


def contenders(place: Stage, endpoint: str, concurrency: int) -> list[Contender]:
    """Return everybody, ours first; each peer as it was fastest."""
    celery = "-m celery -A peer_celery:app worker -P threads -c 10 -l ERROR --without-gossip --without-mingle"
    taskiq = "-m taskiq worker peer_taskiq:broker --workers 1 --log-level ERROR --no-parse --ack-type when_executed"
    return [
        Ours(OURS, place, endpoint, concurrency, log_level="warning"),
        Ours(f"{OURS}, a log line for each call", place, endpoint, concurrency, log_level="info"),
        Peer("FastStream + aiohttp", "faststream", ["peer_faststream.py"], place, endpoint),
        Peer("Celery threads + requests", "celery", [*celery.split(), "--without-heartbeat"], place, endpoint),
        Peer("Taskiq + aiohttp", "taskiq", taskiq.split(), place, endpoint),
    ]
