"""The figures of /stats and /health, fed by events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from taskqueue.core.histogram import Histogram
from taskqueue.core.sliding import SlidingCount, SlidingHistogram
from taskqueue.telemetry.events import Event
from taskqueue.telemetry.worker_events import (
    AttemptEnded,
    AttemptStarted,
    DuplicateDropped,
    JobSettled,
    JobSkipped,
    LimitWaited,
    MessageRejected,
)

#: `current_rate` is over this sliding window
RATE_WINDOW_S = 10.0

#: the quantiles are over this one: long enough for a 99th percentile, short enough to show what is wrong now
QUANTILE_WINDOW_S = 300.0

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class WorkerStats:
    """Counts what one worker did since it started. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._processed = 0
        self._attempts_started = 0
        self._attempt_seconds = 0.0
        self._attempts = _zeros("success", "retryable", "permanent", "cancelled")
        self._outcomes = _zeros("success", "failed", "skipped", "cancelled")
        self._happened = _zeros("retries", "parked", "duplicates", "rejected")
        self._limit_waits: dict[str, Counter[str]] = {}
        self._ends = SlidingCount(RATE_WINDOW_S)
        self._admissions = SlidingCount(1.0)
        self._durations = SlidingHistogram(QUANTILE_WINDOW_S)
        self._lateness = SlidingHistogram(QUANTILE_WINDOW_S)
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            AttemptStarted: self._on_attempt_started,
            AttemptEnded: self._on_attempt_ended,
            JobSettled: self._on_job_settled,
            JobSkipped: self._on_job_skipped,
            LimitWaited: self._on_limit_waited,
            DuplicateDropped: lambda _: self._note("duplicates"),
            MessageRejected: lambda _: self._note("rejected"),
        }

    def handle(self, event: Event) -> None:
        """Take note of one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def admitted_last_second(self) -> int:
        """Return how many calls began in the last second."""
        return self._admissions.count(self._clock())

    def as_dict(self) -> dict[str, object]:
        """Return the body of /stats: the spec's fields (jobs ended, failed, mean call, jobs per second), then ours.

        Durations are milliseconds, but for `uptime`, which is seconds.
        """
        now = self._clock()
        uptime = now - self._started
        ended = sum(self._attempts.values())
        covered_s = min(self._ends.covered_s(now), max(uptime, 1.0))
        return {
            "processed": self._processed,
            "failed": self._outcomes["failed"],
            "avg_duration_ms": round(self._attempt_seconds / ended * 1000) if ended else 0,
            "current_rate": round(self._ends.count(now) / covered_s, 1),
            "uptime": int(uptime),
            "in_flight": self._attempts_started - ended,
            "outcomes": dict(self._outcomes),
            "attempts": dict(self._attempts),
            **self._happened,
            "limit_waits": {limit: dict(ways) for limit, ways in self._limit_waits.items()},
            "duration_ms": _quantiles_ms(self._durations.recent(now)),
            "lateness_ms": _quantiles_ms(self._lateness.recent(now)),
        }

    def _note(self, what: str) -> None:
        self._happened[what] += 1

    def _on_attempt_started(self, event: AttemptStarted) -> None:
        now = self._clock()
        self._attempts_started += 1
        self._admissions.add(now)
        if event.lateness_s is not None:
            self._lateness.observe(now, event.lateness_s)

    def _on_attempt_ended(self, event: AttemptEnded) -> None:
        self._attempts[event.outcome_class] += 1
        self._attempt_seconds += event.duration_s
        self._durations.observe(self._clock(), event.duration_s)

    def _on_job_settled(self, event: JobSettled) -> None:
        if event.decision == "retry":
            self._note("retries")
        elif event.decision == "park":
            self._note("parked")
        if event.status is not None:
            self._processed += 1
            self._outcomes[event.status] += 1
            self._ends.add(self._clock())

    def _on_job_skipped(self, event: JobSkipped) -> None:
        self._outcomes[event.status] += 1

    def _on_limit_waited(self, event: LimitWaited) -> None:
        # The names of limits are a handful of codes; tasks and hosts are not among them.
        ways = self._limit_waits.setdefault(event.limit, _zeros("slept", "parked"))
        ways["parked" if event.parked else "slept"] += 1


def _zeros(*names: str) -> Counter[str]:
    return Counter(dict.fromkeys(names, 0))


def _quantiles_ms(histogram: Histogram) -> dict[str, float | None]:
    """Return the quantiles in milliseconds, as None where nothing was observed."""
    seconds = {name: histogram.quantile(share) for name, share in _QUANTILES.items()}
    return {name: None if value is None else round(value * 1000, 1) for name, value in seconds.items()}
