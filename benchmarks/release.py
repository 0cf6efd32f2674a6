"""The release at full speed: everything due at once, every message counted at the other end of RabbitMQ."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from counter import Counter
from report import Goal, Report
from stage import TASKS, Process, Stage, next_minute

#: how far ahead of its time a job may be released, scheduler.lead
LEAD_S = 60.0

#: no job more came for so long: that is all
_SILENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How much was confirmed by RabbitMQ and forgotten, and the processor time used, at one moment (unix seconds)."""

    at: float
    released: int
    leader_s: float
    redis_s: float


async def measure(place: Stage, report: Report, counter: Counter, *, users: int, window_s: float) -> None:
    """Add the figures of one release of every task for every user."""
    jobs = users * len(TASKS)
    report.part(f"release: {jobs:,} jobs due within {window_s:g} s")
    place.write_tasks(None, window_s)
    leader = await place.start("scheduler", "leader")
    await leader.ready(600)
    instant = next_minute(3)
    place.write_tasks(instant, window_s)
    samples = await _samples(place, leader, instant, jobs)
    planned_at = max([_said_at(line) for line in leader.lines if line["event"] == "occurrence_planned"])
    free_from = max(planned_at, instant.timestamp() + window_s - LEAD_S)
    _speed(report, [sample for sample in samples if sample.at >= free_from], jobs)
    await arrivals(counter)
    _counted(report, counter)
    now, highest = leader.memory_mb()
    report.figure("memory of the leader at the end", now, "MB", note=f"highest so far {highest:,.0f}")
    report.figure("Redis at the end", await place.redis_memory_mb(), "MB")


async def arrivals(counter: Counter) -> None:
    """Return when every job has come, or none for a while."""
    await arrivals_of(counter, counter.expected, _SILENCE_S + LEAD_S)


async def arrivals_of(counter: Counter, jobs: int, silence_s: float) -> None:
    """Return when so many different jobs have come, or none for so long."""
    seen, since = counter.jobs, time.monotonic()
    while counter.jobs - counter.repeated < jobs and time.monotonic() - since < silence_s:
        await asyncio.sleep(0.2)
        if counter.jobs != seen:
            seen, since = counter.jobs, time.monotonic()


async def _samples(place: Stage, leader: Process, instant: datetime, jobs: int) -> list[Sample]:
    """Look four times a second until everything is released, or nothing has moved for a while."""
    samples: list[Sample] = []
    moved = time.time()
    while True:
        released = await place.progress(instant, "released")
        if samples and released != samples[-1].released:
            moved = time.time()
        samples.append(
            Sample(at=time.time(), released=released, leader_s=leader.cpu_s(), redis_s=await place.redis_cpu_s())
        )
        if released >= jobs:
            return samples
        if time.time() - max(moved, instant.timestamp()) > _SILENCE_S:
            raise SystemExit(f"{released} of {jobs} jobs released, and no more for {_SILENCE_S:g} s")
        await asyncio.sleep(0.25)


def _speed(report: Report, samples: list[Sample], jobs: int) -> None:
    if len(samples) < 4 or samples[-1].released - samples[0].released < 1000:
        report.say("released before everything was planned and due: shorten --release-window or raise --users")
        return
    first, last = samples[0], samples[-1]
    seconds, done = last.at - first.at, last.released - first.released
    report.figure("released and confirmed", done / seconds, "jobs/s", note=f"{done:,} of {jobs:,} in {seconds:.1f} s")
    # What a job costs holds on a busy machine as well, where jobs per second do not.
    per_job = (last.leader_s - first.leader_s) / done * 1e6
    report.figure("processor time of the leader for a job", per_job, "µs")
    report.figure("processor time of Redis for a job", (last.redis_s - first.redis_s) / done * 1e6, "µs")
    report.figure("a core while releasing: leader", (last.leader_s - first.leader_s) / seconds * 100, "%")
    report.figure("a core while releasing: Redis", (last.redis_s - first.redis_s) / seconds * 100, "%")


def _counted(report: Report, counter: Counter) -> None:
    seconds = max(0.001, counter.last_at - counter.first_at)
    report.figure("consumed, first to last", counter.jobs / seconds, "jobs/s", note=f"{seconds:.1f} s")
    report.figure("jobs that never came", counter.missing, "jobs", Goal(bound=0))
    report.figure("jobs that came twice", counter.repeated, "jobs", Goal(bound=0))


def _said_at(line: dict[str, object]) -> float:
    return datetime.fromisoformat(str(line["ts"])).timestamp()
