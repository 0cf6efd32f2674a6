import pytest

from taskqueue.telemetry.worker_events import (
    AttemptEnded,
    AttemptStarted,
    DecisionName,
    DuplicateDropped,
    JobSettled,
    JobSkipped,
    LimitWaited,
    MessageRejected,
)
from taskqueue.worker.stats import WorkerStats
from tests.support.fakes import Clock


def _settled(decision: DecisionName, status: str | None = None) -> JobSettled:
    return JobSettled(task="t", job_id="j", user_id="u", attempt=1, decision=decision, status=status)


def _started(lateness_s: float | None = 0.0) -> AttemptStarted:
    return AttemptStarted(task="t", job_id="j", user_id="u", attempt=1, lateness_s=lateness_s)


def _ended(duration_s: float, outcome_class: str = "success") -> AttemptEnded:
    return AttemptEnded(
        task="t", job_id="j", user_id="u", attempt=1, outcome_class=outcome_class, status=200, duration_s=duration_s
    )


def _waited(limit: str, *, parked: bool) -> LimitWaited:
    return LimitWaited(limit=limit, task="t", job_id="j", seconds=0.5, parked=parked)


def test_a_new_worker_has_done_nothing() -> None:
    assert WorkerStats(Clock()).as_dict() == {
        "processed": 0,
        "failed": 0,
        "avg_duration_ms": 0,
        "current_rate": 0.0,
        "uptime": 0,
        "in_flight": 0,
        "outcomes": {"success": 0, "failed": 0, "skipped": 0, "cancelled": 0},
        "attempts": {"success": 0, "retryable": 0, "permanent": 0, "cancelled": 0},
        "retries": 0,
        "parked": 0,
        "duplicates": 0,
        "rejected": 0,
        "limit_waits": {},
        "duration_ms": {"p50": None, "p95": None, "p99": None},
        "lateness_ms": {"p50": None, "p95": None, "p99": None},
    }


def test_the_fields_of_the_specification_come_first() -> None:
    assert list(WorkerStats(Clock()).as_dict())[:5] == [
        "processed",
        "failed",
        "avg_duration_ms",
        "current_rate",
        "uptime",
    ]


def test_jobs_that_ended_are_counted_and_those_that_go_on_are_not() -> None:
    stats = WorkerStats(Clock())

    for event in (_settled("complete", "success"), _settled("fail", "failed"), _settled("retry"), _settled("park")):
        stats.handle(event)

    figures = stats.as_dict()
    assert (figures["processed"], figures["failed"]) == (2, 1)
    assert (figures["retries"], figures["parked"]) == (1, 1)


def test_each_end_of_a_job_is_counted_by_itself() -> None:
    stats = WorkerStats(Clock())

    for event in (_settled("complete", "success"), _settled("complete", "success"), _settled("fail", "failed")):
        stats.handle(event)
    for status in ("skipped", "cancelled"):
        stats.handle(JobSkipped(task="t", job_id="j", user_id="u", reason="r", status=status))

    assert stats.as_dict()["outcomes"] == {"success": 2, "failed": 1, "skipped": 1, "cancelled": 1}


def test_attempts_are_counted_by_the_class_of_their_outcome() -> None:
    stats = WorkerStats(Clock())

    for outcome_class in ("success", "retryable", "retryable", "permanent", "cancelled"):
        stats.handle(_ended(0.1, outcome_class))

    assert stats.as_dict()["attempts"] == {"success": 1, "retryable": 2, "permanent": 1, "cancelled": 1}


def test_messages_that_came_to_nothing_are_counted() -> None:
    stats = WorkerStats(Clock())

    stats.handle(DuplicateDropped(task="t", job_id="j"))
    stats.handle(MessageRejected(reason="malformed", queue="q"))

    assert (stats.as_dict()["duplicates"], stats.as_dict()["rejected"]) == (1, 1)


def test_attempts_that_began_and_have_not_ended_are_in_flight() -> None:
    stats = WorkerStats(Clock())

    for event in (_started(), _started(), _ended(0.1)):
        stats.handle(event)

    assert stats.as_dict()["in_flight"] == 1


def test_waits_are_counted_by_limit_and_by_how_they_were_spent() -> None:
    stats = WorkerStats(Clock())

    for event in (_waited("global", parked=False), _waited("global", parked=True), _waited("host", parked=True)):
        stats.handle(event)

    assert stats.as_dict()["limit_waits"] == {"global": {"slept": 1, "parked": 1}, "host": {"slept": 0, "parked": 1}}


def test_the_mean_is_that_of_all_calls() -> None:
    stats = WorkerStats(Clock())

    for seconds in (0.1, 0.2, 0.6):
        stats.handle(_ended(seconds))

    assert stats.as_dict()["avg_duration_ms"] == 300


def test_quantiles_are_those_of_all_recent_calls() -> None:
    stats = WorkerStats(Clock())

    for number in range(100):
        stats.handle(_ended(10.0 if number >= 97 else 0.1))

    assert stats.as_dict()["duration_ms"] == pytest.approx({"p50": 100, "p95": 100, "p99": 10_000}, rel=0.026)


def test_lateness_is_that_of_first_attempts() -> None:
    stats = WorkerStats(Clock())

    for lateness_s in (0.5, None, None):
        stats.handle(_started(lateness_s))

    assert stats.as_dict()["lateness_ms"] == pytest.approx({"p50": 500, "p95": 500, "p99": 500}, rel=0.026)


def test_what_was_slow_long_ago_does_not_show_in_the_quantiles() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    stats.handle(_ended(60.0))
    clock.seconds += 400
    stats.handle(_ended(0.1))

    assert stats.as_dict()["duration_ms"] == pytest.approx({"p50": 100, "p95": 100, "p99": 100}, rel=0.026)


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    for _ in range(100):
        clock.seconds += 0.5
        stats.handle(_settled("complete", "success"))

    during = stats.as_dict()["current_rate"]
    clock.seconds += 11

    assert during == 2.0
    assert stats.as_dict()["current_rate"] == 0.0


def test_a_young_worker_is_not_said_to_be_faster_than_it_was() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    clock.seconds += 0.1
    for _ in range(5):
        stats.handle(_settled("complete", "success"))

    assert stats.as_dict()["current_rate"] == 5.0


def test_admitted_are_the_calls_that_began_in_the_last_second() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    stats.handle(_started())
    clock.seconds += 0.9
    stats.handle(_started())

    now = stats.admitted_last_second()
    clock.seconds += 0.5

    assert (now, stats.admitted_last_second()) == (2, 1)


def test_uptime_is_whole_seconds() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    clock.seconds += 61.9

    assert stats.as_dict()["uptime"] == 61
