"""How much of a rate limit two workers use up, and whether they ever exceed it, under a backlog.

Two workers share a global limit and one on the first of two tasks. The endpoint counts calls over a whole minute. Of
the rate, at least 98 % is to be used; over any span of t seconds, no more than burst + rate·t calls may arrive.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence

import httpx
from counter import broker_version
from report import machine_of
from stage import TASKS, Process, Stage, stage

from taskqueue.dev.target import Target
from taskqueue.runtime import run

_GLOBAL, _TASK = 200.0, 80.0

#: until the leader knows the limits and the first burst is over
_WARM_UP_S = 10.0

#: jobs of one trigger
_AT_ONCE = 1_000

_GOAL = 0.98


async def measure(seconds: float) -> bool:
    """Print the shares of both limits that were used; return whether both are kept to and used."""
    async with stage() as place, Target() as target:
        machine = await machine_of(place.store, await broker_version(place.amqp_url))
        print(f"limits over two workers, {seconds:g} s; " + ", ".join(machine.values()))
        place.write_tasks(None, 0, target.url + "/ok")
        scheduler, workers = await _start(place)
        jobs = int(1.2 * (_WARM_UP_S + seconds + 10))
        await _trigger(scheduler, TASKS[0], int(jobs * _TASK))
        await _trigger(scheduler, TASKS[1], int(jobs * (_GLOBAL - _TASK)))
        await asyncio.sleep(_WARM_UP_S + seconds)
        calls = list(target.calls)
        for process in workers:
            await process.end(signal.SIGTERM)
        own = [call.at for call in calls if call.headers["x-taskqueue-task"] == TASKS[0]]
        return _told("global", [call.at for call in calls], _GLOBAL) & _told(f"task {TASKS[0]}", own, _TASK)


async def _start(place: Stage) -> tuple[Process, Sequence[Process]]:
    limits: dict[str, dict[str, object]] = {
        "worker": {"pool_size": 50},
        "rate_limit": {"global": _GLOBAL, "per_task": {TASKS[0]: _TASK}},
    }
    scheduler = await place.start("scheduler", "scheduler")
    workers = [await place.start("worker", f"worker-{number}", limits) for number in range(2)]
    for process in (scheduler, *workers):
        await process.ready(120)
    return scheduler, workers


async def _trigger(scheduler: Process, task: str, jobs: int) -> None:
    """Make a backlog of so many jobs, each of a user of its own."""
    port = (await scheduler.wait_for("port_bound", 60))["port"]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        for first in range(0, jobs, _AT_ONCE):
            users = [f"user_{number:07}" for number in range(first, min(first + _AT_ONCE, jobs))]
            body = {"task_type_id": task, "user_ids": users, "execute_immediately": True}
            (await client.post("/schedule/trigger", json=body)).raise_for_status()


def _told(name: str, starts: Sequence[float], rate: float) -> bool:
    """Print what arrived after the warm-up; return whether the limit, whose burst is a second's worth, was held."""
    starts = sorted(starts)
    measured = [at for at in starts if at >= starts[0] + _WARM_UP_S]
    span_s = measured[-1] - measured[0]
    share = (len(measured) - 1) / span_s / rate
    beyond = most_beyond(starts, rate, burst=rate)
    print(f"{name:>12}: {rate:g}/s, {share:.2%} used over {span_s:.1f} s; at most {beyond:.1f} calls beyond the bucket")
    return share >= _GOAL and beyond <= 1 + 0.05 * rate


def most_beyond(starts: Sequence[float], rate: float, burst: float) -> float:
    """Return by how many calls a bucket was exceeded at most; a call that was late on its way counts as it arrived."""
    level, last, most = burst, starts[0], 0.0
    for at in starts:
        level = min(burst, level + (at - last) * rate) - 1
        last, most = at, max(most, -level)
    return most


def main() -> None:
    """Measure; leave with 1 unless both limits were used and kept to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    held = run(lambda: measure(options.seconds))
    print("held" if held else "NOT HELD")
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
