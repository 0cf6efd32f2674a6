from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from taskqueue.dev.demo import parse_options, report
from taskqueue.dev.demo_expectation import ExpectedJob
from taskqueue.dev.demo_judge import Defect, Evidence, Kind, SeenCall, SeenFailure, SeenPlan, judge
from taskqueue.dev.demo_report import percentile, task_rows
from taskqueue.dev.demo_run import Result, next_minute

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
TASK = "demo_report"

JOB = ExpectedJob(
    task_id=TASK,
    user_id="",
    scheduled_from=AT,
    scheduled_until=AT,
    window=timedelta(seconds=20),
    method="POST",
    path="/ok",
    fields={},
    attempts=1,
    succeeds=True,
    triggered=False,
    called=True,
    required=True,
)


def planned(index: int) -> SeenPlan:
    return SeenPlan(
        key="",
        task_id=TASK,
        cohort="",
        user_id=f"u{index}",
        scheduled_at=AT,
        slot=index // 2,
        slots=2,
        index=index,
        users=3,
        window=timedelta(seconds=20),
    )


def call(plan: SeenPlan, *, late_ms: int = 0, attempt: int = 1) -> SeenCall:
    return SeenCall(
        at=plan.due + timedelta(milliseconds=late_ms),
        task_id=TASK,
        user_id=plan.user_id,
        job_id=plan.user_id,
        scheduled_at=AT,
        attempt=attempt,
        method="POST",
        path="/ok",
        fields={},
        status=200,
    )


PLANS = [planned(index) for index in range(3)]
JOBS = [replace(JOB, user_id=plan.user_id) for plan in PLANS]
EVIDENCE = Evidence(
    calls=[call(PLANS[0], late_ms=10), call(PLANS[1], late_ms=30), call(PLANS[1], attempt=2)],
    failures=[SeenFailure(task_id=TASK, user_id="u1", scheduled_at=AT, attempts=2, reason="retries_exhausted")],
    planned=PLANS,
)


CLEAN = Evidence(calls=[call(plan) for plan in PLANS], planned=PLANS)
PLANTED = {
    Kind.LOST: replace(CLEAN, calls=CLEAN.calls[1:]),
    Kind.DOUBLED: replace(CLEAN, calls=[*CLEAN.calls, call(PLANS[0], late_ms=100)]),
    Kind.EARLY: replace(CLEAN, calls=[call(PLANS[0], late_ms=-100), *CLEAN.calls[1:]]),
}


def printed(defects: list[Defect]) -> tuple[int, str]:
    out = io.StringIO()
    code = report(Console(file=out, width=80), Result(expected=JOBS, evidence=EVIDENCE, defects=defects))
    return code, out.getvalue()


def test_a_row_counts_what_was_planned_sent_retried_failed_and_skipped() -> None:
    (row,) = task_rows(JOBS, EVIDENCE, [TASK])

    assert (row.planned, row.sent, row.retried, row.failed, row.skipped) == (3, 2, 1, 1, 1)
    assert (row.slot_min, row.slot_max) == (1, 2)
    assert row.lateness == pytest.approx((0.01, 0.03))


def test_what_is_not_required_is_in_no_row() -> None:
    (row,) = task_rows([replace(job, required=False) for job in JOBS], replace(EVIDENCE, planned=[]), [TASK])

    assert (row.planned, row.sent, row.failed) == (0, 0, 0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile((), 0.5) is None


def test_the_report_ends_with_exit_code_0_when_nothing_is_wrong() -> None:
    code, text = printed([])

    assert code == 0
    assert "3 jobs did what the preferences say" in text


@pytest.mark.parametrize("kind", PLANTED)
def test_one_planted_defect_is_named_and_ends_with_exit_code_1(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(JOBS, CLEAN) == []

    evidence = PLANTED[kind]
    defects = judge(JOBS, evidence)
    code = report(Console(width=80), Result(expected=JOBS, evidence=evidence, defects=defects))

    assert code == 1
    assert [defect.kind for defect in defects] == [kind]
    assert f"{kind}: demo_report for u0 at 05:06:00.000" in capsys.readouterr().out


def test_many_defects_are_counted_and_not_all_listed() -> None:
    _, text = printed([Defect(kind=Kind.LOST, text=f"number {number}") for number in range(30)])

    assert "30 lost" in text
    assert "and 10 more" in text


def test_the_table_fits_on_80_columns_whole() -> None:
    _, text = printed([])

    assert "…" not in text
    assert all(name in text for name in (TASK, "planned", "slot", "p50", "p99", "retried", "skipped"))


def test_the_next_minute_is_a_later_one() -> None:
    assert next_minute(AT) == AT + timedelta(minutes=1)


def test_an_unknown_plant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_options(["--plant", "weeds"])

    assert "lost" in capsys.readouterr().err
