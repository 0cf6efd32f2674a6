"""Index, memory, rest, and the plan of one instant for every user of every task, with a warm follower beside."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from counter import Counter
from report import Goal, Report
from stage import TASKS, Process, Stage, next_minute

from taskqueue.core.occurrence import DEFAULT_COHORT, scheduled_occurrence_id
from taskqueue.store import keys

#: what design asks for a million users holds for fewer in proportion
_MILLION = 1_000_000
_INDEX_S, _PLAN_S, _LEADER_MB = 30.0, 20.0, 300.0
_FEWEST_JUDGED = 100_000

#: the first tenth of tasks.reload_interval, 5m: only then the reconciliation begins
_BEFORE_RECONCILIATION_S = 35.0

#: a process needs this much before it knows one user
_BARE_MB = 75.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How much, and for how long each look."""

    users: int
    window_s: float
    rest_s: float
    watch_s: float

    @property
    def share(self) -> float:
        """Of a million users."""
        return self.users / _MILLION

    def goal(self, bound: float) -> Goal | None:
        """Return what is asked for a million in proportion; none for so few that the start counts."""
        return Goal(bound=bound) if self.users >= _FEWEST_JUDGED else None


async def measure(place: Stage, report: Report, counter: Counter, terms: Terms) -> None:
    """Add the figures. The queues are empty before; what is not released stays in Redis."""
    report.part(f"index, rest and plan: {terms.users:,} users")
    report.figure("Redis with the preferences", await place.redis_memory_mb(), "MB")
    place.write_tasks(None, terms.window_s)
    leader = await place.start("scheduler", "leader")
    await _index(report, leader, terms)
    follower = await place.start("scheduler", "follower")
    await follower.ready(600)
    _memory(report, "follower, index warm", follower, terms)
    await _rest(place, report, leader, terms)
    instant = next_minute(65 + 10 * len(TASKS) * max(0.3, terms.share))
    place.write_tasks(instant, terms.window_s)
    await _plan(place, report, leader, instant, terms)
    await _even(place, report, counter, instant, terms)
    _memory(report, "leader, releasing", leader, terms)
    report.figure("Redis while releasing", await place.redis_memory_mb(), "MB")


async def _index(report: Report, leader: Process, terms: Terms) -> None:
    seconds = await leader.ready(600)
    report.figure(
        "cold index", seconds, "s", terms.goal(_INDEX_S * terms.share), note=f"{terms.users / seconds:,.0f} users/s"
    )
    _memory(report, "leader, index warm", leader, terms)


def _memory(report: Report, what: str, process: Process, terms: Terms) -> None:
    now, highest = process.memory_mb()
    goal = terms.goal(_BARE_MB + (_LEADER_MB - _BARE_MB) * terms.share)
    report.figure(f"memory of the {what}", now, "MB", goal, note=f"highest so far {highest:,.0f}")


async def _rest(place: Stage, report: Report, leader: Process, terms: Terms) -> None:
    """Measure what nothing to do costs while the index is compared with Redis, by leader and follower."""
    await asyncio.sleep(_BEFORE_RECONCILIATION_S)
    began, leader_s, redis_s = time.monotonic(), leader.cpu_s(), await place.redis_cpu_s()
    await asyncio.sleep(terms.rest_s)
    passed = time.monotonic() - began
    report.figure("a core at rest, reconciling: leader", (leader.cpu_s() - leader_s) / passed * 100, "%")
    share = (await place.redis_cpu_s() - redis_s) / passed * 100
    report.figure("a core at rest, reconciling: Redis for both", share, "%")


async def _plan(place: Stage, report: Report, leader: Process, instant: datetime, terms: Terms) -> None:
    for task in TASKS:
        planned = await leader.wait_for("occurrence_planned", 600, task=task)
        if planned["users"] != terms.users:
            raise SystemExit(f"{task}: {planned['users']} of {terms.users} users planned")
        seconds = planned["seconds"]
        goal = terms.goal(_PLAN_S * terms.share)
        report.figure(f"plan of {task}", seconds, "s", goal, note=f"{terms.users / max(seconds, 1e-3):,.0f} users/s")
    _memory(report, "leader, all planned", leader, terms)
    report.figure("Redis with the slot lists", await place.redis_memory_mb(), "MB")
    late = time.time() - instant.timestamp()
    if late > 0:
        report.say(f"the plan was ready {late:.1f} s after its instant: evenness tells of catching up")
    occurrence = scheduled_occurrence_id(DEFAULT_COHORT, instant)
    suffix = await place.store.command("HGET", keys.occurrence(TASKS[0], occurrence), "suffix")
    # Of the first slots users are released already; the last one may be shorter than the others.
    whole = range(7, int(terms.window_s // 10))
    lists = [keys.slot(task, number, suffix.decode()) for task in TASKS for number in whole]
    lengths = await place.store.pipeline([("LLEN", key) for key in lists])
    if lengths:
        goal = Goal(bound=1)
        report.figure("fullest less emptiest slot", max(lengths) - min(lengths), "users", goal, note=f"{max(lengths)}")


async def _even(place: Stage, report: Report, counter: Counter, instant: datetime, terms: Terms) -> None:
    """Count what reaches the ready queues from the instant on."""
    await asyncio.sleep(max(0.0, instant.timestamp() - time.time()) + terms.watch_s)
    first, last = int(instant.timestamp()) + 2, int(time.time()) - 1
    expected = terms.users * len(TASKS) / terms.window_s
    seconds = [counter.seconds.get(second, 0) for second in range(first, last)]
    tens = [sum(seconds[start : start + 10]) for start in range(0, len(seconds) - 9, 10)]
    each = f"{min(seconds):,} to {max(seconds):,}; planned {expected:,.1f}"
    report.figure("fullest to emptiest second of arrivals", max(seconds) / max(1, min(seconds)), "ratio", note=each)
    ten = f"{min(tens):,} to {max(tens):,}"
    report.figure("fullest to emptiest ten seconds", max(tens) / max(1, min(tens)), "ratio", Goal(bound=1.1), note=ten)
    report.figure("jobs that came twice", counter.repeated, "jobs", Goal(bound=0))
