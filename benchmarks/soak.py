"""Does a worker grow? A steady load for minutes, or a million messages in front of it, and its resources every 5 s.

Of the steady load a share is retried and a share fails for good, so that those ways are walked as well. What counts is
the second half: the median of its last half less the median of its first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from counter import broker_version
from report import Goal, Report, machine_of
from stage import DATABASE, TASKS, Process, Stage, stage

from taskqueue.broker.outgoing import Outgoing
from taskqueue.broker.publisher import Publisher
from taskqueue.broker.topology import declare
from taskqueue.core.instants import rfc3339
from taskqueue.core.task import Priority
from taskqueue.dev.services import development_services
from taskqueue.dev.target import Target
from taskqueue.runtime import loops_together, run

_SAMPLED_EVERY_S = 5.0

#: caches, pools and connections fill in this time
_WARM_UP_S = 20.0

#: one user in so many fails once and is tried again, one in so many fails for good
_RETRIED_OF, _FAILED_OF = 20, 500

_USERS = 1_000
_PUBLISHED_AT_ONCE = 10_000

WORKER = {
    "worker": {"pool_size": 50},
    "rate_limit": {"global": None},
    "execution": {"retry_delay": "1s"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the worker holds at one instant. Memory in MB (10⁶ bytes); `bare_keys` are keys of Redis without a TTL."""

    memory_mb: float
    descriptors: int
    tasks: int
    bare_keys: int
    processed: int


async def soak(place: Stage, report: Report, minutes: float, rate: int) -> None:
    """Keep a worker busy with `rate` jobs a second for so long, and tell what grew."""
    report.part(f"{rate} jobs/s for {minutes:g} minutes")
    async with _Road(place) as road:
        worker = await road.start()
        async with loops_together() as loops:
            loops.create_task(road.publish_for(minutes * 60 + _WARM_UP_S, rate))
            await asyncio.sleep(_WARM_UP_S)
            samples = await road.samples(worker, minutes * 60)
        await road.drained(worker)
    _tell_growth(report, samples)
    report.figure("jobs that ended, a second", _per_second(samples), "/s", Goal(bound=rate * 0.98, at_least=True))


async def backlog(place: Stage, report: Report, messages: int, minutes: float) -> None:
    """Start a worker with so many messages ready before it, and tell its memory."""
    report.part(f"{messages:,} messages ready")
    async with _Road(place) as road:
        for first in range(0, messages, _PUBLISHED_AT_ONCE):
            await road.publish(min(_PUBLISHED_AT_ONCE, messages - first))
        worker = await road.start()
        samples = await road.samples(worker, minutes * 60)
        highest = worker.memory_mb()[1]
    report.figure("memory of the worker, highest", highest, "MB", Goal(bound=150))
    report.figure("jobs that ended, a second", _per_second(samples), "/s")


def _tell_growth(report: Report, samples: Sequence[Sample]) -> None:
    goals = {"memory_mb": (2.0, "MB"), "descriptors": (2.0, ""), "tasks": (2.0, ""), "bare_keys": (5.0, "")}
    for name, (bound, unit) in goals.items():
        values = [float(getattr(sample, name)) for sample in samples]
        said = f"from {values[0]:g} to {values[-1]:g}, highest {max(values):g}"
        report.figure(f"{name}: growth over the second half", growth(values), unit, Goal(bound=bound), note=said)


def growth(values: Sequence[float]) -> float:
    """Return the median of the last quarter less that of the third. Raises SystemExit for fewer than four."""
    if len(values) < 4:
        raise SystemExit("too few samples to say anything; use more --minutes")
    half, quarter = len(values) // 2, len(values) * 3 // 4
    return median(values[quarter:]) - median(values[half:quarter])


def _per_second(samples: Sequence[Sample]) -> float:
    return (samples[-1].processed - samples[0].processed) / ((len(samples) - 1) * _SAMPLED_EVERY_S)


class _Road:
    """An endpoint, a publisher, a scheduler and a worker on the stage."""

    def __init__(self, place: Stage) -> None:
        self._place = place
        self._target = Target()
        self._publisher = Publisher([place.amqp_url], name="soak", prepare=declare)
        self._bodies = _bodies()
        # A server closes an idle connection after 5 s, which is just when the next look comes.
        alone = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(trust_env=False, timeout=10, limits=alone)

    async def __aenter__(self) -> _Road:
        await self._target.__aenter__()
        for number in range(_USERS):
            if number % _FAILED_OF == 1:
                self._target.set_user_rule(f"user_{number}", "/status/404")
            elif number % _RETRIED_OF == 0:
                self._target.set_user_rule(f"user_{number}", "/fail/1")
        await self._publisher.start()
        await self._publisher.wait_ready(30)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._place.end_all()
        await self._publisher.stop(5)
        await self._client.aclose()
        await self._target.__aexit__()

    async def start(self) -> Process:
        """Start scheduler and worker; return the worker when both are ready."""
        self._place.write_tasks(None, 0, self._target.url + "/ok", tasks=1)
        scheduler = await self._place.start("scheduler", "scheduler")
        await scheduler.ready(120)
        worker = await self._place.start("worker", "worker", WORKER)
        await worker.ready(120)
        return worker

    async def publish_for(self, seconds: float, rate: int) -> None:
        """Publish `rate` jobs a second, ten times in each, to all ready queues."""
        began = time.monotonic()
        for turn in range(1, int(seconds * 10) + 1):
            await self.publish(max(1, rate // 10))
            await asyncio.sleep(began + turn / 10 - time.monotonic())

    async def publish(self, count: int) -> None:
        """Publish so many jobs. Raises SystemExit when RabbitMQ does not confirm them."""
        queues = [f"jobs.{priority.name.lower()}" for priority in Priority]
        jobs = []
        for number in range(count):
            job_id, body = next(self._bodies)
            jobs.append(Outgoing(body=body, message_id=job_id, routing_key=queues[number % len(queues)]))
        if problems := [error for error in await self._publisher.publish_all(jobs, 120) if error is not None]:
            raise SystemExit(f"{len(problems)} jobs were not confirmed: {problems[0]}")

    async def samples(self, worker: Process, seconds: float) -> list[Sample]:
        """Return what the worker holds every five seconds for so long."""
        began = time.monotonic()
        found = []
        for turn in range(int(seconds / _SAMPLED_EVERY_S) + 1):
            await asyncio.sleep(began + turn * _SAMPLED_EVERY_S - time.monotonic())
            found.append(await self._sample(worker))
            self._target.clear()
        return found

    async def drained(self, worker: Process) -> None:
        """Wait until the worker has ended everything. Raises SystemExit when it does not."""
        for _ in range(600):
            figures = await self._stats(worker)
            if figures["in_flight"] == figures["waiting"] == 0:
                return
            await asyncio.sleep(0.1)
        raise SystemExit("the worker is still at work a minute after the last job was published")

    async def _sample(self, worker: Process) -> Sample:
        figures = await self._stats(worker)
        keyspace = (await self._place.redis_info("keyspace")).get(f"db{DATABASE}", "")
        return Sample(
            memory_mb=worker.memory_mb()[0],
            descriptors=_descriptors(worker.pid),
            tasks=figures["tasks"],
            bare_keys=_bare_keys(keyspace),
            processed=figures["processed"],
        )

    async def _stats(self, worker: Process) -> dict[str, Any]:
        port = next(line["port"] for line in worker.lines if line["event"] == "port_bound")
        return dict((await self._client.get(f"http://127.0.0.1:{port}/stats")).json())


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _bare_keys(keyspace: str) -> int:
    """Return keys less keys that expire, from a database's line of INFO, as Redis or as its client writes it."""
    keys, expires = re.search(r"\bkeys\D+(\d+)", keyspace), re.search(r"\bexpires\D+(\d+)", keyspace)
    return (int(keys[1]) if keys else 0) - (int(expires[1]) if expires else 0)


def _bodies() -> Iterator[tuple[str, bytes]]:
    """Yield jobs due now, each with its id, for one user after the other."""
    number = 0
    while True:
        job_id, now, number = str(uuid.uuid4()), datetime.now(UTC), number + 1
        job = {
            "id": job_id,
            "task_type_id": TASKS[0],
            "user_id": f"user_{number % _USERS}",
            "scheduled_at": rfc3339(now),
            "execute_after": rfc3339(now),
            "attempt": 1,
            "priority": 1,
            "payload": "eyJ1c2VyX2lkIjoidXNlcl8xIn0=",
            "created_at": rfc3339(now - timedelta(minutes=1)),
        }
        metadata = {"correlation_id": "soak", "source": "soak", "distribution_slot": -1}
        yield job_id, json.dumps({"version": "1.0", "job": job, "metadata": metadata}).encode()


async def measure(environment: dict[str, str], options: argparse.Namespace) -> int:
    """Run what was asked for; return 0 when every goal was reached."""
    async with stage(environment) as place:
        report = Report(machine=await machine_of(place.store, await broker_version(place.amqp_url)))
        print("soak; " + ", ".join(report.machine.values()))
        if options.backlog:
            await backlog(place, report, options.backlog, options.minutes)
        else:
            await soak(place, report, options.minutes, options.rate)
        if options.json is not None:
            report.write(options.json)
    return int(any(figure.reached is False for figure in report.figures))


def main() -> int:
    """Return 0 when nothing grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long to look")
    parser.add_argument("--rate", type=int, default=200, help="jobs per second of the steady load")
    parser.add_argument("--backlog", type=int, default=0, metavar="N", help="no steady load, but N messages ready")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    with development_services(os.environ, print) as services:
        environment = {**os.environ, **services.environment()}
        return run(lambda: measure(environment, options))


if __name__ == "__main__":
    raise SystemExit(main())
