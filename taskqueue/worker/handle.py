"""One delivery: admit, call, decide, record. What follows from it is settle's business."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from taskqueue.core.api_run import is_api_task_id
from taskqueue.core.api_task import API_USER
from taskqueue.core.execution import ErrorDetail, ExecutionResult
from taskqueue.core.host_limit import host_of
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.job import Job, JobMessage, JobSource
from taskqueue.core.outcome import SUCCESS, Outcome
from taskqueue.core.retry import Cancel, Complete, Decision, Drop, Fail, Park, Retry, RetryPolicy, Skip, decide
from taskqueue.core.state import Status
from taskqueue.core.task import Task, TaskSource
from taskqueue.core.value import value
from taskqueue.core.waiting import GLOBAL, concurrency_limit, host_limit, task_limit
from taskqueue.runtime import Now
from taskqueue.store.jobs import FAILING, Admission, AdmitTerms, Claimant, JobStore, Places, Switch, Verdict
from taskqueue.store.limits import Limits
from taskqueue.telemetry.events import Emit
from taskqueue.telemetry.worker_events import AttemptEnded, AttemptStarted, LimitWaited
from taskqueue.worker.attempt import CUT, Attempt, AttemptDefaults, Caller
from taskqueue.worker.hosts import Hosts, Passage
from taskqueue.worker.live_limits import LiveLimits
from taskqueue.worker.perseverance import Perseverance

#: the longest that a job waits for its limit in a pair of hands, in all; longer waits are spent in Redis
_LONGEST_SLEEP = timedelta(seconds=1)

#: a job keeps its place among `max_concurrency` for so much longer than its call may take: Redis may not answer when
#: the result is to be recorded
_PLACE_KEPT_BEYOND_CALL = timedelta(minutes=1)

#: claims and done markers outlive the last instant at which the job may still start by this much
_KEPT_BEYOND_AGE = timedelta(hours=1)

#: see core/outcome.SUCCESS
_RUN, _WAIT = Verdict.RUN, Verdict.WAIT
_REQUIRED, _DEFAULT, _OPTIONAL, _NONE = Switch.REQUIRED, Switch.DEFAULT, Switch.OPTIONAL, Switch.NONE
_SCHEDULER, _API = JobSource.SCHEDULER, TaskSource.API

#: tasks whose rules are remembered: those of tasks that are gone must not stay for ever
_MOST_RULES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HandleTerms:
    """What holds for all jobs of this worker."""

    worker_id: str
    limits: LiveLimits
    hosts: Hosts
    heartbeat_ttl: timedelta
    #: how many hands may sleep for a limit at a time; the others stay free for jobs that no limit holds back
    sleepers: int
    defaults: AttemptDefaults


@value
class Handled:
    """What was decided, and the record that says so; None where nothing is to be recorded.

    `called` says whether the attempt of the message in hand reached the call, here or in a worker that is gone.
    """

    decision: Decision
    record: ExecutionResult | None = None
    called: bool = False
    kept: timedelta = _KEPT_BEYOND_AGE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What holds for all jobs of one task, under the limits in force."""

    task: Task
    limits: Limits
    policy: RetryPolicy
    #: how long claims and done markers of its jobs are kept
    kept: timedelta
    terms: Mapping[Switch, AdmitTerms]


class Handler:
    """Handles deliveries one at a time for each caller of `handle`; any number may run side by side."""

    def __init__(
        self,
        jobs: JobStore,
        caller: Caller,
        terms: HandleTerms,
        perseverance: Perseverance,
        *,
        stopping: asyncio.Event,
        now: Now,
        jitter: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._jobs = jobs
        self._caller = caller
        self._terms = terms
        self._persevere = perseverance
        self._stopping = stopping
        self._asleep = 0
        #: by task id
        self._rules: dict[str, _Rules] = {}
        self._now = now
        self._jitter = jitter
        self._emit = emit

    async def handle(self, message: JobMessage, task: Task, claimant: Claimant) -> Handled:
        """Run one attempt of the job, or find out why not. Raises GaveUpError when Redis cannot be asked."""
        rules = self._rules_of(task)
        passage = self._terms.hosts.enter(task)
        if isinstance(passage, timedelta):
            passage = await self._wait_for_host(message.job, task, passage)
        if isinstance(passage, timedelta):
            return self._parked_for_host(task, rules, passage)
        outcome = None
        try:
            handled, outcome = await self._attempt(message, task, claimant, rules, passage)
        finally:
            self._terms.hosts.leave(task, passage, outcome)
        return handled

    async def _attempt(
        self, message: JobMessage, task: Task, claimant: Claimant, rules: _Rules, passage: Passage | None
    ) -> tuple[Handled, Outcome | None]:
        """Return what follows, and what the call met; None where there was none."""
        job = message.job
        admission = await self._admit(message, task, claimant, rules)
        if admission.verdict is not _RUN:
            return self._turned_away(job, admission, rules.kept), None
        if not self._terms.hosts.may_call(passage):
            return self._parked_for_host(task, rules, timedelta(0)), None
        attempt = await self._call(job, task)
        decision = decide(
            rules.policy,
            job.attempt,
            attempt.outcome,
            execute_after=job.execute_after,
            now=attempt.completed_at,
            jitter=self._jitter(),
        )
        record = self._record(message, attempt, decision)
        return Handled(decision=decision, record=record, called=True, kept=rules.kept), attempt.outcome

    def _parked_for_host(self, task: Task, rules: _Rules, wait: timedelta) -> Handled:
        park = Park(until=self._now() + wait, reason="limit_host", waits_for=_host_limit_of(task))
        return Handled(decision=park, kept=rules.kept)

    async def _wait_for_host(self, job: Job, task: Task, wait: timedelta) -> Passage | timedelta | None:
        """Wait until the job may go on to its host, or return how long it has to: it has claimed nothing so far."""
        patience = _LONGEST_SLEEP
        entered: Passage | timedelta | None = wait
        while isinstance(entered, timedelta):
            patience -= entered
            may_sleep = self._may_sleep(patience)
            self._waited(job, "host", entered, parked=not may_sleep)
            if not may_sleep:
                break
            await self._sleep(entered)
            entered = self._terms.hosts.enter(task)
        return entered

    def _rules_of(self, task: Task) -> _Rules:
        """Return what holds for jobs of `task`; worked out anew when its definition or a limit has changed."""
        rules, limits = self._rules.get(task.id), self._terms.limits.in_force
        if rules is None or rules.task is not task or rules.limits is not limits:
            if len(self._rules) >= _MOST_RULES:
                self._rules.clear()
            rules = self._rules[task.id] = self._new_rules(task, limits)
        return rules

    def _new_rules(self, task: Task, limits: Limits) -> _Rules:
        policy = self._terms.defaults.policy_of(task)
        kept = policy.max_age + _KEPT_BEYOND_AGE
        terms = {
            switch: AdmitTerms(
                switch=switch,
                max_age=policy.max_age,
                global_limit=limits.global_,
                task_limit=limits.tasks.get(task.id),
                kept=kept,
                heartbeat_ttl=self._terms.heartbeat_ttl,
                rerun_lost=policy.retry_unknown,
                places=self._places(task),
            )
            for switch in Switch
        }
        return _Rules(task=task, limits=limits, policy=policy, kept=kept, terms=terms)

    # --- admit --------------------------------------------------------------------------------------------------------

    async def _admit(self, message: JobMessage, task: Task, claimant: Claimant, rules: _Rules) -> Admission:
        job = message.job
        if stopped := _stopped_by(rules.limits, task):
            self._waited(job, stopped, timedelta(0), parked=True)
            return Admission(verdict=Verdict.PARK, milliseconds=to_unix_ms(self._now()), word=f"limit_{stopped}")
        terms = rules.terms[switch_of(message, task)]
        patience = _LONGEST_SLEEP
        while True:
            admission = await self._persevere(lambda: self._jobs.admit(job, claimant, terms))
            if admission.verdict is not _WAIT:
                return admission
            wait = timedelta(milliseconds=admission.milliseconds)
            if admission.word == "early":
                await asyncio.sleep(wait.total_seconds())
                continue
            patience -= wait
            may_sleep = self._may_sleep(patience)
            self._waited(job, admission.word, wait, parked=not may_sleep)
            if not may_sleep:
                until = to_unix_ms(self._now() + wait)
                return Admission(verdict=Verdict.PARK, milliseconds=until, word=f"limit_{admission.word}")
            await self._sleep(wait)

    def _may_sleep(self, patience: timedelta) -> bool:
        return patience >= timedelta(0) and not self._stopping.is_set() and self._asleep < self._terms.sleepers

    async def _sleep(self, wait: timedelta) -> None:
        self._asleep += 1
        try:
            await asyncio.sleep(wait.total_seconds())
        finally:
            self._asleep -= 1

    def _places(self, task: Task) -> Places | None:
        if task.max_concurrency is None:
            return None
        longest = self._terms.defaults.deadline_of(task) + _PLACE_KEPT_BEYOND_CALL
        return Places(most=task.max_concurrency, kept=longest)

    def _waited(self, job: Job, limit: str, wait: timedelta, *, parked: bool) -> None:
        self._emit(
            LimitWaited(limit=limit, task=job.task_type_id, job_id=job.id, seconds=wait.total_seconds(), parked=parked)
        )

    def _turned_away(self, job: Job, admission: Admission, kept: timedelta) -> Handled:
        now = self._now()
        match admission:
            case Admission(verdict=Verdict.PARK, milliseconds=until, word=why):
                waits_for = _limit_behind(why, job.task_type_id)
                return Handled(decision=Park(until=from_unix_ms(until), reason=why, waits_for=waits_for), kept=kept)
            case Admission(verdict=Verdict.DROP, word=word) if word.startswith(FAILING):
                # Whoever ended this job did not live to put it into the failed queue: that is all there is left to do.
                reason = word.removeprefix(FAILING)
                text = "its worker was lost before it could say more"
                return Handled(decision=Fail(reason=reason, code=reason, detail=text), called=True)
            case Admission(verdict=Verdict.DROP, word=why):
                return Handled(decision=Drop(reason=why))
            case Admission(verdict=Verdict.SKIP, word=why):
                status = Status.CANCELLED if why == "cancelled" else Status.SKIPPED
                record = replace(self._ended(job, status, now, None), reason=why)
                return Handled(decision=Skip(reason=why), record=record, kept=kept)
            case Admission(word=why):
                error = ErrorDetail(code=why, message=_SAID[why], retry=False)
                record = self._ended(job, Status.FAILED, now, error)
                return Handled(decision=Fail(reason=why, code=why, detail=error.message), record=record, kept=kept)

    def unknown_task(self, job: Job) -> Handled:
        """Return what becomes of a job whose task nobody knows: it fails, and says so.

        One that was made through the API was deleted since: its job is skipped.
        """
        if job.user_id == API_USER and is_api_task_id(job.task_type_id):
            skipped = replace(self._ended(job, Status.SKIPPED, self._now(), None), reason="task_removed")
            return Handled(decision=Skip(reason="task_removed"), record=skipped)
        text = f"no task {job.task_type_id!r}: neither tasks.yaml nor the API knows it"
        error = ErrorDetail(code="unknown_task", message=text, retry=False)
        record = self._ended(job, Status.FAILED, self._now(), error)
        return Handled(decision=Fail(reason="unknown_task", code="unknown_task", detail=text), record=record)

    # --- call ---------------------------------------------------------------------------------------------------------

    async def _call(self, job: Job, task: Task) -> Attempt:
        started_at = self._now()
        first = job.attempt == 1
        lateness_s = (started_at - job.execute_after).total_seconds() if first else None
        self._emit(
            AttemptStarted(task=task.id, job_id=job.id, user_id=job.user_id, attempt=job.attempt, lateness_s=lateness_s)
        )
        try:
            attempt = await self._caller.call(task, job, started_at=started_at)
        except BaseException:
            self._told(job, CUT, self._now() - started_at)
            raise
        self._told(job, attempt.outcome, attempt.completed_at - started_at)
        return attempt

    def _told(self, job: Job, outcome: Outcome, took: timedelta) -> None:
        self._emit(
            AttemptEnded(
                task=job.task_type_id,
                job_id=job.id,
                user_id=job.user_id,
                attempt=job.attempt,
                outcome_class=str(outcome.kind),
                status=outcome.status,
                duration_s=took.total_seconds(),
                error_code=outcome.code or None,
            )
        )

    # --- record -------------------------------------------------------------------------------------------------------

    def _record(
        self, message: JobMessage, attempt: Attempt, decision: Complete | Retry | Fail | Cancel
    ) -> ExecutionResult:
        job, outcome = message.job, attempt.outcome
        next_attempt = decision.at if isinstance(decision, Retry) else None
        error = None
        if outcome.kind is not SUCCESS:
            error = ErrorDetail(code=outcome.code, message=outcome.message, retry=isinstance(decision, Retry))
        return ExecutionResult(
            job_id=job.id,
            status=_STATUS_AFTER[type(decision)],
            started_at=attempt.started_at,
            completed_at=attempt.completed_at,
            error=error,
            response=attempt.response,
            response_truncated=attempt.truncated,
            next_attempt=next_attempt,
            trail=attempt.trail(job.attempt, next_attempt=next_attempt, worker_id=self._terms.worker_id),
            occurrence=message.occurrence if isinstance(decision, Retry) else None,
            task_type_id=job.task_type_id,
            user_id=job.user_id,
            attempt=job.attempt,
            worker_id=self._terms.worker_id,
        )

    def _ended(self, job: Job, status: Status, now: datetime, error: ErrorDetail | None) -> ExecutionResult:
        return ExecutionResult(
            job_id=job.id,
            status=status,
            started_at=now,
            completed_at=now,
            error=error,
            task_type_id=job.task_type_id,
            user_id=job.user_id,
            attempt=job.attempt,
            worker_id=self._terms.worker_id,
        )


_STATUS_AFTER: dict[type, Status] = {
    Complete: Status.SUCCESS,
    Retry: Status.RETRYING,
    Fail: Status.FAILED,
    Cancel: Status.CANCELLED,
}

_SAID = {
    "expired": "older than its task's max_age when a worker came to it",
    "worker_lost": "its worker was lost during the call, and the task forbids a second try (retry_unknown: false)",
}


def switch_of(message: JobMessage, task: Task) -> Switch:
    """Return who decides: planned jobs need what planned them, others stop at an explicit 0, API tasks have no user."""
    if task.removed:
        return Switch.REMOVED
    if not task.enabled:
        return Switch.OFF
    if message.metadata.source == _SCHEDULER:
        return _DEFAULT if task.default_enabled else _REQUIRED
    return _NONE if task.source is _API else _OPTIONAL


def _stopped_by(limits: Limits, task: Task) -> str | None:
    """Return the limit, `task` or `global`, that lets nothing start; such a bucket would never have an answer."""
    own = limits.tasks.get(task.id)
    if own is not None and own.rate == 0:
        return "task"
    return "global" if limits.global_ is not None and limits.global_.rate == 0 else None


def _host_limit_of(task: Task) -> str:
    return host_limit(host_of(task.target.endpoint))


def _limit_behind(reason: str, task_id: str) -> str | None:
    """Return the limit in whose list a job waits that was parked for `reason`; None: it waits for an instant."""
    match reason:
        case "limit_global":
            return GLOBAL
        case "limit_task":
            return task_limit(task_id)
        case "limit_concurrency":
            return concurrency_limit(task_id)
        case _:
            return None
