"""Every Redis key, built here and nowhere else. docs/redis.md lists them with type, TTL and owner.

In the spec's keys ids stand verbatim, since other systems write them too. In keys of ours alone, ids that are data are
percent-encoded, so that no id can reach into another key.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from taskqueue.core.ids import MAX_USER_ID_BYTES, percent_encoded

PREFIX = "taskqueue:"
USERS_PREFIX = "taskqueue:users:"
WORKER_PREFIX = "taskqueue:worker:"
DELAYED_JOB_PREFIX = "taskqueue:delayed:job:"
OCCURRENCE_PREFIX = "taskqueue:occurrence:"
SCHEDULE_PREFIX = "taskqueue:schedule:"
SLOT_PREFIX = "taskqueue:distribution:"

#: the leader's lease (spec: distribution process lock)
LEASE = "taskqueue:distribution:lock"
GLOBAL_LIMIT = "taskqueue:ratelimit:global"
DUE = "taskqueue:due"
DUE_RULES = "taskqueue:due:rules"
#: due work that waits: for its exact instant, or for the occurrence before it
DUE_HELD = "taskqueue:due:held"
#: the instants of that due work
DUE_HELD_INSTANTS = "taskqueue:due:held:instants"
#: those that are never due again: they have a rule, but no due work
DUE_ENDED = "taskqueue:due:ended"
LATEST_OCCURRENCE_PREFIX = "taskqueue:due:latest:"
OCCURRENCES = "taskqueue:occurrences"
PLAIN_SLOT_OWNERS = "taskqueue:distribution:owners"
DELAYED = "taskqueue:delayed"
#: never there: what is asked to learn whether a write would be taken
PROBE = "taskqueue:probe"
LANE_TAIL = "taskqueue:lane_tail"
#: the limits that have a list of waiting jobs
WAITING = "taskqueue:waiting"
WAITING_PREFIX = "taskqueue:waiting:"
RUNNING_PREFIX = "taskqueue:running:"
#: since when some process has beaten without a pause: before that a worker's heartbeat may be missing though it lives
FLEET_WATCHED = "taskqueue:fleet:watched"
#: the limits that workers hold
LIMITS = "taskqueue:limits"
#: limits that an operator has set for a while
LIMIT_OVERRIDES = "taskqueue:limits:overrides"
#: what workers know about hosts that have trouble
HOSTS = "taskqueue:hosts"
CATALOG = "taskqueue:catalog"
CATALOG_REVISION = "taskqueue:catalog:revision"
#: the scheduler that wrote the definitions
CATALOG_WRITER = "taskqueue:catalog:writer"
CATALOG_REMOVED = "taskqueue:catalog:removed"

#: the tasks made through the API, by when they were made
API_TASKS = "taskqueue:api:tasks"
API_TASK_PREFIX = "taskqueue:api:task:"
#: the same tasks by name
API_NAMES = "taskqueue:api:names"
API_INDEX_PREFIX = "taskqueue:api:index:"
#: those that are to run, by when
API_DUE = "taskqueue:api:due"
#: those that are due and wait for another task
API_WAITING = "taskqueue:api:waiting"
API_DEPENDENCIES_PREFIX = "taskqueue:api:deps:"
API_DEPENDENTS_PREFIX = "taskqueue:api:dependents:"
API_EXECUTIONS_PREFIX = "taskqueue:api:executions:"
API_STATS_PREFIX = "taskqueue:api:stats:"
#: the task types of tasks.yaml that are paused through the API
API_PAUSED = "taskqueue:api:paused"
#: the ids of all tokens
API_TOKENS = "taskqueue:api:tokens"
#: the requests that changed something
API_AUDIT = "taskqueue:api:audit"

#: what the key of a user's switches ends in
TASKS_SUFFIX = ":tasks"
_SETTINGS_MARK = ":settings"


def last_execution(task_id: str) -> str:
    """Spec, STRING: when the task was last executed, RFC 3339."""
    return f"{SCHEDULE_PREFIX}{task_id}"


def planning_lock(task_id: str) -> str:
    """Spec, STRING: the token of whoever plans the task now."""
    return f"{SCHEDULE_PREFIX}lock:{task_id}"


def user_tasks(user_id: str) -> str:
    """Spec, HASH: task id -> 0 or 1."""
    return f"{USERS_PREFIX}{user_id}{TASKS_SUFFIX}"


def user_settings(user_id: str, task_id: str) -> str:
    """Spec, HASH: `custom_interval` and `parameters` (JSON), `last_modified`."""
    return f"{USERS_PREFIX}{user_id}{_SETTINGS_MARK}:{task_id}"


def settings_suffix(task_id: str) -> str:
    """What follows the user id in the key of a user's settings for the task; for scripts that build many."""
    return f"{_SETTINGS_MARK}:{task_id}"


def task_of_settings(key: str) -> str:
    """Return the task whose settings stand at `key`, which `user_settings` has built."""
    return key.rpartition(":")[2]


def user_of_key(key: str) -> str | None:
    """Return the user whose preferences or settings `key` holds; None when it is neither, or of no possible user.

    Keys are read from the right: user ids may hold anything, task ids hold no colon and none is called `tasks`.
    """
    if not key.startswith(USERS_PREFIX):
        return None
    owner, mark, task_id = key.removeprefix(USERS_PREFIX).rpartition(":")
    if mark + task_id != TASKS_SUFFIX:
        if not owner.endswith(_SETTINGS_MARK) or not task_id:
            return None
        owner = owner.removesuffix(_SETTINGS_MARK)
    return owner if 1 <= len(owner.encode()) <= MAX_USER_ID_BYTES else None


def import_mark(file: str) -> str:
    """STRING: how far an unfinished import of the file has come, `{line} {CRC-32}`."""
    return f"taskqueue:import:{percent_encoded(file)}"


def task_limit(task_id: str) -> str:
    """Spec: token bucket of the task."""
    return f"taskqueue:ratelimit:task:{task_id}"


#: the same for every job of a day
_date = lru_cache(maxsize=16)(date.isoformat)


def executions_of_day(day: datetime) -> str:
    """Spec, HASH: task id -> executions that ended on the UTC day."""
    return f"taskqueue:metrics:executions:{_date(day.date())}"


def failures_of_day(day: datetime) -> str:
    """Spec, HASH: task id -> executions that failed for good on the UTC day."""
    return f"taskqueue:metrics:failures:{_date(day.date())}"


def cancels_of_day(day: datetime) -> str:
    """HASH: task id -> executions that were cancelled during a call on the UTC day."""
    return f"taskqueue:metrics:cancelled:{_date(day.date())}"


def uncalled_failures_of_day(day: datetime) -> str:
    """HASH: task id -> executions that failed for good on the UTC day without having been called then."""
    return f"taskqueue:metrics:uncalled:{_date(day.date())}"


def durations(task_id: str) -> str:
    """Spec, ZSET: completion in unix ms -> `{job_id}:{duration_ms}`."""
    return f"taskqueue:metrics:duration:{task_id}"


def slot(task_id: str, slot_number: int, suffix: str) -> str:
    """Spec, LIST: the users of the slot. `suffix` is empty or `:{occurrence}`."""
    return f"{SLOT_PREFIX}{task_id}:{slot_number}{suffix}"


def occurrence(task_id: str, occurrence_id: str) -> str:
    """HASH: what was decided about the occurrence and how far it got."""
    return f"{OCCURRENCE_PREFIX}{task_id}:{percent_encoded(occurrence_id)}"


def latest_occurrence(due_member: str) -> str:
    """STRING: the id of the latest occurrence of a cohort that later ones do not overlap with."""
    return LATEST_OCCURRENCE_PREFIX + due_member


def skipped(due_member: str) -> str:
    """LIST: instants of the cohort that were left out or passed over, JSON."""
    return f"taskqueue:due:skipped:{due_member}"


def claim(job_id: str) -> str:
    """HASH: who runs the job, and which attempt is to be run next."""
    return f"taskqueue:claim:{percent_encoded(job_id)}"


def done(job_id: str) -> str:
    """STRING: how the job ended; it must not run again."""
    return f"taskqueue:done:{percent_encoded(job_id)}"


def cancelled(job_id: str) -> str:
    """STRING: the job must not run (again)."""
    return f"taskqueue:cancelled:{percent_encoded(job_id)}"


def execution(job_id: str) -> str:
    """STRING: the ExecutionResult as JSON."""
    return f"taskqueue:execution:{percent_encoded(job_id)}"


def attempts(job_id: str) -> str:
    """LIST: what each attempt came to, JSON; none for a job whose record says all."""
    return f"{execution(job_id)}:attempts"


def execution_logs(job_id: str) -> str:
    """LIST: the log lines that the endpoint returned, JSON."""
    return f"{execution(job_id)}:logs"


def waits(job_id: str) -> str:
    """LIST: the times in which the job was put aside, JSON; none for a job that nothing held back."""
    return f"{execution(job_id)}:waits"


def replayed(job_id: str) -> str:
    """HASH: the failures of the job that were replayed, each with when."""
    return f"taskqueue:replayed:{percent_encoded(job_id)}"


def delayed_job(job_id: str) -> str:
    """HASH: the message of a job that waits, its attempt and generation, and the list it waits in."""
    return DELAYED_JOB_PREFIX + percent_encoded(job_id)


def waiting(limit: str) -> str:
    """ZSET: the jobs that wait for the limit, by their place."""
    return WAITING_PREFIX + limit


def running(task_id: str) -> str:
    """ZSET: the jobs of the task that run now, each with its worker, by the unix ms at which the place lapses."""
    return RUNNING_PREFIX + task_id


def worker(incarnation: str) -> str:
    """STRING: the heartbeat of one worker process."""
    return WORKER_PREFIX + incarnation


def fleet(kind: str) -> str:
    """ZSET: the processes of that kind, by their last beat, unix ms."""
    return f"taskqueue:fleet:{kind}"


def fleet_status(kind: str) -> str:
    """HASH: process -> what it said of itself with that beat, JSON."""
    return f"{fleet(kind)}:status"


def api_task(task_id: str) -> str:
    """HASH: the task, JSON, and what has become of it."""
    return API_TASK_PREFIX + percent_encoded(task_id)


def api_index(name: str) -> str:
    """ZSET: the API tasks of one kind (store/api_task_index), by when they were made."""
    return API_INDEX_PREFIX + name


def api_dependencies(task_id: str) -> str:
    """HASH: dependency id -> what the task waits for, JSON."""
    return API_DEPENDENCIES_PREFIX + percent_encoded(task_id)


def api_dependents(task_id: str) -> str:
    """SET: the tasks that wait for the task."""
    return API_DEPENDENTS_PREFIX + percent_encoded(task_id)


def api_executions(task_id: str) -> str:
    """ZSET: the executions of the task by when they were queued, unix ms."""
    return API_EXECUTIONS_PREFIX + percent_encoded(task_id)


def api_stats(task_id: str) -> str:
    """HASH: how many executions of the task ended, in all and by UTC day."""
    return API_STATS_PREFIX + percent_encoded(task_id)


def api_token(token_id: str) -> str:
    """HASH: what is known of a token of the API, with the digest of its secret."""
    return f"taskqueue:api:token:{percent_encoded(token_id)}"


def api_quota(token_id: str) -> str:
    """HASH: the token bucket of one API token's requests."""
    return f"taskqueue:api:quota:{percent_encoded(token_id)}"


def api_idempotency(token_id: str, key: str) -> str:
    """HASH: a request of an API token that came with this Idempotency-Key, and its answer."""
    return f"taskqueue:api:idempotency:{percent_encoded(token_id)}:{percent_encoded(key)}"


def damaged(key: str) -> str:
    """What stood at `key` and did not belong there, of whatever type."""
    return f"taskqueue:damaged:{key.removeprefix(PREFIX)}"
