"""What must come of a system to which everything happens: who had to be called, may be and must not, and who was."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

from taskqueue.dev.target import Call
from tests.support.ledger import Duty, Ledger, Verdict

Value = TypeVar("Value")

#: seconds before an instant from which on nothing of what decides about it may change: it is planned a minute ahead
SETTLED_BEFORE_S = 75.0

#: seconds for a user's new interval, or a new tasks.yaml, to count
FOLLOWED_WITHIN_S = 20.0

#: seconds for a call that was admitted just before its user was switched off to arrive
ADMITTED_BEFORE_S = 2.0

#: seconds for workers to follow a limit that was set
LIMITED_WITHIN_S = 3.0

#: seconds for a call that was sent just before its worker died to arrive
ARRIVED_WITHIN_S = 0.5

#: seconds for a task that is disabled in tasks.yaml to be known to workers
DISABLED_WITHIN_S = 8.0


@dataclass(slots=True)
class Timeline(Generic[Value]):
    """What a value was from when on; in unix seconds. A change took place between `begun` and `at`."""

    first: Value
    changes: list[tuple[float, float, Value]] = field(default_factory=list)

    def change(self, begun: float, at: float, value: Value) -> None:
        """Note a change; they come in order."""
        self.changes.append((begun, at, value))

    @property
    def last(self) -> Value:
        """The value now."""
        return self.changes[-1][2] if self.changes else self.first

    def values(self, since: float, until: float) -> list[Value]:
        """Return every value that it may have had at some moment between `since` and `until`."""
        values = [self.first, *(value for _, _, value in self.changes)]
        first = bisect_right([at for _, at, _ in self.changes], since)
        last = bisect_right([begun for begun, _, _ in self.changes], until)
        return values[first : last + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A worker could not end what it had in hand between `since` and `until`: it was killed, or stopped for long."""

    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A limit that was set, between `since` and `at`, and held until `until`; `rate` jobs per second.

    `name` is `global` or `task:{task_id}`.
    """

    name: str
    since: float
    at: float
    until: float
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosVerdict:
    """What is wrong, each in words. `verdict` is that of the ledger, without what is excused."""

    verdict: Verdict
    wrong: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict.clean and not self.wrong


@dataclass(slots=True)
class TaskModel:
    """A task type: whether tasks.yaml has it, and lets it run; its users' switches and instants (unix seconds)."""

    present: Timeline[bool] = field(default_factory=lambda: Timeline(True))
    enabled: Timeline[bool] = field(default_factory=lambda: Timeline(True))
    switches: dict[str, Timeline[bool]] = field(default_factory=dict)
    instants: dict[str, Timeline[frozenset[int]]] = field(default_factory=dict)
    #: what the users were given last
    parameters: dict[str, Timeline[str | None]] = field(default_factory=dict)
    #: seconds that a call takes, where it never takes less, and how many there may be at a time
    takes_s: float = 0.0
    most: int | None = None
    #: no job of an instant is called before all of the instant before have ended
    in_turn: bool = False
    #: an occurrence may be left out, for the one before it runs
    may_skip: bool = False


@dataclass(slots=True)
class ChaosModel:
    """All that was done which decides who is called. It knows nothing of how that is brought about."""

    tasks: dict[str, TaskModel] = field(default_factory=dict)
    #: users of triggers, by task; each is named once only
    triggered: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    workers: list[Trouble] = field(default_factory=list)
    #: while Redis was away, or a process stood still, a worker may not have written down what it had finished
    stores: list[Trouble] = field(default_factory=list)
    pauses: list[Trouble] = field(default_factory=list)
    limited: list[Limited] = field(default_factory=list)

    def duties(self, end: float) -> tuple[set[Duty], set[Duty]]:
        """Return who must be called, and who may be, of occurrences."""
        must, may = set[Duty](), set[Duty]()
        for task_id, task in self.tasks.items():
            for user, rule in task.instants.items():
                for instant in frozenset().union(*rule.values(0, end)):
                    duty = (task_id, user, instant * 1000)
                    words = self._wanted(task, user, instant, end)
                    if True in words:
                        may.add(duty)
                    if False not in words:
                        must.add(duty)
        return must, may

    @staticmethod
    def _wanted(task: TaskModel, user: str, instant: int, end: float) -> set[bool]:
        """Return what may be the answer to whether this user is called: at some moments that count, or at all."""
        since, soon = instant - SETTLED_BEFORE_S, instant + FOLLOWED_WITHIN_S
        rules = {instant in instants for instants in task.instants[user].values(since, soon)}
        parts = [
            rules,
            set(task.present.values(since, soon)),
            set(task.enabled.values(since, end)),
            set(task.switches[user].values(since, end)),
        ]
        words = set[bool]()
        if all(True in part for part in parts):
            words.add(True)
        if any(False in part for part in parts) or task.may_skip:
            words.add(False)
        return words

    def ledger(self, end: float) -> Ledger:
        """Return a ledger of what must be."""
        ledger = Ledger()
        ledger.duties |= self.duties(end)[0]
        for task_id, users in self.triggered.items():
            ledger.expect(task_id, users)
        return ledger

    def judge(self, calls: Sequence[Call], end: float) -> ChaosVerdict:
        """Compare with the calls, oldest first."""
        found = self.ledger(end).judge(calls)
        _, may = self.duties(end)
        # Who may be called must not be called twice either: a ledger in which they are duties says that.
        everyone = self.ledger(end)
        everyone.duties |= may
        by_duty = _by_duty(calls, everyone)
        twice = everyone.judge(calls).twice
        twice = tuple(duty for duty in twice if not self._excused(by_duty[duty]))
        return ChaosVerdict(
            verdict=Verdict(
                lost=found.lost,
                twice=twice,
                unexpected=tuple(duty for duty in found.unexpected if duty not in may),
            ),
            wrong=(
                *(f"{duty}: {[_told(call) for call in by_duty[duty]]}" for duty in twice),
                *self._too_early(by_duty),
                *self._switched_off(by_duty),
                *self._too_many_at_a_time(calls),
                *self._out_of_turn(by_duty),
                *self._too_fast(calls),
                *self._with_old_parameters(by_duty),
            ),
        )

    def _excused(self, calls: Sequence[Call]) -> bool:
        """Whether each repetition follows a call that a worker had in hand when it was killed."""
        if len({call.headers["idempotency-key"] for call in calls}) > 1:
            return False
        for before, after in pairwise(calls):
            failed = before.status is None or before.status >= 300
            next_attempt = int(after.headers["x-taskqueue-attempt"]) > int(before.headers["x-taskqueue-attempt"])
            if not (failed and next_attempt) and not self._in_hand(before):
                return False
        return True

    def _in_hand(self, call: Call) -> bool:
        return any(self._since(trouble) <= call.at <= trouble.until + ARRIVED_WITHIN_S for trouble in self.workers)

    def _since(self, trouble: Trouble) -> float:
        """Return since when what the worker had in hand may have been with it."""
        stood = [*self.stores, *self.pauses]
        longer = [each.since - 2 for each in stood if each.since < trouble.until and each.until + 2 > trouble.since]
        return min([trouble.since, *longer])

    @staticmethod
    def _too_early(by_duty: Mapping[Duty, Sequence[Call]]) -> Iterable[str]:
        for (task_id, user, instant), calls in by_duty.items():
            if instant is not None and calls[0].at < instant / 1000 - 0.05:
                yield f"{task_id} {user} was called {instant / 1000 - calls[0].at:.3f} s before its instant {instant}"

    def _switched_off(self, by_duty: Mapping[Duty, Sequence[Call]]) -> Iterable[str]:
        for (task_id, user, _), calls in by_duty.items():
            task = self.tasks.get(task_id)
            if task is None or user not in task.switches:
                continue
            for call in calls:
                for timeline, grace_s in ((task.switches[user], ADMITTED_BEFORE_S), (task.enabled, DISABLED_WITHIN_S)):
                    since = call.at - grace_s - self._paused(call.at, grace_s)
                    if True not in timeline.values(since, call.at):
                        yield f"{task_id} {user} was called at {call.at:.2f}, off since {since:.2f} and before"

    def _too_many_at_a_time(self, calls: Sequence[Call]) -> Iterable[str]:
        for task_id, task in self.tasks.items():
            if task.most is None:
                continue
            begun = [call.at for call in calls if call.headers["x-taskqueue-task"] == task_id and call.status == 200]
            for at in begun:
                running = sum(at - task.takes_s * 0.9 < other <= at for other in begun)
                if running > task.most and not self._lapsed(at):
                    yield f"{task_id}: {running} calls at a time at {at:.2f}"

    def _lapsed(self, at: float) -> bool:
        """Whether places may have become free whose calls go on."""
        return any(trouble.since <= at <= trouble.until + 2 for trouble in self.workers)

    def _out_of_turn(self, by_duty: Mapping[Duty, Sequence[Call]]) -> Iterable[str]:
        for task_id, task in self.tasks.items():
            spans: dict[int, tuple[float, float]] = {}
            for (other, _, instant), calls in by_duty.items():
                if task.in_turn and other == task_id and instant is not None:
                    first, last = spans.get(instant, (calls[0].at, 0.0))
                    spans[instant] = min(first, calls[0].at), max(last, calls[-1].at)
            in_order = sorted(spans.items())
            for (before, (_, ended)), (after, (began, _)) in pairwise(in_order):
                if began < ended:
                    yield f"{task_id}: {after} began at {began:.2f}, {before} ended at {ended:.2f}"

    def _too_fast(self, calls: Sequence[Call]) -> Iterable[str]:
        for limit in self.limited:
            later = [other.since for other in self.limited if other.name == limit.name and other.since > limit.since]
            since, until = limit.at + LIMITED_WITHIN_S, min([limit.until, *later]) - 0.1
            stood = [*self.stores, *self.pauses]
            if until <= since or any(each.since < until and each.until + 2 > limit.since for each in stood):
                continue
            tasks = [call.headers["x-taskqueue-task"] for call in calls if since <= call.at <= until]
            count = sum(limit.name in {"global", f"task:{task}"} for task in tasks)
            # With the burst, and with those that were admitted just before the beginning.
            if count > limit.rate * (until - since) * 1.1 + 2 * max(1, limit.rate):
                yield f"{count} calls in {until - since:.1f} s under {limit}"

    def _with_old_parameters(self, by_duty: Mapping[Duty, Sequence[Call]]) -> Iterable[str]:
        for (task_id, user, instant), calls in by_duty.items():
            timeline = self.tasks[task_id].parameters.get(user) if task_id in self.tasks else None
            if timeline is None or instant is None:
                continue
            for call in calls:
                given = json.loads(call.body).get("parameters", {}).get("word")
                if given not in (known := timeline.values(instant / 1000 - SETTLED_BEFORE_S, call.at)):
                    yield f"{task_id} {user} {instant} was called with {given}, not one of {known}"

    def _paused(self, at: float, grace_s: float) -> float:
        """Return for how long, of the time before `at` that counts, somebody stood still."""
        stood = [*self.pauses, *self.stores]
        return sum(each.until - each.since for each in stood if each.until > at - grace_s - 10 and each.since < at)


def _told(call: Call) -> str:
    headers = call.headers
    return f"{headers['idempotency-key']} attempt {headers['x-taskqueue-attempt']} at {call.at:.2f}: {call.status}"


def _by_duty(calls: Iterable[Call], ledger: Ledger) -> dict[Duty, list[Call]]:
    found: dict[Duty, list[Call]] = defaultdict(list)
    for call in calls:
        found[ledger._duty(call)].append(call)
    return found
