"""The internal endpoints of both processes: the spec's answers, and problem+json for everything else."""

from __future__ import annotations

import json

import pytest

from taskqueue import __version__
from tests.support.processes import Process
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
async def running(shared_system: System) -> tuple[Process, Process]:
    system = shared_system
    system.write_tasks(
        system.task("ok"), system.task("hourly_sync", interval={"type": "hourly", "value": 24}, enabled=False)
    )
    return await system.scheduler_and_worker({"rate_limit": {"global": 100}, "worker": {"pool_size": 3}})


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


@pytest.fixture
def worker(running: tuple[Process, Process]) -> Process:
    return running[1]


WRONG_BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "not JSON": (b"{", 400),
    "not UTF-8": (b'{"task_type_id":"\xff"}', 400),
    "NaN": (b'{"task_type_id":NaN}', 400),
    "the same key twice": (b'{"task_type_id":"ok","task_type_id":"ok"}', 400),
    "a lone surrogate": (rb'{"task_type_id":"ok","user_ids":["\ud800"]}', 400),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "nested without end": (b'{"task_type_id":' + b"[" * 5000 + b"]" * 5000 + b"}", 422),
    "no task": (b'{"user_ids":["u"]}', 422),
    "no users": (b'{"task_type_id":"ok"}', 422),
    "an empty list of users": (b'{"task_type_id":"ok","user_ids":[]}', 422),
    "users as text": (b'{"task_type_id":"ok","user_ids":"u"}', 422),
    "a number as user": (b'{"task_type_id":"ok","user_ids":[1]}', 422),
    "an empty user": (b'{"task_type_id":"ok","user_ids":[""]}', 422),
    "a user without end": (json.dumps({"task_type_id": "ok", "user_ids": ["u" * 600]}).encode(), 422),
    "a number as task": (b'{"task_type_id":1,"user_ids":["u"]}', 422),
    "text as switch": (b'{"task_type_id":"ok","user_ids":["u"],"execute_immediately":"yes"}', 422),
    "an unknown field": (b'{"task_type_id":"ok","user_ids":["u"],"when":"now"}', 422),
    "an unknown task": (b'{"task_type_id":"nobody","user_ids":["u"]}', 404),
    "too large": (json.dumps({"task_type_id": "ok", "user_ids": ["u" * 500] * 3000}).encode(), 413),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
async def test_a_wrong_trigger_is_refused_as_a_problem(scheduler: Process, name: str) -> None:
    body, status = WRONG_BODIES[name]

    response = await scheduler.http.post("/schedule/trigger", content=body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/schedule/trigger", 405),
        ("POST", "/health", 405),
        ("DELETE", "/schedule/status/ok", 405),
        ("GET", "/schedule/status/nobody", 404),
        ("GET", "/schedule/status/", 404),
        ("GET", "/schedule/status/%ff", 404),
        ("GET", "/no/such/page", 404),
    ],
)
async def test_a_wrong_address_is_answered_as_a_problem(
    scheduler: Process, method: str, path: str, status: int
) -> None:
    response = await scheduler.http.request(method, path)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_no_wrong_request_made_a_job_or_a_line_of_error(shared_system: System, scheduler: Process) -> None:
    assert shared_system.target.calls == []
    assert await shared_system.redis.zcard("taskqueue:occurrences") == 0
    assert [line for line in scheduler.lines if line["level"] == "error"] == []


async def test_the_schedulers_health_has_the_specs_fields(scheduler: Process) -> None:
    response = await scheduler.http.get("/health")

    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "healthy"
    assert health["version"] == __version__
    assert isinstance(health["uptime"], int)


async def test_the_workers_health_has_the_specs_fields(worker: Process) -> None:
    response = await worker.http.get("/health")

    assert response.status_code == 200
    health = response.json()
    spec = {name: health[name] for name in ("status", "workers", "active_jobs", "rate_limit")}
    assert spec == {"status": "healthy", "workers": 3, "active_jobs": 0, "rate_limit": {"current": 0, "max": 100}}


async def test_a_trigger_answers_as_the_spec_has_it_and_counts_each_user_once(
    shared_system: System, scheduler: Process, worker: Process
) -> None:
    first, second = new_users(2)

    response = await trigger(scheduler, "ok", [first, second, first])
    for user in (first, second):
        await worker.wait_for("job_settled", user_id=user, status="success")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"jobs_created": 2, "distribution_window": "0s"}
    assert len(shared_system.calls(user=first)) == 1


async def test_a_task_that_is_switched_off_says_that_it_is_never_due(scheduler: Process) -> None:
    status = (await scheduler.http.get("/schedule/status/hourly_sync")).json()

    assert status == {
        "task_type_id": "hourly_sync",
        "last_execution": None,
        "next_execution": None,
        "enabled_users": 0,
        "interval": {"type": "hourly", "value": 24, "timezone": "UTC"},
    }


async def test_the_workers_stats_count_what_it_did(shared_system: System, scheduler: Process, worker: Process) -> None:
    good, bad = new_users(2)
    shared_system.target.set_user_rule(bad, "/status/404")
    before = (await worker.http.get("/stats")).json()

    await trigger(scheduler, "ok", [good, bad])
    for user in (good, bad):
        await worker.wait_for("job_settled", user_id=user)
    after = (await worker.http.get("/stats")).json()

    assert list(after)[:5] == ["processed", "failed", "avg_duration_ms", "current_rate", "uptime"]
    assert after["processed"] - before["processed"] == 2
    assert after["failed"] - before["failed"] == 1
    assert isinstance(after["avg_duration_ms"], int)
    assert after["current_rate"] > 0
    assert after["outcomes"]["failed"] - before["outcomes"]["failed"] == 1
    assert after["duration_ms"]["p50"] <= after["duration_ms"]["p99"]
    assert 0 <= after["lateness_ms"]["p50"] <= after["lateness_ms"]["p99"]
    assert (after["in_flight"], after["waiting"]) == (0, 0)


async def test_both_processes_offer_metrics_that_name_no_user(running: tuple[Process, Process]) -> None:
    for process in running:
        response = await process.http.get("/metrics")
        assert response.status_code == 200
        assert "taskqueue_" in response.text
        assert "user-" not in response.text
