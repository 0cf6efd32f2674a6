"""An endpoint that is down, in virtual time: the leader's gates and the workers' host limits over one list of jobs.

What decides is the product's own: Gates, Hosts, decide. Redis, RabbitMQ and the endpoint are lists and numbers here,
and time passes from event to event.
"""

from __future__ import annotations

import random
from bisect import insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import cast

from taskqueue.core.host_limit import HostReport, host_of, over_all_workers
from taskqueue.core.outcome import Outcome, outcome_of_failure, outcome_of_status
from taskqueue.core.retry import Complete, Retry, RetryPolicy, decide
from taskqueue.core.task import Priority, Target
from taskqueue.core.waiting import host_limit
from taskqueue.scheduler.gates import PLACES_EVERY_S, Gates
from taskqueue.store.hosts import HostReports, HostStore
from taskqueue.store.limits import Limit, Limits
from taskqueue.worker.hosts import Hosts, Passage
from tests.support.fakes import targeting

#: a Sunday in 2026, in unix seconds
BEGIN = 1_795_300_000.0

TASK = targeting(Target(endpoint="https://api.example.com/reports"))
HOST = host_of(TASK.target.endpoint)
HOST_LIMIT = host_limit(HOST)

#: how often something may happen that no job brings about: a look of the leader, a share of a worker
TICK_S = 0.05

#: the longest that a job sleeps for its host in a worker's hands
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint that is down from `down_from` to `back_at`, in seconds from the beginning.

    Down, it refuses after `refuses_in_s`; well, it takes `answers_in_s`, and refuses what is more than `most` at a time
    with 503.
    """

    down_from: float
    back_at: float
    refuses_in_s: float = 0.002
    answers_in_s: float = 0.05
    most: float = float("inf")

    def meets(self, at: float, in_flight: int) -> tuple[Outcome, float]:
        """Return what a call meets that begins `at` beside so many others, and after how many seconds."""
        if self.down_from <= at < self.back_at:
            return outcome_of_failure("connection_refused", "", effect_unknown=False), self.refuses_in_s
        return outcome_of_status(200 if in_flight < self.most else 503), self.answers_in_s


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    """A job in a list: in the order of `place`."""

    place: float
    number: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One call that was made, `at` seconds from the beginning."""

    at: float
    job: int
    attempt: int
    good: bool


class _Reports:
    """What workers tell each other, in place of the store."""

    def __init__(self) -> None:
        self._said: dict[str, Mapping[str, HostReport]] = {}

    async def tell(self, incarnation: str, hosts: Mapping[str, HostReport], _now: datetime) -> None:
        self._said[incarnation] = hosts

    async def read(self, _now: datetime, *, prune: bool = False) -> HostReports:
        found = defaultdict[str, dict[str, HostReport]](dict)
        for incarnation, hosts in self._said.items():
            for host, report in hosts.items():
                found[host][incarnation] = report
        return found


@dataclass(slots=True, kw_only=True)
class _Worker:
    hosts: Hosts
    free: int
    sleepers: int
    asleep: int = 0
    share_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Ended:
    """How many calls a job had, and how it ended: `success` or the reason of its failure."""

    calls: int
    how: str


class Outage:
    """Runs jobs, due in seconds from the beginning. `calls` and `ended` tell what became of them."""

    def __init__(
        self,
        endpoint: Endpoint,
        policy: RetryPolicy,
        *,
        rate: float | None = None,
        workers: int = 2,
        hands: int = 10,
        seed: int = 1,
    ) -> None:
        self.calls: list[Made] = []
        self.ended: dict[int, Ended] = {}
        self.rate = rate
        self._endpoint = endpoint
        self._policy = policy
        self._random = random.Random(seed)
        self._at = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._in_flight = 0
        self._reports = _Reports()
        self._workers = [self._worker(number, hands) for number in range(workers)]
        self._gates = Gates(50_000)
        self._gates.targets_are({TASK.id: HOST_LIMIT})
        if rate is not None:
            self._gates.limits_are(Limits(tasks={TASK.id: Limit(rate=rate, burst=rate)}))
        self._hosts_at = 0.0
        #: what is due by its time; the lists of limits; the ready queue
        self._due: list[_Waiting] = []
        self._lists = defaultdict[str, list[_Waiting]](list)
        self._ready: deque[_Waiting] = deque()
        self._born: dict[int, float] = {}

    def _worker(self, number: int, hands: int) -> _Worker:
        hosts = Hosts(
            cast(HostStore, self._reports),
            f"worker-{number}",
            most_calls=hands,
            now=self._now,
            jitter=self._random.random,
            emit=lambda _event: None,
        )
        return _Worker(hosts=hosts, free=hands, sleepers=max(1, hands // 4))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(BEGIN + self._at, UTC)

    # --- what happened ------------------------------------------------------------------------------------------------

    def per_second(self, *, good: bool | None = None) -> Counter[int]:
        """Return how many calls were made in each second, of all of them or of the good or bad ones alone."""
        return Counter(int(call.at) for call in self.calls if good in {None, call.good})

    # --- time ---------------------------------------------------------------------------------------------------------

    async def run(self, dues: Sequence[float], *, until: float) -> None:
        """Let time pass until all jobs have ended, `until` at the latest."""
        for number, due in enumerate(dues):
            self._born[number] = due
            heappush(self._due, _Waiting(due, number, 1))
        tick = 0.0
        while len(self.ended) < len(dues) and tick < until:
            tick += TICK_S
            while self._events and self._events[0][0] <= tick:
                self._at, _, happens = heappop(self._events)
                happens()
            self._at = tick
            for worker in self._workers:
                await self._share(worker)
            await self._release()

    def _after(self, seconds: float, happens: Callable[[], None]) -> None:
        self._scheduled += 1
        heappush(self._events, (self._at + seconds, self._scheduled, happens))

    async def _share(self, worker: _Worker) -> None:
        if self._at >= worker.share_at or worker.hosts._news.is_set():
            worker.hosts._news.clear()
            await worker.hosts.share()
            worker.share_at = self._at + 0.25

    # --- the leader ---------------------------------------------------------------------------------------------------

    async def _release(self) -> None:
        if self._at >= self._hosts_at:
            self._hosts_at = self._at + PLACES_EVERY_S
            said = await self._reports.read(self._now())
            known = {host_limit(host): over_all_workers(reports.values()) for host, reports in said.items()}
            self._gates.hosts_are(known)
        for limit in list(self._lists):
            self._release_from(limit)
        while self._due and self._due[0].place <= self._at:
            job = heappop(self._due)
            if (gate := self._pass_through()) is None:
                self._ready.append(job)
            else:
                self._wait_in(gate, job)
        self._pull()

    def _release_from(self, limit: str) -> None:
        room = self._gates.room(limit, BEGIN + self._at)
        waiting = self._lists[limit]
        for _ in range(len(waiting) if room is None else min(room, len(waiting))):
            if (gate := self._pass_through()) is not None:
                if gate != limit:
                    self._wait_in(gate, waiting.pop(0))
                break
            self._gates.followed(limit, TASK.id, BEGIN + self._at)
            self._ready.append(waiting.pop(0))

    def _pass_through(self) -> str | None:
        return self._gates.pass_through(TASK.id, Priority.NORMAL, None, BEGIN + self._at)

    def _wait_in(self, limit: str, job: _Waiting) -> None:
        insort(self._lists[limit], job)

    # --- a worker -----------------------------------------------------------------------------------------------------

    def _pull(self) -> None:
        while self._ready and any(worker.free for worker in self._workers):
            worker = max(self._workers, key=lambda worker: worker.free)
            worker.free -= 1
            self._enter(worker, self._ready.popleft(), _PATIENCE_S)

    def _enter(self, worker: _Worker, job: _Waiting, patience_s: float) -> None:
        entered = worker.hosts.enter(TASK)
        if not isinstance(entered, timedelta):
            self._call(worker, job, entered)
            return
        patience_s -= entered.total_seconds()
        if patience_s < 0 or worker.asleep >= worker.sleepers:
            self._park(worker, job)
            return
        worker.asleep += 1

        def woken() -> None:
            worker.asleep -= 1
            self._enter(worker, job, patience_s)

        # Time stands still while something happens; on a real clock no sleep is over at once.
        self._after(max(1e-3, entered.total_seconds()), woken)

    def _park(self, worker: _Worker, job: _Waiting) -> None:
        worker.free += 1
        # As JobStore.postpone: a job that is put back without a call stands where its first instant puts it.
        self._wait_in(HOST_LIMIT, replace(job, place=self._born[job.number]))

    def _call(self, worker: _Worker, job: _Waiting, passage: Passage | None) -> None:
        if not worker.hosts.may_call(passage):
            worker.hosts.leave(TASK, passage, None)
            self._park(worker, job)
            return
        outcome, seconds = self._endpoint.meets(self._at, self._in_flight)
        self._in_flight += 1
        good = outcome.status == 200
        self.calls.append(Made(at=self._at, job=job.number, attempt=job.attempt, good=good))

        def over() -> None:
            self._in_flight -= 1
            worker.free += 1
            worker.hosts.leave(TASK, passage, outcome)
            self._decide(job, outcome)
            self._pull()

        self._after(seconds, over)

    def _decide(self, job: _Waiting, outcome: Outcome) -> None:
        due = datetime.fromtimestamp(BEGIN + self._born[job.number], UTC)
        jitter = self._random.random()
        decision = decide(self._policy, job.attempt, outcome, execute_after=due, now=self._now(), jitter=jitter)
        if isinstance(decision, Retry):
            at = decision.at.timestamp() - BEGIN
            heappush(self._due, _Waiting(at, job.number, job.attempt + 1))
            return
        assert job.number not in self.ended, "a job ended twice"
        how = "success" if isinstance(decision, Complete) else getattr(decision, "reason", "")
        self.ended[job.number] = Ended(calls=job.attempt, how=how)
