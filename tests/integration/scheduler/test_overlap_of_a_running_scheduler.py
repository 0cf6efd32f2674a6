from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import to_unix_ms
from taskqueue.runtime import utc_now
from taskqueue.store.jobs import JobStore
from taskqueue.store.plan import PlanStore
from taskqueue.telemetry.scheduler_events import OccurrencePlanned
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.inbox import eventually
from tests.support.scheduling import NewScheduler, TasksFile, task_type
from tests.support.values import a_record


def in_half_an_hour() -> dict[str, object]:
    """An interval whose own instants lie away from the test."""
    return {"type": "daily", "at_time": (utc_now() + timedelta(minutes=30)).strftime("%H:%M")}


async def test_what_waits_starts_within_seconds_of_the_last_end(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, plan: PlanStore
) -> None:
    await redis.hset("taskqueue:users:ann:tasks", "report", "1")
    tasks_file.write(task_type("report", in_half_an_hour(), overlap="queue", catch_up="all", distribution_window="0s"))
    running = await new_scheduler("only")
    await running.leads()

    async def due() -> bool:
        return bool(await redis.zcard("taskqueue:due"))

    await eventually(due)
    first = datetime.fromtimestamp(int(utc_now().timestamp()) - 2, UTC)
    await redis.zadd("taskqueue:due", {"report": to_unix_ms(first)})
    planned = await running.events.wait_for(OccurrencePlanned)
    assert (planned.scheduled_at, planned.users) == (first, 1)
    await redis.zadd("taskqueue:due", {"report": to_unix_ms(first + timedelta(seconds=1))})

    async def held() -> bool:
        return bool(await redis.zcard("taskqueue:due:held")) and not await due()

    await eventually(held)
    assert len(running.events.of(OccurrencePlanned)) == 1
    job = due_job(id=scheduled_job_id("report", "ann", first), task_type_id="report", user_id="ann")
    occurrence = f"{first:%Y%m%dT%H%M%SZ}"
    jobs = JobStore(plan._store, plan._scripts)
    await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT, occurrence=occurrence)

    following = await running.events.wait_for(OccurrencePlanned, lambda event: event.scheduled_at > first, within=3)
    assert following.scheduled_at == first + timedelta(seconds=1)
