"""RabbitMQ short of memory while a scheduler leads: it waits, keeps the lease and all jobs, and goes on by itself."""

from __future__ import annotations

from redis.asyncio import Redis

from taskqueue.dev.services import RabbitMQ
from taskqueue.runtime import utc_now
from taskqueue.telemetry.events import PublishingBlocked
from taskqueue.telemetry.scheduler_events import JobsReleased, LeaseLost
from tests.support.inbox import eventually
from tests.support.rabbitmq_control import set_memory_alarm
from tests.support.release_dock import SECOND, put_back
from tests.support.scheduling import NewScheduler, TasksFile, task_type


async def test_during_an_alarm_a_leader_keeps_the_lease_and_the_jobs_and_releases_them_once_after_it(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, rabbitmq: RabbitMQ
) -> None:
    tasks_file.write(task_type("report"))
    leader = await new_scheduler("leader")
    await leader.leads()
    await leader.scheduler.normal.wait_ready(15)

    async def all_out() -> bool:
        return sum(event.count for event in leader.events.of(JobsReleased)) >= 4

    await set_memory_alarm(rabbitmq, on=True)
    try:
        began = utc_now()
        for number in range(4):
            await put_back(redis, f"user-{number}", began + number * SECOND / 2)
        await leader.events.wait_for(PublishingBlocked, lambda event: event.blocked)
        health = leader.scheduler.health()
        released, waiting = leader.events.of(JobsReleased), await redis.keys("taskqueue:delayed:job:*")
    finally:
        await set_memory_alarm(rabbitmq, on=False)
    await eventually(all_out, 15)

    assert (health["status"], health["leader"], health["publishing"]) == ("healthy", True, "blocked")
    assert (released, len(waiting)) == ([], 4)
    assert leader.events.of(LeaseLost) == []
    assert sum(event.count for event in leader.events.of(JobsReleased)) == 4
    assert leader.scheduler.health()["publishing"] == "ok"
