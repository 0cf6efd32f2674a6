"""The limits that jobs wait for in Redis: their names, and the order in which jobs leave their lists."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import unquote

from taskqueue.core.ids import percent_encoded
from taskqueue.core.instants import from_unix_ms, to_unix_ms
from taskqueue.core.task import Priority

#: over all tasks
GLOBAL: Final = "global"

_TASK = "task:"
_CONCURRENCY = "concurrency:"
_QUEUE = "queue:"
_HOST = "host:"

#: milliseconds that one priority spans in a place: 317 years, so that instants of two priorities never meet
_SPAN_MS: Final = 10**13

#: the highest place that there is
LAST_PLACE: Final = len(Priority) * _SPAN_MS - 1


def task_limit(task_id: str) -> str:
    """Return the name of the limit on how many jobs of the task start per second."""
    return _TASK + task_id


def concurrency_limit(task_id: str) -> str:
    """Return the name of the limit on how many jobs of the task run at a time."""
    return _CONCURRENCY + task_id


def queue_limit(priority: Priority) -> str:
    """Return the name of the limit on how many messages stand ready in the queue of `priority`."""
    return _QUEUE + priority.name.lower()


def host_limit(host: str) -> str:
    """Return the name of the adaptive limit of `host` (core/host_limit)."""
    return _HOST + percent_encoded(host)


def limited_host(limit: str) -> str | None:
    """Return the host whose adaptive limit `limit` is; None for any other limit."""
    return unquote(limit.removeprefix(_HOST)) if limit.startswith(_HOST) else None


def is_narrower(limit: str, than: str) -> bool:
    """Return whether `limit` holds back fewer tasks than the other one: one task, the tasks of a host, or many."""
    return _breadth(limit) < _breadth(than)


def limited_task(limit: str) -> str | None:
    """Return the task whose jobs alone wait for `limit`; None for a limit of many tasks."""
    for prefix in (_TASK, _CONCURRENCY):
        if limit.startswith(prefix):
            return limit.removeprefix(prefix)
    return None


def waiting_place(priority: Priority, due: datetime) -> int:
    """Return a job's place in the list of a limit: the lower, the sooner; by priority, then by due instant.

    Instants count from 1970 to 2286; earlier and later ones stand first and last within their priority.
    """
    milliseconds = min(max(to_unix_ms(due), 0), _SPAN_MS - 1)
    return (Priority.HIGH - priority) * _SPAN_MS + milliseconds


def due_at_place(place: int) -> datetime:
    """Return the due instant that stands in a job's place, 0 to LAST_PLACE."""
    return from_unix_ms(place % _SPAN_MS)


def _breadth(limit: str) -> int:
    if limited_task(limit) is not None:
        return 0
    return 1 if limit.startswith(_HOST) else 2
