"""Limits over two workers, and limits that are set for a while: kept to, used up, and followed within two seconds."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from taskqueue.dev.target import Call
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import Place, System, merged, new_users, trigger

pytestmark = pytest.mark.timeout(120)


async def limits(place: Place, directory: Path, *arguments: str) -> str:
    """Run `taskqueue limits` as an operator would; return what it prints."""
    settings = place.settings()["redis"]
    environment = {**os.environ, **{f"TASKQUEUE_REDIS__{key.upper()}": _text(value) for key, value in settings.items()}}
    config = directory / "operator.yaml"
    config.write_text(f"tasks: {{config_file: {directory / 'tasks.yaml'}}}\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from taskqueue.cli.main import main; main()",
        "limits",
        *arguments,
        "--config",
        str(config),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)


async def backlog(system: System, rate: float | None, users: int, **worker: object) -> tuple[Process, ...]:
    """Run a scheduler and two workers with this limit on `slow`, which has `users` jobs to do."""
    settings = merged(
        {"worker": {"pool_size": 20}, "rate_limit": {"global": None, "per_task": {"slow": rate}, **worker}}
    )
    system.write_tasks(system.task("slow"), system.task("free"))
    scheduler, first = await system.scheduler_and_worker(settings)
    second = await system.worker(settings)
    await second.wait_ready()
    await trigger(scheduler, "slow", new_users(users))
    await system.target.wait_for_calls(1)
    return scheduler, first, second


async def called(system: System, count: int, **headers: str) -> bool:
    return len(system.calls(**headers)) >= count


def starts(calls: Sequence[Call]) -> list[float]:
    return sorted(call.at for call in calls)


def keeps_to(at: Sequence[float], rate: float, burst: float) -> bool:
    """Return whether no span of time saw more than burst + rate·t, give or take one that the network delayed."""
    level, last = burst, at[0]
    for instant in at:
        level = min(burst, level + (instant - last) * rate) - 1
        last = instant
        if level < -1 - 0.05 * rate:  # calls arrive up to 50 ms later than they were admitted
            return False
    return True


@pytest.mark.faults
async def test_two_workers_use_up_a_task_s_and_the_global_limit_and_never_exceed_them(system: System) -> None:
    scheduler, *_ = await backlog(system, 20, 400, **{"global": 50})
    await trigger(scheduler, "free", new_users(800))
    await eventually(lambda: called(system, 250, task="slow"), 40)

    slow, everything = starts(system.calls(task="slow")), starts(system.target.calls)
    assert keeps_to(slow, 20, 20)
    assert keeps_to(everything, 50, 50)
    # The first seconds are those of a leader that learns of the limits; from there on they are used up.
    window = slow[60:250]
    assert (len(window) - 1) / (window[-1] - window[0]) >= 0.95 * 20
    both = [at for at in everything if window[0] <= at <= window[-1]]
    assert (len(both) - 1) / (both[-1] - both[0]) >= 0.95 * 50


async def test_a_raised_limit_counts_within_two_seconds_and_ends_by_itself(system: System, tmp_path: Path) -> None:
    await backlog(system, 1, 2000)

    await limits(system.place, tmp_path, "set", "slow", "100", "--for", "6s")
    set_at = time.time()
    await eventually(lambda: called(system, 150, task="slow"), 15)

    at = starts(system.calls(task="slow"))
    fast = next(first for first, later in zip(at, at[5:], strict=False) if later - first < 1)
    assert fast - set_at <= 2
    assert await limits(system.place, tmp_path, "show", "-o", "table")
    await eventually(lambda: _slow_again(system, set_at + 8), 30)
    assert await system.redis.exists("taskqueue:limits:overrides") == 0


async def _slow_again(system: System, since: float) -> bool:
    """Return whether three calls have come since then, each about a second after the last."""
    at = [instant for instant in starts(system.calls(task="slow")) if instant > since]
    return len(at) >= 4 and at[3] - at[1] >= 1.8


async def test_a_limit_of_nothing_stops_a_task_within_two_seconds_and_fails_no_job(
    system: System, tmp_path: Path
) -> None:
    scheduler, first, second = await backlog(system, 50, 600)
    await limits(system.place, tmp_path, "set", "task:slow", "0", "--for", "1h")
    set_at = time.time()
    await trigger(scheduler, "free", new_users(100))
    await eventually(lambda: called(system, 100, task="free"), 20)
    await eventually(lambda: _passed(set_at + 4), 10)
    assert [at for at in starts(system.calls(task="slow")) if at > set_at + 2] == []

    await limits(system.place, tmp_path, "set", "slow", "500", "--for", "1h")
    await system.drained(scheduler, first, second, within=60)

    done = [call.headers["x-taskqueue-user"] for call in system.calls(task="slow")]
    assert len(done) == len(set(done)) == 600
    assert system.failed.messages == []


async def _passed(instant: float) -> bool:
    return time.time() > instant


@pytest.mark.faults
async def test_after_redis_lost_everything_the_limits_of_worker_yaml_hold(system: System, tmp_path: Path) -> None:
    scheduler, *_ = await backlog(system, 10, 20)
    await eventually(lambda: called(system, 20, task="slow"), 30)
    await limits(system.place, tmp_path, "set", "slow", "0", "--for", "1h")
    await system.redis.flushdb()
    await scheduler.wait_for("leader_changed", leading=True, after=len(scheduler.lines))

    await trigger(scheduler, "slow", new_users(20))

    await eventually(lambda: called(system, 40, task="slow"), 30)
    assert keeps_to(starts(system.calls(task="slow"))[20:], 10, 10)
