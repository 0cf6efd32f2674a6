"""How late calls arrive: from the instant a job is due to its request at the endpoint, at 500 jobs a second.

Beside it, in the same run, 1,000 one-shot jobs over 30 s: ours, those of APScheduler 3 and Celery's ETA. The peers are
timed when their function starts, in their own process; ours when the HTTP request has arrived.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from counter import broker_version
from peers import Peers
from report import Goal, Report, machine_of
from stage import TASKS, Process, Stage, next_minute, stage

from taskqueue.core.slots import Spread, order_key
from taskqueue.dev.target import Call, Target
from taskqueue.runtime import run

_TASK = TASKS[0]

#: after the last job was due
_PATIENCE_S = 60.0

_ONE_SHOTS, _ONE_SHOTS_WINDOW_S = 1_000, 30.0


async def measure(users: int, window_s: float, workers: int, result: Path | None) -> None:
    """Print lateness at the full rate, then beside the peers."""
    async with stage() as place, Target() as target:
        report = Report(machine=await machine_of(place.store, await broker_version(place.amqp_url)))
        print(f"lateness; {workers} worker processes; " + ", ".join(report.machine.values()))
        report.part(f"{users:,} jobs over {window_s:g} s: {users / window_s:,.0f} jobs/s")
        await _ours(place, report, target, users, window_s, workers)
        report.part(f"{_ONE_SHOTS:,} one-shot jobs over {_ONE_SHOTS_WINDOW_S:g} s")
        await _ours(place, report, target, _ONE_SHOTS, _ONE_SHOTS_WINDOW_S, workers)
        async with Peers.found(report) as peers:
            for question, name in (("aps_lateness", "APScheduler 3"), ("celery_lateness", "Celery ETA")):
                if peers.available:
                    late = await peers.ask(question, jobs=_ONE_SHOTS, window_s=_ONE_SHOTS_WINDOW_S)
                    _tell(report, name, late, _ONE_SHOTS)
        if result is not None:
            report.write(result)


async def _ours(place: Stage, report: Report, target: Target, users: int, window_s: float, workers: int) -> None:
    target.clear()
    await place.load_users(users)
    place.write_tasks(None, window_s)
    scheduler = await place.start("scheduler", "scheduler")
    settings: dict[str, dict[str, object]] = {"worker": {"pool_size": 100}, "rate_limit": {"global": None}}
    running = [await place.start("worker", f"worker-{number}", settings) for number in range(workers)]
    for process in (scheduler, *running):
        await process.ready(120)
    # Planned a minute ahead, as in life.
    instant = next_minute(65)
    place.write_tasks(instant, window_s, target.url + "/ok", tasks=1)
    await _planned(scheduler)
    seconds = (instant - datetime.now(instant.tzinfo)).total_seconds() + window_s
    try:
        await target.wait_for_calls(users, timeout_s=seconds + _PATIENCE_S)
    except TimeoutError:
        report.say(f"only {len(target.calls):,} of {users:,} calls arrived")
    _tell(report, "taskqueue", lateness(target.calls, instant, users, window_s), users)
    for process in running:
        await process.end(signal.SIGTERM)  # cut off, they would leave jobs that come again
    await place.end_all()
    await place.store.command("FLUSHDB", "ASYNC")


async def _planned(scheduler: Process) -> None:
    await scheduler.wait_for("occurrence_planned", 180, task=_TASK)


def lateness(calls: Sequence[Call], instant: datetime, users: int, window_s: float) -> list[float]:
    """Return arrival less due time of each first call, in seconds; due is computed here, from the published rule."""
    spread = Spread(window=timedelta(seconds=window_s), users=users)
    names = sorted((f"user_{number:07d}" for number in range(users)), key=lambda user: (order_key(_TASK, user), user))
    due = {user: (instant + spread.offset(index)).timestamp() for index, user in enumerate(names)}
    first: dict[str, float] = {}
    for call in calls:
        first.setdefault(call.headers["x-taskqueue-user"], call.at)
    return [at - due[user] for user, at in first.items()]


def _tell(report: Report, who: str, late: Sequence[float], jobs: int) -> None:
    """Add the percentiles, in milliseconds; the targets are those of ours."""
    if not late:
        report.say(f"{who}: no job started")
        return
    ordered = sorted(late)
    ours = who == "taskqueue"
    figures = {"p50": (0.5, 250.0), "p99": (0.99, 1000.0)}
    for name, (share, bound) in figures.items():
        value = ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3
        report.figure(f"{who}, {name}", value, "ms", Goal(bound=bound) if ours else None)
    report.figure(f"{who}, latest", ordered[-1] * 1e3, "ms")
    report.figure(f"{who}, earliest", ordered[0] * 1e3, "ms", Goal(bound=0, at_least=True) if ours else None)
    report.figure(f"{who}, jobs that never started", jobs - len(late), "jobs", Goal(bound=0) if ours else None)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=30_000, help="jobs, one for each user: 30,000")
    parser.add_argument("--window", type=float, default=60, metavar="S", help="seconds they are spread over: 60")
    parser.add_argument("--workers", type=int, default=1, help="worker processes: 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    run(lambda: measure(options.users, options.window, options.workers, options.json))


if __name__ == "__main__":
    main()
