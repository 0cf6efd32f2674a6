"""What people see of a plan, where no Redis needs to be asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.cli.plan_report import PlanReport, make_report
from taskqueue.cli.plan_running import Running
from taskqueue.cli.plan_view import print_report, report_data
from taskqueue.config.catalog import catalog_of_tasks
from taskqueue.core.host_limit import HostReport
from taskqueue.core.task import Task
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.planner import PlanDefaults
from taskqueue.store.catalog import StandingCatalog
from taskqueue.store.limits import Limit, Limits
from taskqueue.store.users import CustomInterval, Switches
from tests.support.scheduling import task_of, task_type

AT = datetime(2026, 3, 8, tzinfo=UTC)
NEW_YORK = {"type": "daily", "timezone": "America/New_York"}


def index_of(users: int, *task_ids: str) -> AudienceIndex:
    index = AudienceIndex()
    for number in range(users):
        index.apply(Switches(user_id=f"user-{number}", on=frozenset(task_ids)))
    return index


def report_of(running: Running, *tasks: Task) -> PlanReport:
    defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=1)
    catalog = catalog_of_tasks({task.id: task for task in tasks})
    return make_report(catalog, running, defaults, at=AT, allow_mass_delete=False, advance=lambda _count: None)


def shown(capsys: pytest.CaptureFixture[str], report: PlanReport) -> str:
    print_report(report, "new.yaml")
    return capsys.readouterr().out


def test_tasks_that_a_clock_change_does_not_touch_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    late = [task_of(task_type(f"late-{number}", {**NEW_YORK, "at_time": "20:00"})) for number in range(4)]
    early = task_of(task_type("early", {**NEW_YORK, "at_time": "02:30"}))

    said = shown(capsys, report_of(Running(now=AT), early, *late)).splitlines()

    spring = [line for line in said if "gap, -05:00 to -04:00" in line]
    assert len(spring) == 2
    assert "02:30 is skipped and runs at 03:00" in spring[0]
    assert "4 tasks" in spring[1]


def test_of_many_intervals_of_users_the_largest_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    index = index_of(30, "report")
    for number in range(15):
        hour = 1 + number // 3 if number < 12 else 5 + number
        text = f'{{"type": "daily", "at_time": "{hour:02}:00"}}'
        index.apply(CustomInterval(user_id=f"user-{number}", task_id="report", text=text))

    said = shown(capsys, report_of(Running(now=AT, index=index), task_of(task_type("report"))))

    assert said.count("own interval") == 3
    assert "and 4 more intervals of users" in said


def test_a_disabled_task_has_no_occurrences(capsys: pytest.CaptureFixture[str]) -> None:
    task = task_of(task_type("report", enabled=False))
    report = report_of(Running(now=AT, index=index_of(3, "report")), task)
    assert [line.split() for line in shown(capsys, report).splitlines() if "disabled" in line] == [
        ["report", "0", "0", "0", "0", "disabled"]
    ]


def test_a_definition_in_force_that_cannot_be_read_counts_as_changed(capsys: pytest.CaptureFixture[str]) -> None:
    standing = StandingCatalog(tasks={}, unreadable=frozenset({"report", "newer"}))
    report = report_of(Running(now=AT, index=AudienceIndex(), standing=standing), task_of(task_type("report")))

    said = shown(capsys, report)

    assert (report.tasks[0].change, report.tasks[0].gained) == ("changed", None)
    assert "(written by another version, not readable here)" in said
    assert [(removed.task_id, removed.lost, removed.jobs) for removed in report.removed] == [("newer", None, None)]
    assert "its jobs are not known" in said


def test_cohorts_that_are_too_many_for_a_limit_only_together_are_told() -> None:
    index = index_of(2400, "report")
    for number in range(1200):
        text = '{"type": "daily", "at_time": "10:01"}'
        index.apply(CustomInterval(user_id=f"user-{number}", task_id="report", text=text))
    limits = Limits(tasks={"report": Limit(rate=2, burst=2)})
    task = task_of(task_type("report", distribution_window="10m"))

    (finding,) = report_of(Running(now=AT, index=index, limits=limits), task).findings

    assert finding.text.startswith("all intervals of its users: together more than rate_limit 2/s: up to ")


@pytest.mark.parametrize(
    ("limit", "closed_until", "said"),
    [
        (3, None, "workers limit it to 3 calls at a time now"),
        (0, AT.timestamp() + 5, "closed until 2026-03-08T00:00:05Z at least"),
    ],
)
def test_a_host_in_trouble_is_a_warning(limit: int, closed_until: float | None, said: str) -> None:
    host = HostReport(
        limit=limit,
        in_flight=0,
        closed_until=closed_until,
        since=0,
        closings=1,
        probing=False,
        empty_looks=0,
        hearsay=False,
    )
    running = Running(now=AT, index=index_of(3, "report"), hosts={"http://127.0.0.1:1": host, "http://other:1": host})

    report = report_of(running, task_of(task_type("report")))

    (finding,) = report.findings
    assert said in finding.text
    assert not report.refused


def test_data_is_what_json_knows() -> None:
    data = report_data(report_of(Running(now=AT, index=index_of(3, "report")), task_of(task_type("report"))))
    assert data["refused"] is False
    assert data["hosts"] == [
        {
            "host": "http://127.0.0.1:1",
            "calls": 3,
            "peak_per_second": 0.1,
            "peak_at": AT + timedelta(hours=10),
            "at_once": 0,
            "limits_allow_per_second": None,
        }
    ]
