"""The release: publish what is due soon, in due order, and forget it only once RabbitMQ has confirmed it.

Four things hold here. A job goes into the delayed queue only if nothing later is before it there, because that queue
gives up its messages from the head. Nothing goes out faster than the limits let workers start it, nor while the ready
queue is full. Nothing leaves Redis before its confirm. And what is repeated after a crash has the same job id, so that
the worker knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskqueue.broker.names import queue_name, routing_key
from taskqueue.broker.publisher import Outgoing, Publisher
from taskqueue.core.lane import Route, route
from taskqueue.core.task import Priority
from taskqueue.core.waiting import queue_limit
from taskqueue.errors import BrokerError, BrokerUnavailableError, LeaseLostError, PublishRefusedError
from taskqueue.runtime import Now
from taskqueue.scheduler.candidate import Candidate, in_order
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.gates import Gates
from taskqueue.scheduler.publishers import Publishers
from taskqueue.scheduler.silent_queues import SilentQueues
from taskqueue.scheduler.slot_heads import SOURCES_PER_ROUND, SlotHead, SlotHeads
from taskqueue.scheduler.waiting_jobs import WaitingJob, WaitingJobs
from taskqueue.store.delayed import DelayedStore
from taskqueue.store.lease import Lease
from taskqueue.store.plan import PlanStore
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.scheduler_events import JobsReleased, LaneClosed, ReleaseMode

_MILLISECOND = timedelta(milliseconds=1)

_NEVER = datetime.max.replace(tzinfo=UTC)

#: the longest rest between two rounds
_REST = timedelta(milliseconds=250)

#: and the shortest before a job that is held: what comes due meanwhile goes out together with it
_LEAST = timedelta(milliseconds=5)

#: a publish without a confirm for so long counts as unknown and is repeated; below the lease's margin
_CONFIRM_WITHIN_S = 5.0

#: how far ahead a round looks while the delayed queue is not used: just far enough to rest until the next job is due
_AHEAD_WITHOUT_LANE = timedelta(seconds=1)

#: the delayed queue is left alone for so long after it refused a job, or confirmed none; then one job tries it
_LANE_CLOSED_FOR = timedelta(seconds=30)

#: only a connection that is down for longer than the others is told: after an outage each comes back in its own time
_LANE_DOWN_FOR = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerms:
    """How far ahead of its time a job goes to RabbitMQ, and how many jobs of a source one round looks at."""

    lead: timedelta
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What one round sees of what is due `until` then: slot heads and waiting jobs; they are all up to `horizon`."""

    heads: Sequence[SlotHead]
    waiting: Sequence[WaitingJob]
    until: datetime
    horizon: datetime
    #: more occurrences are due than one round looks at
    cut: bool
    #: a limit's list may hold more jobs that may go
    more: bool

    def goes_on(self, chosen: Collection[Candidate]) -> bool:
        """Return whether, once `chosen` are out, more is due behind one of them."""
        if (self.more or self.horizon < self.until) and any(waiting.candidate in chosen for waiting in self.waiting):
            return True
        return any(
            head.next_due is not None and head.next_due <= self.until and head.candidates[-1] in chosen
            for head in self.heads
        )

    def candidates(self, now: datetime) -> list[Candidate]:
        """Return what could be published, in the order in which it goes."""
        found = [each for head in self.heads for each in head.candidates if each is not None]
        found += [waiting.candidate for waiting in self.waiting if waiting.candidate is not None]
        # The order matters for the delayed queue alone: what is due already need not wait for what nobody has seen yet.
        return in_order((each for each in found if each.due <= max(self.horizon, now)), now)


@dataclass(slots=True, kw_only=True)
class _Choice:
    """What goes out, in order, and which way; what stands before which shut gate; when the first held job is due."""

    chosen: dict[Candidate, Route]
    shut: dict[Candidate, str]
    held_until: datetime | None = None


class Releaser:
    """Publishes planned and waiting jobs while its process leads."""

    def __init__(
        self,
        stores: tuple[PlanStore, DelayedStore],
        publishers: Publishers,
        catalog: CatalogWatch,
        lease: Lease,
        gates: Gates,
        terms: ReleaseTerms,
        *,
        now: Now,
        emit: Emit,
    ) -> None:
        plan, self._delayed = stores
        self._slots = SlotHeads(plan, catalog, lease, batch_size=terms.batch_size, now=now, emit=emit)
        self._silent = SilentQueues()
        self._waiting = WaitingJobs(self._delayed, lease, batch_size=terms.batch_size, emit=emit)
        self._catalog = catalog
        self._publishers = publishers
        self._lease = lease
        self._gates = gates
        self._lead = terms.lead
        self._per_round = 2 * terms.batch_size
        self._now = now
        self._emit = emit
        self._lane_tail: datetime | None = None
        self._lane_closed_until: datetime | None = None
        #: why the delayed queue was closed last; None once it has confirmed a job since
        self._lane_doubted: str | None = None
        #: jobs went out to the delayed queue of which RabbitMQ has said nothing: it may take them in at any time
        self._lane_unheard = False
        #: held while jobs are put into the delayed queue
        self._filling = asyncio.Lock()
        #: since when the delayed queue's connection alone is down
        self._lane_down_since: datetime | None = None
        #: why jobs go around the delayed queue, as told; None while they go into it
        self._around: str | None = None
        #: the token of the leadership for which RabbitMQ's answers are remembered
        self._begun = ""

    async def begin(self) -> None:
        """Forget an earlier leadership, and learn how far ahead the delayed queue is filled.

        Where Redis does not say, an earlier leader may have filled it as far as the lead reaches. After a round that
        failed, under the same lease, which queues RabbitMQ confirms or refuses nothing for is still known.
        """
        if self._begun != self._lease.token:
            self._silent.begin()
            self._lane_closed_until = None  # why it was closed stays: one job tries it, and tells that it is open
            self._lane_down_since = None
            self._begun = self._lease.token
        self._slots.begin()
        await self._waiting.begin(self._catalog.definitions.values())
        self._lane_tail = await self._delayed.lane_tail() or self._now() + self._lead

    async def lane_ahead(self) -> timedelta:
        """Return how long it is until the last job in the delayed queue is due; 0 when it is due already.

        First it waits until no jobs are being put there: what is due with the last of them, and is sent at once, then
        stands before none that is due earlier.
        """
        async with self._filling:
            now = self._now()
            return max(timedelta(0), self._tail(now) - now)

    async def round(self) -> timedelta:
        """Release once what is due within the lead; return how long to rest.

        Raises LeaseLostError, StoreUnavailableError or BrokerError; whatever was not confirmed is still in Redis.
        """
        now = self._now()
        await self._slots.open_due(now)
        lane_open = self._lane_open(now)
        view = await self._look(now + (self._lead if lane_open else _AHEAD_WITHOUT_LANE), now)
        choice = self._choose(view.candidates(now), lane_open, now)
        for waiting in view.waiting:
            if waiting.limit is not None and waiting.candidate in choice.chosen:
                self._gates.followed(waiting.limit, waiting.candidate.task_id, now.timestamp())
        confirmed: set[Candidate] = set()
        try:
            confirmed = await self._publish(choice.chosen)
        finally:
            self._give_back(choice.chosen, confirmed)
        held = self._slots.hold(view.heads, choice.shut, now)
        await self._slots.forget(view.heads, confirmed)
        await self._waiting.forget(view.waiting, confirmed, _due(choice.shut, now))
        self._report(choice.chosen, confirmed)
        if len(choice.chosen) > len(confirmed):
            raise BrokerError(
                f"RabbitMQ confirmed {len(confirmed)} of {len(choice.chosen)} jobs; the others are tried again"
            )
        if (view.cut and (choice.chosen or held or self._slots.passed_some)) or view.goes_on(choice.chosen):
            return timedelta(0)
        return _REST if choice.held_until is None else max(_LEAST, min(_REST, choice.held_until - self._now()))

    async def _look(self, until: datetime, now: datetime) -> _View:
        heads, all_until, cut = await self._slots.look(until, self._gates, now)
        waiting, waiting_until, more = await self._waiting.look(until, self._gates, now, SOURCES_PER_ROUND)
        return _View(
            heads=heads, waiting=waiting, until=until, horizon=min(all_until, waiting_until), cut=cut, more=more
        )

    # --- which way ----------------------------------------------------------------------------------------------------

    def _choose(self, candidates: Sequence[Candidate], lane_open: bool, now: datetime) -> _Choice:
        choice = _Choice(chosen={}, shut={})
        behind: set[int] = set()
        tail = self._tail(now)
        if not lane_open:
            tail = _NEVER
        for candidate in candidates:
            if len(choice.chosen) >= self._per_round:
                break
            way = route(candidate.due, now=now, lane_tail=tail)
            # A slot list is released from its head: what stands behind a job that stays waits with it.
            if way is Route.HOLD or candidate.source in behind:
                behind.add(candidate.source)
                choice.held_until = choice.held_until or candidate.due
                continue
            gate = self._shut_gate(candidate, way, now)
            if gate is not None:
                behind.add(candidate.source)
                choice.shut[candidate] = gate
                continue
            if way is Route.LANE:
                tail = max(tail, candidate.due) if self._lane_doubted is None else _NEVER
            choice.chosen[candidate] = way
        return choice

    def _shut_gate(self, candidate: Candidate, way: Route, now: datetime) -> str | None:
        """Let a job out; return the limit whose gate is shut, else None."""
        queue, lane = queue_limit(candidate.priority), way is Route.LANE
        if not lane and not self._silent.may_try(queue, now):
            return queue
        due = candidate.due.timestamp() if lane else None
        gate = self._gates.pass_through(candidate.task_id, candidate.priority, due, now.timestamp())
        if gate is None and not lane:
            self._silent.tried(queue, now)
        return gate

    def _give_back(self, chosen: dict[Candidate, Route], confirmed: Collection[Candidate]) -> None:
        """Give the limits back the room of what did not go out: it asks for room again when it is tried again."""
        for candidate, way in chosen.items():
            if candidate not in confirmed:
                self._gates.give_back(candidate.task_id, candidate.due.timestamp() if way is Route.LANE else None)

    def _tail(self, now: datetime) -> datetime:
        """Return when the last job in the delayed queue is due."""
        # After a clock went back, not later than any can be that is there by now: they come out when they would have.
        self._lane_tail = min(self._lane_tail or now, now + self._lead)
        if self._lane_unheard:
            # What is taken in only now, as after an alarm, stands there for as long as its delay was.
            self._lane_tail = now + self._lead
            self._lane_unheard = self._publishers.lane.unconfirmed > 0
        return self._lane_tail

    def _lane_open(self, now: datetime) -> bool:
        """Return whether jobs may go into the delayed queue; else they go straight to their queues when due."""
        closed = self._lane_closed_until
        left_alone = closed is not None and now < closed <= now + _LANE_CLOSED_FOR
        connected, reachable = self._publishers.lane.connection.connected, self._publishers.broker_connected
        self._tell_lane(now, alone_down=reachable and not connected)
        return connected and reachable and not left_alone and not self._gates.lane_stuck

    def _tell_lane(self, now: datetime, *, alone_down: bool) -> None:
        """Tell when jobs begin to go around the delayed queue, and when they no longer do.

        After it refused or was silent it is told open only once a job was confirmed. Of its own connection nothing is
        told before that has been down for a while, nor while RabbitMQ is away: then nothing goes around anything.
        """
        since = self._lane_down_since
        # A clock that went back must not make it longer.
        self._lane_down_since = (now if since is None else min(since, now)) if alone_down else None
        before, around = self._around, self._lane_doubted or ("stuck" if self._gates.lane_stuck else None)
        if around is None and not self._publishers.lane.connection.connected:
            down_since = self._lane_down_since
            around = "disconnected" if down_since is not None and now - down_since >= _LANE_DOWN_FOR else before
        self._around = around
        if (reason := around or before) and (around is None) != (before is None):
            self._emit(LaneClosed(closed=around is not None, reason=reason))

    # --- out, and forgotten -------------------------------------------------------------------------------------------

    async def _publish(self, chosen: dict[Candidate, Route]) -> set[Candidate]:
        """Publish in order; return what RabbitMQ confirmed."""
        if not chosen:
            return set()
        async with self._filling:
            await self._raise_lane_tail([candidate.due for candidate, way in chosen.items() if way is Route.LANE])
            # The last look before the messages go out: those of a leader that slept until now would hold up what the
            # next one puts behind them in the delayed queue.
            if not self._lease.trusted:
                raise LeaseLostError("the lease could not be renewed in time")
            now = self._now()
            groups: dict[tuple[Route, Priority], list[Candidate]] = {}
            for candidate, way in chosen.items():
                # The delayed queue needs one order over all; of the others each goes on while another confirms nothing.
                lane = way is Route.LANE
                groups.setdefault((way, Priority.NORMAL if lane else candidate.priority), []).append(candidate)
            confirmed = await asyncio.gather(*(self._fly(way, group, now) for (way, _), group in groups.items()))
            if self._lane_unheard:  # for a leader to come
                await self._raise_lane_tail([self._now() + self._lead])
        return set[Candidate]().union(*confirmed)

    async def _raise_lane_tail(self, dues: Sequence[datetime]) -> None:
        if dues:
            self._lane_tail = max(self._lane_tail or dues[-1], dues[-1])
            kept_ms = (2 * self._lead + timedelta(minutes=1)) // _MILLISECOND
            await self._delayed.raise_lane_tail(self._lease.token, self._lane_tail, kept_ms)

    async def _fly(self, way: Route, group: Sequence[Candidate], now: datetime) -> set[Candidate]:
        messages = [_outgoing(candidate, way, now) for candidate in group]
        priority = group[0].priority
        if way is Route.LANE:
            publisher = self._publishers.lane
        else:
            publisher = self._publishers.to(priority, silent=self._silent.is_silent(queue_limit(priority)))
        results = await publisher.publish_all(messages, _CONFIRM_WITHIN_S)
        if way is Route.LANE:
            self._lane_unheard |= any(isinstance(error, BrokerUnavailableError) for error in results)
            self._judge_lane(results, now)
        else:
            self._note_silence(priority, results, publisher)
        return {candidate for candidate, error in zip(group, results, strict=True) if error is None}

    def _judge_lane(self, results: Sequence[BrokerError | None], now: datetime) -> None:
        """Leave the delayed queue alone for a while where it refused a job, or confirmed none."""
        if any(isinstance(error, PublishRefusedError) for error in results):
            self._lane_doubted, self._lane_closed_until = "refused", now + _LANE_CLOSED_FOR
        elif self._unheard(results, self._publishers.lane):
            self._lane_doubted, self._lane_closed_until = "silent", now + _LANE_CLOSED_FOR
        elif None in results:
            self._lane_doubted = None

    def _note_silence(self, priority: Priority, results: Sequence[BrokerError | None], publisher: Publisher) -> None:
        queue = queue_limit(priority)
        if self._unheard(results, publisher):
            self._silent.was_silent(queue, self._now())
        elif not all(isinstance(error, BrokerUnavailableError) for error in results):
            self._silent.answered(queue)

    def _unheard(self, results: Sequence[BrokerError | None], publisher: Publisher) -> bool:
        """Return whether there was no word on any of them, although RabbitMQ is there and takes messages."""
        unknown = all(isinstance(error, BrokerUnavailableError) for error in results)
        return unknown and publisher.connection.connected and not self._publishers.blocked

    def _report(self, chosen: dict[Candidate, Route], confirmed: Collection[Candidate]) -> None:
        counts: dict[tuple[Priority, ReleaseMode], int] = {}
        for candidate, way in chosen.items():
            if candidate in confirmed:
                mode: ReleaseMode = "lane" if way is Route.LANE else "direct"
                counts[candidate.priority, mode] = counts.get((candidate.priority, mode), 0) + 1
        for (priority, mode), count in counts.items():
            self._emit(JobsReleased(queue=queue_name(priority), mode=mode, count=count))


def _outgoing(candidate: Candidate, way: Route, now: datetime) -> Outgoing:
    job_id, body = candidate.message()
    return Outgoing(
        body=body,
        message_id=job_id,
        routing_key=routing_key(candidate.priority),
        delay=candidate.due - now if way is Route.LANE else None,
        timestamp=now,
    )


def _due(shut: dict[Candidate, str], now: datetime) -> dict[Candidate, str]:
    return {candidate: limit for candidate, limit in shut.items() if candidate.due <= now}
