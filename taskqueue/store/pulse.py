"""How many jobs end, and how much is in progress or waits: a few numbers for whoever looks every second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from taskqueue.core.instants import from_unix_ms
from taskqueue.store import keys
from taskqueue.store.connection import RedisStore

#: ends are counted by task; the counts of more tasks than this are not read again and again
_MOST_TASKS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What Redis counts at `at`, an instant by its clock.

    `ended` and `failed` are the executions of the present UTC day that ended, and those of them that failed for good;
    None where they are of too many tasks to be read every second, or a count is no number. `occurrences` are in
    progress, `delayed` jobs wait for their time, `api_waiting` tasks of the API are due and wait for another task.
    """

    at: datetime
    ended: int | None
    failed: int | None
    occurrences: int
    delayed: int
    api_waiting: int


async def read_pulse(store: RedisStore) -> Pulse:
    """Return the counts. Raises StoreUnavailableError, DamagedKeyError where a key holds another type."""
    seconds, microseconds = await store.command("TIME")
    at = from_unix_ms(int(seconds) * 1000 + int(microseconds) // 1000)
    days = (keys.executions_of_day(at), keys.failures_of_day(at))
    occurrences, delayed, waiting, *tasks = map(
        int,
        await store.read(
            ("ZCARD", keys.OCCURRENCES),
            ("ZCARD", keys.DELAYED),
            ("ZCARD", keys.API_WAITING),
            *(("HLEN", day) for day in days),
        ),
    )
    ended: int | None = None
    failed: int | None = None
    if max(tasks) <= _MOST_TASKS:
        ended, failed = map(_total, await store.read(*(("HVALS", day) for day in days)))
    return Pulse(at=at, ended=ended, failed=failed, occurrences=occurrences, delayed=delayed, api_waiting=waiting)


def _total(counts: Iterable[bytes]) -> int | None:
    try:
        return sum(map(int, counts))
    except ValueError:  # Somebody else wrote it; the other numbers are good.
        return None
