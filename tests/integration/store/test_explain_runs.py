"""What an explanation tells of the runs of a task made through the API, on a Redis in which nothing runs."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from taskqueue.core.api_run import due_run
from taskqueue.core.api_task import ApiTask
from taskqueue.core.explanation import Explanation
from taskqueue.core.instants import to_unix_ms
from taskqueue.core.verdict import Verdict
from taskqueue.store import keys
from taskqueue.store.api_runs import ApiRuns, QueuedRun
from taskqueue.store.api_tasks import ApiTaskStore
from taskqueue.store.connection import RedisStore
from taskqueue.store.explain import Explainer
from taskqueue.store.scripts import Scripts
from tests.support.api_values import NOON, a_new_task

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
async def task(store: RedisStore, scripts: Scripts) -> ApiTask:
    """A task that was made two hours before noon, and is due at noon each day."""
    task, state = a_new_task()
    await ApiTaskStore(store, scripts).create(task, state)
    return task


@pytest.fixture
def explainer(store: RedisStore, scripts: Scripts) -> Explainer:
    return Explainer(store, scripts)


async def explained(explainer: Explainer, task: ApiTask, *, now: datetime, at: datetime | None = None) -> Explanation:
    found = await explainer.explain(task.task_id, None, at=at, now=now)
    assert isinstance(found, Explanation)
    return found


async def ran(store: RedisStore, task: ApiTask, *, at: datetime, word: str = "success", days: int = 1) -> str:
    """Let Redis stand as after the scheduled run of this instant, with the task due again some days later."""
    job_id = due_run(task, at, at).job_id
    await store.command("ZADD", keys.api_executions(task.task_id), to_unix_ms(at), job_id)
    await store.command("SET", keys.done(job_id), word)
    following = to_unix_ms(at + days * DAY)
    await store.command("HSET", keys.api_task(task.task_id), "last_at", to_unix_ms(at), "next_at", following)
    return job_id


async def triggered(store: RedisStore, scripts: Scripts, task: ApiTask, at: datetime) -> str:
    """Let Redis stand as after a manual trigger that ended in success."""
    run = await ApiRuns(store, scripts).trigger(task, "by-hand", at)
    assert isinstance(run, QueuedRun)
    await store.command("ZADD", keys.api_executions(task.task_id), to_unix_ms(at), run.execution_id)
    await store.command("SET", keys.done(run.execution_id), "success")
    return run.execution_id


async def test_a_run_that_is_due_and_that_nobody_has_queued_comes_before_the_last_one(
    explainer: Explainer, store: RedisStore, task: ApiTask
) -> None:
    await ran(store, task, at=NOON)

    found = await explained(explainer, task, now=NOON + DAY + 3 * MINUTE)

    assert (found.verdict, found.job) == (Verdict.NOT_PLANNED_YET, None)
    assert found.occurrence is not None
    assert found.occurrence.scheduled_at == NOON + DAY
    assert (found.next.scheduled_at, found.next.reasons[0].code) == (NOON + 2 * DAY, Verdict.NOT_DUE_YET)


async def test_of_a_time_before_it_the_last_run_is_told(explainer: Explainer, store: RedisStore, task: ApiTask) -> None:
    await ran(store, task, at=NOON)

    found = await explained(explainer, task, now=NOON + DAY + 3 * MINUTE, at=NOON + 2 * MINUTE)

    assert found.verdict is Verdict.SUCCEEDED


async def test_a_task_whose_runs_are_too_long_ago_has_run_all_the_same(
    explainer: Explainer, store: RedisStore, task: ApiTask
) -> None:
    assert (await explained(explainer, task, now=NOON - MINUTE)).verdict is Verdict.NEVER_RAN
    await ran(store, task, at=NOON, days=30)
    await store.command("DEL", keys.api_executions(task.task_id))

    assert (await explained(explainer, task, now=NOON + 9 * DAY)).verdict is Verdict.FORGOTTEN


async def test_before_a_task_was_made_nothing_was_planned(explainer: Explainer, task: ApiTask) -> None:
    found = await explained(explainer, task, now=NOON - MINUTE, at=task.created_at - MINUTE)

    assert found.verdict is Verdict.NOT_PLANNED


@pytest.mark.parametrize(("after", "verdict"), [(8 * DAY, Verdict.FORGOTTEN), (DAY, Verdict.NO_TRACE)])
async def test_a_run_whose_record_is_gone_is_in_no_queue(
    explainer: Explainer, store: RedisStore, task: ApiTask, after: timedelta, verdict: Verdict
) -> None:
    await store.command("DEL", keys.done(await ran(store, task, at=NOON, days=30)))

    found = await explained(explainer, task, now=NOON + after)

    assert (found.verdict, found.job) == (verdict, None)


async def test_a_manual_trigger_does_not_hide_what_became_of_the_schedule(
    explainer: Explainer, store: RedisStore, scripts: Scripts, task: ApiTask
) -> None:
    await triggered(store, scripts, task, NOON + 5 * MINUTE)
    scheduled = await ran(store, task, at=NOON, word="failed")

    found = await explained(explainer, task, now=NOON + 10 * MINUTE)

    assert found.verdict is Verdict.FAILED
    assert found.job is not None
    assert found.job.job_id == scheduled


async def test_where_there_is_no_other_run_a_manual_trigger_is_told(
    explainer: Explainer, store: RedisStore, scripts: Scripts, task: ApiTask
) -> None:
    by_hand = await triggered(store, scripts, task, NOON - 30 * MINUTE)

    found = await explained(explainer, task, now=NOON - 10 * MINUTE)

    assert found.verdict is Verdict.SUCCEEDED
    assert found.job is not None
    assert found.job.job_id == by_hand


async def test_runs_from_before_a_change_of_the_task_are_told_as_they_come(
    explainer: Explainer, store: RedisStore, scripts: Scripts, task: ApiTask
) -> None:
    await ran(store, task, at=NOON - DAY)
    by_hand = await triggered(store, scripts, task, task.updated_at - MINUTE)

    found = await explained(explainer, task, now=NOON - MINUTE, at=task.updated_at)

    assert found.job is not None
    assert found.job.job_id == by_hand
