"""The release: publish what is due soon, in due order, and forget it only once RabbitMQ has confirmed it.

Three things hold here. A job goes into the delayed queue only if nothing later is before it there, because that queue
gives up its messages from the head. Nothing leaves Redis before its confirm. And what is repeated after a crash has
the same job id, so that the worker knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from taskqueue.broker.names import queue_name, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.codec import MAX_STORED_BYTES, decode_message
from taskqueue.core.lane import Route, route
from taskqueue.core.occurrence import DEFAULT_COHORT, Occurrence, Progress
from taskqueue.core.task import Priority
from taskqueue.errors import BrokerError, LeaseLostError, MessageError
from taskqueue.runtime import Now
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.messages import encoded_job
from taskqueue.store.delayed import DelayedJob, DelayedStore
from taskqueue.store.lease import Lease
from taskqueue.store.plan import MAX_PARAMETERS_BYTES, PlanStore, SlotUser
from taskqueue.telemetry.events import Emit, JobsReleased, PreferenceIgnored, ReleaseMode, SlotListGone

_MILLISECOND = timedelta(milliseconds=1)

#: occurrences looked at in one round; later ones wait until these have moved on
_SOURCES_PER_ROUND = 64

#: the longest rest between two rounds
_REST = timedelta(milliseconds=250)

#: a publish without a confirm for so long counts as unknown and is repeated; below the lease's margin
_CONFIRM_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerms:
    """How far ahead of its time a job goes to RabbitMQ, and how many jobs of a source one round looks at."""

    lead: timedelta
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidate:
    """A job that could be published now: where it comes from and when it is due.

    Two with the same job id are different ones: a retry may wait while its first attempt is released again.
    """

    source: int
    due: datetime
    body: bytes
    job_id: str
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class _SlotHead:
    """The head of one occurrence's next slot list: `users` in order, and when the one after them is due."""

    occurrence: Occurrence
    progress: Progress
    users: tuple[SlotUser, ...]
    candidates: tuple[_Candidate, ...]
    next_due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A delayed job, and its candidate while there is anything to publish."""

    job: DelayedJob
    candidate: _Candidate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one round sees: slot heads, delayed jobs, and the instant up to which these are all there is."""

    heads: Sequence[_SlotHead]
    waiting: Sequence[_Waiting]
    horizon: datetime
    #: more occurrences are due within the lead than one round looks at
    cut: bool

    def candidates(self) -> list[_Candidate]:
        """Return what could be published, in due order."""
        found = [candidate for head in self.heads for candidate in head.candidates]
        found += [waiting.candidate for waiting in self.waiting if waiting.candidate is not None]
        return sorted(
            (candidate for candidate in found if candidate.due <= self.horizon), key=lambda candidate: candidate.due
        )


class Releaser:
    """Publishes planned and delayed jobs while its process leads."""

    def __init__(
        self,
        stores: tuple[PlanStore, DelayedStore],
        publisher: Publisher,
        catalog: CatalogWatch,
        lease: Lease,
        terms: ReleaseTerms,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        self._plan, self._delayed = stores
        self._publisher = publisher
        self._catalog = catalog
        self._lease = lease
        self._lead = terms.lead
        self._batch_size = terms.batch_size
        self._now = now
        self._emit = emit
        self._lane_tail: datetime | None = None
        #: occurrences whose instant is still to come, by member, and those of them with nothing left to release
        self._upcoming: dict[str, Occurrence] = {}
        self._released_early: set[str] = set()

    async def begin(self) -> None:
        """Forget an earlier leadership, and learn how far ahead the delayed queue is filled.

        Where Redis does not say, an earlier leader may have filled it as far as the lead reaches.
        """
        self._upcoming.clear()
        self._released_early.clear()
        self._lane_tail = await self._delayed.lane_tail() or self._now() + self._lead

    async def round(self) -> timedelta:
        """Release once what is due within the lead; return how long to rest.

        Raises LeaseLostError, StoreUnavailableError or BrokerError; whatever was not confirmed is still in Redis.
        """
        now = self._now()
        await self._open_due(now)
        view = await self._look(now + self._lead)
        candidates = view.candidates()
        chosen, held_until = self._route(candidates, now)
        confirmed = await self._publish(chosen)
        await self._forget(view, confirmed)
        self._report(chosen, confirmed)
        if len(chosen) > len(confirmed):
            raise BrokerError(f"RabbitMQ confirmed {len(confirmed)} of {len(chosen)} jobs; the others are tried again")
        if chosen and (view.cut or len(candidates) >= self._batch_size):
            return timedelta(0)
        return _REST if held_until is None else max(timedelta(0), min(_REST, held_until - self._now()))

    # --- what could go ------------------------------------------------------------------------------------------------

    async def _open_due(self, now: datetime) -> None:
        """Note the instants that have come, also where no job is due now."""
        come = [member for member, occurrence in self._upcoming.items() if occurrence.scheduled_at <= now]
        for member in come:
            await self._open(self._upcoming[member])
            del self._upcoming[member]
            self._released_early.discard(member)

    async def _open(self, occurrence: Occurrence) -> None:
        if occurrence.cohort == DEFAULT_COHORT:
            await self._plan.open(self._lease.token, occurrence)

    async def _look(self, horizon: datetime) -> _View:
        found = await self._plan.live(horizon, _SOURCES_PER_ROUND + len(self._released_early) + 1)
        live = [entry for entry in found if entry[0] not in self._released_early]
        cut = len(live) > _SOURCES_PER_ROUND
        if cut:
            horizon = min(horizon, live[_SOURCES_PER_ROUND][1])
            live = live[:_SOURCES_PER_ROUND]
        heads = await self._heads([member for member, _ in live], horizon)
        waiting = await self._delayed.due_until(horizon, self._batch_size)
        if len(waiting) == self._batch_size:
            horizon = min(horizon, waiting[-1].due)
        return _View(
            heads=heads,
            waiting=[_waiting(_SOURCES_PER_ROUND + number, job) for number, job in enumerate(waiting)],
            horizon=min([horizon, *(head.next_due for head in heads if head.next_due is not None)]),
            cut=cut,
        )

    async def _heads(self, members: Sequence[str], horizon: datetime) -> list[_SlotHead]:
        records = await self._plan.read(members)
        await asyncio.gather(
            *(self._plan.close(self._lease.token, member) for member in members if member not in records)
        )
        found = await asyncio.gather(
            *(
                self._head(number, *records[member], horizon)
                for number, member in enumerate(members)
                if member in records
            )
        )
        return [head for head in found if head is not None]

    async def _head(
        self, source: int, occurrence: Occurrence, progress: Progress, horizon: datetime
    ) -> _SlotHead | None:
        if occurrence.scheduled_at > self._now():
            self._upcoming[occurrence.member] = occurrence
        elif not progress.opened:
            await self._open(occurrence)
        if progress.released >= progress.planned:
            await self._close_if_over(occurrence, progress)
            return None
        due = self._due_count(occurrence, progress, horizon)
        if due <= 0:
            return None
        users = await self._plan.read_slot(occurrence, progress, due)
        if not users:
            await self._pass_over_lost_slot(occurrence, progress)
            return None
        task = self._catalog.tasks.get(occurrence.task_id)
        priority = Priority.NORMAL if task is None else task.priority
        following = progress.released + len(users)
        return _SlotHead(
            occurrence=occurrence,
            progress=progress,
            users=tuple(users),
            candidates=tuple(
                _Candidate(
                    source=source,
                    due=occurrence.execute_after(index),
                    body=encoded_job(occurrence, index, user, priority),
                    job_id=occurrence.job_id(user.user_id),
                    priority=priority,
                )
                for index, user in enumerate(users, start=progress.released)
            ),
            next_due=None
            if progress.complete and following >= progress.planned
            else occurrence.execute_after(following),
        )

    def _due_count(self, occurrence: Occurrence, progress: Progress, horizon: datetime) -> int:
        """Return how many users to read: those due until `horizon`, and a batch of them at most."""
        started = occurrence.spread.started(horizon - occurrence.starts_at)
        if started == occurrence.users:
            return self._batch_size  # also those by whom the audience grew while it was planned
        return min(self._batch_size, started - progress.released)

    def _tell_oversized(self, occurrence: Occurrence, users: Sequence[SlotUser]) -> None:
        for user in users:
            if user.parameters is None:
                text = (
                    f"parameters of user {user.user_id!r} for {occurrence.task_id}: more than {MAX_PARAMETERS_BYTES} "
                    "bytes; the call is made without them"
                )
                self._emit(PreferenceIgnored(user_id=user.user_id, error=text))

    async def _close_if_over(self, occurrence: Occurrence, progress: Progress) -> None:
        # Not before its instant, so that an occurrence without users is noted as an execution as well.
        if progress.finished and occurrence.member in self._upcoming:
            self._released_early.add(occurrence.member)
        elif progress.finished:
            await self._plan.close(self._lease.token, occurrence.member)

    async def _pass_over_lost_slot(self, occurrence: Occurrence, progress: Progress) -> None:
        """Go on behind a slot list that does not exist any more: it expired, or somebody deleted it."""
        if not progress.complete:
            return
        slot = occurrence.spread.slot(progress.released)
        following = max(min(occurrence.spread.first_index(slot + 1), progress.planned), progress.released + 1)
        count = following - progress.released
        await self._plan.trim_slot(self._lease.token, occurrence, progress, first_user="", count=count)
        self._emit(SlotListGone(task=occurrence.task_id, occurrence=occurrence.id, slot=slot, users=count))

    # --- which way ----------------------------------------------------------------------------------------------------

    def _route(
        self, candidates: Sequence[_Candidate], now: datetime
    ) -> tuple[list[tuple[_Candidate, Route]], datetime | None]:
        """Return what to publish and how, and when the first job that was held back is due."""
        chosen: list[tuple[_Candidate, Route]] = []
        held: set[int] = set()
        held_until: datetime | None = None
        tail = self._lane_tail or now
        for candidate in candidates:
            way = route(candidate.due, now=now, lane_tail=tail)
            if way is Route.HOLD or candidate.source in held:
                # A slot list is released from its head: what stands behind a held job waits with it.
                held.add(candidate.source)
                held_until = held_until or candidate.due
                continue
            if way is Route.LANE:
                tail = max(tail, candidate.due)
            chosen.append((candidate, way))
        return chosen, held_until

    # --- out, and forgotten -------------------------------------------------------------------------------------------

    async def _publish(self, chosen: Sequence[tuple[_Candidate, Route]]) -> set[_Candidate]:
        """Publish in order; return what RabbitMQ confirmed."""
        if not chosen:
            return set()
        if not self._lease.trusted:
            raise LeaseLostError("the lease could not be renewed in time")
        in_lane = [candidate.due for candidate, way in chosen if way is Route.LANE]
        if in_lane:
            self._lane_tail = max(self._lane_tail or in_lane[-1], in_lane[-1])
            kept_ms = (2 * self._lead + timedelta(minutes=1)) // _MILLISECOND
            await self._delayed.raise_lane_tail(self._lease.token, self._lane_tail, kept_ms)
        now = self._now()
        messages = [
            Outgoing(
                body=candidate.body,
                message_id=candidate.job_id,
                routing_key=routing_key(candidate.priority),
                delay=candidate.due - now if way is Route.LANE else None,
                timestamp=now,
            )
            for candidate, way in chosen
        ]
        results = await self._publisher.publish_all(messages, _CONFIRM_WITHIN_S)
        return {candidate for (candidate, _), error in zip(chosen, results, strict=True) if error is None}

    async def _forget(self, view: _View, confirmed: set[_Candidate]) -> None:
        gone = [each.job for each in view.waiting if each.candidate is None or each.candidate in confirmed]
        await asyncio.gather(
            *(self._trim(head, confirmed) for head in view.heads), self._delayed.remove(self._lease.token, gone)
        )

    async def _trim(self, head: _SlotHead, confirmed: set[_Candidate]) -> None:
        occurrence, progress = head.occurrence, head.progress
        count = sum(1 for _ in takewhile(confirmed.__contains__, head.candidates))
        if count and await self._plan.trim_slot(
            self._lease.token, occurrence, progress, first_user=head.users[0].user_id, count=count
        ):
            self._tell_oversized(occurrence, head.users[:count])
            await self._close_if_over(occurrence, replace(progress, released=progress.released + count))

    def _report(self, chosen: Sequence[tuple[_Candidate, Route]], confirmed: set[_Candidate]) -> None:
        counts: dict[tuple[Priority, ReleaseMode], int] = {}
        for candidate, way in chosen:
            if candidate in confirmed:
                mode: ReleaseMode = "lane" if way is Route.LANE else "direct"
                counts[candidate.priority, mode] = counts.get((candidate.priority, mode), 0) + 1
        for (priority, mode), count in counts.items():
            self._emit(JobsReleased(queue=queue_name(priority), mode=mode, count=count))


def _waiting(source: int, job: DelayedJob) -> _Waiting:
    """Return the job with a source of its own: holding it back holds back no other."""
    if job.body is None:
        return _Waiting(job=job, candidate=None)
    priority = _priority_of(job.body)
    candidate = _Candidate(source=source, due=job.due, body=job.body, job_id=job.job_id, priority=priority)
    return _Waiting(job=job, candidate=candidate)


def _priority_of(body: bytes) -> Priority:
    try:
        return decode_message(body, MAX_STORED_BYTES).job.priority
    except MessageError:
        return Priority.NORMAL  # whoever wrote it there: a worker will say what is wrong with it
