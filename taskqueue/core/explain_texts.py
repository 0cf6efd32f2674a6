"""What each verdict says in words, and its remedy: templates over the names that `core/explain` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from shlex import quote

from taskqueue.core.explanation import JobFacts, TaskFacts
from taskqueue.core.instants import rfc3339
from taskqueue.core.verdict import Reason, Verdict
from taskqueue.core.waiting import limited_host

_SHOW = "taskqueue exec show {job}"
_LIMITS = "taskqueue limits show says what holds and how many wait; taskqueue limits set raises a rate for a while"
_SWITCH_ON = "taskqueue users enable {task} {user}"

#: message and remedy of each
TEXTS: Mapping[Verdict, tuple[str, str | None]] = {
    Verdict.SUCCEEDED: ("the job ended in success at {ended}, on attempt {attempt}", None),
    Verdict.FAILED: (
        "the job failed for good at {ended}, on attempt {attempt}: {error}",
        "docs/errors.md has a remedy for each code; then taskqueue failed replay",
    ),
    Verdict.EXPIRED: (
        "the job's turn came at {ended}, later than the task's max_age of {max_age} allows; it was not called (again)",
        "see its waits for what held it up; raise max_age, or taskqueue failed replay",
    ),
    Verdict.CANCELLED: (
        "the job was cancelled{ended_at}",
        "it stays so; trigger the task for this user to make up for it",
    ),
    Verdict.SKIPPED_PREFERENCE_OFF: (
        "the user had switched the task off when a worker came to the job, at {ended}",
        _SWITCH_ON,
    ),
    Verdict.SKIPPED_TASK_DISABLED: (
        "the task was disabled or paused when a worker came to the job, at {ended}",
        "enable it in tasks.yaml, or resume it through the API; the next occurrence runs then",
    ),
    Verdict.SKIPPED_TASK_REMOVED: (
        "the task was gone when a worker came to the job, at {ended}",
        "put it back into tasks.yaml, or make it anew",
    ),
    Verdict.RUNNING: ("worker {worker} runs attempt {attempt} now", None),
    Verdict.CANCELLING: (
        "it was cancelled while worker {worker} runs attempt {attempt}; the call is cut within two seconds",
        None,
    ),
    Verdict.WORKER_LOST: (
        "worker {worker} was lost during attempt {attempt}; the job comes to another one",
        "see why the worker died; with no worker left, start one",
    ),
    Verdict.RETRYING: ("attempt {last_attempt} failed: {error}; attempt {attempt} is due at {next_attempt}", _SHOW),
    Verdict.HOST_CLOSED: (
        "the job waits for {limit}, a host that answers 429 or 503 or cannot be connected to",
        "mend the endpoint; the host is tried again within a minute, and its jobs go on by themselves",
    ),
    Verdict.WAITS_FOR_LIMIT: ("the job waits for room under the limit {limit}", _LIMITS),
    Verdict.WAITS_FOR_TIME: ("the job waits in Redis until {next_attempt}", None),
    Verdict.PLANNED: ("the job stands in slot {slot} and is due at {planned_at}", None),
    Verdict.HELD_BACK: (
        "the job was due at {planned_at} and is held back by a limit, a closed host or a full queue",
        "see `limits` for which; no leader, or no RabbitMQ, holds back as well: GET /api/v1/status",
    ),
    Verdict.IN_QUEUE: (
        "the job was released{presumed} and has not begun: it stands in RabbitMQ until it is due and a worker has a "
        "hand free",
        "if it stays there, workers are too few or away: GET /api/v1/status",
    ),
    Verdict.PLANNING: ("the occurrence is being planned; this user's turn in it is still to come", None),
    Verdict.NOT_IN_AUDIENCE: (
        "the user was not among the {users} users for whom the occurrence was planned: the task was switched on later",
        "the next occurrence has the user",
    ),
    Verdict.NO_TRACE: (
        "{untraced}the message was lost, or what was written of it",
        "see first that the queues are empty: taskqueue queue list; then a trigger makes up for it",
    ),
    Verdict.NOT_DUE_YET: ("it is due at {at}", None),
    Verdict.NOT_PLANNED_YET: (
        "its instant has come, and no leader has planned it",
        "see that a scheduler runs and leads: GET /api/v1/status",
    ),
    Verdict.WAITS_FOR_PREVIOUS: (
        "it waits until the occurrence before it is over, as `overlap: queue` says",
        "see what holds up the one before it; it counts as over at the latest max_age after the end of its window",
    ),
    Verdict.OVERLAP_SKIPPED: (
        "it was left out, for the occurrence before it was not over, as `overlap` says",
        "see what held up the one before it; `overlap: allow` lets them run side by side",
    ),
    Verdict.MISSED: (
        "no scheduler ran at its instant, and `catch_up: {catch_up}` passed over it at {noted}",
        "`catch_up: all` makes up for every instant that is not older than max_age",
    ),
    Verdict.TOO_OLD: (
        "no scheduler ran at its instant; at {noted} it was older than the task's max_age of {max_age}",
        "a longer max_age lets it be made up for",
    ),
    Verdict.RULE_CHANGED: (
        "the interval, `start_at` or `end_at` was changed before it was planned",
        "the next occurrence is one of the new rule",
    ),
    Verdict.NOT_PLANNED: (
        "nothing was planned for this instant: the task, its interval or the user's own is younger than that, or the "
        "task was switched off then",
        None,
    ),
    Verdict.FORGOTTEN: ("it is too long ago: what became of it is kept for seven days", None),
    Verdict.TASK_REMOVED: ("the task is gone from tasks.yaml", "put it back into tasks.yaml"),
    Verdict.TASK_DISABLED: ("tasks.yaml says `enabled: false`", "set `enabled: true` in tasks.yaml"),
    Verdict.TASK_PAUSED: ("the task is paused through the API", "POST /api/v1/tasks/{task}/resume"),
    Verdict.BEFORE_START: ("the task begins at {start_at}", "set `start_at` in tasks.yaml"),
    Verdict.AFTER_END: ("the task ended at {end_at}", "set `end_at` in tasks.yaml"),
    Verdict.NEVER_DUE: ("the interval has no instant", "see taskqueue task next {task}"),
    Verdict.USER_UNKNOWN: ("nothing is known of the user: there is no switch for any task", _SWITCH_ON),
    Verdict.USER_OFF: ("the user has switched the task off", _SWITCH_ON),
    Verdict.USER_NOT_ON: (
        "the user has not switched the task on, and the task has no `default_enabled`",
        _SWITCH_ON,
    ),
    Verdict.DEPENDENCY_OPEN: (
        "it was due at {at} and waits for {parents} to end as its dependencies say",
        "see why that has not ended; a trigger runs the task without waiting",
    ),
    Verdict.NEVER_RAN: ("it has not come due since it was made", None),
    Verdict.TASK_OVER: (
        "it was to run once, and has",
        "PATCH its next_execution_time, or trigger it",
    ),
}


def reason_of(code: Verdict, values: Mapping[str, object]) -> Reason:
    """Return the reason in words; `values` has what its template names."""
    message, remedy = TEXTS[code]
    return Reason(
        code=code, message=message.format(**values), remedy=None if remedy is None else remedy.format(**values)
    )


def task_values(task: TaskFacts, now: datetime, user_id: str) -> dict[str, object]:
    """Return what the templates name of the task and the user; a share of an occurrence has more."""
    return {
        "task": task.task_id,
        "user": quote(user_id),
        "now": rfc3339(now),
        "max_age": task.max_age,
        "catch_up": task.catch_up,
        "start_at": text_of(task.start_at),
        "end_at": text_of(task.end_at),
        "presumed": "",
        "untraced": "it was queued, and nothing is known of its job: ",
    }


def job_values(job: JobFacts) -> dict[str, object]:
    """Return what the templates name of a job."""
    attempt = job.attempt or 1
    limit = job.waits_for or ""
    return {
        "job": job.job_id,
        "worker": job.worker_id or "unknown",
        "attempt": attempt,
        "last_attempt": job.attempts[-1].attempt if job.attempts else max(1, attempt - 1),
        "limit": limited_host(limit) or limit,
        "ended": text_of(job.completed_at),
        "ended_at": "" if job.completed_at is None else f" at {rfc3339(job.completed_at)}",
        "next_attempt": text_of(job.next_attempt_at),
        "error": job.error_code or "nothing tells why",
    }


def text_of(instant: datetime | None) -> str:
    """Return an instant in words."""
    return "an unknown instant" if instant is None else rfc3339(instant)
