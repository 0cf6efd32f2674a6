from dataclasses import replace
from datetime import UTC, datetime

import pytest

from taskqueue.telemetry import api_events, events
from taskqueue.telemetry import scheduler_events as scheduling
from taskqueue.telemetry import worker_events as work
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.metrics import (
    API_TASKS,
    MAX_LIMIT_LABELS,
    MAX_TASK_LABELS,
    OTHER_LIMITS,
    OTHER_TASKS,
    Metrics,
    status_class,
)

DUE = datetime(2024, 1, 15, tzinfo=UTC)
STARTED = work.AttemptStarted(task="t", job_id="j", user_id="u", attempt=1, lateness_s=0.2)
ENDED = work.AttemptEnded(
    task="t", job_id="j", user_id="u", attempt=1, outcome_class="retryable", status=503, duration_s=0.2
)
ANSWERED = api_events.RequestAnswered(
    method="GET", route="/api/v1/tasks/{task_id}", status=404, duration_s=0.002, request_id="r", caller="t"
)


def _settled(decision: work.DecisionName, status: str | None = None, reason: str | None = None) -> work.JobSettled:
    return work.JobSettled(
        task="t", job_id="j", user_id="u", attempt=1, decision=decision, status=status, reason=reason
    )


@pytest.mark.parametrize(
    ("event", "series", "value"),
    [
        (
            scheduling.OccurrencePlanned(task="t", cohort="default", scheduled_at=DUE, users=7, seconds=0.1),
            'jobs_planned_total{task="t"}',
            7,
        ),
        (
            scheduling.JobsReleased(queue="high", mode="lane", count=3),
            'jobs_published_total{mode="lane",queue="high"}',
            3,
        ),
        (scheduling.AudienceCounted(task="t", users=9), 'users_enabled{task="t"}', 9),
        (STARTED, "jobs_in_flight", 1),
        (STARTED, 'schedule_lateness_seconds_bucket{le="0.25"}', 1),
        (ENDED, 'attempts_total{status_class="5xx",task="t"}', 1),
        (ENDED, 'http_request_duration_seconds_count{task="t"}', 1),
        (_settled("complete", status="success"), 'executions_total{outcome="success",task="t"}', 1),
        (_settled("retry", reason="http_503"), 'retries_total{task="t"}', 1),
        (
            _settled("fail", status="failed", reason="permanent"),
            'dead_lettered_total{reason="permanent",task="t"}',
            1,
        ),
        (
            api_events.TokenRefused(reason="unknown", client="192.0.2.1"),
            'api_tokens_refused_total{reason="unknown"}',
            1,
        ),
        (ANSWERED, 'api_requests_total{method="GET",route="/api/v1/tasks/{task_id}",status="404"}', 1),
        (
            ANSWERED,
            'api_request_duration_seconds_bucket{le="0.0025",method="GET",route="/api/v1/tasks/{task_id}"}',
            1,
        ),
        (
            replace(ANSWERED, method="FROB", route="(none)"),
            'api_requests_total{method="(other)",route="(none)",status="404"}',
            1,
        ),
        (
            work.JobSkipped(task="t", job_id="j", user_id="u", reason="preference_off"),
            'skipped_total{reason="preference_off",task="t"}',
            1,
        ),
        (
            work.JobSkipped(task="t", job_id="j", user_id="u", reason="cancelled", status="cancelled"),
            'executions_total{outcome="cancelled",task="t"}',
            1,
        ),
        (work.DuplicateDropped(task="t", job_id="j"), "duplicates_dropped_total", 1),
        (
            work.MessageRejected(reason="malformed", queue="high"),
            'messages_rejected_total{reason="malformed"}',
            1,
        ),
        (
            work.LimitWaited(limit="global", task="t", job_id="j", seconds=0.1, parked=False),
            'rate_limit_waits_total{limit="global"}',
            1,
        ),
        (events.ConnectionRestored(service="rabbitmq", outage_s=2), "broker_reconnects_total", 1),
        (scheduling.LeaderChanged(leading=True, instance="i", reason="acquired"), "leader", 1),
        (events.CatalogReloaded(ok=False, revision="r", tasks=1), "config_last_reload_successful", 0),
    ],
)
def test_an_event_changes_its_metric(event: Event, series: str, value: float) -> None:
    metrics = Metrics(version="1.2.3")

    metrics.handle(event)

    assert _samples(metrics)[f"taskqueue_{series}"] == value


def test_the_first_connection_is_no_reconnect() -> None:
    metrics = Metrics(version="1.2.3")

    metrics.handle(events.ConnectionRestored(service="rabbitmq", outage_s=0))
    metrics.handle(events.ConnectionRestored(service="redis", outage_s=4))

    assert _samples(metrics)["taskqueue_broker_reconnects_total"] == 0


def test_an_attempt_that_ended_is_not_in_flight() -> None:
    metrics = Metrics(version="1.2.3")

    metrics.handle(STARTED)
    metrics.handle(ENDED)

    assert _samples(metrics)["taskqueue_jobs_in_flight"] == 0


def test_gauges_that_nobody_reported_are_absent() -> None:
    assert not [name for name in _samples(Metrics(version="1.2.3")) if "leader" in name or "reload" in name]


def test_a_successful_reload_has_its_time() -> None:
    metrics = Metrics(version="1.2.3")

    metrics.handle(events.CatalogReloaded(ok=True, revision="r", tasks=1))

    samples = _samples(metrics)
    assert samples["taskqueue_config_last_reload_successful"] == 1
    assert samples["taskqueue_config_last_reload_success_timestamp_seconds"] > 1.7e9


def test_the_audience_of_a_removed_task_disappears() -> None:
    metrics = Metrics(version="1.2.3")

    metrics.handle(scheduling.AudienceCounted(task="old", users=9))
    metrics.handle(events.CatalogReloaded(ok=True, revision="r", tasks=0, removed=("old", "never_counted")))

    assert not [name for name in _samples(metrics) if "users_enabled" in name]


def test_the_number_of_task_labels_is_bounded() -> None:
    metrics = Metrics(version="1.2.3")

    for number in range(MAX_TASK_LABELS + 5):
        metrics.handle(scheduling.AudienceCounted(task=f"t{number}", users=1))

    series = [name for name in _samples(metrics) if "users_enabled" in name]
    assert len(series) == MAX_TASK_LABELS + 1
    assert f'taskqueue_users_enabled{{task="{OTHER_TASKS}"}}' in series


def test_all_tasks_of_the_api_share_one_label() -> None:
    metrics = Metrics(version="1.2.3")
    for number in range(3):
        metrics.handle(scheduling.AudienceCounted(task=f"550e8400-e29b-41d4-a716-44665544000{number}", users=number))
    series = [name for name in _samples(metrics) if "users_enabled" in name]
    assert series == [f'taskqueue_users_enabled{{task="{API_TASKS}"}}']


def _waiting(by_limit: dict[str, int], lane_lag_s: float | None = None) -> scheduling.WaitingMeasured:
    return scheduling.WaitingMeasured(delayed=7, by_limit=by_limit, lane_lag_s=lane_lag_s)


def test_what_waits_is_counted_by_its_limit() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.handle(_waiting({"global": 3, "task:gone": 1}))
    metrics.handle(_waiting({"global": 2, "queue:high": 5}, lane_lag_s=0.25))

    samples = _samples(metrics)
    assert {name: value for name, value in samples.items() if "jobs_waiting" in name} == {
        'taskqueue_jobs_waiting{limit="global"}': 2,
        'taskqueue_jobs_waiting{limit="queue:high"}': 5,
    }
    assert (samples["taskqueue_jobs_delayed"], samples["taskqueue_lane_lag_seconds"]) == (7, 0.25)


def test_how_late_the_delayed_queue_is_does_not_stand_there_before_it_is_known() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.handle(_waiting({}))
    assert "taskqueue_lane_lag_seconds" not in _samples(metrics)


def test_the_number_of_limit_labels_is_bounded() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.handle(_waiting({f"task:{number}": number for number in range(MAX_LIMIT_LABELS + 3)}))

    series = {name: value for name, value in _samples(metrics).items() if "jobs_waiting" in name}
    assert len(series) == MAX_LIMIT_LABELS + 1
    assert series[f'taskqueue_jobs_waiting{{limit="{OTHER_LIMITS}"}}'] == 0 + 1 + 2


def test_what_waits_is_told_by_the_leader_alone() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.handle(_waiting({"global": 3}, lane_lag_s=0.25))
    metrics.handle(scheduling.LeaderChanged(leading=False, instance="a", reason="stopping"))
    assert not [name for name in _samples(metrics) if "waiting" in name or "delayed" in name or "lag" in name]

    metrics.handle(_waiting({"global": 4}))
    assert _samples(metrics)['taskqueue_jobs_waiting{limit="global"}'] == 4


def test_two_objects_do_not_share_a_registry() -> None:
    first, second = Metrics(version="1"), Metrics(version="1")

    first.handle(work.DuplicateDropped(task="t", job_id="j"))

    assert _samples(second)["taskqueue_duplicates_dropped_total"] == 0


def test_no_series_names_a_user_or_a_job_and_none_is_a_created_series() -> None:
    metrics = Metrics(version="1.2.3")
    for event in (STARTED, ENDED, _settled("complete", status="success")):
        metrics.handle(event)

    names = " ".join(_samples(metrics))
    assert '"u"' not in names
    assert '"j"' not in names
    assert "_created" not in names


def test_every_name_starts_with_taskqueue_and_the_version_is_there() -> None:
    samples = _samples(Metrics(version="1.2.3"))

    assert samples['taskqueue_build_info{version="1.2.3"}'] == 1
    assert not [name for name in samples if not name.startswith("taskqueue_")]


def test_the_content_type_is_the_text_format() -> None:
    content_type, _ = Metrics(version="1").render()

    assert content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(("status", "expected"), [(200, "2xx"), (404, "4xx"), (599, "5xx"), (None, "none")])
def test_a_status_has_a_class(status: int | None, expected: str) -> None:
    assert status_class(status) == expected


def _samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render()[1].decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}
