"""The table at the end of the demo, and the lines while it runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taskqueue.dev.demo_expectation import ExpectedJob
from taskqueue.dev.demo_judge import Defect, Evidence, Matcher, SeenCall, slot_counts

#: defects that are printed one by one
_DEFECTS_SHOWN = 20

_LEGEND = """\
sent     users who were called         slot     fewest to most users in one
retried  further attempts                       slot of 10 s
skipped  planned, then switched off    p50 p99  lateness behind the place in
failed   in taskqueue.jobs.failed               the window, half and 99 %"""

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """What one task came to. `lateness` is that of first attempts that stand in a slot list, in seconds, sorted."""

    task_id: str
    planned: int
    sent: int
    slot_min: int | None
    slot_max: int | None
    lateness: tuple[float, ...]
    retried: int
    failed: int
    skipped: int


def task_rows(expected: Sequence[ExpectedJob], evidence: Evidence, task_ids: Iterable[str]) -> list[TaskRow]:
    """Return one row for each task, of the required jobs only."""
    matcher = Matcher(job for job in expected if job.required)
    calls = [call for call in evidence.calls if matcher.job_of(call) is not None]
    failures = Counter(failure.task_id for failure in evidence.failures if matcher.job_of(failure) is not None)
    return [_row(task_id, expected, evidence, calls, failures[task_id]) for task_id in task_ids]


def _row(
    task_id: str, expected: Sequence[ExpectedJob], evidence: Evidence, calls: Sequence[SeenCall], failed: int
) -> TaskRow:
    own = [call for call in calls if call.task_id == task_id]
    called = {call.user_id for call in own}
    plan = [planned for planned in evidence.planned if planned.task_id == task_id]
    triggered = [job for job in expected if job.task_id == task_id and job.triggered]
    users = {planned.user_id for planned in plan} | {job.user_id for job in triggered}
    counts = [count for slots in slot_counts(plan).values() for count in slots]
    due = {planned.user_id: planned.due for planned in plan}
    lateness = sorted(
        (call.at - due[call.user_id]) / _SECOND for call in own if call.attempt == 1 and call.user_id in due
    )
    return TaskRow(
        task_id=task_id,
        planned=len(plan) + len(triggered),
        sent=len(called),
        slot_min=min(counts, default=None),
        slot_max=max(counts, default=None),
        lateness=tuple(lateness),
        retried=sum(call.attempt > 1 for call in own),
        failed=failed,
        skipped=len(users - called),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that a `share` (above 0, up to 1) of `ordered` does not exceed; None of nothing."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def show_table(console: Console, rows: Sequence[TaskRow], evidence: Evidence) -> None:
    """Print the table, 80 columns wide at most."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("task", no_wrap=True)
    for name in ("planned", "sent", "slot", "p50", "p99", "retried", "failed", "skipped"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.task_id, *_cells(row))
    table.add_section()
    table.add_row("all", *_cells(_total(rows)))
    console.print(table)
    console.print(_LEGEND, highlight=False)
    console.print(_peak_text(evidence), highlight=False)


def _total(rows: Sequence[TaskRow]) -> TaskRow:
    return TaskRow(
        task_id="",
        planned=sum(row.planned for row in rows),
        sent=sum(row.sent for row in rows),
        slot_min=None,
        slot_max=None,
        lateness=tuple(sorted(value for row in rows for value in row.lateness)),
        retried=sum(row.retried for row in rows),
        failed=sum(row.failed for row in rows),
        skipped=sum(row.skipped for row in rows),
    )


def _cells(row: TaskRow) -> tuple[str, ...]:
    slots = "" if row.slot_min is None else f"{row.slot_min}-{row.slot_max}"
    late = (_milliseconds(percentile(row.lateness, share)) for share in (0.5, 0.99))
    numbers = (row.retried, row.failed, row.skipped)
    return str(row.planned), str(row.sent), slots, *late, *(str(number) if number else "" for number in numbers)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f} ms"


def _peak_text(evidence: Evidence) -> str:
    per_second = Counter(int(call.at.timestamp()) for call in evidence.calls)
    return f"At most {max(per_second.values(), default=0)} calls in one second."


def show_verdict(console: Console, defects: Sequence[Defect], checked: int) -> None:
    """Print what is wrong, or that nothing is."""
    if not defects:
        console.print(f"[green]ok[/]: {checked} jobs did what the preferences say, none lost, doubled or early")
        return
    kinds = Counter(str(defect.kind) for defect in defects)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    console.print(f"[red]wrong[/]: {counts}")
    for defect in defects[:_DEFECTS_SHOWN]:
        console.print(f"  {escape(str(defect))}", soft_wrap=True, highlight=False)
    if len(defects) > _DEFECTS_SHOWN:
        console.print(f"  and {len(defects) - _DEFECTS_SHOWN} more")
