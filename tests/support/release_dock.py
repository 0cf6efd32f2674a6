"""A releaser at work: what it takes from Redis, and the ready queues that it fills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from redis.asyncio import Redis

from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.codec import decode_message, encode_message
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import Job, JobMessage, JobSource, Metadata
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress, scheduled_occurrence_id
from taskqueue.core.task import Priority
from taskqueue.runtime import utc_now
from taskqueue.scheduler.release import Releaser
from taskqueue.store.due import DueEntry
from taskqueue.store.plan import PlanStore
from taskqueue.telemetry.scheduler_events import JobsReleased
from tests.support.inbox import Inbox
from tests.support.scheduling import EventLog

SECOND = timedelta(seconds=1)

#: how many jobs of a source one round looks at
RELEASE_BATCH = 50


def names(count: int, mark: str = "user") -> list[str]:
    """Return user ids, in the order in which they sort."""
    return [f"{mark}-{number:03}" for number in range(count)]


async def put_back(
    redis: Redis,
    user: str,
    due: datetime,
    *,
    job_id: str = "",
    attempt: int = 2,
    priority: Priority = Priority.HIGH,
) -> str:
    """Put a job back to wait, as a worker does; return its id."""
    job_id = job_id or f"job-of-{user}"
    body = encode_message(
        JobMessage(
            job=Job(
                id=job_id,
                task_type_id="report",
                user_id=user,
                scheduled_at=due,
                execute_after=due,
                attempt=attempt,
                priority=priority,
                payload=b"{}",
                created_at=due,
            ),
            metadata=Metadata(correlation_id="", source="scheduler"),
        )
    )
    key = f"taskqueue:delayed:job:{job_id}"
    await redis.hset(key, mapping={"message": body, "attempt": attempt})
    await redis.hincrby(key, "generation", 1)
    await redis.zadd("taskqueue:delayed", {job_id: to_unix_ms(due)})
    return job_id


@dataclass(slots=True, kw_only=True)
class Dock:
    """A releaser, what it takes from Redis, and the ready queues that it fills."""

    releaser: Releaser
    plan: PlanStore
    publisher: Publisher
    redis: Redis
    token: str
    inbox: Inbox
    events: EventLog
    #: added to the real time to get the releaser's
    ahead: timedelta = timedelta(0)
    arrived: list[tuple[JobMessage, datetime]] = field(default_factory=list)

    async def planned(
        self,
        users: Sequence[str],
        at: datetime,
        *,
        task_id: str = "report",
        window: timedelta = timedelta(0),
        cohort: str = DEFAULT_COHORT,
        complete: bool = True,
    ) -> Occurrence:
        """Plan an occurrence with these users, in this order."""
        at = from_unix_ms(to_unix_ms(at))
        occurrence = Occurrence(
            id=scheduled_occurrence_id(cohort, at),
            task_id=task_id,
            cohort=cohort,
            source=JobSource.SCHEDULER,
            scheduled_at=at,
            starts_at=at,
            created_at=at - 60 * SECOND,
            window=window,
            users=len(users),
            correlation_id="test",
        )
        entry = DueEntry(task_id=task_id, cohort=cohort, at=at)
        await self.redis.zadd("taskqueue:due", {entry.member: to_unix_ms(at)})
        assert await self.plan.begin(self.token, entry, None, occurrence)
        _, progress = (await self.plan.read([occurrence.member]))[occurrence.member]
        assert await self.plan.append(self.token, occurrence, progress, users, "cursor", last=complete)
        return occurrence

    async def delayed(self, user: str, due: datetime, *, job_id: str = "", attempt: int = 2) -> str:
        """Put a job back to wait, as a worker does; return its id."""
        return await put_back(self.redis, user, due, job_id=job_id, attempt=attempt)

    async def lane_reaches(self, tail: datetime) -> None:
        """Have the delayed queue filled up to there, as far as the releaser knows."""
        await self.redis.set("taskqueue:lane_tail", to_unix_ms(tail))
        await self.releaser.begin()

    async def take(self, count: int, within: float = 15) -> list[str]:
        """Return the users of the next jobs that reach the ready queues, in the order in which they come."""
        users = []
        for _ in range(count):
            delivery = await self.inbox.next(within)
            message = decode_message(delivery.body)
            await delivery.ack()
            self.arrived.append((message, utc_now()))
            users.append(message.job.user_id)
        return users

    async def nothing_came(self) -> None:
        """Check that nothing was published since: a message that is published now comes first."""
        for priority in ("normal", "high"):
            marker = Outgoing(body=b"", message_id="marker", routing_key=f"jobs.{priority}")
            await self.publisher.publish(marker, 10)
            delivery = await self.inbox.next(10)
            assert delivery.message_id == "marker"
            await delivery.ack()

    async def progress(self, occurrence: Occurrence) -> Progress:
        """Return how far the occurrence has got."""
        return (await self.plan.read([occurrence.member]))[occurrence.member][1]

    async def live(self) -> list[str]:
        """Return the members of the live occurrences."""
        return [member for member, _ in await self.plan.live(None, 1000)]

    def released(self) -> dict[str, int]:
        """Return how many jobs went each way."""
        counts: dict[str, int] = {}
        for event in self.events.of(JobsReleased):
            counts[event.mode] = counts.get(event.mode, 0) + event.count
        return counts

    async def until_released(self, count: int | None = None, within: float = 20) -> None:
        """Release in rounds, as the leader does, until `count` jobs went out; without it: until nothing is left."""

        async def over() -> bool:
            if count is not None:
                return sum(self.released().values()) >= count
            return not await self.live() and not await self.redis.zcard("taskqueue:delayed")

        async with asyncio.timeout(within):
            while not await over():
                rest = await self.releaser.round()
                await asyncio.sleep(rest.total_seconds())


NewDock = Callable[..., Awaitable[Dock]]
