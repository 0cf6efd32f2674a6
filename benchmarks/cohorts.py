"""Users with an interval each of their own, all due at the same instant: as many occurrences, of one job each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import combinations, islice

from counter import Counter
from release import arrivals_of
from report import Goal, Report
from stage import TASKS, Process, Stage, next_minute

from taskqueue.store import keys
from taskqueue.store.connection import Argument

#: an occurrence is planned so long before its instant: whatever takes longer is late
_AHEAD_S = 60.0

#: no job came for so long behind the instant: that is all
_SILENCE_S = 30.0

#: users whose intervals are written at a time
_WRITTEN_AT_ONCE = 1000

#: what one interval takes until it is in the due work, where much else runs beside
_PATIENCE_S_EACH = 0.02
_PATIENCE_S = 60.0


async def measure(place: Stage, report: Report, counter: Counter, cohorts: int) -> None:
    """Add what a real scheduler needs from the preferences to the due work, then to the plan, and to the queue."""
    report.part(f"cohorts: {cohorts:,} users with an interval each of their own, due at the same instant")
    place.write_tasks(None, 0, tasks=1)
    leader = await place.start("scheduler", "leader")
    await leader.ready(60)
    patience_s = _PATIENCE_S + cohorts * _PATIENCE_S_EACH
    instant = next_minute(_AHEAD_S + patience_s / 4)
    began, cpu_s = time.time(), leader.cpu_s()
    await _write(place, instant, cohorts)
    # All of them, and the task's own.
    await _until_stored(place, cohorts + 1, patience_s)
    seconds = time.time() - began
    each = (leader.cpu_s() - cpu_s) / cohorts * 1e6
    report.figure("from the preferences into the due work", seconds, "s", note=f"{each:,.0f} µs of the leader for each")
    cpu_s, redis_s = leader.cpu_s(), await place.redis_cpu_s()
    seconds = await _planned(leader, cohorts, patience_s + _AHEAD_S)
    note = f"{cohorts / seconds:,.0f} occurrences/s"
    report.figure("plan, first to last occurrence", seconds, "s", Goal(bound=_AHEAD_S), note=note)
    await arrivals_of(counter, cohorts, max(0.0, instant.timestamp() - time.time()) + _SILENCE_S)
    per_job = (leader.cpu_s() - cpu_s) / cohorts * 1e6
    report.figure("processor time of the leader for one, planned and released", per_job, "µs")
    report.figure("and of Redis", (await place.redis_cpu_s() - redis_s) / cohorts * 1e6, "µs")
    report.figure("last job in its ready queue, after the instant", counter.last_at - instant.timestamp(), "s")
    report.figure("memory of the leader", leader.memory_mb()[0], "MB")
    report.figure("jobs that never came", cohorts - (counter.jobs - counter.repeated), "jobs", Goal(bound=0))
    report.figure("jobs that came twice", counter.repeated, "jobs", Goal(bound=0))
    await place.end_all()
    await place.store.command("FLUSHDB")
    counter.forget()


def _crons(instant: datetime) -> Iterator[str]:
    """Yield different expressions that are all due at `instant`, and else on four other days of that month."""
    days = [day for day in range(1, 29) if day != instant.day]
    for others in combinations(days, 4):
        listed = ",".join(map(str, (instant.day, *others)))
        yield f"{instant.minute} {instant.hour} {listed} {instant.month} *"


async def _write(place: Stage, instant: datetime, cohorts: int) -> None:
    await place.load_users(cohorts)
    commands: list[tuple[Argument, ...]] = [
        (
            "HSET",
            keys.user_settings(f"user_{number:07d}", TASKS[0]),
            "custom_interval",
            json.dumps({"type": "cron", "cron": cron}),
        )
        for number, cron in enumerate(islice(_crons(instant), cohorts))
    ]
    for start in range(0, cohorts, _WRITTEN_AT_ONCE):
        await place.store.pipeline(commands[start : start + _WRITTEN_AT_ONCE])


async def _until_stored(place: Stage, rules: int, within_s: float) -> None:
    until = time.monotonic() + within_s
    while (stored := int(await place.store.command("HLEN", keys.DUE_RULES))) < rules:
        if time.monotonic() > until:
            raise SystemExit(f"{stored} of {rules} rules in the due work within {within_s:g} s")
        await asyncio.sleep(0.1)


async def _planned(leader: Process, cohorts: int, within_s: float) -> float:
    until = time.monotonic() + within_s
    while len(lines := [line["ts"] for line in leader.lines if line["event"] == "occurrence_planned"]) < cohorts:
        if time.monotonic() > until:
            raise SystemExit(f"{len(lines)} of {cohorts} occurrences planned")
        await asyncio.sleep(0.5)
    first, last = (datetime.fromisoformat(ts).timestamp() for ts in (lines[0], lines[-1]))
    return max(last - first, 1e-3)
