"""Was everything called that had to be, and nothing else? Judged by the endpoint's own record and the failed queue."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.dev.demo_expectation import ExpectedJob

#: instants travel in whole milliseconds, rounded down
_CLOCK_TOLERANCE = timedelta(milliseconds=2)

#: the first call of a job counts as late this long after the end of its window
_SLACK = timedelta(seconds=10)


class Kind(StrEnum):
    """What can be wrong with a job."""

    LOST = "lost"
    DOUBLED = "doubled"
    UNEXPECTED = "unexpected"
    EARLY = "early"
    LATE = "late"
    WRONG_CALL = "wrong call"
    ATTEMPTS = "attempts"
    FAILED_QUEUE = "failed queue"
    PLAN = "plan"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One thing that is wrong; `text` names the job where it is about one."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCall:
    """One call as the endpoint recorded it; `scheduled_at`, `attempt` and both ids are those of its headers."""

    at: datetime
    task_id: str
    user_id: str
    job_id: str
    scheduled_at: datetime
    attempt: int
    method: str
    path: str
    fields: Mapping[str, object]
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFailure:
    """One message of the failed queue; `attempts` is what its header says."""

    task_id: str
    user_id: str
    scheduled_at: datetime
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPlan:
    """One user in the slot list `key` of Redis: `index` of `users` in the order of the occurrence's lists."""

    key: str
    task_id: str
    cohort: str
    user_id: str
    scheduled_at: datetime
    slot: int
    slots: int
    index: int
    users: int
    window: timedelta

    @property
    def due(self) -> datetime:
        """When the user is due: user i of N at window·i/N."""
        return self.scheduled_at + self.window * self.index / self.users


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was seen. `planned` holds the judged minute only."""

    calls: Sequence[SeenCall] = ()
    failures: Sequence[SeenFailure] = ()
    planned: Sequence[SeenPlan] = ()


Seen = SeenCall | SeenFailure


def judge(expected: Sequence[ExpectedJob], evidence: Evidence) -> list[Defect]:
    """Return everything that is wrong; nothing when the demo saw what it had to see."""
    matcher = Matcher(expected)
    defects = list(_plan_defects(expected, evidence.planned))
    calls: defaultdict[ExpectedJob, list[SeenCall]] = defaultdict(list)
    due = {(plan.task_id, plan.user_id, plan.scheduled_at): plan.due for plan in evidence.planned}
    for call in sorted(evidence.calls, key=lambda call: call.at):
        job = matcher.job_of(call)
        if job is None or not job.called:
            why = "nobody expected it" if job is None else "the user had switched the task off"
            defects.append(_defect(Kind.UNEXPECTED, call, f"called at {_clock(call.at)}, but {why}"))
        else:
            calls[job].append(call)
            defects += _call_defects(job, call, due.get((call.task_id, call.user_id, call.scheduled_at)))
    failures: defaultdict[ExpectedJob, list[SeenFailure]] = defaultdict(list)
    for failure in evidence.failures:
        job = matcher.job_of(failure)
        if job is None or job.succeeds or not job.called:
            text = f"is in taskqueue.jobs.failed ({failure.reason}) and should not be"
            defects.append(_defect(Kind.FAILED_QUEUE, failure, text))
        else:
            failures[job].append(failure)
    for job in expected:
        if job.called:
            defects += _job_defects(job, calls[job], failures[job])
    return defects


class Matcher:
    """Finds the expected job that something seen belongs to: the same task, user and instant."""

    def __init__(self, expected: Iterable[ExpectedJob]) -> None:
        self._jobs: defaultdict[tuple[str, str], list[ExpectedJob]] = defaultdict(list)
        for job in expected:
            self._jobs[job.task_id, job.user_id].append(job)

    def job_of(self, seen: Seen) -> ExpectedJob | None:
        """Return the job, or None when nobody expected one."""
        for job in self._jobs.get((seen.task_id, seen.user_id), ()):
            # Instants in messages may have lost what is finer than a millisecond.
            if job.scheduled_from - _CLOCK_TOLERANCE <= seen.scheduled_at <= job.scheduled_until:
                return job
        return None


# --- one call, one job ------------------------------------------------------------------------------------------------


def _call_defects(job: ExpectedJob, call: SeenCall, due: datetime | None) -> Iterator[Defect]:
    not_before = due or call.scheduled_at
    if call.at < not_before - _CLOCK_TOLERANCE:
        yield _defect(Kind.EARLY, call, f"called at {_clock(call.at)}, due at {_clock(not_before)}")
    seen = (call.method, call.path, dict(call.fields))
    wanted = (job.method, job.path, dict(job.fields))
    if seen != wanted:
        yield _defect(Kind.WRONG_CALL, call, f"was {seen}, expected {wanted}")


def _job_defects(job: ExpectedJob, calls: Sequence[SeenCall], failures: Sequence[SeenFailure]) -> Iterator[Defect]:
    if not calls:
        if job.required:
            yield _job_defect(Kind.LOST, job, "was never called")
        return
    latest = job.scheduled_until + job.window + _SLACK
    if calls[0].at > latest:
        yield _defect(Kind.LATE, calls[0], f"first called at {_clock(calls[0].at)}, allowed until {_clock(latest)}")
    doubled = _doubled(calls)
    if doubled:
        yield _defect(Kind.DOUBLED, calls[0], doubled)
    elif _statuses_wrong(job, calls):
        numbers = [call.attempt for call in calls]
        statuses = [call.status for call in calls]
        text = f"attempts {numbers} were answered {statuses}; expected {job.attempts}, the last one "
        yield _defect(Kind.ATTEMPTS, calls[0], text + ("with success" if job.succeeds else "without"))
    if not job.succeeds and job.required and [failure.attempts for failure in failures] != [job.attempts]:
        text = f"should be once in taskqueue.jobs.failed, after {job.attempts} attempts; found {len(failures)} times"
        yield _defect(Kind.FAILED_QUEUE, calls[0], text)


def _doubled(calls: Sequence[SeenCall]) -> str:
    """Return what was called once more than its success allows; empty when nothing was."""
    job_ids = {call.job_id for call in calls}
    if len(job_ids) > 1:
        return f"became {len(job_ids)} jobs: {', '.join(sorted(job_ids))}"
    successes = [number for number, call in enumerate(calls, start=1) if call.status == 200]
    if successes and len(calls) > successes[0]:
        return f"was called again at {_clock(calls[successes[0]].at)} although call {successes[0]} had succeeded"
    return ""


def _statuses_wrong(job: ExpectedJob, calls: Sequence[SeenCall]) -> bool:
    refused = job.attempts - 1 if job.succeeds else job.attempts
    wanted = [500] * refused + [200] * (job.attempts - refused)
    statuses = [call.status for call in calls]
    if not job.required:
        wanted = wanted[: len(statuses)]
    return statuses != wanted or [call.attempt for call in calls] != list(range(1, len(wanted) + 1))


# --- the plan ---------------------------------------------------------------------------------------------------------


def _plan_defects(expected: Iterable[ExpectedJob], planned: Sequence[SeenPlan]) -> Iterator[Defect]:
    wanted = Counter((job.task_id, job.user_id) for job in expected if job.required and not job.triggered)
    found = Counter((plan.task_id, plan.user_id) for plan in planned)
    for task_id, user_id in sorted((wanted - found).keys()):
        yield Defect(kind=Kind.PLAN, text=f"{task_id} for {user_id} stands in no slot list")
    for task_id, user_id in sorted((found - wanted).keys()):
        yield Defect(kind=Kind.PLAN, text=f"{task_id} for {user_id} stands in a slot list and should not, or twice")
    for (task_id, cohort), counts in slot_counts(planned).items():
        if max(counts) - min(counts) > 1:
            yield Defect(kind=Kind.PLAN, text=f"slots of {task_id} {cohort} are uneven: {counts}")


def slot_counts(planned: Iterable[SeenPlan]) -> dict[tuple[str, str], list[int]]:
    """Return how many users each slot has, by task and cohort; empty slots count."""
    counts: dict[tuple[str, str], list[int]] = {}
    for plan in planned:
        counts.setdefault((plan.task_id, plan.cohort), [0] * plan.slots)[plan.slot] += 1
    return counts


# --- words ------------------------------------------------------------------------------------------------------------


def _defect(kind: Kind, seen: Seen, text: str) -> Defect:
    job = f" (job {seen.job_id})" if isinstance(seen, SeenCall) else ""
    name = f"{seen.task_id} for {seen.user_id} at {_clock(seen.scheduled_at)}{job}"
    return Defect(kind=kind, text=f"{name} {text}")


def _job_defect(kind: Kind, job: ExpectedJob, text: str) -> Defect:
    return Defect(kind=kind, text=f"{job.task_id} for {job.user_id} at {_clock(job.scheduled_from)} {text}")


def _clock(instant: datetime) -> str:
    return instant.strftime("%H:%M:%S.%f")[:-3]
