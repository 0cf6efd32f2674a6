"""The tick: find what is due, decide each user's slot, write the slot lists.

An occurrence is planned about a minute before its instant, so that its first slot is on time however many users it has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from taskqueue.core.due import MAX_INSTANTS, Due, due_instants
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress, scheduled_occurrence
from taskqueue.core.skipped import SkippedInstants
from taskqueue.core.slots import UserOrder, cursor_of, place_of
from taskqueue.core.task import CatchUp, Interval, Overlap, Removed, Task
from taskqueue.errors import DamagedKeyError, LeaseLostError, PlanningError, StoreError, StoreUnavailableError
from taskqueue.runtime import Now
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.due_work import PLAN_AHEAD, DueWork
from taskqueue.store.due import DueEntry, due_member
from taskqueue.store.plan import Begun, PlanStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import OccurrenceAssumedOver, OccurrencePlanned, OccurrenceSkipped

_DUE_PER_TICK = 100

#: entries of few users are planned beside each other, so many: for each of them Redis is asked three times in turn
_TOGETHER = 16

#: takes the leader's token and what is damaged
SetAside = Callable[[str, DamagedKeyError], Awaitable[bool]]

#: of the instants that were skipped so many are remembered until they are noted, which is all that one look at the due
#: work can bring, and so many noted at a time
_MOST_NOTES = 2 * _DUE_PER_TICK * (MAX_INSTANTS + 1)
_NOTES_PER_CALL = 200

#: instants are told apart by milliseconds
_LEAST = timedelta(milliseconds=1)

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
    """Plans occurrences while its process leads. Every method that writes takes the leader's token.

    `set_aside` moves a damaged key or entry out of the way.
    """

    def __init__(
        self,
        plan: PlanStore,
        index: AudienceIndex,
        catalog: CatalogWatch,
        defaults: PlanDefaults,
        *,
        set_aside: SetAside,
        now: Now,
        emit: Emit,
    ) -> None:
        self._plan = plan
        self._index = index
        self._catalog = catalog
        self._defaults = defaults
        self._now = now
        self._emit = emit
        self._set_aside = set_aside
        self._due_work = DueWork(
            plan,
            self._wanted_rules,
            self._rule_of,
            lambda: (self._catalog.revision, self._index.cohorts_revision),
            self._nobody_yet,
            check_interval=defaults.check_interval,
            now=now,
            emit=emit,
        )
        #: the definitions whose removed tasks are dealt with. Not their revision: a file may be as it was before, and
        #: have been another one while a tick went by it
        self._definitions: Mapping[str, Task] | None = None
        #: what kept entries and occurrences from being planned, by their names, until the end of a tick tells it
        self._failures: dict[str, Exception] = {}
        #: a damaged key has kept an occurrence that was begun from being planned to the end
        self._interrupted = False
        #: rules take milliseconds in which the event loop does nothing else: between two of them others have their turn
        self._one_rule = asyncio.Lock()
        #: instants that were skipped, by the names of their entries, until the tick notes them
        self._notes = deque[tuple[str, SkippedInstants]](maxlen=_MOST_NOTES)

    async def resume(self, token: str) -> None:
        """Finish what an earlier leader began to plan."""
        self._definitions = None
        self._due_work.forget()
        self._failures.clear()
        await self._finish_begun(token)

    async def tick(self, token: str) -> None:
        """Plan everything that is due within PLAN_AHEAD. Raises LeaseLostError or StoreUnavailableError.

        An entry that damaged keys keep from being planned keeps no other; they are set aside, and it is tried again.
        One that anything else keeps from it keeps no other either: PlanningError tells of it when the others are done.
        """
        definitions = self._catalog.definitions
        if definitions is not self._definitions:
            await self._abandon_removed(token)
            self._definitions = definitions
        if self._interrupted:
            await self._finish_begun(token)
        for entry in await self._due_work.sync(token):
            self._skipped(entry, self._why_dropped(entry))
            if len(self._notes) == _MOST_NOTES:
                await self._note_skipped(token)
        await self._due_work.mend(token)
        moved = True
        while moved:
            entries = await self._due_entries()
            moved = any([await self._plan_together(token, piece) for piece in self._pieces(entries)])
            for damaged in self._plan.due.take_damaged():
                await self._set_aside(token, damaged)
                moved = True  # it may have hidden what is behind it
            await self._note_skipped(token)
        await self._due_work.set_back(token)
        self._tell_failures()

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

    async def _abandon_removed(self, token: str) -> None:
        if self._defaults.removed is Removed.FINISH:
            return
        async for records in self._plan.all_live():
            for occurrence, progress in records:
                if occurrence.task_id not in self._catalog.tasks:
                    await self._plan.abandon(token, occurrence, progress)
                    self._skipped(_entry_of(occurrence), "task_removed")

    def _wanted_rules(self) -> Iterator[tuple[str, Interval]]:
        for task in self._catalog.tasks.values():
            if task.enabled:
                yield due_member(task.id, DEFAULT_COHORT), task.rule()
                for cohort, interval in self._index.cohorts(task.id).items():
                    yield due_member(task.id, cohort), task.rule(interval)

    def _rule_of(self, entry: DueEntry) -> Interval | None:
        task = self._catalog.tasks.get(entry.task_id)
        return None if task is None else self._interval(task, entry.cohort)

    def _why_dropped(self, entry: DueEntry) -> str:
        task = self._catalog.tasks.get(entry.task_id)
        if task is None:
            return "task_removed"
        return "rule_changed" if task.enabled else "task_disabled"

    def _pieces(self, entries: Sequence[DueEntry]) -> Iterator[list[DueEntry]]:
        """Yield the entries in order, in pieces of a few with no more users than are written at a time."""
        piece, users = list[DueEntry](), 0
        for entry in entries:
            task = self._catalog.tasks.get(entry.task_id)
            most = 0 if task is None else self._index.most(task, entry.cohort)
            if piece and (len(piece) == _TOGETHER or users + most > self._defaults.batch_size):
                yield piece
                piece, users = [], 0
            piece.append(entry)
            users += most
        if piece:
            yield piece

    async def _plan_together(self, token: str, entries: Sequence[DueEntry]) -> bool:
        """Plan entries beside each other, what each asks of Redis going out together; return whether any moved."""
        plans = (self._plan_or_mend(token, entry) for entry in entries)
        # None is left alone when another one fails: whatever is under way has ended before the lease is given back.
        answers = await asyncio.gather(*plans, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return True in answers

    # --- one due entry ------------------------------------------------------------------------------------------------

    async def _plan_or_mend(self, token: str, entry: DueEntry) -> bool:
        try:
            return await self._plan_entry(token, entry)
        except DamagedKeyError as error:
            self._interrupted = True  # perhaps: the entry may have moved on before the key was met
            await self._set_aside(token, error)
        except (LeaseLostError, StoreUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - what one entry meets must not keep the others from their instants
            self._failures[entry.member] = error
        return False

    async def _finish_begun(self, token: str) -> None:
        self._interrupted = False
        async for records in self._plan.all_live():
            for occurrence, progress in records:
                if not progress.complete:
                    await self._go_on_or_note(token, occurrence, progress)

    async def _go_on_or_note(self, token: str, occurrence: Occurrence, progress: Progress) -> None:
        try:
            await self._go_on(token, occurrence, progress)
        except DamagedKeyError as error:
            self._interrupted = True
            await self._set_aside(token, error)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - what one occurrence meets must not keep the others from being planned
            self._failures[occurrence.member] = error

    def _tell_failures(self) -> None:
        failures, self._failures = self._failures, {}
        if failures:
            member, error = next(iter(failures.items()))
            others = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
            raise PlanningError(f"{member} cannot be planned: {type(error).__name__}: {error}{others}") from error

    async def _plan_entry(self, token: str, entry: DueEntry) -> bool:
        """Plan what is due of `entry`; return whether it moved, so that it is not found again at once."""
        task = self._catalog.tasks.get(entry.task_id)
        interval = self._interval(task, entry.cohort)
        if task is None or interval is None:
            await self._plan.due.sync(token, remove=[entry.member], keep=[])
            self._due_work.doubt()  # should it be wanted after all, the next sync brings it back
            return True
        # Users who are being imported, or written back after a loss, are not to miss the instant.
        exact = task.overlap is not Overlap.ALLOW or self._nobody_yet() or self._due_work.begins_empty()
        if exact and entry.at > self._now():
            return await self._plan.due.hold(token, entry)
        async with self._one_rule:
            await asyncio.sleep(0)
            due = due_instants(
                interval,
                entry.at,
                now=self._now(),
                ahead=timedelta(0) if exact else PLAN_AHEAD,
                catch_up=_catch_up(task, entry),
                max_age=task.max_age,
            )
        if due.missed:
            first_kept = due.instants[0] if due.instants else due.following
            self._skipped(entry, "overlap" if entry.waited else "missed", until=first_kept)
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
                self._skipped(replace(entry, at=instant), "overlap", until=following)
            if following is not None:
                entry = DueEntry(task_id=entry.task_id, cohort=entry.cohort, at=following)
        return True

    def _nobody_yet(self) -> bool:
        return not len(self._index) or self._index.in_doubt

    def _interval(self, task: Task | None, cohort: str) -> Interval | None:
        if task is None or not task.enabled:
            return None
        if cohort == DEFAULT_COHORT:
            return task.rule()
        interval = self._index.cohorts(task.id).get(cohort)
        return None if interval is None else task.rule(interval)

    def _skipped(self, entry: DueEntry, reason: str, *, until: datetime | None = None) -> None:
        """Tell that the entry's instants are skipped, from its own to before `until`; without that, those that came."""
        now = self._now()
        skipped = SkippedInstants(
            first=entry.at, until=until or max(now, entry.at + _LEAST), reason=reason, noted_at=now
        )
        self._notes.append((entry.member, skipped))
        self._emit(OccurrenceSkipped(task=entry.task_id, cohort=entry.cohort, scheduled_at=entry.at, reason=reason))

    async def _note_skipped(self, token: str) -> None:
        while self._notes:
            piece = list(islice(self._notes, _NOTES_PER_CALL))
            await self._plan.due.note_skipped(token, piece)
            for _ in piece:
                self._notes.popleft()

    async def _plan_instant(
        self, token: str, task: Task, interval: Interval, entry: DueEntry, instant: datetime, following: datetime | None
    ) -> Begun:
        began = asyncio.get_running_loop().time()
        ordered = await self._ordered(task, entry.cohort)
        occurrence = scheduled_occurrence(
            task,
            entry.cohort,
            interval,
            instant,
            following,
            users=len(ordered),
            window=self._defaults.window_of(task),
            now=self._now(),
        )
        begun = await self._plan.begin(token, entry, following, occurrence, task.overlap, max_age=task.max_age)
        if begun is Begun.OPENED_AFTER_BOUND:
            self._emit(OccurrenceAssumedOver(task=task.id, cohort=entry.cohort, followed_at=instant))
        if begun not in {Begun.OPENED, Begun.EXISTED, Begun.OPENED_AFTER_BOUND}:
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
                redis_was_empty=self._due_work.begins_empty(),
            )
        )

    async def _ordered(self, task: Task, cohort: str, cursor: str = "") -> UserOrder:
        clock = asyncio.get_running_loop().time
        first = place_of(cursor)[0] if cursor else 0
        ordered = UserOrder(task.id, expected=self._index.most(task, cohort), first=first)
        rested = clock()
        for users in self._index.enabled_users(task, cohort):
            ordered.add(users)
            if clock() - rested > _REST_AFTER_S:
                await asyncio.sleep(0)
                rested = clock()
        return ordered

    async def _go_on(self, token: str, occurrence: Occurrence, progress: Progress) -> None:
        began = asyncio.get_running_loop().time()
        task = self._catalog.tasks.get(occurrence.task_id)
        if task is None:
            ordered = UserOrder("", expected=0)  # only those who stand in a slot list already are called
        else:
            ordered = await self._ordered(task, occurrence.cohort, progress.cursor)
        await self._fill(token, occurrence, progress, ordered)
        self._planned(occurrence, asyncio.get_running_loop().time() - began)

    async def _fill(self, token: str, occurrence: Occurrence, progress: Progress, ordered: UserOrder) -> None:
        places = ordered.drain(place_of(progress.cursor) if progress.cursor else None)
        piece = list(islice(places, self._defaults.batch_size))
        while not progress.complete:
            following = list(islice(places, self._defaults.batch_size))
            last = not following
            cursor = cursor_of(*piece[-1]) if piece else progress.cursor
            users = [user for _, user in piece]
            if not await self._plan.append(token, occurrence, progress, users, cursor, last=last):
                return  # another run of the same token got here first; the record says how far
            progress = replace(progress, cursor=cursor, planned=progress.planned + len(piece), complete=last)
            piece = following


def _catch_up(task: Task, entry: DueEntry) -> CatchUp:
    # What waits for another occurrence is not missed: with none, one of several waiting ones starts as well.
    return CatchUp.LATEST if entry.waited and task.catch_up is CatchUp.NONE else task.catch_up


def _entry_of(occurrence: Occurrence) -> DueEntry:
    return DueEntry(task_id=occurrence.task_id, cohort=occurrence.cohort, at=occurrence.scheduled_at)
