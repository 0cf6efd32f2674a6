"""What people see of a plan, where no Redis needs to be asked."""

from __future__ import annotations

from collections.abc import Callable
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
from taskqueue.store.limit_overrides import Override
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


#: so wide that nothing is held back by it
WIDE = Limits(global_=Limit(rate=10**6, burst=10**6))


def report_of(running: Running, *tasks: Task, advance: Callable[[int], None] = lambda _count: None) -> PlanReport:
    defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=1)
    catalog = catalog_of_tasks({task.id: task for task in tasks})
    return make_report(catalog, running, defaults, at=AT, allow_mass_delete=False, advance=advance)


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


def test_an_hourly_task_follows_real_time_where_clocks_change(capsys: pytest.CaptureFixture[str]) -> None:
    hourly = {"type": "hourly", "value": 1, "timezone": "America/New_York"}
    tasks = [task_of(task_type(name, hourly)) for name in ("one", "two")]

    said = shown(capsys, report_of(Running(now=AT), *tasks))

    assert [" ".join(line.split()[-5:]) for line in said.splitlines() if "gap, " in line] == [
        "one, two follows real time"
    ]


@pytest.mark.parametrize(
    ("users", "more"), [(15, "and 4 more intervals of users"), (12, "and 1 more interval of users")]
)
def test_of_many_intervals_of_users_the_largest_are_shown(
    users: int, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    index = index_of(30, "report")
    for number in range(users):
        hour = 1 + number // 3 if number < 12 else 5 + number
        text = f'{{"type": "daily", "at_time": "{hour:02}:00"}}'
        index.apply(CustomInterval(user_id=f"user-{number}", task_id="report", text=text))

    said = shown(capsys, report_of(Running(now=AT, index=index), task_of(task_type("report"))))

    assert said.count("own interval") == 3
    assert more in said


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


def test_the_worst_of_the_intervals_of_users_speaks_for_the_others() -> None:
    index = index_of(1500, "report")
    for number in range(1400):
        minute = 1 if number < 700 else 2 if number < 1300 else 3
        text = f'{{"type": "daily", "at_time": "10:0{minute}"}}'
        index.apply(CustomInterval(user_id=f"user-{number}", task_id="report", text=text))
    limits = Limits(tasks={"report": Limit(rate=1, burst=1)})
    task = task_of(task_type("report", distribution_window="5m"))

    (finding,) = report_of(Running(now=AT, index=index, limits=limits), task).findings

    assert finding.text == (
        'users with {"type": "daily", "value": 1, "timezone": "UTC", "at_time": "10:01"}: '
        "700 users / 300 s = 2.3/s > rate_limit 1/s: needs 11 min 40 s, the window is 5 min; "
        "so it is with 1 more of its intervals"
    )


def test_a_limit_that_passes_hides_nothing_that_is_refused_under_the_one_that_stays() -> None:
    index = index_of(1200, "report")
    for number in range(600):
        text = '{"type": "daily", "at_time": "10:01"}'
        index.apply(CustomInterval(user_id=f"user-{number}", task_id="report", text=text))
    passing = Override(limit=Limit(rate=0.1, burst=1), until=AT + timedelta(hours=1))
    running = Running(
        now=AT,
        index=index,
        limits=Limits(tasks={"report": Limit(rate=2, burst=2)}),
        overrides={"task:report": passing},
    )
    task = task_of(task_type("report", distribution_window="6m", max_age="30s"))

    report = report_of(running, task)

    assert report.refused
    assert [finding.severity for finding in report.findings] == ["warning", "refused"]


def test_the_bar_moves_on_with_each_interval_of_users() -> None:
    index = index_of(5, "report")
    for number, text in enumerate(['{"type": "daily"}', '{"type": "hourly"}', '{"type": "weekly"}']):
        # The last one's user does not get the task: it is counted, not looked at.
        user = f"user-{number}" if number < 2 else "stranger"
        index.apply(CustomInterval(user_id=user, task_id="report", text=text))
    running, moves = Running(now=AT, index=index), list[int]()
    tasks = task_of(task_type("report")), task_of(task_type("off", enabled=False))

    report_of(running, *tasks, advance=moves.append)

    assert moves[:3] == [1, 1, 1]
    assert sum(moves) == sum(map(running.most_schedules, tasks)) == 5


def test_workers_that_tell_no_limits_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    running = Running(now=AT, index=index_of(3, "report"), worked=True)
    report = report_of(running, task_of(task_type("report")))

    assert report.findings == ()
    assert report_data(report)["limits_known"] is True
    (host,) = [line.split() for line in shown(capsys, report).splitlines() if "127.0.0.1" in line]
    assert host[3] == "all"


def test_without_any_limit_nothing_is_said_to_fit(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(Running(now=AT, index=index_of(3, "report")), task_of(task_type("report")))

    assert [finding.text for finding in report.findings] == [
        "no limits are known, for no worker has told any within the last hour: users are held against none"
    ]
    assert not report.refused
    assert report_data(report)["limits_known"] is False
    (host,) = [line.split() for line in shown(capsys, report).splitlines() if "127.0.0.1" in line]
    assert host[3] == "?"


def test_a_max_concurrency_without_any_call_yet_is_told_as_not_judged() -> None:
    task = task_of(task_type("report", max_concurrency=2, distribution_window="1m"))
    (finding,) = report_of(Running(now=AT, index=index_of(60, "report"), limits=WIDE), task).findings
    assert finding.text.endswith("60 users / 60 s need calls of at most 2,000 ms on the average")
    known = Running(now=AT, index=index_of(60, "report"), limits=WIDE, means={"report": timedelta(seconds=1)})
    assert report_of(known, task).findings == ()
    assert report_of(Running(now=AT, index=index_of(2, "report"), limits=WIDE), task).findings == ()


def test_a_task_whose_jobs_expire_while_they_wait_is_refused() -> None:
    task = task_of(task_type("report", distribution_window="0s", max_age="10s"))
    limits = Limits(tasks={"report": Limit(rate=1, burst=1)})
    report = report_of(Running(now=AT, index=index_of(50, "report"), limits=limits), task)
    assert report.refused
    assert "fail as expired" in report.findings[0].text


def test_a_host_with_nothing_due_is_left_out() -> None:
    report = report_of(Running(now=AT, index=index_of(3, "report"), limits=WIDE), task_of(task_type("other")))
    assert report.hosts == ()


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
    hosts = {"http://127.0.0.1:1": host, "http://other:1": host}
    running = Running(now=AT, index=index_of(3, "report"), hosts=hosts, limits=WIDE)

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
