"""What `taskqueue top` knows at one moment: numbers of both services, and rates from two looks at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taskqueue.cli.top_sources import QueueView, StoreView, Watched
from taskqueue.core.occurrence import Occurrence, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What both services say, as far as they are there."""

    store: Watched[StoreView]
    queues: Watched[QueueView]

    def ended_per_s(self) -> float | None:
        """Return how many executions end per second; None where it is not known."""
        return self._per_s(lambda view: view.pulse.ended)

    def failed_per_s(self) -> float | None:
        """Return how many of them fail for good."""
        return self._per_s(lambda view: view.pulse.failed)

    def growth_per_s(self, queue: str) -> float | None:
        """Return by how many messages a queue grows per second; None where it is not known."""
        before, latest = self.queues.before, self.queues.latest
        if before is None or latest is None or latest.at_s <= before.at_s or self.queues.old_s() is not None:
            return None
        first, second = before.counts[queue], latest.counts[queue]
        return None if first is None or second is None else (second.ready - first.ready) / (latest.at_s - before.at_s)

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object. What comes from a service that is away is null, and `away` has the reason."""
        return {
            "away": {"redis": self.store.away, "rabbitmq": self.queues.away},
            **_store_fields(self.store.latest, self.ended_per_s(), self.failed_per_s()),
            "queues": None if self.queues.latest is None else self._queue_rows(self.queues.latest),
        }

    def _per_s(self, count: Callable[[StoreView], int | None]) -> float | None:
        before, latest = self.store.before, self.store.latest
        if before is None or latest is None or self.store.old_s() is not None:
            return None
        first, second = count(before), count(latest)
        seconds = (latest.pulse.at - before.pulse.at).total_seconds()
        # At midnight the counts begin anew.
        return None if first is None or second is None or second < first or seconds <= 0 else (second - first) / seconds

    def _queue_rows(self, view: QueueView) -> list[dict[str, object]]:
        return [
            {
                "queue": queue,
                "ready": None if count is None else count.ready,
                "consumers": None if count is None else count.consumers,
                "growth_per_s": _rounded(self.growth_per_s(queue)),
            }
            for queue, count in view.counts.items()
        ]


def _store_fields(view: StoreView | None, ended_per_s: float | None, failed_per_s: float | None) -> dict[str, object]:
    if view is None:
        names = ("at", "leader", "followers", "workers", "executions", "occurrences", "in_progress", "waiting")
        return dict.fromkeys(names)
    pulse = view.pulse
    return {
        "at": pulse.at,
        "leader": view.lease.leader,
        "followers": view.lease.followers,
        "workers": [
            {
                "worker_id": worker.worker_id,
                "active": worker.active,
                "capacity": worker.capacity,
                "current_load": worker.current_load,
            }
            for worker in view.workers
        ],
        "executions": {
            "ended_today": pulse.ended,
            "failed_today": pulse.failed,
            "ended_per_s": _rounded(ended_per_s),
            "failed_per_s": _rounded(failed_per_s),
        },
        "occurrences": pulse.occurrences,
        "in_progress": [_occurrence_fields(*each) for each in view.live],
        "waiting": {"for_their_time": pulse.delayed, "api_tasks": pulse.api_waiting, "for_limits": view.waiting},
    }


def _occurrence_fields(occurrence: Occurrence, progress: Progress) -> dict[str, object]:
    return {
        "task_id": occurrence.task_id,
        "scheduled_at": occurrence.scheduled_at,
        "users": occurrence.users,
        "planned": progress.planned,
        "released": progress.released,
        "slots": occurrence.spread.slots,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
