"""The judge of killed workers: what each job was to come to, what was seen of it, and what is wrong with that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.support.ledger import Duty, Verdict

#: attempts that are called, how the job ends, and whether it goes to the failed queue
Kind = Literal["ok", "slow", "early", "retried", "final", "malformed"]

_ATTEMPTS: dict[Kind, list[int]] = {"retried": [1, 2], "malformed": []}
_END: dict[Kind, str | None] = {"final": "failed", "malformed": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenJob:
    """A job that was put into a ready queue; `id` is the message's as well."""

    id: str
    user: str
    kind: Kind

    @property
    def end(self) -> str | None:
        """How its record must end; None for a message that is no job."""
        return _END.get(self.kind, "success")

    @property
    def fails(self) -> bool:
        """Whether it must stand in the failed queue."""
        return self.kind in {"final", "malformed"}

    @property
    def duty(self) -> Duty:
        """Its name in a verdict."""
        return self.kind, self.user, None


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was seen of all jobs: attempts of the calls with its key, and what Redis and the failed queue say."""

    attempts: dict[str, list[int]] = field(default_factory=dict)
    #: keys of the calls for a user: a job has one for ever
    keys: dict[str, set[str]] = field(default_factory=dict)
    #: status of its record, and its done marker
    statuses: dict[str, str | None] = field(default_factory=dict)
    done: dict[str, str | None] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    #: how many jobs of each task were written down as ended after a call
    counted: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Of how many jobs one attempt was called twice, and of how many the message stands in the failed queue twice: the
    least and the most that a crash may leave, which is what the worker's death at that very moment must leave.
    """

    again: tuple[int, int] = (0, 0)
    copies: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class WorkerLedger:
    """The jobs so far, and what the crashes so far allow."""

    jobs: list[GivenJob] = field(default_factory=list)
    allowed: list[Allowed] = field(default_factory=list)

    def open(self, seen: Seen) -> list[GivenJob]:
        """Return the jobs that have not ended as they must."""
        return [job for job in self.jobs if not _ended(job, seen)]

    def judge(self, seen: Seen) -> Verdict:
        """Compare."""
        again = [job for job in self.jobs if _repeated(job, seen)]
        copies = [job for job in self.jobs if job.fails and seen.failed[job.id] == 2]
        unexpected: list[Duty] = [("ends written down", task, count) for task, count in self._miscounted(seen).items()]
        for word, jobs, least in (
            ("called again", again, sum(each.again[0] for each in self.allowed)),
            ("copies in the failed queue", copies, sum(each.copies[0] for each in self.allowed)),
        ):
            if len(jobs) < least:
                # The worker did not die where it was to die.
                unexpected.append((word, "fewer than must be", len(jobs)))
        return Verdict(
            lost=_duties(self.open(seen)),
            twice=_duties(
                [job for job in self.jobs if _called_wrongly(job, seen)]
                + again[sum(each.again[1] for each in self.allowed) :]
                + copies[sum(each.copies[1] for each in self.allowed) :]
                + [job for job in self.jobs if seen.failed[job.id] > (2 if job.fails else 0)]
            ),
            unexpected=tuple(unexpected),
        )

    def _miscounted(self, seen: Seen) -> Counter[str]:
        """Return by how much the ends that Redis counted differ from one for each job."""
        ended = Counter[str](job.kind for job in self.jobs if job.end is not None and _ended(job, seen))
        return Counter(
            {kind: seen.counted[kind] - count for kind, count in ended.items() if seen.counted[kind] != count}
        )


def _ended(job: GivenJob, seen: Seen) -> bool:
    if job.fails and not seen.failed[job.id]:
        return False
    if job.end is None:
        return True
    called = bool(seen.attempts.get(job.id))
    return called and seen.statuses.get(job.id) == job.end and seen.done.get(job.id) == job.end


def _repeated(job: GivenJob, seen: Seen) -> bool:
    """Return whether the same attempt was called twice and everything else is as it must be."""
    attempts = seen.attempts.get(job.id, [])
    expected = _ATTEMPTS.get(job.kind, [1])
    # An endpoint that fails the first call only is content with the second, whatever attempt that is.
    return len(attempts) == 2 and attempts == [1, 1] and expected[:1] == [1]


def _called_wrongly(job: GivenJob, seen: Seen) -> bool:
    attempts = seen.attempts.get(job.id, [])
    expected = _ATTEMPTS.get(job.kind, [1])
    fits = attempts == expected[: len(attempts)] or _repeated(job, seen)
    return not fits or not seen.keys.get(job.user, set()) <= {job.id}


def _duties(jobs: Sequence[GivenJob]) -> tuple[Duty, ...]:
    return tuple(sorted({job.duty for job in jobs}, key=str))
