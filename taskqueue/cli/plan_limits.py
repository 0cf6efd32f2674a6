"""The limits that apply to a task, as rates that its users can be held against."""

from __future__ import annotations

from collections.abc import Iterator

from taskqueue.cli.plan_running import Running
from taskqueue.core.capacity import Finding, RateLimit, Severity, of_calls
from taskqueue.core.host_limit import HostReport, host_of
from taskqueue.core.instants import from_unix_ms, rfc3339
from taskqueue.core.task import Task
from taskqueue.core.waiting import GLOBAL, task_limit
from taskqueue.store.limits import Limit

_PER_TASK = "rate_limit"
_GLOBAL = "rate_limit.global"


def limits_of_task(task: Task, running: Running) -> list[RateLimit]:
    """Return what holds the task's jobs back: the narrowest sort of limit first, what only passes last."""
    found = list(_told(_PER_TASK, running.limits.tasks.get(task.id)))
    mean = running.means.get(task.id)
    if task.max_concurrency is not None and mean is not None:
        found.append(of_calls("max_concurrency", task.max_concurrency, mean))
    found += limits_of_all(running)
    found += _overridden(_PER_TASK, task_limit(task.id), running)
    host = host_of(task.target.endpoint)
    report = running.hosts.get(host)
    if report is not None and report.closed_until is None and report.limit > 0 and mean is not None:
        found.append(of_calls(f"limit of {host}", report.limit, mean, passing=True))
    return found


def limits_of_all(running: Running) -> list[RateLimit]:
    """Return the limits over all tasks together."""
    return [*_told(_GLOBAL, running.limits.global_), *_overridden(_GLOBAL, GLOBAL, running)]


def nothing_known() -> Finding:
    """Return that there are no limits to hold users against."""
    text = "no limits are known, for no worker has told any within the last hour: users are held against none"
    return Finding(severity=Severity.WARNING, task_id=None, text=text)


def findings_of_host(host: str, report: HostReport) -> Finding:
    """Return that a host is in trouble now, which nobody can plan for."""
    if report.closed_until is None:
        text = (
            f"{host}: workers limit it to {report.limit} calls at a time now, for it answers 429 or 503 or not at all"
        )
    else:
        until = rfc3339(from_unix_ms(round(report.closed_until) * 1000))
        text = f"{host}: closed until {until} at least, for it refuses calls; its jobs wait"
    return Finding(severity=Severity.WARNING, task_id=None, text=text, limit=host)


def _told(name: str, limit: Limit | None) -> Iterator[RateLimit]:
    if limit is not None:
        yield RateLimit(name=name, rate=limit.rate, burst=limit.burst)


def _overridden(name: str, limit_name: str, running: Running) -> Iterator[RateLimit]:
    override = running.overrides.get(limit_name)
    if override is not None:
        reason = f"set until {rfc3339(override.until.replace(microsecond=0))}"
        limit = override.limit
        yield RateLimit(name=name, rate=limit.rate, burst=limit.burst, reason=reason, passing=True)
