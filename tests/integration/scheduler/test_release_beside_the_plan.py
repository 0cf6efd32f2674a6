"""What the release may put into the delayed queue while more is being planned for the same instant."""

from __future__ import annotations

from datetime import datetime

from taskqueue.core.instants import to_unix_ms
from taskqueue.runtime import utc_now
from tests.support.release_dock import SECOND, Dock, names


async def _is_due(dock: Dock, task_id: str, at: datetime) -> None:
    await dock.redis.zadd("taskqueue:due", {task_id: to_unix_ms(at)})


async def test_tasks_that_are_due_together_all_go_through_the_delayed_queue(dock: Dock) -> None:
    at = utc_now() + 20 * SECOND
    await dock.lane_reaches(utc_now())
    await _is_due(dock, "urgent", at)
    report = await dock.planned(names(10), at, window=10 * SECOND)
    await dock.releaser.round()
    assert (await dock.progress(report)).released == 1  # nobody else's job can be due before the first of these

    await dock.planned(names(10, "other"), at, task_id="urgent", window=10 * SECOND)
    await dock.until_released(20)

    assert dock.released() == {"lane": 20}


async def test_nothing_passes_an_occurrence_of_which_nobody_is_planned_yet(dock: Dock) -> None:
    at = utc_now() + 20 * SECOND
    await dock.lane_reaches(utc_now())
    await dock.planned([], at, task_id="urgent", complete=False)
    report = await dock.planned(names(10), at, window=10 * SECOND)

    await dock.releaser.round()

    assert (await dock.progress(report)).released == 1


async def test_an_instant_that_has_come_and_is_not_planned_holds_nothing_up(dock: Dock) -> None:
    await dock.lane_reaches(utc_now())
    await _is_due(dock, "broken", utc_now() - SECOND)
    await dock.planned([], utc_now() - SECOND, task_id="urgent", complete=False)
    await dock.planned(names(10), utc_now() + 20 * SECOND, window=10 * SECOND)

    await dock.until_released(10)

    assert dock.released() == {"lane": 10}


async def test_what_is_due_goes_out_whatever_is_still_to_be_planned(dock: Dock) -> None:
    await _is_due(dock, "urgent", utc_now() + SECOND)
    await dock.planned(names(3), utc_now() - SECOND)

    await dock.until_released(3)

    assert dock.released() == {"direct": 3}


async def test_an_occurrence_of_users_own_interval_is_over_once_its_jobs_are_out(dock: Dock) -> None:
    at = utc_now() + 20 * SECOND
    await dock.lane_reaches(utc_now())
    await dock.planned(names(2), at)
    own = await dock.planned(names(2, "own"), at, cohort="0123456789abcdef")

    await dock.until_released(4)

    # The task's own is noted as an execution when its instant comes; of the others each look would meet all.
    assert own.member not in await dock.live()
    assert len(await dock.live()) == 1
