"""Who takes the lease while the index of some schedulers is not warm yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from taskqueue.scheduler.audience_sync import AudienceSync
from taskqueue.telemetry.scheduler_events import LeaderChanged
from tests.support.scheduling import NewScheduler, TasksFile, task_type


@pytest.fixture(autouse=True)
def _tasks(tasks_file: TasksFile) -> None:
    tasks_file.write(task_type("report"))


@pytest.fixture
def endless_loading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and no index of a scheduler that is started from then on gets warm."""

    async def load_for_ever(_: AudienceSync) -> None:
        await asyncio.Event().wait()

    return lambda: monkeypatch.setattr(AudienceSync, "run", load_for_ever)


async def test_schedulers_that_have_just_started_leave_the_lease_to_one_whose_index_is_warm(
    new_scheduler: NewScheduler, endless_loading: Callable[[], None]
) -> None:
    first = await new_scheduler("first")
    await first.leads()
    warm = await new_scheduler("warm")
    await warm.leads(False)
    async with asyncio.timeout(10):
        await warm.scheduler.audience.ready.wait()
    endless_loading()
    cold = [await new_scheduler(f"cold-{number}") for number in range(4)]
    for scheduler in cold:
        await scheduler.leads(False)

    await first.scheduler.quiet()
    await warm.leads()

    assert all(len(scheduler.events.of(LeaderChanged)) == 1 for scheduler in cold)


async def test_where_no_index_is_warm_one_leads_all_the_same(
    new_scheduler: NewScheduler, endless_loading: Callable[[], None]
) -> None:
    endless_loading()
    cold = await new_scheduler("cold")

    await cold.leads(within=5)
