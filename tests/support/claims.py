"""Jobs that are due now, the workers that ask for them, and the terms they ask on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from taskqueue.core.job import Job
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import AdmitTerms, Claimant, JobStore, Switch
from tests.support.values import a_job

KEPT = timedelta(hours=25)
HEARTBEAT_TTL = timedelta(seconds=15)

FIRST = Claimant(incarnation="worker-1:aa", delivery=1)
#: the same worker got the same job again
AGAIN = Claimant(incarnation="worker-1:aa", delivery=2)
OTHER = Claimant(incarnation="worker-2:bb", delivery=1)

TERMS = AdmitTerms(
    switch=Switch.NONE,
    max_age=timedelta(days=366),
    global_limit=None,
    task_limit=None,
    kept=KEPT,
    heartbeat_ttl=HEARTBEAT_TTL,
    rerun_lost=True,
)


def terms(**changes: Any) -> AdmitTerms:
    """Return terms that admit every job that is due, with `changes`."""
    return replace(TERMS, **changes)


def due_job(**changes: Any) -> Job:
    """Return a job that has been due for a second, with `changes`."""
    return a_job(**{"execute_after": datetime.now(UTC) - timedelta(seconds=1)} | changes)


async def watched_for(store: RedisStore, age: timedelta = HEARTBEAT_TTL) -> None:
    """Let somebody have beaten for so long without a pause."""
    seconds, microseconds = await store.command("TIME")
    since_ms = int(seconds) * 1000 + int(microseconds) // 1000 - age // timedelta(milliseconds=1)
    await store.command("SET", keys.FLEET_WATCHED, since_ms, "EX", 60)


async def worker_lives(jobs: JobStore, claimant: Claimant) -> None:
    """Let the heartbeat of that worker stand."""
    await jobs.beat(claimant.incarnation, "{}", HEARTBEAT_TTL)
