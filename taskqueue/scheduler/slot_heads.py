"""The heads of the slot lists: the users of live occurrences whose jobs are due next."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile

from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress
from taskqueue.core.task import Priority
from taskqueue.runtime import Now
from taskqueue.scheduler.candidate import Candidate
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.gates import Gates
from taskqueue.scheduler.messages import PlannedMessages
from taskqueue.store.lease import Lease
from taskqueue.store.plan import MAX_PARAMETERS_BYTES, PlanStore, SlotUser
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import PreferenceIgnored, SlotEntryIgnored, SlotListGone

#: occurrences looked at in one round; later ones wait until these have moved on
SOURCES_PER_ROUND = 64

_LESS_THAN_A_MILLISECOND = timedelta(microseconds=999)

#: an occurrence whose next job may not go yet is not looked at again for so long, so that it keeps no other out; the
#: longer, the more of them there are, or looking at them would leave no time for others
_HELD_FOR = timedelta(milliseconds=250)
_LONGEST_HELD = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotHead:
    """The head of one occurrence's next slot list: `users` in order, and when the one after them is due.

    `candidates` has one entry for each user; None for an entry of the list that is no user.
    """

    occurrence: Occurrence
    progress: Progress
    users: tuple[SlotUser, ...]
    candidates: tuple[Candidate | None, ...]
    next_due: datetime | None
    #: more users are due than the gates let out
    behind: bool


class SlotHeads:
    """Looks at the live occurrences, takes released users off their lists, and closes what is over."""

    def __init__(
        self, plan: PlanStore, catalog: CatalogWatch, lease: Lease, *, batch_size: int, now: Now, emit: Emit
    ) -> None:
        self._plan = plan
        self._catalog = catalog
        self._lease = lease
        self._batch_size = batch_size
        self._now = now
        self._emit = emit
        #: occurrences whose instant is still to come, by member, and those of them with nothing left to release
        self._upcoming: dict[str, Occurrence] = {}
        self._released_early: set[str] = set()
        #: until when an occurrence is left alone, by member
        self._held: dict[str, datetime] = {}
        #: when the next users of occurrences are due of whom nobody is planned yet whose job is not out
        self._in_planning: list[datetime] = []
        #: the latest look has met occurrences that the next one need not look at: there is nothing left to release
        self.passed_some = False

    def begin(self) -> None:
        """Forget an earlier leadership."""
        self._upcoming.clear()
        self._released_early.clear()
        self._held.clear()

    async def open_due(self, now: datetime) -> None:
        """Note the instants that have come, also where no job is due now."""
        come = [member for member, occurrence in self._upcoming.items() if occurrence.scheduled_at <= now]
        for member in come:
            await self._plan.open(self._lease.token, self._upcoming[member])
            del self._upcoming[member]
            self._released_early.discard(member)

    async def look(self, horizon: datetime, gates: Gates, now: datetime) -> tuple[list[SlotHead], datetime, bool]:
        """Return heads, the instant up to which these are all there is, and whether there are more than one look sees.

        No occurrence hands over more users than its gates would let through, nor more than its share of a round.
        """
        self._held = {member: until for member, until in self._held.items() if now < until <= now + _LONGEST_HELD}
        passed_over = self._released_early | self._held.keys()
        self._in_planning.clear()
        # What is due from then on is not known yet. It is asked for first, for what is planned meanwhile is live then.
        horizon = min(horizon, await self._plan.due.next_after(now) or horizon)
        found = await self._plan.live(horizon, SOURCES_PER_ROUND + len(passed_over) + 1)
        live = [entry for entry in found if entry[0] not in passed_over]
        cut = len(live) > SOURCES_PER_ROUND
        if cut:
            # What `live` tells has no fraction of a millisecond. All that share one are seen, or none of them would go.
            horizon = min(horizon, live[SOURCES_PER_ROUND][1] + _LESS_THAN_A_MILLISECOND)
            live = live[:SOURCES_PER_ROUND]
        heads = await self._heads([member for member, _ in live], horizon, gates, now)
        # Of one that is behind its limit the next users are due already, and pass nobody in the delayed queue.
        unseen = [head.next_due for head in heads if head.next_due is not None and not head.behind]
        unseen += [due for due in self._in_planning if due > now]
        return heads, min([horizon, *unseen]), cut

    async def forget(self, heads: Sequence[SlotHead], confirmed: Collection[Candidate]) -> None:
        """Take the users whose jobs are confirmed off their lists."""
        await asyncio.gather(*(self._trim(head, confirmed) for head in heads))

    def hold(self, heads: Sequence[SlotHead], shut_out: Collection[Candidate], now: datetime) -> bool:
        """Leave those alone for a moment whose next job stands before a shut gate; return whether there are any."""
        held = [head for head in heads if head.candidates[0] is not None and head.candidates[0] in shut_out]
        until = now + min(_LONGEST_HELD, _HELD_FOR * max(1, len(self._held) // SOURCES_PER_ROUND))
        self._held |= {head.occurrence.member: until for head in held}
        return bool(held)

    # --- one look -----------------------------------------------------------------------------------------------------

    async def _heads(self, members: Sequence[str], horizon: datetime, gates: Gates, now: datetime) -> list[SlotHead]:
        records = await self._plan.read(members)
        self.passed_some = len(records) < len(members)
        await asyncio.gather(
            *(self._plan.close(self._lease.token, member) for member in members if member not in records)
        )
        share = max(1, min(self._batch_size, 2 * self._batch_size // max(1, len(records))))
        found = await asyncio.gather(
            *(
                self._head(number, records[member], horizon, share, self._room(records[member], gates, now))
                for number, member in enumerate(members)
                if member in records
            )
        )
        return [head for head in found if head is not None]

    def _room(self, record: tuple[Occurrence, Progress], gates: Gates, now: datetime) -> int | None:
        """Return how many jobs are worth looking at where more are due than may go: those and one more; else None."""
        occurrence, progress = record
        room = gates.room_for(occurrence.task_id, self._priority(occurrence.task_id), now.timestamp())
        behind = occurrence.spread.started(now - occurrence.starts_at) - progress.released
        return None if room is None or behind <= room else room + 1

    async def _head(
        self, source: int, record: tuple[Occurrence, Progress], horizon: datetime, share: int, room: int | None
    ) -> SlotHead | None:
        occurrence, progress = record
        await self._note_instant(occurrence, progress)
        if progress.released >= progress.planned:
            if not progress.complete:
                self._in_planning.append(occurrence.execute_after(progress.released))
            await self._close_if_over(occurrence, progress)
            return None
        most = share if room is None else min(share, room)
        due = self._due_count(occurrence, progress, horizon, most)
        if due <= 0:
            return None
        users = await self._plan.read_slot(occurrence, progress, due)
        if not users:
            await self._pass_over_lost_slot(occurrence, progress)
            return None
        return self._read(source, occurrence, progress, users, behind=room is not None)

    def _due_count(self, occurrence: Occurrence, progress: Progress, horizon: datetime, most: int) -> int:
        """Return how many users of the slot list that is to be released next are due, up to `most`.

        What stands behind the users of the slot was not planned: to release it would leave as many planned ones out.
        """
        started = occurrence.spread.started(horizon - occurrence.starts_at)
        if started == occurrence.users:
            started = progress.planned  # also those by whom the audience grew while it was planned
        return min(most, started - progress.released, _slot_end(occurrence, progress) - progress.released)

    def _read(
        self, source: int, occurrence: Occurrence, progress: Progress, users: Sequence[SlotUser], *, behind: bool
    ) -> SlotHead:
        priority = self._priority(occurrence.task_id)
        following = progress.released + len(users)
        more = not progress.complete or following < progress.planned
        messages = PlannedMessages(occurrence, priority)
        return SlotHead(
            occurrence=occurrence,
            progress=progress,
            users=tuple(users),
            candidates=tuple(
                Candidate(
                    source=source,
                    due=messages.due(index),
                    task_id=occurrence.task_id,
                    priority=priority,
                    message=partial(messages.encode, index, user),
                )
                if user.is_user
                else None
                for index, user in enumerate(users, start=progress.released)
            ),
            next_due=occurrence.execute_after(following) if more else None,
            behind=behind,
        )

    def _priority(self, task_id: str) -> Priority:
        task = self._catalog.definitions.get(task_id)
        return Priority.NORMAL if task is None else task.priority

    # --- what is over -------------------------------------------------------------------------------------------------

    async def _note_instant(self, occurrence: Occurrence, progress: Progress) -> None:
        """Note an instant of the task's own interval as an execution of it, now or when it has come."""
        if occurrence.cohort != DEFAULT_COHORT:
            return  # of tens of thousands none has to stay among the live ones until then
        if occurrence.scheduled_at > self._now():
            self._upcoming[occurrence.member] = occurrence
        elif not progress.opened:
            await self._plan.open(self._lease.token, occurrence)

    async def _trim(self, head: SlotHead, confirmed: Collection[Candidate]) -> None:
        occurrence, progress = head.occurrence, head.progress
        count = sum(1 for _ in takewhile(lambda each: each is None or each in confirmed, head.candidates))
        if count and await self._plan.trim_slot(
            self._lease.token,
            occurrence,
            progress,
            first_user=head.users[0].user_id,
            count=count,
            without_job=head.candidates[:count].count(None),
        ):
            self._tell(occurrence, head.users[:count])
            await self._close_if_over(occurrence, replace(progress, released=progress.released + count))

    def _tell(self, occurrence: Occurrence, users: Sequence[SlotUser]) -> None:
        for user in users:
            if not user.is_user:
                self._emit(
                    SlotEntryIgnored(task=occurrence.task_id, occurrence=occurrence.id, entry=user.user_id[:200])
                )
            elif user.parameters is None:
                text = (
                    f"parameters of user {user.user_id!r} for {occurrence.task_id}: more than {MAX_PARAMETERS_BYTES} "
                    "bytes; the call is made without them"
                )
                self._emit(PreferenceIgnored(user_id=user.user_id, error=text))

    async def _close_if_over(self, occurrence: Occurrence, progress: Progress) -> None:
        if not progress.finished:
            return
        self.passed_some = True
        # Not before its instant, so that an occurrence without users is noted as an execution as well.
        if occurrence.member in self._upcoming:
            self._released_early.add(occurrence.member)
        else:
            await self._plan.close(self._lease.token, occurrence.member)

    async def _pass_over_lost_slot(self, occurrence: Occurrence, progress: Progress) -> None:
        """Go on behind a slot list that does not exist any more: it expired, or somebody deleted it."""
        if not progress.complete:
            return
        slot = occurrence.spread.slot(progress.released)
        count = max(_slot_end(occurrence, progress) - progress.released, 1)
        await self._plan.trim_slot(
            self._lease.token, occurrence, progress, first_user="", count=count, without_job=count
        )
        self._emit(SlotListGone(task=occurrence.task_id, occurrence=occurrence.id, slot=slot, users=count))


def _slot_end(occurrence: Occurrence, progress: Progress) -> int:
    """Return the index behind the last planned user of the slot that is to be released next."""
    spread = occurrence.spread
    following = spread.first_index(spread.slot(progress.released) + 1)
    # Those by whom the audience grew stand in the last slot, behind all others.
    return progress.planned if following >= occurrence.users else min(following, progress.planned)
