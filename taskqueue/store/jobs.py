"""The life of a job in Redis as its worker drives it: admit, postpone, finish; and the worker's heartbeat.

All three are safe to ask again after a lost answer: the (incarnation, delivery) pair marks them as the same question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from taskqueue.core.api_task import API_USER
from taskqueue.core.attempt_record import Trail
from taskqueue.core.execution import ExecutionResult
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.job import Job
from taskqueue.core.state import Status
from taskqueue.core.value import value
from taskqueue.core.wait import WaitRecord
from taskqueue.core.waiting import waiting_place
from taskqueue.store import keys
from taskqueue.store.connection import Argument, RedisStore
from taskqueue.store.delayed import WAITING_KEPT, WAITS_KEPT
from taskqueue.store.fleet import HEARTBEAT_TTL
from taskqueue.store.limits import Limit
from taskqueue.store.scripts import Scripts

_MILLISECOND = timedelta(milliseconds=1)

#: see core/outcome.SUCCESS
_FAILED = Status.FAILED
_CANCELLED = Status.CANCELLED

#: what ops look at afterwards
EXECUTION_KEPT = timedelta(days=7)
METRICS_KEPT = timedelta(days=35)
#: the cancel mark of a job that has ended only has to reach a worker that was taken for dead and calls on; no call
#: lasts for more than 15 minutes
MARK_KEPT_BEYOND_END = timedelta(hours=1)
DURATIONS_KEPT = 10_000

#: what lua/finish.lua is told of the end of a job that is no run of an API task
_NO_RUN_END: tuple[Argument, ...] = ("",)

#: the done marker of a failed job: with its reason until its message is safe in taskqueue.jobs.failed, then without
FAILING = "failing:"
FAILED = "failed"


class Verdict(StrEnum):
    """What a worker is to do with a delivery (lua/admit.lua)."""

    RUN = "run"
    WAIT = "wait"
    PARK = "park"
    DROP = "drop"
    SKIP = "skip"
    FAIL = "fail"


_VERDICTS = {verdict.value.encode(): verdict for verdict in Verdict}


class Switch(StrEnum):
    """How the user's preference decides about the job."""

    REQUIRED = "required"
    #: whoever is known and does not say otherwise
    DEFAULT = "default"
    OPTIONAL = "optional"
    NONE = "none"
    #: the task itself is disabled
    OFF = "off"
    #: the task is gone from tasks.yaml, and its jobs are drained
    REMOVED = "removed"


@value
class Claimant:
    """Who asks: the worker's incarnation, and a number that no other delivery of it has."""

    incarnation: str
    delivery: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """At most `most` jobs of the task run at a time. `kept`: longer than an attempt, so it never lapses during one."""

    most: int
    kept: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitTerms:
    """What admission depends on besides the job itself."""

    switch: Switch
    #: from `execute_after`: an older job fails instead
    max_age: timedelta
    global_limit: Limit | None
    task_limit: Limit | None
    #: a job older than this can never run again: claims and done markers are kept for so long
    kept: timedelta
    heartbeat_ttl: timedelta
    #: whether an attempt is run again after its worker died
    rerun_lost: bool
    #: None: any number of the task's jobs may run at a time
    places: Places | None = None
    #: of all this what lua/admit.lua is told, which is the same for a million jobs
    arguments: tuple[Argument, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        arguments = (
            *_limit_arguments(self.global_limit),
            *_limit_arguments(self.task_limit),
            self.kept // _MILLISECOND,
            keys.WORKER_PREFIX,
            self.heartbeat_ttl // _MILLISECOND,
            "run" if self.rerun_lost else "fail",
            *_place_arguments(self.places),
        )
        object.__setattr__(self, "arguments", arguments)


@value
class Admission:
    """The verdict. `milliseconds` is a wait (WAIT) or an instant in unix ms (PARK, RUN: now); `word` says why."""

    verdict: Verdict
    milliseconds: int
    word: str


class JobStore:
    """Claims, waiting jobs, ends and records."""

    def __init__(self, store: RedisStore, scripts: Scripts) -> None:
        self._store = store
        self._scripts = scripts

    async def admit(self, job: Job, claimant: Claimant, terms: AdmitTerms) -> Admission:
        """Ask whether `job` may be called now; RUN has claimed it, and taken its tokens and its place."""
        reply = await self._scripts.call_again(
            "admit",
            [
                keys.claim(job.id),
                keys.done(job.id),
                keys.cancelled(job.id),
                keys.user_tasks(job.user_id),
                keys.GLOBAL_LIMIT,
                keys.task_limit(job.task_type_id),
                keys.running(job.task_type_id),
                keys.FLEET_WATCHED,
            ],
            [
                claimant.incarnation,
                claimant.delivery,
                job.attempt,
                job.task_type_id,
                str(terms.switch),
                to_unix_ms(job.execute_after),
                to_unix_ms(job.execute_after + terms.max_age),
                *terms.arguments,
                job.id,
            ],
        )
        verdict, milliseconds, word = reply
        return Admission(verdict=_VERDICTS[verdict], milliseconds=int(milliseconds), word=word.decode())

    async def postpone(
        self,
        job: Job,
        claimant: Claimant,
        *,
        next_attempt: int,
        until: datetime,
        body: bytes,
        record: ExecutionResult | None,
        kept: timedelta,
        wait: WaitRecord | None = None,
    ) -> str:
        """Let `job` wait `until` then for `next_attempt`; `body` is the message to publish for it.

        `wait` is for a job that is put back unattempted, and is kept beside its record, once also when asked again. One
        for a limit lets the job wait in the list of that limit instead, until the leader lets it go.

        Returns `stored`, or why nothing was: `done`, `stale`, `lost` or `cancelled` (see lua/postpone.lua).
        """
        trail = None if record is None else record.trail
        reply = await self._scripts.call_again(
            "postpone",
            [
                *_postpone_keys(job, None if wait is None else wait.limit),
                *_trail_keys(job, trail),
                *([] if wait is None else [keys.waits(job.id)]),
            ],
            [
                claimant.incarnation,
                claimant.delivery,
                job.attempt,
                next_attempt,
                to_unix_ms(until),
                body,
                job.id,
                kept // _MILLISECOND,
                record.to_json() if record else "",
                EXECUTION_KEPT // _MILLISECOND,
                waiting_place(job.priority, _due_in_a_list(job, next_attempt, until)),
                max(kept, WAITING_KEPT) // _MILLISECOND,
                "1" if job.user_id == API_USER else "",
                *(() if trail is None else ("trail", *_trail_arguments(trail))),
                *(() if wait is None else ("wait", wait.to_json(), WAITS_KEPT // _MILLISECOND)),
            ],
        )
        return str(reply.decode())

    async def finish(
        self,
        job: Job,
        claimant: Claimant,
        record: ExecutionResult,
        *,
        fail_reason: str = "",
        called: bool,
        kept: timedelta,
        occurrence: str | None = None,
    ) -> bool:
        """Record how `job` ended; return whether this is how it ended: False when an earlier end says otherwise.

        `occurrence` is the id of the occurrence that the scheduler planned the job in, None for any other job.
        """
        ended = record.completed_at
        failed = record.status is _FAILED
        duration_ms = record.duration // _MILLISECOND
        word = FAILING + fail_reason if failed else str(record.status)
        cancelled = record.status is _CANCELLED
        names = _finish_keys(job, ended, occurrence, cancelled=cancelled, uncalled=failed and not called)
        arguments: list[Argument] = [
            word,
            kept // _MILLISECOND,
            record.to_json(),
            EXECUTION_KEPT // _MILLISECOND,
            job.task_type_id,
            int(called),
            int(failed or (cancelled and called)),
            to_unix_ms(ended),
            f"{job.id}:{duration_ms}",
            METRICS_KEPT // _MILLISECOND,
            DURATIONS_KEPT,
            claimant.incarnation,
            claimant.delivery,
            job.id,
            MARK_KEPT_BEYOND_END // _MILLISECOND,
            *(run_end_arguments(ended, record.attempt) if _is_api_run(job, occurrence) else _NO_RUN_END),
        ]
        if record.trail is not None:
            names += _trail_keys(job, record.trail)
            arguments += _trail_arguments(record.trail)
        reply = await self._scripts.call_again("finish", names, arguments)
        return bool(reply.decode() == word)

    async def mark_failed(self, job_id: str) -> None:
        """Note that the failed job's message is safe in `taskqueue.jobs.failed`."""
        await self._store.command("SET", keys.done(job_id), FAILED, "XX", "KEEPTTL")

    async def execution(self, job_id: str) -> bytes | None:
        """Return the ExecutionResult of a job as JSON, or None."""
        reply = await self._store.command("GET", keys.execution(job_id))
        return None if reply is None else bytes(reply)

    async def beat(self, incarnation: str, status: str, ttl: timedelta) -> None:
        """Show that the worker lives; `status` is JSON for people."""
        await self._store.command("SET", keys.worker(incarnation), status, "PX", ttl // _MILLISECOND)

    async def last_beat(self, incarnation: str) -> None:
        """Tell everybody that the worker is gone, so that its claims lapse at once.

        It says so: that its heartbeat is missing would mean nothing for some seconds after Redis was away.
        """
        await self._store.command("SET", keys.worker(incarnation), "", "PX", HEARTBEAT_TTL // _MILLISECOND)


def _due_in_a_list(job: Job, next_attempt: int, until: datetime) -> datetime:
    """Return by which instant the job stands in the list of a limit.

    One that is tried again stands there by its next attempt, also when it is put back before that could be made: with
    its first instant it would be at the head at once, and of a thousand jobs of a host that is down the same few would
    be tried until they have failed.
    """
    return until if next_attempt > 1 else job.execute_after


def _postpone_keys(job: Job, waits_for: str | None) -> list[str]:
    found = [
        keys.claim(job.id),
        keys.done(job.id),
        keys.DELAYED,
        keys.delayed_job(job.id),
        keys.execution(job.id),
        keys.running(job.task_type_id),
        keys.WAITING,
        keys.DELAYED if waits_for is None else keys.waiting(waits_for),
        keys.cancelled(job.id),
    ]
    if job.user_id == API_USER:
        found.append(keys.api_task(job.task_type_id))
    return found


def _finish_keys(job: Job, ended: datetime, occurrence: str | None, *, cancelled: bool, uncalled: bool) -> list[str]:
    found = [
        keys.done(job.id),
        keys.claim(job.id),
        keys.execution(job.id),
        keys.uncalled_failures_of_day(ended) if uncalled else keys.executions_of_day(ended),
        keys.cancels_of_day(ended) if cancelled else keys.failures_of_day(ended),
        keys.durations(job.task_type_id),
        keys.running(job.task_type_id),
        keys.cancelled(job.id),
    ]
    if _is_api_run(job, occurrence):
        found += run_end_keys(job.task_type_id)
    elif occurrence is not None:
        found += [keys.occurrence(job.task_type_id, occurrence), keys.DUE_HELD, keys.DUE_HELD_INSTANTS]
    return found


def run_end_keys(task_id: str) -> list[str]:
    """Return the keys that the end of an API task's run changes."""
    return [
        keys.api_task(task_id),
        keys.api_stats(task_id),
        keys.api_dependents(task_id),
        keys.API_DUE,
        keys.API_WAITING,
        keys.API_TASKS,
    ]


def run_end_arguments(ended: datetime, attempt: int) -> tuple[Argument, Argument, Argument]:
    """Return what lua/finish.lua is told of the end of an API task's run."""
    return keys.API_INDEX_PREFIX, ended.date().isoformat(), attempt


def _is_api_run(job: Job, occurrence: str | None) -> bool:
    # A user of a task type may be called the same: then the script finds that there is no such API task.
    return occurrence is None and job.user_id == API_USER


def _trail_keys(job: Job, trail: Trail | None) -> list[str]:
    return [] if trail is None else [keys.attempts(job.id), keys.execution_logs(job.id)]


def _trail_arguments(trail: Trail | None) -> tuple[str, ...]:
    return () if trail is None else (trail.attempt.to_json(), *(line.to_json() for line in trail.lines))


def _limit_arguments(limit: Limit | None) -> tuple[Argument, Argument]:
    return ("", "") if limit is None else (limit.burst, limit.rate)


def _place_arguments(places: Places | None) -> tuple[Argument, Argument]:
    return ("", "") if places is None else (places.most, places.kept // _MILLISECOND)
