"""Every metric, label and log line that the pages name is one that processes have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskqueue.telemetry import api_events, events
from taskqueue.telemetry import scheduler_events as scheduling
from taskqueue.telemetry import worker_events as work
from taskqueue.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")

_NAME = re.compile(r"(?<![\w.])taskqueue_[a-z_]+")
_PLACE = re.compile(r"(?:by|without) \(([^)]*)\)|\{([^}]*)\}")

#: one event for each metric that has labels, or is there only once it is known
HAPPENED: tuple[events.Event, ...] = (
    scheduling.LeaderChanged(leading=True, instance="a", reason="acquired"),
    scheduling.WaitingMeasured(delayed=1, by_limit={"global": 1}, lane_lag_s=0.1),
    scheduling.AudienceCounted(task="t", users=1),
    scheduling.JobsReleased(queue="taskqueue.jobs.high", mode="lane", count=1),
    events.CatalogReloaded(ok=True, revision="1", tasks=1),
    events.LoopFailed(loop="planner", error="e", restart_in_s=1),
    events.SubscriberFailed(subscriber="log", error="e"),
    work.AttemptEnded(
        task="t", job_id="j", user_id="u", attempt=1, outcome_class="success", status=200, duration_s=0.2
    ),
    work.JobSettled(task="t", job_id="j", user_id="u", attempt=1, decision="retry", status=None, reason="http_503"),
    work.JobSettled(task="t", job_id="j", user_id="u", attempt=1, decision="fail", status="failed", reason="expired"),
    work.ConsumersRebuilt(reason="silent", queue="taskqueue.jobs.high", ready=1, silent_s=20),
    work.MessageRejected(reason="malformed", queue="taskqueue.jobs.high"),
    api_events.TokenRefused(reason="expired", client="127.0.0.1"),
    api_events.RequestAnswered(
        method="GET", route="/api/v1/tasks", status=500, duration_s=0.1, request_id="r", caller="t"
    ),
)


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """Every name that /metrics can show, with its labels."""
    metrics = Metrics(version="1")
    for event in HAPPENED:
        metrics.handle(event)
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        kinds = {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}
        for ending in kinds.get(family.type, [""]):
            found.setdefault(family.name + ending, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_metric_on_the_page_exists(page: Path, series: dict[str, set[str]]) -> None:
    named = set(_NAME.findall(page.read_text(encoding="utf-8")))

    assert named - series.keys() == set()


def _expressions() -> list[str]:
    lines = re.findall(r"^    (.*taskqueue_[a-z_]+.*)$", RUNBOOK, re.MULTILINE)
    assert len(lines) > 15
    return lines


@pytest.mark.parametrize("expression", _expressions())
def test_the_labels_of_an_alert_are_those_of_its_metrics(expression: str, series: dict[str, set[str]]) -> None:
    asked = {
        label.strip()
        for grouped, matched in _PLACE.findall(expression)
        for label in (grouped.split(",") if grouped else re.findall(r"([a-z_]+)\s*[=!]", matched))
    }

    for name in _NAME.findall(expression):
        # Prometheus itself adds the process that it asked.
        assert asked <= series[name] | {"instance"}, name


def test_every_alert_has_an_expression_or_a_command() -> None:
    alerts = re.split(r"^### ", RUNBOOK.partition("## Alerts")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]

    assert len(alerts) > 15
    assert [alert.partition("\n")[0] for alert in alerts if "\n    " not in alert] == []


def test_every_line_of_the_log_that_the_runbook_names_is_written() -> None:
    written = {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in events.Event.__subclasses__()}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)` in(?: its| the|\nthe| the\nworkers')* log", RUNBOOK))

    assert len(named) > 15
    assert named - written == set()
