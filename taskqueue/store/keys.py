"""Every Redis key, built here and nowhere else. docs/redis.md lists them with type, TTL and owner.

In the spec's keys ids stand verbatim, since other systems write them too. In keys of ours alone, ids that are data are
percent-encoded, so that no id can reach into another key.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from taskqueue.core.ids import MAX_USER_ID_BYTES

PREFIX = "taskqueue:"
USERS_PREFIX = "taskqueue:users:"
WORKER_PREFIX = "taskqueue:worker:"
DELAYED_JOB_PREFIX = "taskqueue:delayed:job:"

#: the leader's lease (spec: distribution process lock)
LEASE = "taskqueue:distribution:lock"
GLOBAL_LIMIT = "taskqueue:ratelimit:global"
DUE = "taskqueue:due"
DUE_RULES = "taskqueue:due:rules"
OCCURRENCES = "taskqueue:occurrences"
PLAIN_SLOT_OWNERS = "taskqueue:distribution:owners"
DELAYED = "taskqueue:delayed"
LANE_TAIL = "taskqueue:lane_tail"
CATALOG = "taskqueue:catalog"
CATALOG_REVISION = "taskqueue:catalog:revision"
CATALOG_REMOVED = "taskqueue:catalog:removed"

_TASKS_SUFFIX = ":tasks"
_SETTINGS_MARK = ":settings"


def last_execution(task_id: str) -> str:
    """Spec, STRING: when the task was last executed, RFC 3339."""
    return f"taskqueue:schedule:{task_id}"


def planning_lock(task_id: str) -> str:
    """Spec, STRING: the token of whoever plans the task now."""
    return f"taskqueue:schedule:lock:{task_id}"


def user_tasks(user_id: str) -> str:
    """Spec, HASH: task id -> 0 or 1."""
    return f"{USERS_PREFIX}{user_id}{_TASKS_SUFFIX}"


def user_settings(user_id: str, task_id: str) -> str:
    """Spec, HASH: `custom_interval` and `parameters` (JSON), `last_modified`."""
    return f"{USERS_PREFIX}{user_id}{_SETTINGS_MARK}:{task_id}"


def settings_suffix(task_id: str) -> str:
    """What follows the user id in the key of a user's settings for the task; for scripts that build many."""
    return f"{_SETTINGS_MARK}:{task_id}"


def user_of_key(key: str) -> str | None:
    """Return the user whose preferences or settings `key` holds; None when it is neither, or of no possible user.

    Keys are read from the right: user ids may hold anything, task ids hold no colon and none is called `tasks`.
    """
    if not key.startswith(USERS_PREFIX):
        return None
    owner, mark, task_id = key.removeprefix(USERS_PREFIX).rpartition(":")
    if mark + task_id != _TASKS_SUFFIX:
        if not owner.endswith(_SETTINGS_MARK) or not task_id:
            return None
        owner = owner.removesuffix(_SETTINGS_MARK)
    return owner if 1 <= len(owner.encode()) <= MAX_USER_ID_BYTES else None


def task_limit(task_id: str) -> str:
    """Spec: token bucket of the task."""
    return f"taskqueue:ratelimit:task:{task_id}"


def executions_of_day(day: datetime) -> str:
    """Spec, HASH: task id -> executions that ended on the UTC day."""
    return f"taskqueue:metrics:executions:{day:%Y-%m-%d}"


def failures_of_day(day: datetime) -> str:
    """Spec, HASH: task id -> executions that failed for good on the UTC day."""
    return f"taskqueue:metrics:failures:{day:%Y-%m-%d}"


def durations(task_id: str) -> str:
    """Spec, ZSET: completion in unix ms -> `{job_id}:{duration_ms}`."""
    return f"taskqueue:metrics:duration:{task_id}"


def slot(task_id: str, slot_number: int, suffix: str) -> str:
    """Spec, LIST: the users of the slot. `suffix` is empty or `:{occurrence}`."""
    return f"taskqueue:distribution:{task_id}:{slot_number}{suffix}"


def occurrence(task_id: str, occurrence_id: str) -> str:
    """HASH: what was decided about the occurrence and how far it got."""
    return f"taskqueue:occurrence:{task_id}:{quote(occurrence_id, safe='')}"


def claim(job_id: str) -> str:
    """HASH: who runs the job, and which attempt is to be run next."""
    return f"taskqueue:claim:{_encoded(job_id)}"


def done(job_id: str) -> str:
    """STRING: how the job ended; it must not run again."""
    return f"taskqueue:done:{_encoded(job_id)}"


def cancelled(job_id: str) -> str:
    """STRING: the job must not run (again)."""
    return f"taskqueue:cancelled:{_encoded(job_id)}"


def execution(job_id: str) -> str:
    """STRING: the ExecutionResult as JSON."""
    return f"taskqueue:execution:{_encoded(job_id)}"


def delayed_job(job_id: str) -> str:
    """HASH: the message of a job that waits in `taskqueue:delayed`, its attempt and its generation."""
    return DELAYED_JOB_PREFIX + _encoded(job_id)


def worker(incarnation: str) -> str:
    """STRING: the heartbeat of one worker process."""
    return WORKER_PREFIX + incarnation


def _encoded(text: str) -> str:
    return quote(text, safe="")
