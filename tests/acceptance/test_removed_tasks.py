"""A task type leaves tasks.yaml while jobs of it stand wherever a job can stand: all finish, or all are dropped."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from taskqueue.broker.names import DELAYED_QUEUE
from taskqueue.config.catalog import load_catalog
from taskqueue.core.instants import rfc3339
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

#: when the task goes, jobs of an occurrence are called, in the delayed queue, and in the slot lists
SCHEDULER = {"scheduler": {"lead": "2s"}}
#: the window, the last wait for a limit and the longest wait for a retry: well above what a busy machine takes to
#: notice the changed file (retries have full jitter: with so many users some of them are late), below the time to drain
WINDOW_S = 15
DRAINED_WITHIN_S = 45
USERS = new_users(24)

SKIPPED = ("skipped", "task_removed")


def _tasks(system: System, at: datetime | None = None) -> list[dict[str, object]]:
    """Return the task types that are to go, by the place where their jobs will stand then."""
    due = {} if at is None else {"interval": {"type": "daily", "at_time": at.strftime("%H:%M:%S")}}
    return [
        system.task("planned", distribution_window=f"{WINDOW_S}s", **due),
        system.task("waiting", f"/slow/{WINDOW_S * 200}", max_concurrency=1),
        system.task("retrying", "/fail/1", retries=1, retry_delay=f"{WINDOW_S}s"),
        system.task("called", "/block"),
    ]


async def _set_off(system: System, scheduler: Process) -> datetime:
    """Bring jobs of the tasks into every place there is; return when the occurrence is due."""
    stays = system.task("stays")
    await system.enable("planned", *USERS)
    system.write_tasks(stays, *_tasks(system, datetime.now(UTC) + timedelta(hours=1)))

    async def indexed() -> bool:
        answer = await scheduler.http.get("/schedule/status/planned")
        return answer.status_code == 200 and bool(answer.json()["enabled_users"] == len(USERS))

    await eventually(indexed)
    at = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    system.write_tasks(stays, *_tasks(system, at))
    await scheduler.wait_for("occurrence_planned", task="planned", users=len(USERS))
    await system.target.wait_for_calls(1)
    await trigger(scheduler, "called", USERS[:1])
    await trigger(scheduler, "waiting", USERS[:5])
    await trigger(scheduler, "retrying", USERS)

    async def everywhere() -> bool:
        called = all(system.calls(task=task) for task in ("called", "waiting", "retrying"))
        lists = await system.redis.zcard("taskqueue:delayed"), await system.redis.scard("taskqueue:waiting")
        slots = [key async for key in system.redis.scan_iter("taskqueue:distribution:planned:*")]
        return bool(called and all(lists) and slots and (await system.depths())[DELAYED_QUEUE])

    await eventually(everywhere)
    return at


async def _remove(system: System, scheduler: Process, worker: Process, revision_ends: str = "") -> float:
    """Take the tasks out of the file; return when every process knew, in unix seconds."""
    mark = len(worker.lines)
    system.write_tasks(system.task("stays"))
    revision = load_catalog(system.tasks_file).revision + revision_ends
    await worker.wait_for("catalog_reloaded", after=mark, revision=revision)
    return datetime.now(UTC).timestamp()


async def _ends(system: System, task_id: str) -> Counter[tuple[str, str | None]]:
    """Return how the jobs of a task ended, and why."""
    texts = [
        await system.redis.get(key) async for key in system.redis.scan_iter("taskqueue:execution:*", _type="string")
    ]
    records = [record for text in texts if (record := json.loads(text))["task_type_id"] == task_id]
    return Counter((record["status"], record.get("reason")) for record in records)


async def _running(system: System, removed: str) -> tuple[Process, Process]:
    settings = {**SCHEDULER, "tasks": {"removed": removed, "allow_mass_delete": True}}
    system.write_tasks(system.task("stays"))
    return await system.scheduler_and_worker(scheduler=settings)


async def test_with_finish_every_job_of_a_removed_task_ends_as_it_would_have(system: System) -> None:
    scheduler, worker = await _running(system, "finish")
    await _set_off(system, scheduler)

    await _remove(system, scheduler, worker)
    system.target.release()
    await system.drained(scheduler, worker, within=DRAINED_WITHIN_S)

    called = {task: Counter(_users(system, task)) for task in ("planned", "waiting", "retrying", "called")}
    assert called == {
        "planned": Counter(USERS),
        "waiting": Counter(USERS[:5]),
        "retrying": Counter(USERS * 2),
        "called": Counter(USERS[:1]),
    }
    assert system.failed.messages == []


async def test_with_drain_no_job_of_a_removed_task_begins_a_call(system: System) -> None:
    scheduler, worker = await _running(system, "drain")
    at = await _set_off(system, scheduler)

    removed_at = await _remove(system, scheduler, worker, ".drain")
    system.target.release()
    await system.drained(scheduler, worker, within=DRAINED_WITHIN_S)

    assert removed_at < at.timestamp() + WINDOW_S
    assert [call for call in system.target.calls if call.at > removed_at + 0.5] == []
    assert max(Counter(_users(system, "planned")).values()) == 1
    skipped = scheduler.events("occurrence_skipped", task="planned", reason="task_removed")
    assert [line["scheduled_at"] for line in skipped] == [rfc3339(at)]
    assert await _ends(system, "called") == {("success", None): 1}
    for task, users in {"waiting": 5, "retrying": len(USERS)}.items():
        ends = await _ends(system, task)
        assert ends.total() == users
        assert ends.keys() <= {("success", None), SKIPPED}
        assert ends[SKIPPED] > 0
    assert system.failed.messages == []


def _users(system: System, task_id: str) -> list[str]:
    return [call.headers["x-taskqueue-user"] for call in system.calls(task=task_id)]
