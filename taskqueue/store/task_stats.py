"""How the executions of a task went: counts of all its ends and of the last days, and how long its calls took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskqueue.store import keys
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import METRICS_KEPT

_DAY = timedelta(days=1)

#: counts of a day, by task type
_OF_DAY = (keys.executions_of_day, keys.failures_of_day, keys.cancels_of_day, keys.uncalled_failures_of_day)

#: the last days are today's and those before it, in UTC
LAST_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How many executions ended, and how many of them in success and in failure for good."""

    total: int = 0
    success: int = 0
    failed: int = 0

    @property
    def success_rate(self) -> float | None:
        """Share of the successes among the executions that succeeded or failed; None without any."""
        judged = self.success + self.failed
        return round(self.success / judged, 4) if judged else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStats:
    """`ends` of all executions, `last_days` of those of LAST_DAYS; `durations_ms` of the latest calls, in order."""

    ends: Ends
    last_days: Ends
    durations_ms: tuple[int, ...]

    @property
    def average_ms(self) -> int | None:
        """Mean duration; None without any."""
        return round(sum(self.durations_ms) / len(self.durations_ms)) if self.durations_ms else None

    def quantile_ms(self, share: float) -> int | None:
        """Return the duration that `share` of the calls did not exceed, which is one that was measured; or None."""
        if not self.durations_ms:
            return None
        return self.durations_ms[max(0, math.ceil(share * len(self.durations_ms)) - 1)]


class TaskStatsStore:
    """Raises StoreUnavailableError when no answer came, DamagedKeyError where a key holds another type."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def of_api_task(self, task_id: str, now: datetime) -> TaskStats:
        """Return how an API task's executions went, from its first one on."""
        counts, durations = await self._store.read(
            ("HGETALL", keys.api_stats(task_id)), ("ZRANGE", keys.durations(task_id), 0, -1)
        )
        days = [(now - number * _DAY).date() for number in range(LAST_DAYS)]
        return TaskStats(
            ends=_ends(counts, "total", "success", "failed"),
            last_days=_sum([_ends(counts, f"{day}:n", f"{day}:s", f"{day}:f") for day in days]),
            durations_ms=_durations(durations),
        )

    async def of_file_task(self, task_id: str, now: datetime) -> TaskStats:
        """Return how the executions of a task type of tasks.yaml went in the last 35 days.

        Those that ended without a call count where they failed.
        """
        days = [now - number * _DAY for number in range(METRICS_KEPT // _DAY)]
        *counts, durations = await self._store.read(
            *(("HGET", key(day), task_id) for day in days for key in _OF_DAY),
            ("ZRANGE", keys.durations(task_id), 0, -1),
        )
        by_day = [_ends_of_day(*counts[first : first + len(_OF_DAY)]) for first in range(0, len(counts), len(_OF_DAY))]
        return TaskStats(ends=_sum(by_day), last_days=_sum(by_day[:LAST_DAYS]), durations_ms=_durations(durations))


def _ends(counts: Mapping[bytes, bytes], total: str, success: str, failed: str) -> Ends:
    return Ends(
        total=_count(counts.get(total.encode())),
        success=_count(counts.get(success.encode())),
        failed=_count(counts.get(failed.encode())),
    )


def _ends_of_day(called: bytes | None, failed: bytes | None, cancelled: bytes | None, uncalled: bytes | None) -> Ends:
    # Successes are not counted apart: what was called and did neither fail nor was cancelled is one.
    calls, failures, without_call = _count(called), _count(failed), _count(uncalled)
    success = calls - (failures - without_call) - _count(cancelled)
    return Ends(total=calls + without_call, success=max(0, success), failed=failures)


def _sum(parts: Sequence[Ends]) -> Ends:
    return Ends(
        total=sum(part.total for part in parts),
        success=sum(part.success for part in parts),
        failed=sum(part.failed for part in parts),
    )


def _count(text: bytes | None) -> int:
    """Return a counter's value; one that another hand has written counts nothing."""
    return int(text) if text is not None and text.isdigit() and len(text) < 19 else 0


def _durations(members: Sequence[bytes]) -> tuple[int, ...]:
    """Return the durations that the members `{job_id}:{duration_ms}` end in, in order."""
    return tuple(sorted(_count(member.rpartition(b":")[2]) for member in members))
