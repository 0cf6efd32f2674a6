"""What `taskqueue plan` finds out about a new tasks.yaml: comparison and forecast, without any input or output."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf, isfinite

from taskqueue.cli.plan_limits import findings_of_host, limits_of_all, limits_of_task, nothing_known
from taskqueue.cli.plan_running import JobsOnTheirWay, Running
from taskqueue.cli.progress import Advance
from taskqueue.config.catalog import Catalog, task_to_json
from taskqueue.core.capacity import Demand, Finding, RateLimit, Severity, judge, judge_together, not_judged
from taskqueue.core.catalog_change import FieldChange, changed_fields, mass_delete
from taskqueue.core.clock_changes import YEAR, ClockChange, clock_changes, follows_real_time, touched, zone_of
from taskqueue.core.forecast import Load, Outlook, Peak, Schedule, outlook
from taskqueue.core.host_limit import host_of
from taskqueue.core.occurrence import DEFAULT_COHORT
from taskqueue.core.task import Removed, Task
from taskqueue.scheduler.planner import PlanDefaults

#: occurrences of a schedule that are shown, and cohorts of a task with their own interval
SHOWN_FIRES = 3
SHOWN_COHORTS = 3
#: wall times of a rule of which is told what one clock change does to them
_SHOWN_WALLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """One task of the new file. `users`, `gained` and `lost` are None where the audience is not known.

    `change` is added, changed or unchanged; `outlooks` are of its own interval and of the largest cohorts, of which
    there are `cohorts` in all.
    """

    task: Task
    change: str
    fields: tuple[FieldChange, ...]
    paused: bool
    users: int | None
    gained: int | None
    lost: int | None
    outlooks: tuple[tuple[Schedule, Outlook], ...]
    cohorts: int
    occurrences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedTask:
    """A task that is gone from the file; `lost` as in TaskPlan."""

    task_id: str
    lost: int | None
    jobs: JobsOnTheirWay | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The calls that are due at one host within the horizon, at least one, and the most of them in a second.

    `allowed` is how many the limits of its tasks let start in a second; None without any.
    """

    host: str
    calls: int
    peak: Peak
    allowed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPlan:
    """A clock change in the zone of a task, and what becomes of its wall times; empty where it touches none."""

    zone: str
    change: ClockChange
    task_id: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """Everything that there is to say about a new tasks.yaml at `at`."""

    at: datetime
    running: Running
    removal: Removed
    tasks: tuple[TaskPlan, ...]
    removed: tuple[RemovedTask, ...]
    hosts: tuple[HostPlan, ...]
    clocks: tuple[ClockPlan, ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether a finding wants --force."""
        return any(finding.severity is Severity.REFUSED for finding in self.findings)


def make_report(
    new: Catalog,
    running: Running,
    defaults: PlanDefaults,
    *,
    at: datetime,
    allow_mass_delete: bool,
    advance: Advance,
) -> PlanReport:
    """Compare `new` with what runs, and look ahead from `at`.

    `advance` is told of each schedule that is done, in all as many as Running.most_schedules says of the tasks.
    """
    drawn = _Drawing(running, defaults, at, advance)
    tasks = [drawn.task_plan(task) for task in new.tasks.values()]
    removed = running.known - new.tasks.keys()
    refusal = None if allow_mass_delete else mass_delete(running.known, new.tasks.keys())
    guard = [] if refusal is None else [Finding(severity=Severity.REFUSED, task_id=None, text=f"reload: {refusal}")]
    return PlanReport(
        at=at,
        running=running,
        removal=defaults.removed,
        tasks=tuple(tasks),
        removed=tuple(_removed(running, task_id) for task_id in sorted(removed)),
        hosts=tuple(drawn.host_plans()),
        clocks=tuple(_clocks(new.tasks.values(), at)),
        findings=(*guard, *drawn.findings, *drawn.joint_findings()),
    )


class _Drawing:
    """Draws up the tasks' parts, and adds up what they come to together."""

    def __init__(self, running: Running, defaults: PlanDefaults, at: datetime, advance: Advance) -> None:
        self._running = running
        self._defaults = defaults
        self._at = at
        self._advance = advance
        self._all = Load(begins=at)
        self._by_max_age = dict[timedelta, Load]()
        self._hosts = dict[str, Load]()
        #: what the limits of each host's tasks let start in a second
        self._allowed = defaultdict[str, float](float)
        self.findings = list[Finding]()

    def task_plan(self, task: Task) -> TaskPlan:
        running, before = self._running, self._running.task(task.id)
        unreadable = before is None and task.id in running.known
        users, had = running.users(task), None if unreadable else running.users(before)
        load = Load(begins=self._at)
        schedules = running.schedules(task)
        outlooks = [self._outlook(task, schedule, load) for schedule in schedules]
        self._advance(running.most_schedules(task) - len(schedules))
        self._judge(task, list(zip(schedules, outlooks, strict=True)), load)
        self._add(task, load)
        fields = _changed(before, task, running)
        return TaskPlan(
            task=task,
            change="added" if task.id not in running.known else "changed" if fields else "unchanged",
            fields=fields,
            paused=task.enabled and task.id in running.paused,
            users=users,
            # Equal preferences: with either definition one side's users are all among the other's.
            gained=None if users is None or had is None else max(0, users - had),
            lost=None if users is None or had is None else max(0, had - users),
            outlooks=tuple(zip(schedules, outlooks, strict=True))[: 1 + SHOWN_COHORTS],
            cohorts=max(0, len(schedules) - 1),
            occurrences=sum(each.count for each in outlooks),
        )

    def _add(self, task: Task, load: Load) -> None:
        host = host_of(task.target.endpoint)
        self._hosts.setdefault(host, Load(begins=self._at)).merge(load)
        self._all.merge(load)
        self._by_max_age.setdefault(task.max_age, Load(begins=self._at)).merge(load)
        if load.calls:
            limits = limits_of_task(task, self._running)
            self._allowed[host] += min((limit.rate for limit in limits if not limit.passing), default=inf)

    def _outlook(self, task: Task, schedule: Schedule, load: Load) -> Outlook:
        found = outlook(schedule, self._defaults.window_of(task), at=self._at, shown=SHOWN_FIRES, load=load)
        self._advance(1)
        return found

    def _judge(self, task: Task, outlooks: Sequence[tuple[Schedule, Outlook]], load: Load) -> None:
        demands = [
            (schedule, Demand(users=schedule.users, fire=found.tightest, max_age=task.max_age))
            for schedule, found in outlooks
            if found.tightest is not None and schedule.users
        ]
        # The worst comes first, and speaks for the others: users may have thousands of intervals.
        demands.sort(key=lambda each: -each[1].per_second)
        limits = limits_of_task(task, self._running)
        for limit in limits:
            self.findings += _worst(task, demands, limit)
        most = task.max_concurrency
        if demands and most is not None and most < demands[0][1].users and task.id not in self._running.means:
            schedule, demand = demands[0]
            self.findings.append(_of_schedule(schedule, not_judged(task.id, demand, most)))
        if len(outlooks) > 1:
            for limit in limits:
                finding = judge_together(task.id, load, limit, "all intervals of its users", {task.max_age: load})
                if finding is not None and not self._is_told(finding):
                    self.findings.append(finding)

    def _is_told(self, finding: Finding) -> bool:
        """Return whether the same is said of the same limit already, and no less sternly."""
        return any(
            (told.limit, told.task_id) == (finding.limit, finding.task_id)
            and (told.severity is Severity.REFUSED or finding.severity is Severity.WARNING)
            for told in self.findings
        )

    def joint_findings(self) -> Iterator[Finding]:
        """Yield what is too much for the limits that tasks share, and which hosts are in trouble."""
        if self._running.index is not None and not self._running.limits_known:
            yield nothing_known()
        for limit in limits_of_all(self._running):
            finding = judge_together(None, self._all, limit, "all tasks", self._by_max_age)
            if finding is not None:
                yield finding
        for host, report in self._running.hosts.items():
            if host in self._hosts:
                yield findings_of_host(host, report)

    def host_plans(self) -> Iterator[HostPlan]:
        """Yield the hosts at which calls are due, by name."""
        of_all = min((limit.rate for limit in limits_of_all(self._running) if not limit.passing), default=inf)
        for host, load in sorted(self._hosts.items()):
            peak, allowed = load.peak(), min(self._allowed[host], of_all)
            if peak is not None:
                yield HostPlan(host=host, calls=load.calls, peak=peak, allowed=allowed if isfinite(allowed) else None)


def _worst(task: Task, demands: Sequence[tuple[Schedule, Demand]], limit: RateLimit) -> Iterator[Finding]:
    """Yield the finding of the first of `demands` that has one, with how many others do."""
    found = [
        (schedule, finding) for schedule, demand in demands if (finding := judge(task.id, demand, limit)) is not None
    ]
    if not found:
        return
    schedule, finding = found[0]
    more = f"; so it is with {len(found) - 1:,} more of its intervals" if len(found) > 1 else ""
    yield _of_schedule(schedule, replace(finding, text=finding.text + more))


def _of_schedule(schedule: Schedule, finding: Finding) -> Finding:
    """Return the finding with the interval that it is about, where that is not the task's own."""
    if schedule.cohort == DEFAULT_COHORT:
        return finding
    return replace(finding, text=f"users with {json.dumps(schedule.rule.as_dict())}: {finding.text}")


def _changed(before: Task | None, task: Task, running: Running) -> tuple[FieldChange, ...]:
    if before is None:
        unreadable = task.id in running.known
        text = "(written by another version, not readable here)"
        return (FieldChange(field="definition", before=text, after="(as in the file)"),) if unreadable else ()
    old, new = json.loads(task_to_json(before)), json.loads(task_to_json(task))
    if task.id in running.paused:
        # In force is `enabled: false`, whatever the file says.
        old["enabled"] = new["enabled"]
    return changed_fields(old, new)


def _removed(running: Running, task_id: str) -> RemovedTask:
    task = running.task(task_id)
    lost = None if task is None else running.users(task)
    return RemovedTask(task_id=task_id, lost=lost, jobs=running.leftovers.get(task_id))


def _clocks(tasks: Iterable[Task], at: datetime) -> Iterator[ClockPlan]:
    found = [
        ClockPlan(zone=zone, change=change, task_id=task.id, effect=_effect(task, change))
        for task in tasks
        if task.enabled
        for zone in [zone_of(task.rule())]
        for change in clock_changes(zone, at, at + YEAR)
        if (task.start_at or at) <= change.at <= (task.end_at or change.at)
    ]
    yield from sorted(found, key=lambda plan: (plan.change.at, plan.zone, plan.task_id))


def _effect(task: Task, change: ClockChange) -> str:
    if follows_real_time(task.rule()):
        return "follows real time"
    found = list(touched(task.rule(), change))
    shown = [each.said(change) for each in found[:_SHOWN_WALLS]]
    more = len(found) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])
