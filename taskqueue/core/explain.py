"""Why a user's job ran, waits or did not run: facts in, one explanation out; nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import sqrt

from taskqueue.core.explain_texts import job_values, reason_of, task_values, text_of
from taskqueue.core.explanation import (
    DependencyFacts,
    Explanation,
    JobFacts,
    NextFacts,
    OccurrenceFacts,
    OccurrenceState,
    Place,
    PreferenceFacts,
    SlotFacts,
    TaskFacts,
)
from taskqueue.core.instants import rfc3339
from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.core.preference import Rule
from taskqueue.core.skipped import SkippedInstants
from taskqueue.core.slots import order_key
from taskqueue.core.state import TERMINAL, Status
from taskqueue.core.verdict import Reason, Verdict
from taskqueue.core.waiting import limited_host

#: what is written down about executions and occurrences is kept for so long
KEPT = timedelta(days=7)

#: the release looks four times a second: what is due for longer than this is held back
_RELEASED_WITHIN = timedelta(seconds=2)

#: 99 of 100 draws of a normal distribution lie within so many standard deviations
_DEVIATIONS = 2.576
_KEY_SPAN = 2**64

_WORD_OF_SKIP: Mapping[str, Verdict] = {
    "overlap": Verdict.OVERLAP_SKIPPED,
    "missed": Verdict.MISSED,
    "rule_changed": Verdict.RULE_CHANGED,
    "task_disabled": Verdict.TASK_DISABLED,
    "task_removed": Verdict.TASK_REMOVED,
}
_SKIPPED_JOB: Mapping[str | None, Verdict] = {
    "task_disabled": Verdict.SKIPPED_TASK_DISABLED,
    "task_removed": Verdict.SKIPPED_TASK_REMOVED,
}
_USER: Mapping[Rule, Verdict] = {
    Rule.OWN_SWITCH: Verdict.USER_OFF,
    Rule.DEFAULT_ENABLED: Verdict.USER_NOT_ON,
    Rule.NO_PREFERENCES: Verdict.USER_UNKNOWN,
}
#: stay beside what keeps the task from the user now: they tell of the past
_HISTORY = frozenset({*_WORD_OF_SKIP.values(), Verdict.TOO_OLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A user's share of one occurrence, as far as Redis tells of it.

    `planned` and `ended` are those of the occurrence's record: None without one, and without a count of ends. `slot` is
    when it is the user's turn, `in_slot` whether the user stands in a slot list, None where that is not known.
    `due_at` is the instant that the cohort's due entry stands at, `waited` whether it waits for the occurrence before.
    """

    scheduled_at: datetime
    job: JobFacts
    planned: tuple[Occurrence, Progress] | None = None
    ended: int | None = None
    slot: SlotFacts | None = None
    in_slot: bool | None = None
    #: whether the user comes behind the cursor of an occurrence that is being planned
    behind_cursor: bool = False
    skipped: SkippedInstants | None = None
    due_at: datetime | None = None
    waited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The latest run of a task of the API, as far as Redis tells of it: `job`, which was `queued_at`.

    One that is `waiting_since` for another task, or has been `due_since` without being queued, comes before it. `over`
    is whether the task was to run once and has, `missing` what is told where there is no run.
    """

    over: bool = False
    waiting_since: datetime | None = None
    due_since: datetime | None = None
    queued_at: datetime | None = None
    job: JobFacts | None = None
    missing: Verdict = Verdict.NEVER_RAN


def presumed_slot(occurrence: Occurrence, user_id: str) -> SlotFacts | None:
    """Return when it is about the user's turn; None without users.

    The order keys of n users are uniform, so the user whose key lies at the part p of their range has about p·n before
    him; as many as the binomial distribution of n and p says, whose deviation is √(n·p·(1-p)).
    """
    if occurrence.users == 0:
        return None
    part = order_key(occurrence.task_id, user_id) / _KEY_SPAN
    index = min(occurrence.users - 1, int(part * occurrence.users))
    exact = occurrence.users == 1 or not occurrence.window
    margin = timedelta(0)
    if not exact:
        users_off = _DEVIATIONS * sqrt(occurrence.users * part * (1 - part)) + 1
        margin = min(occurrence.window, occurrence.window * (users_off / occurrence.users))
    return SlotFacts(
        number=occurrence.spread.slot(index), planned_at=occurrence.execute_after(index), exact=exact, margin=margin
    )


def explain_share(
    *,
    user_id: str,
    now: datetime,
    task: TaskFacts,
    preference: PreferenceFacts,
    latest: Share | None,
    following: Share | None,
) -> Explanation:
    """Explain what became of the `latest` occurrence for the user, and of the one `following` it."""
    blockers = _blockers(task, preference)
    values = task_values(task, now, user_id)
    if latest is None:
        reasons = tuple(reason_of(code, values) for code in (blockers or (_never(task, now, following),)))
    else:
        after = None if following is None else following.scheduled_at
        reasons = _reasons(latest, blockers, values, task, now, after)
    job = _job_facts(latest, reasons[0].code)
    return Explanation(
        now=now,
        user_id=user_id,
        reasons=reasons,
        task=task,
        preference=preference,
        occurrence=None if latest is None else _occurrence_facts(latest, now, has_job=job is not None),
        job=job,
        next=_next(following, blockers, values, task, now),
    )


def explain_run(
    *,
    now: datetime,
    task: TaskFacts,
    run: Run,
    following: datetime | None,
    dependencies: tuple[DependencyFacts, ...],
) -> Explanation:
    """Explain the latest `run` of a task of the API, which is due next at `following`."""
    values = task_values(task, now, "")
    blockers = _blockers(task, None)
    job = None if run.due_since or run.waiting_since else run.job
    occurrence, codes = None, (blockers or ((Verdict.TASK_OVER if run.over else run.missing),))
    if run.due_since is not None:
        occurrence = OccurrenceFacts(scheduled_at=run.due_since, state=OccurrenceState.UNPLANNED)
        codes = (*blockers, Verdict.NOT_PLANNED_YET)
    elif run.waiting_since is not None:
        occurrence = OccurrenceFacts(scheduled_at=run.waiting_since, state=OccurrenceState.HELD)
        parents = ", ".join(f"{each.task_name} ({each.task_id})" for each in dependencies if not each.satisfied)
        values |= {"at": rfc3339(run.waiting_since), "parents": parents or "another task"}
        codes = (Verdict.DEPENDENCY_OPEN,)
    elif job is not None and run.queued_at is not None:
        occurrence = OccurrenceFacts(scheduled_at=run.queued_at, state=OccurrenceState.RELEASED)
        values |= job_values(job)
        codes = (_run_verdict(job, run.queued_at, now), *(() if _is_over(job) else blockers))
        job = job if job.known else None
    return Explanation(
        now=now,
        user_id=None,
        reasons=tuple(reason_of(code, values) for code in codes),
        task=task,
        occurrence=occurrence,
        job=job,
        next=NextFacts(scheduled_at=following, reasons=_next_run(following, blockers, run.over, values, now)),
        dependencies=dependencies,
    )


def job_verdict(job: JobFacts) -> Verdict:
    """Return what a job comes to of which something is known."""
    if job.status in TERMINAL:
        return _end(job)
    if job.cancelled:
        return Verdict.CANCELLING if job.place is Place.WORKER else Verdict.CANCELLED
    match job.place:
        case Place.WORKER:
            return Verdict.RUNNING
        case Place.WAITING_LIST:
            return Verdict.WAITS_FOR_LIMIT if limited_host(job.waits_for or "") is None else Verdict.HOST_CLOSED
        case Place.DELAYED:
            return Verdict.RETRYING if job.status is Status.RETRYING else Verdict.WAITS_FOR_TIME
        case _:
            return Verdict.WORKER_LOST if job.worker_lost else Verdict.IN_QUEUE


def _run_verdict(job: JobFacts, queued_at: datetime, now: datetime) -> Verdict:
    # Whoever queues a run writes its record with it: one without was forgotten, or deleted.
    if job.known:
        return job_verdict(job)
    return Verdict.FORGOTTEN if now - queued_at > KEPT else Verdict.NO_TRACE


def _end(job: JobFacts) -> Verdict:
    match job.status:
        case Status.SUCCESS:
            return Verdict.SUCCEEDED
        case Status.CANCELLED:
            return Verdict.CANCELLED
        case Status.SKIPPED:
            return _SKIPPED_JOB.get(job.reason, Verdict.SKIPPED_PREFERENCE_OFF)
        case _:
            return Verdict.EXPIRED if job.error_code == "expired" else Verdict.FAILED


# --- reasons ----------------------------------------------------------------------------------------------------------


def _reasons(
    share: Share,
    blockers: tuple[Verdict, ...],
    values: Mapping[str, object],
    task: TaskFacts,
    now: datetime,
    following: datetime | None,
) -> tuple[Reason, ...]:
    values = {**values, **_share_values(share), **job_values(share.job)}
    if share.job.known:
        codes = (job_verdict(share.job), *(() if _is_over(share.job) else blockers))
    elif share.in_slot and share.slot is not None:
        held_back = share.slot.planned_at < now - _RELEASED_WITHIN
        codes = (*blockers, Verdict.HELD_BACK if held_back else Verdict.PLANNED)
    else:
        code = _without_job(share, task, now, following)
        codes = (code, *blockers) if code in _HISTORY else blockers or (code,)
    return tuple(reason_of(code, values) for code in dict.fromkeys(codes))


def _without_job(share: Share, task: TaskFacts, now: datetime, following: datetime | None) -> Verdict:
    if share.skipped is not None:
        code = _WORD_OF_SKIP.get(share.skipped.reason, Verdict.NOT_PLANNED)
        too_old = code is Verdict.MISSED and _kept_out_by_age(share.scheduled_at, share.skipped, task, following)
        return Verdict.TOO_OLD if too_old else code
    if share.planned is None:
        return _without_record(share, now)
    return _with_record(share, share.planned, task.max_age, now)


def _kept_out_by_age(instant: datetime, skipped: SkippedInstants, task: TaskFacts, following: datetime | None) -> bool:
    """Return whether a longer max_age would have let `instant` be made up for, `following` the rule's next one."""
    if skipped.noted_at - instant <= task.max_age:
        return False
    # Of those that were missed `latest` makes up for the last one alone.
    last = skipped.until > skipped.noted_at and (following is None or following >= skipped.until)
    return task.catch_up == "all" or (task.catch_up == "latest" and last)


def _without_record(share: Share, now: datetime) -> Verdict:
    if share.due_at is not None and share.due_at <= share.scheduled_at <= now:
        return Verdict.WAITS_FOR_PREVIOUS if share.waited else Verdict.NOT_PLANNED_YET
    if share.scheduled_at > now:
        return Verdict.NOT_DUE_YET
    return Verdict.FORGOTTEN if now - share.scheduled_at > KEPT else Verdict.NOT_PLANNED


def _with_record(share: Share, planned: tuple[Occurrence, Progress], max_age: timedelta, now: datetime) -> Verdict:
    occurrence, progress = planned
    if share.behind_cursor and not progress.complete:
        return Verdict.PLANNING
    all_ended = progress.complete and share.ended is not None and share.ended >= progress.planned
    if share.in_slot is False or all_ended or (progress.complete and progress.planned == 0):
        return Verdict.NOT_IN_AUDIENCE
    due_by = occurrence.starts_at if share.slot is None else share.slot.planned_at + share.slot.margin
    # It may stand in RabbitMQ as long as workers are away, and until then whichever gets it calls.
    return Verdict.IN_QUEUE if now <= due_by + max_age else Verdict.NO_TRACE


def _blockers(task: TaskFacts, preference: PreferenceFacts | None) -> tuple[Verdict, ...]:
    """Return what keeps the task from running for the user now."""
    codes = []
    if task.removed:
        codes.append(Verdict.TASK_REMOVED)
    elif task.paused:
        codes.append(Verdict.TASK_PAUSED)
    elif not task.enabled:
        codes.append(Verdict.TASK_DISABLED)
    if preference is not None and not preference.decided.enabled:
        codes.append(_USER[preference.decided.rule])
    return tuple(codes)


def _never(task: TaskFacts, now: datetime, following: Share | None) -> Verdict:
    if task.start_at is not None and task.start_at > now:
        return Verdict.BEFORE_START
    if following is not None:
        return Verdict.NOT_DUE_YET if following.scheduled_at > now else Verdict.NOT_PLANNED
    return Verdict.NEVER_DUE if task.end_at is None else Verdict.AFTER_END


def _next(
    share: Share | None, blockers: tuple[Verdict, ...], values: Mapping[str, object], task: TaskFacts, now: datetime
) -> NextFacts:
    if share is None:
        codes = blockers or (_never(task, now, None),)
        return NextFacts(scheduled_at=None, reasons=tuple(reason_of(code, values) for code in codes))
    reasons = _reasons(share, blockers, values, task, now, None)
    if task.start_at is not None and task.start_at > now and not blockers:
        reasons = (*reasons, reason_of(Verdict.BEFORE_START, values))
    return NextFacts(scheduled_at=share.scheduled_at, reasons=reasons, slot=None if blockers else share.slot)


def _next_run(
    following: datetime | None,
    blockers: tuple[Verdict, ...],
    over: bool,
    values: Mapping[str, object],
    now: datetime,
) -> tuple[Reason, ...]:
    if following is None:
        codes = blockers or ((Verdict.TASK_OVER if over else Verdict.NEVER_DUE),)
    else:
        values = {**values, "at": rfc3339(following)}
        codes = blockers or ((Verdict.NOT_DUE_YET if following > now else Verdict.NOT_PLANNED_YET),)
    return tuple(reason_of(code, values) for code in codes)


# --- facts ------------------------------------------------------------------------------------------------------------


def _is_over(job: JobFacts) -> bool:
    return job.status in TERMINAL


def _occurrence_facts(share: Share, now: datetime, *, has_job: bool) -> OccurrenceFacts:
    slot = share.slot if has_job else None  # whoever has no job has no turn
    return OccurrenceFacts(scheduled_at=share.scheduled_at, state=_state(share, now), planned=share.planned, slot=slot)


def _state(share: Share, now: datetime) -> OccurrenceState:
    if share.planned is not None:
        progress = share.planned[1]
        if not progress.complete:
            return OccurrenceState.PLANNING
        return OccurrenceState.RELEASED if progress.finished else OccurrenceState.OPEN
    if share.skipped is not None:
        return OccurrenceState.SKIPPED
    if share.waited and share.due_at is not None and share.due_at <= share.scheduled_at:
        return OccurrenceState.HELD
    return OccurrenceState.UPCOMING if share.scheduled_at > now else OccurrenceState.UNPLANNED


def _job_facts(share: Share | None, verdict: Verdict) -> JobFacts | None:
    """Return the job, with its place where the plan alone tells it; None where the user has none."""
    if share is None:
        return None
    if share.job.known:
        return share.job
    if share.in_slot:
        return replace(share.job, place=Place.SLOT)
    return share.job if verdict is Verdict.IN_QUEUE else None


def _share_values(share: Share) -> dict[str, object]:
    created = None if share.planned is None or share.job.known else rfc3339(share.planned[0].created_at)
    return {
        "presumed": "" if created is None else f", if the user was switched on by {created} (nothing tells whether),",
        "untraced": "it was released longer ago than max_age, and nothing is known of a job of this user: most likely "
        "the task was switched on later, or ",
        "at": rfc3339(share.scheduled_at),
        "users": 0 if share.planned is None else share.planned[0].users,
        "slot": 0 if share.slot is None else share.slot.number,
        "planned_at": text_of(None if share.slot is None else share.slot.planned_at),
        "noted": text_of(None if share.skipped is None else share.skipped.noted_at),
    }
