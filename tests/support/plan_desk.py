"""A planner at work: its tasks.yaml, its audience, its clock, and what it has written."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.slots import OrderKeys
from taskqueue.errors import StoreUnavailableError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.planner import Planner
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.plan import PlanStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.users import CustomInterval, Switches
from taskqueue.telemetry.scheduler_events import OccurrenceSkipped
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.scheduling import Clock, EventLog
from tests.support.values import a_record

TEN = datetime(2024, 1, 15, 10, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
HOURLY = {"type": "hourly", "value": 1}
PLAN_BATCH = 7


def names(count: int) -> list[str]:
    """Return user ids."""
    return [f"user-{number}" for number in range(count)]


def in_order(users: Sequence[str], task_id: str = "report") -> list[str]:
    """Return the users as the task spreads them."""
    key_of = OrderKeys(task_id)
    return sorted(users, key=lambda user: (key_of(user), user))


@dataclass(slots=True, kw_only=True)
class Desk:
    """A planner with its tasks.yaml, its audience and its clock, and what it has written."""

    planner: Planner
    plan: PlanStore
    redis: Redis
    index: AudienceIndex
    events: EventLog
    clock: Clock
    token: str

    def enable(self, *users: str, task_id: str = "report") -> None:
        """Switch the task on for the users, and every other task off."""
        for user in users:
            self.index.apply(Switches(user_id=user, on=frozenset({task_id})))

    def wants(self, user: str, interval: Mapping[str, object] | None, task_id: str = "report") -> None:
        """Give the user an interval of their own, or take it away."""
        text = None if interval is None else json.dumps(interval)
        self.index.apply(CustomInterval(user_id=user, task_id=task_id, text=text))

    async def tick_at(self, instant: datetime) -> None:
        """Tick with the clock at this instant."""
        self.clock.time = instant
        await self.planner.tick(self.token)

    async def occurrences(self) -> list[tuple[Occurrence, Progress]]:
        """Return the live occurrences, in the order in which they are due."""
        return list((await self.plan.read([member for member, _ in await self.plan.live(None, 1000)])).values())

    async def slots(self, occurrence: Occurrence, progress: Progress) -> dict[int, list[str]]:
        """Return the users of each slot list of the occurrence that exists."""
        found = {}
        async for key in self.redis.scan_iter(f"taskqueue:distribution:{occurrence.task_id}:*"):
            slot, _, suffix = key.removeprefix(f"taskqueue:distribution:{occurrence.task_id}:").partition(":")
            if suffix == progress.suffix.removeprefix(":"):
                found[int(slot)] = await self.redis.lrange(key, 0, -1)
        return dict(sorted(found.items()))

    async def users_of(self, occurrence: Occurrence, progress: Progress) -> list[str]:
        """Return the users in all slot lists of the occurrence, in slot order."""
        return [user for users in (await self.slots(occurrence, progress)).values() for user in users]

    async def planned(self) -> list[str]:
        """Return the users in all slot lists of all occurrences."""
        return [user for found in await self.occurrences() for user in await self.users_of(*found)]

    async def due(self) -> dict[str, datetime]:
        """Return the due work: when each member is due."""
        entries = await self.redis.zrange("taskqueue:due", 0, -1, withscores=True)
        return {member: datetime.fromtimestamp(score / 1000, UTC) for member, score in entries}


NewDesk = Callable[..., Desk]


async def end_jobs(desk: Desk, occurrence: Occurrence, users: list[str]) -> None:
    """Let the users' jobs of the occurrence end, as their worker tells it."""
    jobs = JobStore(desk.plan._store, desk.plan._scripts)
    for user in users:
        job_id = scheduled_job_id(occurrence.task_id, user, occurrence.scheduled_at)
        job = due_job(id=job_id, task_type_id=occurrence.task_id, user_id=user)
        await jobs.finish(job, FIRST, a_record(job), called=True, kept=KEPT, occurrence=occurrence.id)


async def planned_instants(desk: Desk) -> list[datetime]:
    """Return the instants of the live occurrences, in order."""
    return sorted(occurrence.scheduled_at for occurrence, _ in await desk.occurrences())


def skipped(desk: Desk) -> list[tuple[datetime, str]]:
    """Return instant and reason of all that was told as skipped."""
    return [(event.scheduled_at, event.reason) for event in desk.events.of(OccurrenceSkipped)]


class InterruptedPlanStore(PlanStore):
    """Calls `interrupt` in the append after `after` others; `written`: once it has been written."""

    def __init__(
        self,
        store: RedisStore,
        scripts: Scripts,
        *,
        after: int,
        interrupt: Callable[[], Awaitable[None]],
        written: bool = False,
    ) -> None:
        super().__init__(store, scripts)
        self._after = after
        self._interrupt = interrupt
        self._written = written

    async def append(
        self, token: str, occurrence: Occurrence, progress: Progress, users: Sequence[str], cursor: str, *, last: bool
    ) -> bool:
        self._after -= 1
        if self._after == -1 and self._written:
            await super().append(token, occurrence, progress, users, cursor, last=last)
        if self._after == -1:
            await self._interrupt()
        return await super().append(token, occurrence, progress, users, cursor, last=last)


async def crash() -> None:
    """Lose Redis, as far as the planner can tell."""
    raise StoreUnavailableError("Redis: lost in the middle of a plan")
