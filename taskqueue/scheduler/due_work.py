"""The due work in step with the rules: what is new is set, what is gone removed, what is lost or displaced mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from taskqueue.core.occurrence import rule_text
from taskqueue.core.task import Interval
from taskqueue.runtime import Now
from taskqueue.store.due import DueEntry
from taskqueue.store.plan import PlanStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import DueEntrySetBack, DueWorkRebuilt

#: how long before its instant an occurrence is planned
PLAN_AHEAD = timedelta(seconds=60)

_RULES_PER_CALL = 1000

_MOMENT = timedelta.resolution

#: the member of an entry, and its rule
_Rule = tuple[str, Interval]

#: what the rules come from: the revisions of tasks.yaml and of the cohorts
Revision = tuple[str, int]


class DueWork:
    """Sets, removes and mends due entries while its process leads.

    `wanted` yields member and rule of each entry that there is to be, as of `revision`; `rule_of` returns the rule of
    an entry, None for one that is not wanted. `nobody_yet` says whether no user is known, or it is in doubt who is.
    """

    def __init__(
        self,
        plan: PlanStore,
        wanted: Callable[[], Iterator[tuple[str, Interval]]],
        rule_of: Callable[[DueEntry], Interval | None],
        revision: Callable[[], Revision],
        nobody_yet: Callable[[], bool],
        *,
        check_interval: timedelta,
        now: Now,
        emit: Emit,
    ) -> None:
        self._plan = plan
        self._wanted = wanted
        self._rule_of = rule_of
        self._revision = revision
        self._nobody_yet = nobody_yet
        self._check_interval = check_interval
        self._now = now
        self._emit = emit
        self._synced: Revision | None = None
        #: the members as of then; None: only Redis knows
        self._members: frozenset[str] | None = None
        self._checked_at: datetime | None = None
        #: how many rules there are, as of the last sync
        self._rules = 0
        #: when displaced entries were looked for last, and where the next piece begins
        self._looked_at: datetime | None = None
        self._looked_until = 0
        #: when Redis was found without rules: those of before are lost with all else, or there are no users yet either
        self._empty_at: datetime | None = None

    def begins_empty(self) -> bool:
        """Return whether Redis was found empty within the last PLAN_AHEAD: users are perhaps being written back."""
        return self._empty_at is not None and abs(self._now() - self._empty_at) < PLAN_AHEAD

    def forget(self) -> None:
        """Compare everything anew, and look for lost entries, at the next occasion."""
        self._synced = self._checked_at = self._looked_at = None

    def doubt(self) -> None:
        """Compare everything anew at the next sync."""
        self._synced = None

    async def sync(self, token: str) -> list[DueEntry]:
        """Bring the due work in line with the rules; return what was dropped although its instant had come.

        Raises LeaseLostError.
        """
        state = self._revision()
        if state == self._synced:
            return []
        wanted = dict(self._wanted())  # at once: later on it may be of another revision
        if self._synced is None or self._synced[0] != state[0]:
            await self._plan.due.look_again(token)  # what they wait for may follow another rule now
        gone, new = await self._differences(wanted, state)
        now, dropped = self._now(), list[DueEntry]()
        for start in range(0, max(len(gone), len(new)), _RULES_PER_CALL):
            piece = slice(start, start + _RULES_PER_CALL)
            keep = await asyncio.to_thread(_firsts, new[piece], now)
            changes = await self._plan.due.sync(token, remove=gone[piece], keep=keep)
            dropped += [entry for entry in changes.dropped if entry.at <= now]
        self._synced, self._members, self._rules = state, frozenset(wanted), len(wanted)
        return dropped

    async def _differences(self, wanted: Mapping[str, Interval], state: Revision) -> tuple[list[str], list[_Rule]]:
        """Return the members that are to go, and those that are to be set, with their rules.

        While tasks.yaml stays as it is a member keeps its rule, for a cohort's name comes from it: so with tens of
        thousands of cohorts each that comes or goes does not cost a look at all the others' rules.
        """
        members, self._members = self._members, None  # until all of it is written
        if members is not None and self._synced is not None and self._synced[0] == state[0]:
            return sorted(members - wanted.keys()), [each for each in wanted.items() if each[0] not in members]
        stored = await self._plan.due.rules()
        if not stored and (self._rules or self._nobody_yet()):  # lost, or never there
            self._empty_at = self._now()
        return sorted(stored.keys() - wanted.keys()), await asyncio.to_thread(_changed, wanted, stored)

    async def mend(self, token: str) -> None:
        """Look for lost entries, each `check_interval`. Raises LeaseLostError."""
        now = self._now()
        if not self._is_time(self._checked_at, now):
            return
        # The clock may have been ahead, that of an earlier leader too: then some have ended that have instants yet.
        doubtful = self._checked_at is None or now < self._checked_at
        self._checked_at = now
        counts = await self._plan.due.counts()
        if counts.scored < counts.entries:
            await self._plan.due.look_again(token)
            counts = await self._plan.due.counts()
        if counts.rules != self._rules:
            self._synced = None  # by another hand: the next sync sets the rules right, and what is due by them
        elif counts.lost or (doubtful and counts.ended):
            await self._set_lost(token, now)

    async def set_back(self, token: str) -> None:
        """Each `check_interval`, set entries back that stand more than one interval behind what is due next.

        The clock was ahead when they were set, or somebody else wrote them: they would be silent until then. Entries
        at an instant that their rule does not have are set right too: an older database of time zones put them there.
        Those without a rule are removed: lost ones are found by their number. A piece is looked through at a
        time, the latest first. What was planned of them already has its record. Raises LeaseLostError.
        """
        now = self._now()
        if not self._is_time(self._looked_at, now):
            return
        entries = await self._plan.due.piece(self._looked_until, _RULES_PER_CALL)
        if self._synced is None or self._synced[0] != self._revision()[0]:
            return  # tasks.yaml has changed meanwhile: they follow the rules of before, until the next sync
        self._looked_at = now
        self._looked_until = self._looked_until + _RULES_PER_CALL if len(entries) >= _RULES_PER_CALL else 0
        ruled = [(entry, rule) for entry in entries if (rule := self._rule_of(entry)) is not None]
        if len(ruled) < len(entries):
            strange = {entry.member for entry in entries} - {entry.member for entry, _ in ruled}
            await self._plan.due.sync(token, remove=sorted(strange), keep=[])
            self.doubt()  # should one be wanted after all, the next sync brings it back
        for entry, instant in await asyncio.to_thread(_displaced, ruled, now):
            if await self._plan.move_due(token, entry, instant):
                self._emit(DueEntrySetBack(task=entry.task_id, cohort=entry.cohort, stood_at=entry.at, set_to=instant))

    async def _set_lost(self, token: str, now: datetime) -> None:
        """Let entries that are lost begin at their first instant since the last check, and note which have none.

        What was planned since then already has its record, and is not planned again. Those that are noted as never due
        again begin anew only where they have an instant that nobody can have planned yet.
        """
        wanted, rebuilt = dict(self._wanted()), 0
        members = list(wanted)
        for start in range(0, len(members), _RULES_PER_CALL):
            missing = await self._plan.due.missing(members[start : start + _RULES_PER_CALL])
            lost = [(member, wanted[member]) for member in missing.lost]
            ended = [(member, wanted[member]) for member in missing.ended]
            keep = await asyncio.to_thread(_firsts, lost, now - self._check_interval)
            keep += await asyncio.to_thread(_revived, ended, now)
            if keep:
                rebuilt += (await self._plan.due.sync(token, remove=[], keep=keep)).changed
        if rebuilt:
            self._emit(DueWorkRebuilt(entries=rebuilt))

    def _is_time(self, last: datetime | None, now: datetime) -> bool:
        return last is None or abs(now - last) >= self._check_interval


def _firsts(rules: Sequence[tuple[str, Interval]], after: datetime) -> list[tuple[str, str, datetime | None]]:
    """Return member, rule and first instant of each. Some rules take a tenth of a second, so not on the event loop."""
    return [(member, rule_text(interval), interval.next_after(after)) for member, interval in rules]


def _revived(rules: Sequence[_Rule], now: datetime) -> list[tuple[str, str, datetime | None]]:
    return _firsts([each for each in rules if each[1].next_after(now + PLAN_AHEAD) is not None], now)


def _changed(wanted: Mapping[str, Interval], stored: Mapping[str, str]) -> list[_Rule]:
    return [each for each in wanted.items() if stored.get(each[0]) != rule_text(each[1])]


def _displaced(rules: Sequence[tuple[DueEntry, Interval]], now: datetime) -> list[tuple[DueEntry, datetime | None]]:
    """Return those that stand behind the second instant that is not planned yet, or at none of their rule's instants.

    With each comes where it belongs. Behind the last instant of all nothing belongs, and what has no instant left
    belongs nowhere: None.
    """
    found = list[tuple[DueEntry, datetime | None]]()
    for entry, interval in rules:
        belongs = interval.next_after(now)
        first = interval.next_after(now + PLAN_AHEAD)
        second = None if first is None else interval.next_after(first)
        if entry.at > (second or first or belongs or now) or not _is_instant(entry.at, interval, now):
            found.append((entry, belongs))
    return found


def _is_instant(at: datetime, interval: Interval, now: datetime) -> bool:
    # What has come is not judged: it is being planned, or waits for the occurrence before it.
    return at <= now or interval.next_after(at - _MOMENT) == at
