from taskqueue.telemetry.worker_events import AttemptEnded, AttemptStarted, DecisionName, JobSettled
from taskqueue.worker.stats import WorkerStats
from tests.support.fakes import Clock


def _settled(decision: DecisionName, status: str | None = None) -> JobSettled:
    return JobSettled(task="t", job_id="j", user_id="u", attempt=1, decision=decision, status=status)


def _ended(duration_s: float) -> AttemptEnded:
    return AttemptEnded(
        task="t", job_id="j", user_id="u", attempt=1, outcome_class="success", status=200, duration_s=duration_s
    )


STARTED = AttemptStarted(task="t", job_id="j", user_id="u", attempt=1, lateness_s=0.0)


def test_a_new_worker_has_done_nothing() -> None:
    assert WorkerStats(Clock()).as_dict() == {
        "processed": 0,
        "failed": 0,
        "avg_duration_ms": 0,
        "current_rate": 0.0,
        "uptime": 0,
    }


def test_jobs_that_ended_are_counted_and_those_that_go_on_are_not() -> None:
    stats = WorkerStats(Clock())

    for event in (_settled("complete", "success"), _settled("fail", "failed"), _settled("retry"), _settled("park")):
        stats.handle(event)

    assert (stats.as_dict()["processed"], stats.as_dict()["failed"]) == (2, 1)


def test_the_mean_is_that_of_all_calls() -> None:
    stats = WorkerStats(Clock())

    for seconds in (0.1, 0.2, 0.6):
        stats.handle(_ended(seconds))

    assert stats.as_dict()["avg_duration_ms"] == 300


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    for _ in range(100):
        clock.seconds += 0.5
        stats.handle(_settled("complete", "success"))

    during = stats.as_dict()["current_rate"]
    clock.seconds += 11

    assert during == 2.1  # both ends of the ten seconds count
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
    stats.handle(STARTED)
    clock.seconds += 0.9
    stats.handle(STARTED)

    now = stats.admitted_last_second()
    clock.seconds += 0.5

    assert (now, stats.admitted_last_second()) == (2, 1)


def test_uptime_is_whole_seconds() -> None:
    clock = Clock()
    stats = WorkerStats(clock)
    clock.seconds += 61.9

    assert stats.as_dict()["uptime"] == 61
