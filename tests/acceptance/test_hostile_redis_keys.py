"""What stands in Redis is not always what belongs there: it is told with its key, and everything else goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(90)

#: jobs go to RabbitMQ shortly before they are due, so that there is time to damage what is planned
SHORT_LEAD = {"scheduler": {"lead": "1s"}}

#: every key that the leader shares among all tasks, with a type that is not its own
LISTS = ("due", "due:rules", "occurrences", "distribution:owners", "delayed", "catalog", "catalog:removed", "lane_tail")

NEITHER_0_NOR_1 = (b"", b"yes", b"true", b"01", b" 1", b"1\n", b"1.0", b"-1", b"\xff\x00", b"1" * 1024 * 1024)


def _due_soon(system: System, *task_ids: str, after_s: float = 5) -> datetime:
    """Write these task types, all due at the same instant, and return it."""
    at = (datetime.now(UTC) + timedelta(seconds=after_s)).replace(microsecond=0)
    interval = {"type": "daily", "at_time": at.strftime("%H:%M:%S")}
    system.write_tasks(system.task("triggered"), *(system.task(task, interval=interval) for task in task_ids))
    return at


def _users(system: System, task_id: str) -> list[str]:
    return sorted(call.headers["x-taskqueue-user"] for call in system.calls(task=task_id))


async def _called(system: System, task_id: str, users: list[str]) -> None:
    async def called() -> bool:
        return _users(system, task_id) == sorted(users)

    try:
        await eventually(called, within=25)
    except TimeoutError:
        assert _users(system, task_id) == sorted(users)


async def test_a_system_whose_shared_keys_are_all_of_another_type_mends_itself_and_tells_each(system: System) -> None:
    users = new_users(5)
    await system.enable("report", *users)
    system.write_tasks(system.task("triggered"))
    scheduler, _ = await system.scheduler_and_worker()

    for name in LISTS:
        key = f"taskqueue:{name}"
        await system.redis.delete(key)
        await system.redis.rpush(key, "not ours")
    _due_soon(system, "report", after_s=8)
    await trigger_until_accepted(scheduler, users[:2])

    await _called(system, "report", users)
    await _called(system, "triggered", users[:2])
    told = {line["key"] for line in scheduler.events("damaged_key_set_aside")}
    assert told == {f"taskqueue:{name}" for name in LISTS}
    for line in scheduler.events("damaged_key_set_aside"):
        assert line["level"] == "error"
        assert await system.redis.lrange(line["kept_as"], 0, -1) == [b"not ours"]
        assert "When Redis loses data" in line["remedy"]
    # Of two loops that met the same key, one comes late to set it aside, and says what it met; nobody says it twice.
    assert len(told) == len(scheduler.events("damaged_key_set_aside"))
    assert all(line["restart_in_s"] for line in scheduler.events("loop_failed"))
    assert len(scheduler.events("leader_changed", leading=True)) == 1


async def trigger_until_accepted(scheduler: Process, users: list[str]) -> None:
    """Trigger as a caller does who is told that the store does not take it now."""
    body = {"task_type_id": "triggered", "user_ids": users, "execute_immediately": True}

    async def accepted() -> bool:
        response = await scheduler.http.post("/schedule/trigger", json=body, headers={"Idempotency-Key": "once"})
        assert response.status_code in {202, 503}, response.text
        return response.status_code == 202

    await eventually(accepted)


async def test_a_damaged_plan_of_one_task_leaves_the_others_alone(system: System) -> None:
    tasks = ("well", "list_replaced", "entry_replaced", "record_replaced", "record_garbled", "last_run_replaced")
    users = new_users(4)
    for task_id in tasks:
        await system.enable(task_id, *users)
    system.write_tasks(system.task("triggered"))
    scheduler, _ = await system.scheduler_and_worker(scheduler=SHORT_LEAD)

    at = _due_soon(system, *tasks, after_s=6)
    for task_id in tasks:
        await scheduler.wait_for("occurrence_planned", task=task_id, users=4)
    record = f"taskqueue:occurrence:{{}}:{at:%Y%m%dT%H%M%SZ}"
    replaced = {
        "taskqueue:distribution:list_replaced:0",
        record.format("record_replaced"),
        "taskqueue:schedule:last_run_replaced",
    }
    for key in replaced:
        await system.redis.delete(key)
        await system.redis.sadd(key, "not ours")
    await system.redis.hset(record.format("record_garbled"), "window_ms", "much")
    lost = await system.redis.lindex("taskqueue:distribution:entry_replaced:0", 1)
    assert lost is not None
    await system.redis.lset("taskqueue:distribution:entry_replaced:0", 1, b"\xff\xfe")

    await _called(system, "well", users)
    await _called(system, "last_run_replaced", users)
    await _called(system, "entry_replaced", [user for user in users if user != lost.decode()])
    await scheduler.wait_for("slot_list_gone", task="list_replaced", users=4)
    await scheduler.wait_for("damaged_key_set_aside", key="taskqueue:schedule:last_run_replaced")
    told = {line["key"] for line in scheduler.events("damaged_key_set_aside")}
    assert told == replaced | {record.format("record_garbled")}
    assert len(scheduler.events("slot_entry_ignored", task="entry_replaced")) == 1
    assert (
        _users(system, "record_replaced") == _users(system, "record_garbled") == _users(system, "list_replaced") == []
    )
    assert len(scheduler.events("leader_changed", leading=True)) == 1


async def test_preferences_that_are_no_preferences_say_nothing_and_disturb_nobody(system: System) -> None:
    users = new_users(3)
    silent = new_users(len(NEITHER_0_NOR_1) + 3)
    await system.enable("report", *users)
    for user, value in zip(silent, NEITHER_0_NOR_1, strict=False):
        await system.redis.hset(f"taskqueue:users:{user}:tasks", "report", value)
    await system.redis.set(f"taskqueue:users:{silent[-1]}:tasks", "1")
    await system.redis.rpush(f"taskqueue:users:{silent[-2]}:tasks", "report")
    await system.redis.hset(f"taskqueue:users:{silent[-3]}:tasks", b"re\xffport", "1")
    await system.redis.set(f"taskqueue:users:{users[0]}:settings:report", "text")
    await system.redis.hset(f"taskqueue:users:{users[1]}:settings:report", mapping={"parameters": b"\xff{"})
    await system.redis.hset(f"taskqueue:users:{users[2]}:settings:report", mapping={"custom_interval": b"\x00 1"})
    system.write_tasks(system.task("triggered"))
    scheduler, worker = await system.scheduler_and_worker()

    _due_soon(system, "report", after_s=4)
    await scheduler.wait_for("occurrence_planned", task="report", users=3)
    await _called(system, "report", users)
    await trigger(scheduler, "triggered", [silent[-1]])
    await system.drained(scheduler, worker, within=30)

    assert _users(system, "report") == sorted(users)
    assert all("parameters" not in json.loads(call.body) for call in system.target.calls)
    (ignored,) = scheduler.events("preference_ignored", user_id=users[2])
    assert "custom_interval" in ignored["error"]
