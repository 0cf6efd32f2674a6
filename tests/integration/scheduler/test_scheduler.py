from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from redis.asyncio import Redis

from taskqueue.broker.connection import Session
from taskqueue.broker.names import QUEUES
from taskqueue.config.catalog import task_to_json
from taskqueue.core.codec import decode_message
from taskqueue.core.instants import rfc3339
from taskqueue.core.task import Priority
from taskqueue.errors import ConfigError
from taskqueue.runtime import utc_now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.telemetry.events import CatalogReloaded, LoopFailed, PortBound
from taskqueue.telemetry.scheduler_events import AudienceCounted, OccurrencePlanned
from tests.support.inbox import Consume, eventually
from tests.support.scheduling import NewScheduler, RunningScheduler, TasksFile, task_of, task_type


def soon(**fields: object) -> dict[str, object]:
    """A task that is due in three seconds, once a day."""
    at = (utc_now() + timedelta(seconds=3)).strftime("%H:%M:%S")
    return task_type("report", {"type": "daily", "at_time": at}, distribution_window="1s", **fields)


async def ready(running: RunningScheduler) -> None:
    async def all_checks() -> bool:
        return all(running.scheduler.ready().values())

    await eventually(all_checks, 20)


async def http(running: RunningScheduler) -> httpx.AsyncClient:
    port = (await running.events.wait_for(PortBound)).port
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)


async def test_an_occurrence_reaches_rabbitmq_for_each_enabled_user(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis, session: Session, broker_url: str
) -> None:
    for user in ("ann", "bob"):
        await redis.hset(f"taskqueue:users:{user}:tasks", "report", "1")
    tasks_file.write(soon())
    consume = Consume(url=broker_url)

    async with consume.stack:
        inbox = await consume({Priority.NORMAL: 10})
        running = await new_scheduler("only")
        jobs = [decode_message((await inbox.next(20)).body).job for _ in range(2)]

    assert sorted(job.user_id for job in jobs) == ["ann", "bob"]
    assert [event.users for event in running.events.of(OccurrencePlanned)] == [2]
    assert running.events.of(LoopFailed) == []

    async def noted() -> bool:
        return await redis.get("taskqueue:schedule:report") == rfc3339(jobs[0].scheduled_at)

    await eventually(noted)


async def test_a_follower_is_as_ready_as_the_leader_and_health_says_who_leads(
    new_scheduler: NewScheduler, tasks_file: TasksFile
) -> None:
    tasks_file.write(task_type("report"))
    first = await new_scheduler("first")
    await first.leads()
    second = await new_scheduler("second")
    for running in (first, second):
        await ready(running)

    healths = []
    for running in (first, second):
        async with await http(running) as client:
            answer = await client.get("/health")
            healths.append(answer.json())
            assert (answer.status_code, (await client.get("/readyz")).status_code) == (200, 200)

    assert [health["leader"] for health in healths] == [True, False]
    assert healths[1]["audience"] == {"users": 0, "complete": True, "age": 0}
    assert healths[1]["tasks"] == {"revision": first.scheduler.catalog.revision, "count": 1, "error": None}


async def test_a_follower_hears_of_a_change_as_the_leader_does(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis
) -> None:
    tasks_file.write(task_type("report"))
    await redis.hset("taskqueue:users:ann:tasks", "report", "1")
    leader = await new_scheduler("first")
    await leader.leads()
    follower = await new_scheduler("second")
    for running in (leader, follower):
        await ready(running)

    await redis.hset("taskqueue:users:bob:tasks", "report", "1")
    await redis.delete("taskqueue:users:ann:tasks")

    for running in (leader, follower):

        async def heard(index: AudienceIndex = running.scheduler.index) -> bool:
            pieces = index.enabled_users(task_of(task_type("report")), "")
            return [user for piece in pieces for user in piece] == ["bob"]

        await eventually(heard, 5)
    assert [running.scheduler.health()["leader"] for running in (leader, follower)] == [True, False]


async def test_health_names_what_is_missing(new_scheduler: NewScheduler, tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report"))
    running = await new_scheduler("alone", addresses=("127.0.0.1:1",))

    async with await http(running) as client:
        answer = await client.get("/health")
        status = await client.get("/schedule/status/report")

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["checks"]["redis"] is False
    assert (status.status_code, status.headers["content-type"]) == (503, "application/problem+json")


async def test_a_changed_tasks_file_reaches_the_workers_and_the_plan(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis
) -> None:
    tasks_file.write(task_type("report"))
    running = await new_scheduler("only")
    await running.leads()

    entry = task_type("sync", {"type": "hourly"})
    tasks_file.write(task_type("report"), entry)
    reloaded = await running.events.wait_for(CatalogReloaded, lambda event: event.tasks == 2)

    async def written() -> bool:
        return await redis.get("taskqueue:catalog:revision") == reloaded.revision

    async def planned() -> bool:
        return await redis.zscore("taskqueue:due", "sync") is not None

    await eventually(written)
    await eventually(planned)
    assert await redis.hget("taskqueue:catalog", "sync") == task_to_json(task_of(entry))


@pytest.mark.parametrize("key", ["taskqueue:catalog", "taskqueue:catalog:revision"])
async def test_definitions_that_somebody_deletes_are_written_again(
    key: str, new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis
) -> None:
    tasks_file.write(task_type("report"))
    running = await new_scheduler("only")
    await running.leads()

    async def written() -> bool:
        return bool(await redis.exists("taskqueue:catalog", "taskqueue:catalog:revision") == 2)

    await eventually(written)
    await redis.delete(key)
    await eventually(written)

    assert await redis.hkeys("taskqueue:catalog") == ["report"]


async def test_the_audience_of_each_task_is_counted(
    new_scheduler: NewScheduler, tasks_file: TasksFile, redis: Redis
) -> None:
    tasks_file.write(task_type("report"))
    running = await new_scheduler("only")

    await redis.hset("taskqueue:users:ann:tasks", "report", "1")

    counted = await running.events.wait_for(AudienceCounted, lambda event: event.users == 1)
    assert counted.task == "report"


async def test_it_does_not_start_without_a_valid_tasks_file(new_scheduler: NewScheduler, tasks_file: TasksFile) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.yaml"):
        await new_scheduler("first")


async def test_it_declares_what_it_needs_on_the_broker(
    new_scheduler: NewScheduler, tasks_file: TasksFile, session: Session
) -> None:
    tasks_file.write(task_type("report"))
    async with session.passing_channel("deleting the queues") as channel:
        for queue in QUEUES:
            await channel.queue_delete(queue)

    await ready(await new_scheduler("first"))

    async with session.passing_channel("looking for the queues") as channel:
        for queue in QUEUES:
            await channel.queue_declare(queue, passive=True)
