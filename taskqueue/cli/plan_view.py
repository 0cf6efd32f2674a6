"""How `taskqueue plan` shows what it found: as one JSON object for programs, as tables for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby

import typer

from taskqueue.cli.plan_report import HostPlan, PlanReport, RemovedTask, TaskPlan
from taskqueue.cli.tables import print_pairs, print_table
from taskqueue.cli.terminal import printable
from taskqueue.config.duration import format_duration
from taskqueue.core.capacity import Finding, number
from taskqueue.core.clock_changes import marks, offset_text, zone_of
from taskqueue.core.forecast import HORIZON, Fire, Outlook, Peak, Schedule
from taskqueue.core.instants import rfc3339
from taskqueue.core.task import Removed
from taskqueue.core.zones import load_zone

#: tasks that are named in one cell; of more only the number
_NAMED = 3

_REMOVAL = {
    Removed.FINISH: "what is on its way is finished, with the last definition",
    Removed.DRAIN: "what is on its way is dropped, but for calls that have begun",
}


def local_text(instant: datetime, zone: str) -> str:
    """Return an instant on the wall clock of `zone`, with weekday and offset: `Sun 2026-03-08 03:00:00 -04:00`."""
    local = instant.astimezone(load_zone(zone))
    return f"{local:%a %Y-%m-%d %H:%M:%S} {offset_text(local.utcoffset() or timedelta(0))}"


# --- as data ----------------------------------------------------------------------------------------------------------


def report_data(report: PlanReport) -> dict[str, object]:
    """Return the report as docs/plan.md describes it."""
    running = report.running
    standing = running.standing
    return {
        "at": report.at,
        "compared_with": None if standing is None else {"revision": running.revision, "leader": standing.written_by},
        "users_known": None if running.index is None else len(running.index),
        "limits_known": running.limits_known,
        "preferences_ignored": running.ignored,
        "tasks": [_task_data(plan, report.at) for plan in report.tasks],
        "removed": [_removed_data(removed) for removed in report.removed],
        "removal": report.removal.value,
        "hosts": [_host_data(host) for host in report.hosts],
        "clock_changes": [
            {
                "at": plan.change.at,
                "zone": plan.zone,
                "kind": plan.change.kind,
                "from": offset_text(plan.change.before),
                "to": offset_text(plan.change.after),
                "task_id": plan.task_id,
                "effect": plan.effect or None,
            }
            for plan in report.clocks
        ],
        "findings": [_finding_data(finding) for finding in report.findings],
        "refused": report.refused,
    }


def _task_data(plan: TaskPlan, at: datetime) -> dict[str, object]:
    return {
        "task_id": plan.task.id,
        "change": plan.change,
        "fields": [{"field": each.field, "from": each.before, "to": each.after} for each in plan.fields],
        "enabled": plan.task.enabled,
        "paused": plan.paused,
        "users": plan.users,
        "gained": plan.gained,
        "lost": plan.lost,
        "custom_intervals": plan.cohorts,
        "occurrences": plan.occurrences,
        "schedules": [_schedule_data(schedule, outlook, at) for schedule, outlook in plan.outlooks],
    }


def _schedule_data(schedule: Schedule, outlook: Outlook, at: datetime) -> dict[str, object]:
    zone = zone_of(schedule.rule)
    marked = zip(outlook.first, marks(schedule.rule, [fire.at for fire in outlook.first], at), strict=True)
    return {
        "cohort": schedule.cohort,
        "interval": schedule.rule.as_dict(),
        "users": schedule.users,
        "occurrences": outlook.count,
        "next": [
            {"at": fire.at, "local": local_text(fire.at, zone), "window_s": fire.window, "marks": found}
            for fire, found in marked
        ],
    }


def _removed_data(removed: RemovedTask) -> dict[str, object]:
    jobs = removed.jobs
    counts = None if jobs is None else {"planned": jobs.planned, "waiting": jobs.waiting, "running": jobs.running}
    return {"task_id": removed.task_id, "lost": removed.lost, "jobs": counts}


def _host_data(plan: HostPlan) -> dict[str, object]:
    peak = plan.peak
    return {
        "host": plan.host,
        "calls": plan.calls,
        "peak_per_second": peak.per_second,
        "peak_at": peak.at,
        "at_once": peak.at_once,
        "limits_allow_per_second": plan.allowed,
    }


def _finding_data(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity,
        "task_id": finding.task_id,
        "limit": finding.limit or None,
        "text": finding.text,
    }


# --- as tables --------------------------------------------------------------------------------------------------------


def print_report(report: PlanReport, file: str) -> None:
    """Print the report on standard output."""
    print_pairs(list(_heading(report, file)))
    _print_changes(report)
    _print_tasks(report)
    _print_hosts(report)
    _print_clocks(report)
    if report.findings:
        typer.echo("\nFindings")
    for finding in report.findings:
        place = f"{finding.task_id}: " if finding.task_id else ""
        typer.echo(printable(f"  {finding.severity}: {place}{finding.text}"))


def _heading(report: PlanReport, file: str) -> Iterator[tuple[str, str]]:
    running = report.running
    yield "plan of", f"{file}, from {rfc3339(report.at)} on for {HORIZON // timedelta(hours=1)} h"
    if running.standing is None:
        yield "compared with", "nothing: " + ("Redis was not asked" if running.index is None else "nothing runs yet")
    else:
        yield "compared with", f"revision {running.revision} of {running.standing.written_by or 'an unknown leader'}"
    if running.index is None:
        yield "users", "not known: neither are peaks, nor whether limits suffice"
        return
    yield (
        "users",
        f"{len(running.index):,} with switches"
        + (f"; {running.ignored:,} preferences say nothing, see docs/users.md" if running.ignored else ""),
    )
    if not running.limits_known:
        yield "limits", "none are known: no worker has told any within the last hour"


def _print_changes(report: PlanReport) -> None:
    rows = list(_change_rows(report))
    typer.echo("\nChanges" if rows else "\nNo changes")
    if rows:
        print_table(("task", "change", "field", "from", "to"), rows, styles={"removed": "red", "added": "green"})
    if report.removed:
        typer.echo(f"  tasks.removed: {report.removal}: {_REMOVAL[report.removal]}.")


def _change_rows(report: PlanReport) -> Iterator[tuple[str, ...]]:
    for plan in report.tasks:
        if plan.change == "added":
            yield plan.task.id, "added", "", "", ""
        for each in plan.fields:
            yield plan.task.id, "changed", each.field, _value(each.before), _value(each.after)
    for removed in report.removed:
        yield removed.task_id, "removed", "", _jobs(removed), ""


def _value(value: object) -> str:
    return "(none)" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _jobs(removed: RemovedTask) -> str:
    jobs = removed.jobs
    if jobs is None:
        return "its jobs are not known"
    running = "" if jobs.running is None else f", {jobs.running:,} running"
    return f"{jobs.planned:,} jobs planned, {jobs.waiting:,} waiting{running}"


def _print_tasks(report: PlanReport) -> None:
    rows = list[tuple[str, ...]]()
    for plan in report.tasks:
        if not plan.outlooks:
            state = "paused through the API" if plan.paused else "disabled"
            rows.append((plan.task.id, *_users(plan), "0", "", state))
        for schedule, outlook in plan.outlooks:
            rows.append(_schedule_row(plan, schedule, outlook, report.at))
        hidden = plan.cohorts - len(plan.outlooks) + 1
        if plan.outlooks and hidden > 0:
            rows.append(("", "", "", "", "", "", f"and {hidden:,} more interval{'' if hidden == 1 else 's'} of users"))
    rows += [(removed.task_id, "0", "", _count(removed.lost), "0", "", "removed") for removed in report.removed]
    if rows:
        typer.echo("\nTasks")
        print_table(("task", "users", "gained", "lost", "fires", "window", "next"), rows)


def _schedule_row(plan: TaskPlan, schedule: Schedule, outlook: Outlook, at: datetime) -> tuple[str, ...]:
    zone = zone_of(schedule.rule)
    found = marks(schedule.rule, [fire.at for fire in outlook.first], at)
    fires = [_fire(fire, zone, each) for fire, each in zip(outlook.first, found, strict=True)] or ["never again"]
    who = (plan.task.id, *_users(plan)) if not schedule.cohort else ("  own interval", f"{schedule.users:,}", "", "")
    window = format_duration(outlook.tightest.window) if outlook.tightest else ""
    return (*who, str(outlook.count), window, ", ".join(fires))


def _fire(fire: Fire, zone: str, found: tuple[str, ...]) -> str:
    return local_text(fire.at, zone) + (f" ({'; '.join(found)})" if found else "")


def _users(plan: TaskPlan) -> tuple[str, str, str]:
    return _count(plan.users), _count(plan.gained), _count(plan.lost)


def _count(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _print_hosts(report: PlanReport) -> None:
    unlimited = "all" if report.running.limits_known else "?"
    rows = [
        (
            plan.host,
            f"{plan.calls:,}",
            _rate(plan.peak.per_second),
            unlimited if plan.allowed is None else _rate(plan.allowed),
            _peak_text(plan.peak),
        )
        for plan in report.hosts
    ]
    if rows:
        typer.echo("\nHosts")
        print_table(("host", "calls due", "peak", "limits let", "at"), rows)


def _rate(rate: float) -> str:
    return f"{number(rate)}/s"


def _peak_text(peak: Peak) -> str:
    at_once = f", {peak.at_once:,} at once" if peak.at_once else ""
    return f"{rfc3339(peak.at)}{at_once}"


def _print_clocks(report: PlanReport) -> None:
    rows = list[tuple[str, ...]]()
    for (_, zone), group in groupby(report.clocks, key=lambda plan: (plan.change.at, plan.zone)):
        plans = list(group)
        change = plans[0].change
        what = (
            local_text(change.at, zone),
            zone,
            f"{change.kind}, {offset_text(change.before)} to {offset_text(change.after)}",
        )
        by_effect = defaultdict[str, list[str]](list)
        for plan in plans:
            by_effect[plan.effect].append(plan.task_id)
        untouched = by_effect.pop("", [])
        rows += [(*what, _names(task_ids), effect) for effect, task_ids in by_effect.items()]
        if untouched:
            rows.append((*what, _names(untouched), "no time is skipped or comes twice"))
    if rows:
        typer.echo("\nClock changes within a year")
        print_table(("from", "zone", "change", "task", "what happens"), rows)


def _names(task_ids: list[str]) -> str:
    return ", ".join(task_ids) if len(task_ids) <= _NAMED else f"{len(task_ids):,} tasks"
