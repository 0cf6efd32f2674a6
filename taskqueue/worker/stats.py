"""The figures of /stats and /health, fed by events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from taskqueue.telemetry.events import Event
from taskqueue.telemetry.worker_events import AttemptEnded, AttemptStarted, JobSettled

#: `current_rate` is over this sliding window
RATE_WINDOW_S = 10.0
_SECOND = 1.0


class WorkerStats:
    """Counts what one worker did since it started. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._processed = 0
        self._failed = 0
        self._attempts = 0
        self._attempt_seconds = 0.0
        self._ends: deque[float] = deque()
        self._admissions: deque[float] = deque()

    def handle(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case AttemptStarted():
                self._admissions.append(self._clock())
                _forget_before(self._admissions, self._clock() - _SECOND)
            case AttemptEnded(duration_s=seconds):
                self._attempts += 1
                self._attempt_seconds += seconds
            case JobSettled(status=status) if status is not None:
                self._processed += 1
                self._failed += status == "failed"
                self._ends.append(self._clock())
                _forget_before(self._ends, self._clock() - RATE_WINDOW_S)

    def admitted_last_second(self) -> int:
        """Return how many calls began in the last second."""
        _forget_before(self._admissions, self._clock() - _SECOND)
        return len(self._admissions)

    def as_dict(self) -> dict[str, int | float]:
        """Return the body of /stats: jobs ended, those failed for good, mean duration of a call, jobs per second."""
        now = self._clock()
        _forget_before(self._ends, now - RATE_WINDOW_S)
        uptime = now - self._started
        mean_ms = round(self._attempt_seconds / self._attempts * 1000) if self._attempts else 0
        return {
            "processed": self._processed,
            "failed": self._failed,
            "avg_duration_ms": mean_ms,
            "current_rate": round(len(self._ends) / min(RATE_WINDOW_S, max(uptime, 1.0)), 1),
            "uptime": int(uptime),
        }


def _forget_before(instants: deque[float], oldest: float) -> None:
    while instants and instants[0] < oldest:
        instants.popleft()
