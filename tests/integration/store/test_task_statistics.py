"""Counts and durations of a task's executions, told from what their ends have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.core.api_task import API_USER
from taskqueue.core.state import Status
from taskqueue.errors import DamagedKeyError
from taskqueue.store import keys
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.jobs import JobStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.task_stats import Ends, TaskStatsStore
from tests.support.api_values import a_new_task
from tests.support.claims import FIRST, KEPT, due_job
from tests.support.values import a_record

NOON = datetime(2024, 3, 3, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def stats(store: RedisStore) -> TaskStatsStore:
    return TaskStatsStore(store)


@pytest.fixture
async def task_id(store: RedisStore, scripts: Scripts) -> str:
    """An API task."""
    task, state = a_new_task()
    assert await ApiTaskStore(store, scripts).create(task, state)
    return task.task_id


class Ended:
    """Lets jobs of a task end."""

    def __init__(self, jobs: JobStore, task_id: str, user_id: str) -> None:
        self._jobs = jobs
        self._task_id = task_id
        self._user_id = user_id
        self._count = 0

    async def __call__(
        self, status: Status, at: datetime, milliseconds: int = 100, *, called: bool | None = None
    ) -> None:
        self._count += 1
        job = due_job(id=f"{self._task_id}-{self._count}", task_type_id=self._task_id, user_id=self._user_id)
        started = at - timedelta(milliseconds=milliseconds)
        record = a_record(job, status=status, started_at=started, completed_at=at)
        if called is None:
            called = status is not Status.SKIPPED
        await self._jobs.finish(job, FIRST, record, called=called, kept=KEPT)


async def test_all_ends_of_an_api_task_are_counted_and_only_successes_and_failures_judged(
    stats: TaskStatsStore, jobs: JobStore, task_id: str
) -> None:
    ended = Ended(jobs, task_id, API_USER)
    for status in (*[Status.SUCCESS] * 3, Status.FAILED, Status.CANCELLED, Status.SKIPPED):
        await ended(status, NOON)

    found = await stats.of_api_task(task_id, NOON)

    assert found.ends == Ends(total=6, success=3, failed=1)
    assert found.ends.success_rate == 0.75
    assert found.last_days == found.ends


async def test_the_last_days_are_today_and_the_six_before_it(
    stats: TaskStatsStore, jobs: JobStore, task_id: str
) -> None:
    ended = Ended(jobs, task_id, API_USER)
    for days in (7, 6, 1, 0):
        await ended(Status.SUCCESS if days else Status.FAILED, NOON - days * DAY)

    found = await stats.of_api_task(task_id, NOON)

    assert found.ends == Ends(total=4, success=3, failed=1)
    assert found.last_days == Ends(total=3, success=2, failed=1)


async def test_durations_are_those_of_the_calls_in_order(stats: TaskStatsStore, jobs: JobStore, task_id: str) -> None:
    ended = Ended(jobs, task_id, API_USER)
    for milliseconds in (300, 100, 200):
        await ended(Status.SUCCESS, NOON, milliseconds)
    await ended(Status.SKIPPED, NOON, 5)

    found = await stats.of_api_task(task_id, NOON)

    assert found.durations_ms == (100, 200, 300)
    assert (found.average_ms, found.quantile_ms(0.5), found.quantile_ms(0.99)) == (200, 200, 300)


async def test_of_a_file_task_the_calls_of_35_days_are_counted(stats: TaskStatsStore, jobs: JobStore) -> None:
    ended = Ended(jobs, "daily_report", "user-1")
    for days, status in ((36, Status.SUCCESS), (30, Status.SUCCESS), (3, Status.FAILED), (0, Status.SUCCESS)):
        await ended(status, NOON - days * DAY)
    await ended(Status.SKIPPED, NOON)

    found = await stats.of_file_task("daily_report", NOON)

    assert found.ends == Ends(total=3, success=2, failed=1)
    assert found.last_days == Ends(total=2, success=1, failed=1)


async def test_a_call_that_was_cancelled_is_no_success_and_no_failure_of_a_file_task(
    stats: TaskStatsStore, jobs: JobStore
) -> None:
    ended = Ended(jobs, "daily_report", "user-1")
    for status in (Status.CANCELLED, Status.SUCCESS, Status.CANCELLED, Status.FAILED):
        await ended(status, NOON)

    found = await stats.of_file_task("daily_report", NOON)

    assert found.ends == found.last_days == Ends(total=4, success=1, failed=1)
    assert found.ends.success_rate == 0.5


async def test_failures_without_a_call_take_nothing_from_the_successes_of_a_file_task(
    stats: TaskStatsStore, jobs: JobStore, store: RedisStore
) -> None:
    ended = Ended(jobs, "daily_report", "user-1")
    for status in (*[Status.SUCCESS] * 10, Status.FAILED, Status.CANCELLED):
        await ended(status, NOON)
    for _ in range(8):
        await ended(Status.FAILED, NOON, called=False)
    await ended(Status.CANCELLED, NOON, called=False)

    found = await stats.of_file_task("daily_report", NOON)

    assert found.ends == found.last_days == Ends(total=20, success=10, failed=9)
    assert len(found.durations_ms) == 12
    assert int(await store.command("TTL", keys.uncalled_failures_of_day(NOON))) > 34 * DAY.total_seconds()


async def test_a_task_that_never_ran_has_counts_of_nothing(stats: TaskStatsStore, task_id: str) -> None:
    found = await stats.of_api_task(task_id, NOON)

    assert (found.ends, found.last_days, found.durations_ms) == (Ends(), Ends(), ())


async def test_what_another_hand_wrote_counts_nothing(stats: TaskStatsStore, store: RedisStore, task_id: str) -> None:
    await store.command("HSET", keys.api_stats(task_id), "total", "many", "success", "-1", "failed", "9" * 40)
    await store.command("ZADD", keys.durations(task_id), 1, "no duration")

    found = await stats.of_api_task(task_id, NOON)

    assert (found.ends, found.durations_ms) == (Ends(), (0,))


async def test_a_key_of_another_type_is_told_by_its_name(
    stats: TaskStatsStore, store: RedisStore, task_id: str
) -> None:
    await store.command("SET", keys.api_stats(task_id), "text")

    with pytest.raises(DamagedKeyError, match="api:stats"):
        await stats.of_api_task(task_id, NOON)
