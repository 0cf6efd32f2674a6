"""Task types of tasks.yaml as the API lists, pauses, resumes and triggers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from taskqueue.core.api_task import ApiTask, ApiTaskState, TaskStatus, TaskType
from taskqueue.core.task import TaskSource
from taskqueue.store import keys
from taskqueue.store.api_runs import QueuedRun, TriggerRefusal
from taskqueue.store.api_task_search import ApiTaskFilter
from taskqueue.store.api_tasks import Changed, Refusal
from taskqueue.store.file_tasks import FileTaskRefusal
from tests.support.api_desk import WITHIN_S, ApiDesk, now_ms
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

_EVERY_MINUTE = {"type": "cron", "cron": "* * * * *", "timezone": "Europe/Berlin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A system with two task types, of which `often` is due every minute and `off` is disabled in the file."""

    system: System
    desk: ApiDesk
    scheduler: Process
    worker: Process

    async def state(self, task_id: str) -> ApiTaskState:
        """Return what the lists say of a task type now."""
        known = await self.desk.tasks.get(task_id)
        assert known is not None
        return (await self.desk.file_tasks.current([known], now_ms()))[0][1]

    async def switched(self, task_id: str, *, on: bool) -> None:
        """Wait until the workers know that a task type is on, or off."""

        async def told() -> bool:
            text = await self.system.redis.hget(keys.CATALOG, task_id)
            return text is not None and f'"enabled":{str(on).lower()}' in str(text)

        await eventually(told, WITHIN_S)

    async def listed(self, task_id: str) -> ApiTask:
        """Wait until a task type stands in the lists."""

        async def stands() -> bool:
            return await self.desk.tasks.get(task_id) is not None

        await eventually(stands, WITHIN_S)
        task = await self.desk.tasks.definition(task_id)
        assert task is not None
        return task


@pytest.fixture
async def stage(system: System) -> AsyncIterator[Stage]:
    async with ApiDesk(system) as desk:
        system.write_tasks(
            system.task(
                "often",
                interval=_EVERY_MINUTE,
                name="Often enough",
                timeout="30s",
                priority="high",
                distribution_window="12s",
            ),
            system.task("off", enabled=False),
        )
        scheduler, worker = await system.scheduler_and_worker()
        stage = Stage(system=system, desk=desk, scheduler=scheduler, worker=worker)
        await stage.listed("often")
        yield stage


async def test_task_types_stand_in_the_same_lists_as_the_tasks_of_the_api(stage: Stage) -> None:
    made = await stage.desk.once(at=now_ms() + timedelta(hours=1))
    page = await stage.desk.search.page(ApiTaskFilter(), limit=10, offset=0)
    often, state = next(row for row in page.tasks if row[0].task_id == "often")
    assert page.tasks[0][0] == made
    assert {task.task_id for task, _ in page.tasks} == {made.task_id, "often", "off"}
    assert (often.source, often.task_name, often.task_type) == (TaskSource.FILE, "Often enough", TaskType.CRON)
    assert (often.schedule_expression, often.timezone, often.timeout_seconds) == ("* * * * *", "Europe/Berlin", 30)
    assert state.status is TaskStatus.SCHEDULED
    following = (await stage.state("often")).next_at
    assert following is not None
    assert timedelta(0) < following - now_ms() <= timedelta(minutes=1)
    assert await stage.desk.tasks.counts() == {
        TaskStatus.SCHEDULED: 2, TaskStatus.PAUSED: 1, TaskStatus.WAITING: 0, TaskStatus.COMPLETED: 0,
        TaskStatus.FAILED: 0,
    }  # fmt: skip


async def test_the_lists_follow_the_file(stage: Stage) -> None:
    before = await stage.listed("often")
    stage.system.write_tasks(stage.system.task("often", name="Seldom"), stage.system.task("new"))
    await stage.listed("new")

    async def has_followed() -> bool:
        return await stage.desk.tasks.get("off") is None and (await stage.listed("often")).task_name == "Seldom"

    await eventually(has_followed, WITHIN_S)
    after = await stage.listed("often")
    assert (after.created_at, after.revision) == (before.created_at, before.revision + 1)
    assert await stage.system.redis.zcard(keys.API_TASKS) == await stage.system.redis.zcard(keys.API_NAMES) == 2


async def test_a_task_type_is_changed_in_the_file_alone(stage: Stage) -> None:
    assert await stage.desk.tasks.delete("often") is Refusal.READ_ONLY
    assert await stage.desk.file_tasks.resume("off", now_ms()) is FileTaskRefusal.OFF_IN_FILE
    assert await stage.desk.file_tasks.set_paused("nothing", now_ms()) is FileTaskRefusal.GONE


async def test_a_paused_task_type_runs_no_more_over_reloads_and_leaders_until_it_is_resumed(stage: Stage) -> None:
    (user,) = new_users(1)
    assert isinstance(await stage.desk.file_tasks.set_paused("often", now_ms()), Changed)
    await stage.switched("often", on=False)

    async def is_not_due() -> bool:
        return await stage.system.redis.zscore(keys.DUE, "often") is None

    await eventually(is_not_due, WITHIN_S)
    assert (await stage.state("often")).status is TaskStatus.PAUSED

    stage.system.write_tasks(stage.system.task("often", interval=_EVERY_MINUTE), stage.system.task("new"))
    await stage.listed("new")
    assert await stage.scheduler.terminate() == 0
    second = await stage.system.scheduler()
    await second.wait_for("leader_changed", leading=True)
    refused = await second.http.post("/schedule/trigger", json={"task_type_id": "often", "user_ids": [user]})
    assert refused.status_code == 409
    assert await stage.desk.file_tasks.trigger("often", [user], "t-1", now_ms()) is TriggerRefusal.PAUSED
    assert (await stage.state("often")).next_at is None

    seen = len(stage.worker.lines)
    await stage.desk.file_tasks.resume("often", now_ms())
    await stage.switched("often", on=True)
    await stage.worker.wait_for("catalog_reloaded", after=seen)
    await trigger(second, "often", [user])
    await stage.worker.wait_for("job_settled", user_id=user, status="success")
    assert (await stage.state("often")).status is TaskStatus.SCHEDULED


async def test_a_job_on_its_way_is_skipped_once_its_task_type_is_paused(stage: Stage) -> None:
    (user,) = new_users(1)
    await trigger(stage.scheduler, "often", [*new_users(2), user], immediately=False)
    await stage.desk.file_tasks.set_paused("often", now_ms())
    await stage.worker.wait_for("job_skipped", reason="task_disabled")


async def test_a_trigger_calls_each_of_its_users_and_names_their_executions(stage: Stage) -> None:
    users = new_users(3)
    runs = await stage.desk.file_tasks.trigger("often", users, "t-1", now_ms())
    assert isinstance(runs, list)
    records = [await stage.system.execution(run.execution_id) for run in runs]
    assert [record["user_id"] for record in records] == users
    for user in users:
        await stage.worker.wait_for("job_settled", user_id=user, status="success")
    calls = {call.headers["x-taskqueue-job"] for user in users for call in stage.system.calls(user=user)}
    assert calls == {run.execution_id for run in runs}
    again = await stage.desk.file_tasks.trigger("often", users, "t-1", now_ms())
    assert isinstance(again, list)
    assert [run.execution_id for run in again] == [run.execution_id for run in runs]
    assert all(isinstance(run, QueuedRun) for run in runs)
    assert await stage.desk.file_tasks.trigger("nothing", users, "t-1", now_ms()) is TriggerRefusal.GONE
