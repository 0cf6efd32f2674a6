"""The tick: find what is due, decide each user's slot, write the slot lists.

An occurrence is planned about a minute before its instant, so that its first slot is on time however many users it has.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.due import due_instants
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress, rule_text, scheduled_occurrence_id
from taskqueue.core.task import Interval, Task
from taskqueue.runtime import Now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.store.plan import DueEntry, PlanStore, due_member
from taskqueue.telemetry.events import Emit, OccurrencePlanned, OccurrenceSkipped

#: how long before its instant an occurrence is planned
PLAN_AHEAD = timedelta(seconds=60)

_DUE_PER_TICK = 100
_LIVE_AT_START = 100_000
_RULES_PER_CALL = 1000

#: sorting more users than this would hold up the event loop for too long
_SORT_IN_THREAD = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDefaults:
    """What a task does not say itself, and how many users are written at a time."""

    distribution_window: timedelta
    batch_size: int

    def window_of(self, task: Task) -> timedelta:
        """Return how long the task's jobs are spread over; what the task says wins."""
        return self.distribution_window if task.distribution_window is None else task.distribution_window


class Planner:
    """Plans occurrences while its process leads. Every method that writes takes the leader's token."""

    def __init__(
        self,
        plan: PlanStore,
        index: AudienceIndex,
        catalog: CatalogWatch,
        defaults: PlanDefaults,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        self._plan = plan
        self._index = index
        self._catalog = catalog
        self._defaults = defaults
        self._now = now
        self._emit = emit
        self._synced: tuple[str, int] | None = None

    async def resume(self, token: str) -> None:
        """Finish what an earlier leader began to plan."""
        self._synced = None
        members = [member for member, _ in await self._plan.live(None, _LIVE_AT_START)]
        for occurrence, progress in (await self._plan.read(members)).values():
            if not progress.complete:
                task = self._catalog.tasks.get(occurrence.task_id)
                # Of a removed task only those who stand in a slot list already are called.
                ordered = [] if task is None else await self._ordered(task, occurrence.cohort)
                await self._fill(token, occurrence, progress, ordered)

    async def tick(self, token: str) -> None:
        """Plan everything that is due within PLAN_AHEAD. Raises LeaseLostError or StoreUnavailableError."""
        await self._sync_due(token)
        while entries := await self._plan.due_until(self._now() + PLAN_AHEAD, _DUE_PER_TICK):
            planned = [await self._plan_entry(token, entry) for entry in entries]
            if not any(planned):
                return

    async def next_wake(self) -> datetime | None:
        """Return when the next occurrence is to be planned; None when nothing is ever due."""
        due = await self._plan.next_due()
        return None if due is None else due - PLAN_AHEAD

    # --- due work follows tasks.yaml and the cohorts ------------------------------------------------------------------

    async def _sync_due(self, token: str) -> None:
        state = (self._catalog.revision, self._index.cohorts_revision)
        if state == self._synced:
            return
        wanted = dict(self._wanted_rules())
        stored = await self._plan.due_rules()
        gone = sorted(stored.keys() - wanted.keys())
        new = [(member, interval) for member, interval in wanted.items() if stored.get(member) != rule_text(interval)]
        now = self._now()
        for start in range(0, max(len(gone), len(new)), _RULES_PER_CALL):
            piece = slice(start, start + _RULES_PER_CALL)
            keep = [(member, rule_text(interval), interval.next_after(now)) for member, interval in new[piece]]
            await self._plan.sync_due(token, remove=gone[piece], keep=keep)
        self._synced = state

    def _wanted_rules(self) -> Iterator[tuple[str, Interval]]:
        for task in self._catalog.tasks.values():
            if task.enabled:
                yield due_member(task.id, DEFAULT_COHORT), task.rule()
                for cohort, interval in self._index.cohorts(task.id).items():
                    yield due_member(task.id, cohort), task.rule(interval)

    # --- one due entry ------------------------------------------------------------------------------------------------

    async def _plan_entry(self, token: str, entry: DueEntry) -> bool:
        task = self._catalog.tasks.get(entry.task_id)
        interval = self._interval(task, entry.cohort)
        if task is None or interval is None:
            self._synced = None  # the entry's task or cohort is gone: the next sync removes it
            return False
        due = due_instants(
            interval, entry.at, now=self._now(), ahead=PLAN_AHEAD, catch_up=task.catch_up, max_age=task.max_age
        )
        if due.missed:
            self._skipped(entry, "missed")
        if not due.instants:
            return await self._plan.move_due(token, entry, due.following)
        for instant, following in zip(due.instants, (*due.instants[1:], due.following), strict=True):
            if not await self._plan_instant(token, task, interval, entry, instant, following):
                return False
            if following is not None:
                entry = replace(entry, at=following)
        return True

    def _interval(self, task: Task | None, cohort: str) -> Interval | None:
        if task is None or not task.enabled:
            return None
        if cohort == DEFAULT_COHORT:
            return task.rule()
        interval = self._index.cohorts(task.id).get(cohort)
        return None if interval is None else task.rule(interval)

    def _skipped(self, entry: DueEntry, reason: str) -> None:
        self._emit(OccurrenceSkipped(task=entry.task_id, cohort=entry.cohort, scheduled_at=entry.at, reason=reason))

    async def _plan_instant(
        self, token: str, task: Task, interval: Interval, entry: DueEntry, instant: datetime, following: datetime | None
    ) -> bool:
        began = asyncio.get_running_loop().time()
        ordered = await self._ordered(task, entry.cohort)
        occurrence = self._occurrence(task, interval, entry.cohort, instant, len(ordered))
        if not await self._plan.begin(token, entry, following, occurrence):
            return False
        record = await self._plan.read([occurrence.member])
        if occurrence.member in record:
            occurrence, progress = record[occurrence.member]
            await self._fill(token, occurrence, progress, ordered)
        seconds = asyncio.get_running_loop().time() - began
        self._emit(
            OccurrencePlanned(
                task=task.id, cohort=entry.cohort, scheduled_at=instant, users=len(ordered), seconds=round(seconds, 3)
            )
        )
        return True

    def _occurrence(self, task: Task, interval: Interval, cohort: str, instant: datetime, users: int) -> Occurrence:
        now = from_unix_ms(to_unix_ms(self._now()))
        starts_at = max(instant, now)
        following = interval.next_after(starts_at)
        window = self._defaults.window_of(task)
        if following is not None:
            window = min(window, following - starts_at)
        occurrence_id = scheduled_occurrence_id(cohort, instant)
        return Occurrence(
            id=occurrence_id,
            task_id=task.id,
            cohort=cohort,
            source=JobSource.SCHEDULER,
            scheduled_at=instant,
            starts_at=starts_at,
            created_at=now,
            window=window,
            users=users,
            correlation_id=f"{task.id}:{occurrence_id}",
        )

    async def _ordered(self, task: Task, cohort: str) -> list[tuple[int, str]]:
        if self._index.count(task) > _SORT_IN_THREAD:
            return await asyncio.to_thread(self._index.ordered, task, cohort)
        return self._index.ordered(task, cohort)

    async def _fill(
        self, token: str, occurrence: Occurrence, progress: Progress, ordered: list[tuple[int, str]]
    ) -> None:
        start = bisect_right(ordered, _place(progress.cursor)) if progress.cursor else 0
        while not progress.complete:
            piece = ordered[start : start + self._defaults.batch_size]
            start += len(piece)
            last = start >= len(ordered)
            cursor = _cursor(piece[-1]) if piece else progress.cursor
            users = [user for _, user in piece]
            if not await self._plan.append(token, occurrence, progress, users, cursor, last=last):
                return  # another run of the same token got here first; the record says how far
            progress = replace(progress, cursor=cursor, planned=progress.planned + len(piece), complete=last)


def _cursor(place: tuple[int, str]) -> str:
    key, user = place
    return f"{key:016x}:{user}"


def _place(cursor: str) -> tuple[int, str]:
    key, _, user = cursor.partition(":")
    return int(key, 16), user
