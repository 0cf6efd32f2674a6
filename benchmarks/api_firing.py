"""What it takes to let many API tasks run that are due in the same second: queued, released, called.

One scheduler and one worker as operators start them, and an endpoint that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from counter import broker_version
from endpoint import Endpoint, nginx
from report import Goal, Report, machine_of
from stage import Process, Stage, stage

from taskqueue.assets import asset_dir
from taskqueue.core.api_task import ApiPriority, ApiTask, ApiTaskState, TaskStatus, TaskType
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.task import Target
from taskqueue.runtime import run
from taskqueue.store import keys
from taskqueue.store.api_tasks import ApiTaskRow, ApiTaskStore
from taskqueue.store.scripts import Scripts

#: what 10,000 tasks may take on a quiet machine; others in proportion
_OF = 10_000
_FIRED_S, _CALLED_S = 3.0, 8.0

#: how long Redis may do nothing else
_SCRIPT_MS = 10.0

_BULK_SIZE = 1_000

#: seconds from the last task's making to the second in which all are due
_AHEAD_S = 3.0
_MADE_PER_SECOND = 2_000

#: no progress for so long: that is all
_SILENCE_S = 30.0

_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What has been done by then, unix seconds, and the processor time used for it."""

    at: float
    fired: int
    called: int
    leader_s: float
    redis_s: float


async def measure(count: int, path: Path | None) -> None:
    """Let so many tasks be due at once, twice: each kind of rule in equal parts, then cron alone."""
    with nginx(os.environ, print) as endpoint:
        async with stage() as place:
            report = Report(machine=await machine_of(place.store, await broker_version(place.amqp_url)))
            print("API tasks that are due in the same second; " + ", ".join(report.machine.values()))
            for name, types in (("cron, one_time, interval", tuple(TaskType)), ("cron", (TaskType.CRON,))):
                report.part(f"{count:,} tasks: {name}")
                await _round(place, endpoint, report, count, types)
            if path is not None:
                report.write(path)


async def _round(place: Stage, endpoint: Endpoint, report: Report, count: int, types: Sequence[TaskType]) -> None:
    endpoint.clear()
    place.write_tasks(None, 60)
    leader = await place.start("scheduler", "scheduler")
    settings: dict[str, dict[str, object]] = {
        "worker": {"pool_size": 100},
        "rate_limit": {"global": None},
        "guard": {"allow": [endpoint.url.removeprefix("http://").rstrip("/")]},
    }
    worker = await place.start("worker", "worker", settings)
    for process in (leader, worker):
        await process.ready(60)
    instant = await _make(place, endpoint.url, count, types)
    await place.store.command("CONFIG", "SET", "slowlog-log-slower-than", 1_000)
    await place.store.command("SLOWLOG", "RESET")
    moments = await _moments(place, endpoint, leader, instant, count)
    _tell(report, moments, instant, count)
    report.figure("longest script", await _longest_ms(place), "ms", Goal(bound=_SCRIPT_MS))
    keyed = [hit.key for hit in endpoint.hits]
    report.figure("called twice", len(keyed) - len(set(keyed)), "jobs", Goal(bound=0))
    await place.end_all()


async def _make(place: Stage, url: str, count: int, types: Sequence[TaskType]) -> datetime:
    """Make the tasks; return the second in which they are due, which is after the last of them was made."""
    store = ApiTaskStore(place.store, Scripts(place.store, asset_dir("lua")))
    instant = (datetime.now(UTC) + timedelta(seconds=_AHEAD_S + count / _MADE_PER_SECOND)).replace(microsecond=0)
    for first in range(0, count, _BULK_SIZE):
        numbers = range(first, min(first + _BULK_SIZE, count))
        rows = [_task(number, types[number % len(types)], url, instant) for number in numbers]
        await store.create_many(rows)
    if datetime.now(UTC) > instant:
        raise SystemExit("making the tasks took longer than thought; nothing measured")
    return instant


def _task(number: int, kind: TaskType, url: str, instant: datetime) -> ApiTaskRow:
    """Return an ordinary task that is due at `instant`, whatever its rule says of that one."""
    made = instant - timedelta(days=1)
    zone = _ZONES[number % len(_ZONES)]
    rules: dict[TaskType, dict[str, Any]] = {
        TaskType.CRON: {"schedule_expression": f"{instant.minute} * * * *"},
        TaskType.ONE_TIME: {"run_at": instant},
        TaskType.INTERVAL: {"interval": Every(kind=EveryKind.DAILY, value=1, timezone=zone)},
    }
    task = ApiTask(
        task_id=str(uuid.uuid4()),
        task_name=f"report_{number}",
        task_type=kind,
        timezone=zone,
        payload={"format": "pdf", "recipient": f"somebody_{number}@example.com"},
        priority=list(ApiPriority)[number % 3],
        tags={"team": f"team_{number % 100}", "env": "production"},
        target=Target(endpoint=url),
        created_at=made,
        updated_at=made,
        **rules[kind],
    )
    return task, ApiTaskState(status=TaskStatus.SCHEDULED, next_at=instant)


async def _moments(place: Stage, endpoint: Endpoint, leader: Process, instant: datetime, count: int) -> list[Moment]:
    """Look ten times a second until all are called, or nothing has moved for a while."""
    moments = list[Moment]()
    moved = instant.timestamp()
    while True:
        due = await place.store.command("ZCOUNT", keys.API_DUE, "-inf", to_unix_ms(instant))
        moment = Moment(
            at=time.time(),
            fired=count - int(due),
            called=endpoint.look(),
            leader_s=leader.cpu_s(),
            redis_s=await place.redis_cpu_s(),
        )
        if moments and (moment.fired, moment.called) != (moments[-1].fired, moments[-1].called):
            moved = moment.at
        moments.append(moment)
        if moment.called >= count or moment.at - moved > _SILENCE_S:
            return moments
        await asyncio.sleep(0.1)


def _tell(report: Report, moments: Sequence[Moment], instant: datetime, count: int) -> None:
    due_at = instant.timestamp()
    share = max(count / _OF, 0.1)
    fired = next((moment for moment in moments if moment.fired >= count), None)
    if fired is None or moments[-1].called < count:
        report.say(
            f"{moments[-1].fired:,} fired and {moments[-1].called:,} called of {count:,}, and no more for a while"
        )
        return
    report.figure("until all were fired", fired.at - due_at, "s", Goal(bound=_FIRED_S * share))
    report.figure("until all were called", moments[-1].at - due_at, "s", Goal(bound=_CALLED_S * share))
    before = [moment for moment in moments if moment.at <= due_at][-1]
    report.figure("leader, for a task", (moments[-1].leader_s - before.leader_s) / count * 1e6, "µs")
    report.figure("Redis, for a task", (moments[-1].redis_s - before.redis_s) / count * 1e6, "µs")


async def _longest_ms(place: Stage) -> float:
    """Return how long Redis's longest command took since the log of them was emptied, in ms."""
    entries = await place.store.command("SLOWLOG", "GET", -1)
    return max((_microseconds(entry) for entry in entries), default=0.0) / 1e3


def _microseconds(entry: Any) -> float:
    return float(entry["duration"] if isinstance(entry, dict) else entry[2])


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=_OF, help=f"due in the same second: {_OF:,} unless told otherwise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    run(lambda: measure(options.tasks, options.json))


if __name__ == "__main__":
    main()
