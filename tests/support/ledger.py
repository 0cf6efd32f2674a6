"""The judge at the endpoint: who was to be called, who was, and what is wrong with that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from taskqueue.dev.target import Call

#: task, user and the occurrence's instant in unix milliseconds; None for a trigger, whose users are named once only
Duty = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong: duties without a successful call, calls too many, calls of nobody's duty."""

    lost: tuple[Duty, ...] = ()
    twice: tuple[Duty, ...] = ()
    unexpected: tuple[Duty, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.twice or self.unexpected)


@dataclass(slots=True)
class Ledger:
    """Every duty so far. It knows nothing of how jobs get their ids, only that one duty has one id."""

    duties: set[Duty] = field(default_factory=set)

    def expect(self, task: str, users: Iterable[str], at: datetime | None = None) -> None:
        """Add the duty to call each of `users` for `task`; `at` is the occurrence's instant, None for a trigger."""
        instant = None if at is None else round(at.timestamp() * 1000)
        self.duties |= {(task, user, instant) for user in users}

    def missing(self, calls: Iterable[Call]) -> set[Duty]:
        """Return the duties for which no call has succeeded yet."""
        return self.duties - {self._duty(call) for call in calls if _succeeded(call)}

    def judge(self, calls: Sequence[Call]) -> Verdict:
        """Compare the duties with the calls, oldest first."""
        by_duty: dict[Duty, list[Call]] = defaultdict(list)
        for call in calls:
            by_duty[self._duty(call)].append(call)
        return Verdict(
            lost=_sorted(self.missing(calls)),
            twice=_sorted(duty for duty, made in by_duty.items() if _too_many(made)),
            unexpected=_sorted(by_duty.keys() - self.duties),
        )

    def _duty(self, call: Call) -> Duty:
        task, user = call.headers["x-taskqueue-task"], call.headers["x-taskqueue-user"]
        triggered: Duty = (task, user, None)
        if triggered in self.duties:
            return triggered
        at = datetime.fromisoformat(call.headers["x-taskqueue-scheduled-at"])
        return task, user, round(at.timestamp() * 1000)


def _succeeded(call: Call) -> bool:
    return call.status is not None and call.status < 300


def _too_many(calls: Sequence[Call]) -> bool:
    """Whether a call followed one that had not failed, an attempt was made twice, or the job had two ids."""
    attempts = [call.headers["x-taskqueue-attempt"] for call in calls]
    ids = {call.headers["idempotency-key"] for call in calls}
    return any(map(_succeeded, calls[:-1])) or len(set(attempts)) < len(attempts) or len(ids) > 1


def _sorted(duties: Iterable[Duty]) -> tuple[Duty, ...]:
    return tuple(sorted(duties, key=str))
