"""User ids are data of other systems: whatever they hold, each user gets their own calls and nobody else's."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest

from taskqueue.dev.target import Call
from tests.support.hostile_ids import HOSTILE_IDS, IMPOSSIBLE_IDS
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, trigger

pytestmark = pytest.mark.timeout(90)

PATH = "/users/{user_id}/report?of={user_id}"

NO_USER_IDS = {
    "lone surrogate": rb'"\ud800"',
    "empty": b'""',
    "10 kB": b'"' + b"x" * 10_240 + b'"',
    "not UTF-8": b'"\xff"',
    "null": b"null",
    "number": b"5",
}


@pytest.fixture(scope="module")
async def running(shared_system: System) -> tuple[Process, Process]:
    _write(shared_system)
    return await shared_system.scheduler_and_worker()


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


@pytest.fixture
def worker(running: tuple[Process, Process]) -> Process:
    return running[1]


def _write(system: System, **fields: object) -> None:
    """Write tasks.yaml; `fields` are those of the task that is planned."""
    planned = system.task("planned", PATH, **fields)
    others = [system.task(task, PATH) for task in ("own", "triggered", "alike")]
    system.write_tasks(planned, *others)


def _user_of(call: Call) -> str:
    """Return whom the call is for, once header, body, path and query all say the same."""
    user = str(json.loads(call.body)["user_id"])
    path, _, query = call.path.partition("?")
    segments = path.split("/")
    assert unquote(call.headers["x-taskqueue-user"]) == user
    assert [segments[1], unquote(segments[2]), *segments[3:]] == ["users", user, "report"]
    assert unquote(query.removeprefix("of=")) == user
    assert "x-injected" not in call.headers
    return user


async def _all_calls(system: System, worker: Process, task_id: str, count: int) -> list[Call]:
    """Return the calls of the task once there are `count` and nothing is left that could become one."""

    async def over() -> bool:
        left = await system.redis.zcard("taskqueue:occurrences") + await system.redis.zcard("taskqueue:delayed")
        active = (await worker.http.get("/health")).json()["active_jobs"]
        enough = len(system.calls(task=task_id)) >= count
        return enough and not left and not active and not any((await system.depths()).values())

    await eventually(over, within=30)
    return system.calls(task=task_id)


async def test_users_with_any_id_are_called_once_each_by_occurrences_of_all_and_of_their_own(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=12)).replace(microsecond=0)
    interval = {"type": "daily", "at_time": at.strftime("%H:%M:%S")}
    for user in (*(each.encode() for each in HOSTILE_IDS), *IMPOSSIBLE_IDS):
        await shared_system.redis.hset(b"taskqueue:users:" + user + b":tasks", mapping={"planned": "1", "own": "1"})
        settings = b"taskqueue:users:" + user + b":settings:own"
        await shared_system.redis.hset(settings, "custom_interval", json.dumps(interval))

    async def indexed() -> bool:
        status = (await scheduler.http.get("/schedule/status/planned")).json()
        return bool(status["enabled_users"] == len(HOSTILE_IDS))

    await eventually(indexed)
    _write(shared_system, interval=interval, distribution_window="2s")
    for task in ("planned", "own"):
        await scheduler.wait_for("occurrence_planned", task=task, users=len(HOSTILE_IDS))
    await _all_calls(shared_system, worker, "own", len(HOSTILE_IDS))
    await _all_calls(shared_system, worker, "planned", len(HOSTILE_IDS))

    for task in ("planned", "own"):
        calls = shared_system.calls(task=task)
        assert Counter(map(_user_of, calls)) == Counter(HOSTILE_IDS)
        assert min(call.at for call in calls) >= at.timestamp() - 0.05
    assert shared_system.failed.messages == []
    assert scheduler.events("loop_failed") == []


async def test_users_with_any_id_are_called_once_each_by_a_trigger(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    await trigger(scheduler, "triggered", HOSTILE_IDS)
    calls = await _all_calls(shared_system, worker, "triggered", len(HOSTILE_IDS))

    assert Counter(map(_user_of, calls)) == Counter(HOSTILE_IDS)
    assert shared_system.failed.messages == []


async def test_switching_one_user_off_leaves_the_users_whose_ids_look_alike(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    users = ("a", "a:b", "a:tasks", "a:settings:b", "a:settings:alike", "A", "a ")
    for user in users:
        await shared_system.enable("alike", user)
        settings = f"taskqueue:users:{user}:settings:alike"
        await shared_system.redis.hset(settings, "parameters", json.dumps({"of": user}))

    await shared_system.set_preference("a:settings:b", "alike", on=False)
    await trigger(scheduler, "alike", users)
    calls = await _all_calls(shared_system, worker, "alike", len(users) - 1)

    got = [(_user_of(call), json.loads(call.body)["parameters"]["of"]) for call in calls]
    assert sorted(got) == sorted((user, user) for user in users if user != "a:settings:b")


async def test_a_trigger_for_what_is_no_user_id_is_refused_as_a_whole(
    shared_system: System, scheduler: Process
) -> None:
    for name, user in NO_USER_IDS.items():
        body = b'{"task_type_id": "triggered", "user_ids": ["nobody-else", ' + user + b"]}"
        response = await scheduler.http.post("/schedule/trigger", content=body)
        assert response.status_code in {400, 422}, f"{name}: {response.status_code} {response.text}"

    assert await shared_system.redis.exists("taskqueue:occurrences") == 0
    assert shared_system.calls(user="nobody-else") == []
