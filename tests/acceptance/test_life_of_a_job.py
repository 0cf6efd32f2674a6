"""From tasks.yaml to the endpoint and the record, with one scheduler and one worker."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import parse_rfc3339, rfc3339
from taskqueue.core.slots import OrderKeys
from taskqueue.dev.target import Call
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(120)

WINDOW = timedelta(seconds=4)


@pytest.fixture(scope="module")
async def running(shared_system: System) -> tuple[Process, Process]:
    system = shared_system
    system.write_tasks(
        system.task("ok", "/ok"),
        system.task("twice_down", "/fail/2", retries=3),
        system.task("broken", "/status/500", retries=1),
        system.task("gone", "/status/410"),
        system.task("query", config={"endpoint": f"{system.target.url}/ok?fixed=1", "method": "GET"}),
        system.task("spread", "/ok", distribution_window="3s"),
        # A host of its own: it asks to be left alone for long.
        system.task("later", config={"endpoint": f"{system.target.url.replace('127.0.0.1', 'localhost')}/ok"}),
    )
    return await system.scheduler_and_worker()


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


@pytest.fixture
def worker(running: tuple[Process, Process]) -> Process:
    return running[1]


async def test_an_occurrence_calls_for_each_enabled_user_once_spread_over_its_window(system: System) -> None:
    *users, late = _in_order("daily_report", [*new_users(4), "Zoë/ü 1"])
    off, silent = new_users(2)
    await system.enable("daily_report", *users, late)
    await system.set_preference(off, "daily_report", on=False)
    await system.enable("another", silent)
    parameters = {"format": "pdf"}
    await system.redis.hset(f"taskqueue:users:{users[0]}:settings:daily_report", "parameters", json.dumps(parameters))
    system.write_tasks()
    scheduler, worker = await system.scheduler_and_worker()

    at = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    system.write_tasks(_daily(system, at))
    await scheduler.wait_for("occurrence_planned", task="daily_report", users=5)
    await _all_released(scheduler, 5)
    await system.set_preference(late, "daily_report", on=False)
    await system.drained(scheduler, worker)

    assert sorted(_user(call) for call in system.target.calls) == sorted(map(_encoded, users))
    for call in system.target.calls:
        _check_call(call, at, parameters if _user(call) == _encoded(users[0]) else None)
    job_id = scheduled_job_id("daily_report", users[0], at)
    _check_record(await system.execution(job_id), job_id)
    await _check_counters(system, {scheduled_job_id("daily_report", user, at) for user in users})
    assert (await system.execution(scheduled_job_id("daily_report", late, at)))["status"] == "skipped"
    status = (await scheduler.http.get("/schedule/status/daily_report")).json()
    assert status == {
        "task_type_id": "daily_report",
        "last_execution": rfc3339(at),
        "next_execution": rfc3339(at + timedelta(days=1)),
        "enabled_users": 4,
        # A full minute is written without its seconds.
        "interval": {"type": "daily", "value": 1, "timezone": "UTC", "at_time": f"{at:%H:%M:%S}".removesuffix(":00")},
    }


def _in_order(task_id: str, users: list[str]) -> list[str]:
    """Return `users` in the order in which they are spread over a window."""
    return sorted(users, key=OrderKeys(task_id))


def _daily(system: System, at: datetime) -> dict[str, object]:
    interval = {"type": "daily", "value": 1, "timezone": "UTC", "at_time": at.strftime("%H:%M:%S")}
    return system.task("daily_report", "/reports/daily", interval=interval, distribution_window="4s")


async def _all_released(scheduler: Process, count: int) -> None:
    async def released() -> bool:
        return sum(line["count"] for line in scheduler.events("jobs_released")) == count

    await eventually(released)


def _user(call: Call) -> str:
    return call.headers["x-taskqueue-user"]


def _encoded(user_id: str) -> str:
    return user_id.replace("ë", "%C3%AB").replace("ü", "%C3%BC").replace(" ", "%20")


def _check_call(call: Call, at: datetime, parameters: dict[str, str] | None) -> None:
    body = json.loads(call.body)
    job_id = scheduled_job_id("daily_report", body["user_id"], at)
    assert (call.method, call.path) == ("POST", "/reports/daily")
    assert body == {"user_id": body["user_id"]} | ({"parameters": parameters} if parameters else {})
    assert at.timestamp() <= call.at < (at + WINDOW).timestamp() + 1
    expected = {
        "idempotency-key": job_id,
        "x-taskqueue-task": "daily_report",
        "x-taskqueue-job": job_id,
        "x-taskqueue-attempt": "1",
        "x-taskqueue-user": _encoded(body["user_id"]),
        "x-taskqueue-scheduled-at": rfc3339(at),
        "content-type": "application/json",
    }
    assert expected.items() <= call.headers.items()
    assert call.headers["user-agent"].startswith("taskqueue/")
    assert call.headers["traceparent"].startswith("00-")


def _check_record(record: dict[str, object], job_id: str) -> None:
    started, completed = (parse_rfc3339(str(record[name])) for name in ("started_at", "completed_at"))
    nanoseconds = record["duration"]
    assert record["job_id"] == job_id
    assert record["status"] == "success"
    assert isinstance(nanoseconds, int)
    assert nanoseconds == (completed - started) // timedelta(microseconds=1) * 1000
    assert base64.b64decode(str(record["response"]), validate=True) == b'{"ok":true}'
    assert "error" not in record
    assert "next_attempt" not in record


async def _check_counters(system: System, job_ids: set[str]) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    redis = system.redis
    assert await redis.hgetall(f"taskqueue:metrics:executions:{today}") == {b"daily_report": b"4"}
    assert await redis.exists(f"taskqueue:metrics:failures:{today}") == 0
    durations = await redis.zrange("taskqueue:metrics:duration:daily_report", 0, -1, withscores=True)
    assert {member.decode().rpartition(":")[0] for member, _ in durations} == job_ids
    now_ms = datetime.now(UTC).timestamp() * 1000
    assert all(now_ms - 60_000 < score <= now_ms for _, score in durations)


async def test_a_job_that_fails_twice_is_called_three_times_with_one_key(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)

    await trigger(scheduler, "twice_down", [user])
    settled = await worker.wait_for("job_settled", user_id=user, status="success")

    calls = shared_system.calls(user=user)
    assert [call.status for call in calls] == [500, 500, 200]
    assert [call.headers["x-taskqueue-attempt"] for call in calls] == ["1", "2", "3"]
    assert {call.headers["idempotency-key"] for call in calls} == {settled["job_id"]}
    assert len({call.headers["traceparent"] for call in calls}) == 3
    assert len({call.body for call in calls}) == 1


async def test_a_job_between_two_attempts_says_when_it_goes_on(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    shared_system.target.set_user_rule(user, "/status/429?retry_after=600")

    await trigger(scheduler, "later", [user])
    settled = await worker.wait_for("job_settled", user_id=user, decision="retry")

    record = await shared_system.execution(settled["job_id"])
    assert record["status"] == "retrying"
    assert record["error"] == {"code": "http_429", "message": "the endpoint answered 429", "retry": True}
    ahead = parse_rfc3339(record["next_attempt"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < ahead < timedelta(minutes=11)
    await shared_system.redis.zrem("taskqueue:delayed", settled["job_id"])


async def test_a_job_that_goes_on_failing_arrives_once_in_the_failed_queue(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)

    await trigger(scheduler, "broken", [user])
    settled = await worker.wait_for("job_settled", user_id=user, decision="fail")

    job_id = settled["job_id"]
    message = await shared_system.failed.wait_for(job_id)
    assert message.headers["taskqueue-reason"] == "retries_exhausted"
    assert message.headers["taskqueue-error-code"] == "http_500"
    assert message.headers["taskqueue-error-message"] == "the endpoint answered 500"
    assert message.headers["taskqueue-attempts"] == 2
    assert message.headers["taskqueue-queue"] == "taskqueue.jobs.normal"
    parse_rfc3339(str(message.headers["taskqueue-failed-at"]))
    job = json.loads(message.body)["job"]
    assert (job["user_id"], job["attempt"]) == (user, 2)
    assert len(shared_system.calls(user=user)) == 2
    assert len(shared_system.failed.of(job_id)) == 1
    record = await shared_system.execution(job_id)
    assert record["status"] == "failed"
    assert record["error"] == {"code": "http_500", "message": "the endpoint answered 500", "retry": False}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert await shared_system.redis.hget(f"taskqueue:metrics:failures:{today}", "broken") == b"1"


async def test_an_answer_that_no_retry_can_mend_is_final_at_once(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)

    await trigger(scheduler, "gone", [user])
    settled = await worker.wait_for("job_settled", user_id=user, decision="fail")

    message = await shared_system.failed.wait_for(settled["job_id"])
    assert message.reason == "permanent"
    assert message.headers["taskqueue-error-code"] == "http_410"
    assert len(shared_system.calls(user=user)) == 1


async def test_who_opts_out_after_publishing_is_not_called(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    user, *others = _in_order("spread", new_users(3))
    mark = len(scheduler.lines)

    await trigger(scheduler, "spread", [user, *others], immediately=False)
    await scheduler.wait_for("jobs_released", after=mark, mode="lane")
    for other in others:
        await shared_system.set_preference(other, "spread", on=False)
    await worker.wait_for("job_settled", user_id=user, status="success")
    skipped = [await worker.wait_for("job_skipped", user_id=other, reason="preference_off") for other in others]

    assert [shared_system.calls(user=other) for other in others] == [[], []]
    records = [await shared_system.execution(line["job_id"]) for line in skipped]
    assert [record["status"] for record in records] == ["skipped", "skipped"]


async def test_a_get_carries_the_payload_as_its_query(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    (user,) = new_users(1)
    await shared_system.redis.hset(f"taskqueue:users:{user}:settings:query", "parameters", '{"since":"a b&c"}')

    await trigger(scheduler, "query", [user])
    await worker.wait_for("job_settled", user_id=user, status="success")

    (call,) = shared_system.calls(user=user)
    assert (call.method, call.body) == ("GET", b"")
    assert call.path == f"/ok?fixed=1&user_id={user}&since=a%20b%26c"


async def test_a_manual_trigger_spreads_its_jobs_when_it_is_not_immediate(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    users = new_users(3)

    response = await trigger(scheduler, "spread", users, immediately=False)
    for user in users:
        await worker.wait_for("job_settled", user_id=user, status="success")

    assert response.json() == {"jobs_created": 3, "distribution_window": "3s"}
    starts = sorted(call.at for user in users for call in shared_system.calls(user=user))
    assert [round(later - earlier) for earlier, later in pairwise(starts)] == [1, 1]
