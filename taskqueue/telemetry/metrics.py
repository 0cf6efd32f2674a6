"""The Prometheus metrics of one process, fed by events; the only home of prometheus_client.

Names follow https://prometheus.io/docs/practices/naming: base units, `_total` for counters. Labels are bounded: task
ids, queue names and stable codes, never a user id or a URL.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from taskqueue.core.api_run import is_api_task_id
from taskqueue.telemetry import api_events, events, scheduler_events, worker_events
from taskqueue.telemetry.events import Event

#: tasks beyond this many share the label value OTHER_TASKS: a million API tasks must not make a million series
MAX_TASK_LABELS = 1000
OTHER_TASKS = "(other)"
#: and so do all tasks made through the API
API_TASKS = "(api)"

#: the same for limits, of which those with the most waiting jobs have their own series
MAX_LIMIT_LABELS = 1000
OTHER_LIMITS = "(other)"

#: from one slot of 10 s cut finely to jobs that wait for hours behind a limit
_LATENESS_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600)

#: gauges that a scheduler has only while it leads
_OF_THE_LEADER = frozenset({"jobs_delayed", "jobs_waiting", "lane_lag_seconds"})

#: up to 15 minutes, the longest timeout a task may have
_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)

#: answers come from Redis in milliseconds; the longest deadline of a request is a minute
_API_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

#: a caller may make up others
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts what happens. `handle` subscribes to the events of the process; `render` is the answer of /metrics.

    Every object has a registry of its own. A gauge that only some processes know (leader, config reload) appears with
    its first value: a worker that said `leader 0` or `reload failed` for want of news would raise false alarms.
    """

    def __init__(self, *, version: str) -> None:
        # A switch of the whole library: `_created` series would double every counter for no reader.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library left this one without types
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="taskqueue", registry=self.registry)
        self._task_labels: set[str] = set()
        self._late_gauges: dict[str, Gauge] = {}
        self._define_counters()
        self._define_others()
        self._gauge("build_info", "Always 1; the version is the label", "version").labels(version).set(1)
        self._handlers = self._handlers_by_event()

    def handle(self, event: Event) -> None:
        """Count `event`; one that no metric is about changes nothing."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def render(self) -> tuple[str, bytes]:
        """Return the content type and body of the Prometheus text format, version 0.0.4."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"taskqueue_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"taskqueue_{name}", about, labels, registry=self.registry)

    def _define_counters(self) -> None:
        counter = self._counter
        self._planned = counter("jobs_planned", "Jobs placed into slots", "task")
        self._published = counter("jobs_published", "Jobs published and confirmed", "queue", "mode")
        self._executions = self._often(
            _Counts("executions", "Executions that reached a terminal state", "task", "outcome")
        )
        self._attempts = self._often(_Counts("attempts", "HTTP attempts by status class", "task", "status_class"))
        self._retries = counter("retries", "Attempts that will be followed by another", "task")
        self._dead_lettered = counter("dead_lettered", "Jobs sent to the failed queue", "task", "reason")
        self._skipped = counter("skipped", "Jobs that ended without a call", "task", "reason")
        self._limit_waits = counter("rate_limit_waits", "Times a job had to wait for a limit", "limit")
        self._duplicates = counter("duplicates_dropped", "Deliveries of jobs that were dealt with already")
        self._rejected = counter("messages_rejected", "Messages that could not be read", "reason")
        self._reconnects = counter("broker_reconnects", "Connections to RabbitMQ that were lost and restored")
        self._rebuilds = counter(
            "consumer_rebuilds", "Times that the watchdog had all consumers attached anew", "reason"
        )
        self._refused_tokens = counter("api_tokens_refused", "Requests without a token that holds", "reason")
        self._loop_failures = counter("loop_failures", "Supervised loops that failed and were restarted", "loop")
        self._telemetry_failures = counter("telemetry_failures", "Events a subscriber failed to take", "subscriber")

    def _define_others(self) -> None:
        self._lateness = self._often(
            _Distribution(
                "schedule_lateness_seconds",
                "From the time a job was due to the start of its first HTTP attempt",
                bounds=_LATENESS_BUCKETS_S,
            )
        )
        self._lateness.show()
        self._request_seconds = self._often(
            _Distribution(
                "http_request_duration_seconds",
                "Duration of HTTP attempts, answered or not",
                "task",
                bounds=_REQUEST_BUCKETS_S,
            )
        )
        self._api_requests = self._often(
            _Counts("api_requests", "Requests to the API that were answered", "method", "route", "status")
        )
        self._api_seconds = self._often(
            _Distribution(
                "api_request_duration_seconds",
                "From the head of a request to the end of its answer",
                "method",
                "route",
                bounds=_API_BUCKETS_S,
            )
        )
        self._in_flight = 0
        self._gauge("jobs_in_flight", "HTTP attempts running now").set_function(lambda: self._in_flight)
        self._users = self._gauge("users_enabled", "Users who have the task enabled", "task")

    def _handlers_by_event(self) -> Mapping[type[Event], Callable[[Any], None]]:
        return {
            scheduler_events.OccurrencePlanned: lambda e: self._planned.labels(self._task(e.task)).inc(e.users),
            scheduler_events.JobsReleased: lambda e: self._published.labels(e.queue, e.mode).inc(e.count),
            scheduler_events.AudienceCounted: lambda e: self._users.labels(self._task(e.task)).set(e.users),
            worker_events.AttemptStarted: self._on_attempt_started,
            worker_events.AttemptEnded: self._on_attempt_ended,
            worker_events.JobSettled: self._on_job_settled,
            worker_events.JobSkipped: self._on_job_skipped,
            worker_events.DuplicateDropped: lambda _: self._duplicates.inc(),
            worker_events.MessageRejected: self._on_message_rejected,
            worker_events.ConsumersRebuilt: lambda e: self._rebuilds.labels(e.reason).inc(),
            worker_events.LimitWaited: lambda e: self._limit_waits.labels(e.limit).inc(),
            api_events.RequestAnswered: self._on_request_answered,
            api_events.TokenRefused: lambda e: self._refused_tokens.labels(e.reason).inc(),
            events.ConnectionRestored: self._on_connection_restored,
            events.LoopFailed: lambda e: self._loop_failures.labels(e.loop).inc(),
            events.SubscriberFailed: lambda e: self._telemetry_failures.labels(e.subscriber).inc(),
            scheduler_events.LeaderChanged: self._on_leader_changed,
            scheduler_events.WaitingMeasured: self._on_waiting_measured,
            events.CatalogReloaded: self._on_catalog_reloaded,
        }

    def _often(self, metric: _O) -> _O:
        self.registry.register(metric)
        return metric

    def _task(self, task: str) -> str:
        if task not in self._task_labels:
            if is_api_task_id(task):
                return API_TASKS
            if len(self._task_labels) >= MAX_TASK_LABELS:
                return OTHER_TASKS
            self._task_labels.add(task)
        return task

    def _on_attempt_started(self, event: worker_events.AttemptStarted) -> None:
        self._in_flight += 1
        if event.lateness_s is not None:
            self._lateness.observe(max(0.0, event.lateness_s))

    def _on_attempt_ended(self, event: worker_events.AttemptEnded) -> None:
        task = self._task(event.task)
        self._in_flight -= 1
        self._attempts.add(task, status_class(event.status))
        self._request_seconds.observe(event.duration_s, task)

    def _on_job_settled(self, event: worker_events.JobSettled) -> None:
        task = self._task(event.task)
        if event.decision == "retry":
            self._retries.labels(task).inc()
        if event.decision == "fail":
            self._dead_lettered.labels(task, event.reason or "unknown").inc()
        if event.status is not None:
            self._executions.add(task, event.status)

    def _on_job_skipped(self, event: worker_events.JobSkipped) -> None:
        task = self._task(event.task)
        self._skipped.labels(task, event.reason).inc()
        self._executions.add(task, event.status)

    def _on_message_rejected(self, event: worker_events.MessageRejected) -> None:
        self._rejected.labels(event.reason).inc()

    def _on_request_answered(self, event: api_events.RequestAnswered) -> None:
        method = event.method if event.method in _METHODS else "(other)"
        self._api_requests.add(method, event.route, str(event.status))
        self._api_seconds.observe(event.duration_s, method, event.route)

    def _on_connection_restored(self, event: events.ConnectionRestored) -> None:
        if event.service == "rabbitmq" and event.outage_s > 0:
            self._reconnects.inc()

    def _on_leader_changed(self, event: scheduler_events.LeaderChanged) -> None:
        self._late_gauge("leader", "1 while this scheduler leads").set(int(event.leading))
        if not event.leading:
            for name in _OF_THE_LEADER & self._late_gauges.keys():
                self.registry.unregister(self._late_gauges.pop(name))

    def _on_waiting_measured(self, event: scheduler_events.WaitingMeasured) -> None:
        self._late_gauge("jobs_delayed", "Jobs that wait in Redis for their time").set(event.delayed)
        if event.lane_lag_s is not None:
            late = "How late the latest message came out of the delayed queue, or the next one is overdue"
            self._late_gauge("lane_lag_seconds", late).set(event.lane_lag_s)
        waiting = self._late_gauge("jobs_waiting", "Jobs that wait in Redis for room under a limit", "limit")
        waiting.clear()
        most_first = sorted(event.by_limit.items(), key=lambda pair: (-pair[1], pair[0]))
        for limit, jobs in most_first[:MAX_LIMIT_LABELS]:
            waiting.labels(limit).set(jobs)
        if rest := most_first[MAX_LIMIT_LABELS:]:
            waiting.labels(OTHER_LIMITS).set(sum(jobs for _, jobs in rest))

    def _on_catalog_reloaded(self, event: events.CatalogReloaded) -> None:
        succeeded = "Whether the last reload of the task definitions succeeded"
        self._late_gauge("config_last_reload_successful", succeeded).set(int(event.ok))
        if event.ok:
            when = "Unix time of the last successful reload of the task definitions"
            self._late_gauge("config_last_reload_success_timestamp_seconds", when).set_to_current_time()
        for task in event.removed:
            # Counters of a removed task stay, as their readers expect; how many want it now has no meaning any more.
            self._users.remove_by_labels({"task": task})

    def _late_gauge(self, name: str, about: str, *labels: str) -> Gauge:
        if name not in self._late_gauges:
            self._late_gauges[name] = self._gauge(name, about, *labels)
        return self._late_gauges[name]


# --- what is counted for every job ------------------------------------------------------------------------------------

# The library's counters take a lock for each value, and its histograms go through their buckets one by one: together a
# twentieth of all that a worker did. These count in plain dicts, in the one thread that emits events, and take on the
# library's form when somebody reads them.


class _Counts(Collector):
    """A counter with labels."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        self._name, self._about, self._labels = f"taskqueue_{name}", about, labels
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def add(self, *labels: str) -> None:
        """Count one more with these label values."""
        self._counts[labels] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield it as Prometheus reads it."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class _Distribution(Collector):
    """A histogram with labels; `bounds` are the upper ends of its buckets, the last of which is endless."""

    def __init__(self, name: str, about: str, *labels: str, bounds: Sequence[float]) -> None:
        self._name, self._about, self._labels = f"taskqueue_{name}", about, labels
        self._bounds = tuple(map(float, bounds))
        self._buckets: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def show(self, *labels: str) -> None:
        """Show the series with these label values even before it has a value."""
        self._buckets[labels]

    def observe(self, value: float, *labels: str) -> None:
        """Count one value of the series with these label values."""
        self._buckets[labels][bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield it as Prometheus reads it."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, buckets in self._buckets.items():
            cumulated = list(zip(names, accumulate(buckets), strict=True))
            family.add_metric(labels, cumulated, sum_value=self._sums[labels])
        yield family


_O = TypeVar("_O", _Counts, _Distribution)


def status_class(status: int | None) -> str:
    """Return `2xx` and so on for an HTTP status, `none` where no answer came."""
    return "none" if status is None else f"{status // 100}xx"
