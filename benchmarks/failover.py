"""How long nobody plans and nobody releases when the leader dies or leaves, with every follower's index warm."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from datetime import datetime

from counter import Counter
from release import arrivals
from report import Goal, Report
from stage import TASKS, Process, Stage, next_minute

_CRASH_S, _CLEAN_S = 15.0, 2.0

_LIMITS = {signal.SIGKILL: ("killed (SIGKILL)", Goal(bound=_CRASH_S)), signal.SIGTERM: ("left", Goal(bound=_CLEAN_S))}

#: a leader that makes no progress for so long is not measured but reported
_PATIENCE_S = 60.0


async def measure(place: Stage, report: Report, counter: Counter, *, users: int, window_s: float) -> None:
    """End four leaders of one instant: two while they plan, two while they release; count every job at the end."""
    jobs = users * len(TASKS)
    report.part(f"failover in mid-plan and mid-release: {jobs:,} jobs")
    place.write_tasks(None, window_s)
    schedulers = [await place.start("scheduler", f"scheduler-{number}") for number in range(3)]
    for scheduler in schedulers:
        await scheduler.ready(600)
    instant = next_minute(3)
    place.write_tasks(instant, window_s)
    for number in (signal.SIGKILL, signal.SIGTERM):
        await _end_leader(place, report, schedulers, instant, field="planned", number=number, jobs=jobs)
    schedulers = [each for each in schedulers if each.running]
    schedulers += [await place.start("scheduler", f"scheduler-{number}") for number in range(3, 5)]
    for scheduler in schedulers:
        await scheduler.ready(600)
    for number in (signal.SIGKILL, signal.SIGTERM):
        await _end_leader(place, report, schedulers, instant, field="released", number=number, jobs=jobs)
    await arrivals(counter)
    report.figure("jobs that never came", counter.missing, "jobs", Goal(bound=0))
    # Published and not yet forgotten when the leader was killed: the worker's claim drops these.
    report.figure("jobs that came twice, one batch a kill at most", counter.repeated, "jobs")


async def _end_leader(
    place: Stage,
    report: Report,
    schedulers: Sequence[Process],
    instant: datetime,
    *,
    field: str,
    number: signal.Signals,
    jobs: int,
) -> None:
    """Send the signal once a part of `field` is done since now; add the seconds until another one goes on."""
    what, goal = _LIMITS[number]
    name = f"leader {what} in mid-{'plan' if field == 'planned' else 'release'}: until another goes on"
    leader = await _leader(schedulers)
    start = await place.progress(instant, field)
    if not await _moves(place, instant, field, beyond=start + min(jobs // 50, (jobs - start) // 4)):
        report.say(f"{name}: nothing moved within {_PATIENCE_S:g} s; not measured")
        return
    sent = await leader.end(number)
    # Replies under way when it died are in by now: what moves from here on was done by another.
    stood = await place.progress(instant, field)
    if stood >= jobs:
        report.say(f"{name}: all was done before the signal; raise --users")
        return
    moved = await _moves(place, instant, field, beyond=stood)
    seconds = time.time() - sent if moved else _PATIENCE_S
    took_over = (await _leader(schedulers)).took_over_at - sent
    # What moves is told a round at a time: where rounds are slow, the lease says what was the hand-over itself.
    note = f"had the lease after {took_over:.1f} s; at {stood:,} of {jobs:,}"
    report.figure(name, seconds, "s", goal, note=note)


async def _leader(schedulers: Sequence[Process]) -> Process:
    """Return who leads, as soon as somebody does."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            for scheduler in schedulers:
                if scheduler.leading:
                    return scheduler
            await asyncio.sleep(0.02)


async def _moves(place: Stage, instant: datetime, field: str, *, beyond: int) -> bool:
    """Return True as soon as more than `beyond` are done, False when that takes too long."""
    until = time.monotonic() + _PATIENCE_S + max(0.0, instant.timestamp() - time.time())
    while await place.progress(instant, field) <= beyond:
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True
