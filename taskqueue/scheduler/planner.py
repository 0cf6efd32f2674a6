"""The tick: find what is due, decide each user's slot, write the slot lists.

An occurrence is planned about a minute before its instant, so that its first slot is on time however many users it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from taskqueue.core.due import Due, due_instants
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import JobSource
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress, rule_text, scheduled_occurrence_id
from taskqueue.core.slots import UserOrder
from taskqueue.core.task import CatchUp, Interval, Overlap, Removed, Task
from taskqueue.runtime import Now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.store.due import DueEntry, due_member
from taskqueue.store.plan import Begun, PlanStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import DueWorkRebuilt, OccurrencePlanned, OccurrenceSkipped

#: how long before its instant an occurrence is planned
PLAN_AHEAD = timedelta(seconds=60)

_DUE_PER_TICK = 100
_LIVE_AT_START = 100_000
_RULES_PER_CALL = 1000

#: after so much work in one go the event loop gets its turn
_REST_AFTER_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDefaults:
    """What a task does not say itself, and how many users are written at a time."""

    distribution_window: timedelta
    batch_size: int
    #: how often lost due work is looked for
    check_interval: timedelta = timedelta(minutes=1)
    removed: Removed = Removed.FINISH

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
        self._checked_at: datetime | None = None
        #: rules without due work, for they are never due again
        self._silent = 0
        #: how many rules there are, as of the last sync
        self._rules = 0

    async def resume(self, token: str) -> None:
        """Finish what an earlier leader began to plan."""
        self._synced = self._checked_at = None
        members = [member for member, _ in await self._plan.live(None, _LIVE_AT_START)]
        for occurrence, progress in (await self._plan.read(members)).values():
            if not progress.complete:
                task = self._catalog.tasks.get(occurrence.task_id)
                # Of a removed task only those who stand in a slot list already are called.
                ordered = UserOrder("", expected=0) if task is None else await self._ordered(task, occurrence.cohort)
                began = asyncio.get_running_loop().time()
                await self._fill(token, occurrence, progress, ordered)
                self._planned(occurrence, asyncio.get_running_loop().time() - began)

    async def tick(self, token: str) -> None:
        """Plan everything that is due within PLAN_AHEAD. Raises LeaseLostError or StoreUnavailableError."""
        await self._sync_due(token)
        await self._rebuild_due(token)
        while entries := await self._due_entries():
            moved = [await self._plan_entry(token, entry) for entry in entries]
            if not any(moved):
                return

    async def next_wake(self) -> datetime | None:
        """Return when the next occurrence is to be planned; None when nothing is ever due."""
        due, held = await asyncio.gather(self._plan.due.next(), self._plan.due.next_held())
        wakes = [None if due is None else due - PLAN_AHEAD, held]
        return min((wake for wake in wakes if wake is not None), default=None)

    async def _due_entries(self) -> list[DueEntry]:
        # Some of each, so that many of the one kind never keep the other waiting.
        now = self._now()
        due = await self._plan.due.until(now + PLAN_AHEAD, _DUE_PER_TICK)
        return due + await self._plan.due.held_until(now, _DUE_PER_TICK)

    # --- due work follows tasks.yaml and the cohorts ------------------------------------------------------------------

    async def _sync_due(self, token: str) -> None:
        state = (self._catalog.revision, self._index.cohorts_revision)
        if state == self._synced:
            return
        if self._synced is None or self._synced[0] != state[0]:
            await self._plan.due.look_again(token)  # what they wait for may follow another rule now
            await self._abandon_removed(token)
        wanted = dict(self._wanted_rules())
        stored = await self._plan.due.rules()
        gone = sorted(stored.keys() - wanted.keys())
        new = [(member, interval) for member, interval in wanted.items() if stored.get(member) != rule_text(interval)]
        now = self._now()
        for start in range(0, max(len(gone), len(new)), _RULES_PER_CALL):
            piece = slice(start, start + _RULES_PER_CALL)
            keep = await asyncio.to_thread(_firsts, new[piece], now)
            await self._plan.due.sync(token, remove=gone[piece], keep=keep)
        self._synced, self._rules, self._silent = state, len(wanted), 0

    async def _abandon_removed(self, token: str) -> None:
        if self._defaults.removed is Removed.FINISH:
            return
        live = await self._plan.live(None, _LIVE_AT_START)
        members = [member for member, _ in live if member.partition(":")[0] not in self._catalog.tasks]
        for occurrence, progress in (await self._plan.read(members)).values():
            await self._plan.abandon(token, occurrence, progress)
            self._emit(
                OccurrenceSkipped(
                    task=occurrence.task_id,
                    cohort=occurrence.cohort,
                    scheduled_at=occurrence.scheduled_at,
                    reason="task_removed",
                )
            )

    async def _rebuild_due(self, token: str) -> None:
        """Look for due work that is lost, from time to time: somebody deleted it, and its rule is still there."""
        now, interval = self._now(), self._defaults.check_interval
        if self._checked_at is not None and abs(now - self._checked_at) < interval:
            return
        self._checked_at = now
        counts = await self._plan.due.counts()
        if counts.scored < counts.entries:
            await self._plan.due.look_again(token)
        if counts.rules < self._rules:
            self._synced = None  # somebody deleted the rules: the next sync writes them, and what is due by them
        elif counts.rules - counts.entries > self._silent:
            self._silent = await self._set_lost(token, since=now - interval)

    async def _set_lost(self, token: str, since: datetime) -> int:
        """Let entries without due work begin at their first instant after `since`; return how many have none.

        What was planned since then already has its record, and is not planned again.
        """
        wanted, lost, silent = dict(self._wanted_rules()), 0, 0
        members = list(wanted)
        for start in range(0, len(members), _RULES_PER_CALL):
            missing = await self._plan.due.missing(members[start : start + _RULES_PER_CALL])
            found = await asyncio.to_thread(_firsts, [(member, wanted[member]) for member in missing], since)
            keep = [entry for entry in found if entry[2] is not None]
            lost += await self._plan.due.sync(token, remove=[], keep=keep) if keep else 0
            silent += len(missing) - len(keep)
        if lost:
            self._emit(DueWorkRebuilt(entries=lost))
        return silent

    def _wanted_rules(self) -> Iterator[tuple[str, Interval]]:
        for task in self._catalog.tasks.values():
            if task.enabled:
                yield due_member(task.id, DEFAULT_COHORT), task.rule()
                for cohort, interval in self._index.cohorts(task.id).items():
                    yield due_member(task.id, cohort), task.rule(interval)

    # --- one due entry ------------------------------------------------------------------------------------------------

    async def _plan_entry(self, token: str, entry: DueEntry) -> bool:
        """Plan what is due of `entry`; return whether it moved, so that it is not found again at once."""
        task = self._catalog.tasks.get(entry.task_id)
        interval = self._interval(task, entry.cohort)
        if task is None or interval is None:
            await self._plan.due.sync(token, remove=[entry.member], keep=[])
            self._synced = None  # should it be wanted after all, the next sync brings it back
            return True
        exact = task.overlap is not Overlap.ALLOW
        if exact and entry.at > self._now():
            return await self._plan.due.hold(token, entry)
        due = due_instants(
            interval,
            entry.at,
            now=self._now(),
            ahead=timedelta(0) if exact else PLAN_AHEAD,
            catch_up=_catch_up(task, entry),
            max_age=task.max_age,
        )
        if due.missed:
            self._skipped(entry, "overlap" if entry.waited else "missed")
        if not due.instants:
            return await self._plan.move_due(token, entry, due.following)
        return await self._plan_instants(token, task, interval, entry, due)

    async def _plan_instants(self, token: str, task: Task, interval: Interval, entry: DueEntry, due: Due) -> bool:
        for instant, following in zip(due.instants, (*due.instants[1:], due.following), strict=True):
            begun = await self._plan_instant(token, task, interval, entry, instant, following)
            if not begun:
                return False
            if begun is Begun.HELD:
                return True
            if begun is Begun.SKIPPED:
                self._skipped(replace(entry, at=instant), "overlap")
            if following is not None:
                entry = DueEntry(task_id=entry.task_id, cohort=entry.cohort, at=following)
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
    ) -> Begun:
        began = asyncio.get_running_loop().time()
        ordered = await self._ordered(task, entry.cohort)
        occurrence = self._occurrence(task, interval, entry.cohort, instant, len(ordered))
        begun = await self._plan.begin(token, entry, following, occurrence, task.overlap)
        if begun not in {Begun.OPENED, Begun.EXISTED}:
            return begun
        for opened, progress in (await self._plan.read([occurrence.member])).values():
            if not progress.complete:
                await self._fill(token, opened, progress, ordered)
                self._planned(opened, asyncio.get_running_loop().time() - began)
        return begun

    def _planned(self, occurrence: Occurrence, seconds: float) -> None:
        self._emit(
            OccurrencePlanned(
                task=occurrence.task_id,
                cohort=occurrence.cohort,
                scheduled_at=occurrence.scheduled_at,
                users=occurrence.users,
                seconds=round(seconds, 3),
            )
        )

    def _occurrence(self, task: Task, interval: Interval, cohort: str, instant: datetime, users: int) -> Occurrence:
        now = from_unix_ms(to_unix_ms(self._now()))
        starts_at = max(instant, now)
        following = interval.next_after(starts_at)
        window = self._defaults.window_of(task)
        if following is not None:
            window = min(window, following - starts_at)
        counted = task.overlap is not Overlap.ALLOW
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
            over_by=starts_at + window + task.max_age if counted else None,
        )

    async def _ordered(self, task: Task, cohort: str) -> UserOrder:
        clock = asyncio.get_running_loop().time
        ordered = UserOrder(task.id, expected=self._index.most(task, cohort))
        rested = clock()
        for users in self._index.enabled_users(task, cohort):
            ordered.add(users)
            if clock() - rested > _REST_AFTER_S:
                await asyncio.sleep(0)
                rested = clock()
        return ordered

    async def _fill(self, token: str, occurrence: Occurrence, progress: Progress, ordered: UserOrder) -> None:
        places = ordered.drain(_place(progress.cursor) if progress.cursor else None)
        piece = list(islice(places, self._defaults.batch_size))
        while not progress.complete:
            following = list(islice(places, self._defaults.batch_size))
            last = not following
            cursor = _cursor(piece[-1]) if piece else progress.cursor
            users = [user for _, user in piece]
            if not await self._plan.append(token, occurrence, progress, users, cursor, last=last):
                return  # another run of the same token got here first; the record says how far
            progress = replace(progress, cursor=cursor, planned=progress.planned + len(piece), complete=last)
            piece = following


def _firsts(rules: Sequence[tuple[str, Interval]], after: datetime) -> list[tuple[str, str, datetime | None]]:
    """Return member, rule and first instant of each. Some rules take a tenth of a second, so not on the event loop."""
    return [(member, rule_text(interval), interval.next_after(after)) for member, interval in rules]


def _catch_up(task: Task, entry: DueEntry) -> CatchUp:
    # What waits for another occurrence is not missed: with none, one of several waiting ones starts as well.
    return CatchUp.LATEST if entry.waited and task.catch_up is CatchUp.NONE else task.catch_up


def _cursor(place: tuple[int, str]) -> str:
    key, user = place
    return f"{key:016x}:{user}"


def _place(cursor: str) -> tuple[int, str]:
    key, _, user = cursor.partition(":")
    return int(key, 16), user
