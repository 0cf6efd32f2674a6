from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from redis.asyncio import Redis

from taskqueue.core.occurrence import Occurrence, Progress
from taskqueue.ops_server import OpsServer
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.scheduler.catalog_watch import CatalogWatch
from taskqueue.scheduler.planner import PlanDefaults
from taskqueue.scheduler.routes import SchedulerRoutes, scheduler_health
from taskqueue.store.plan import PlanStore
from taskqueue.store.users import Switches
from taskqueue.telemetry.metrics import Metrics
from tests.support.scheduling import Clock, EventLog, TasksFile, task_type

MIDNIGHT = {"type": "daily", "value": 1, "timezone": "UTC", "at_time": "00:00"}


@pytest.fixture
def health() -> dict[str, object]:
    started = datetime(2024, 1, 15, tzinfo=UTC)
    return scheduler_health(healthy=True, started=started, now=started + timedelta(hours=1))


@pytest.fixture
def catalog(tasks_file: TasksFile, events: EventLog) -> CatalogWatch:
    tasks_file.write(
        task_type("daily_report", MIDNIGHT),
        task_type("often", {"cron": "*/5 * * * *", "timezone": "Europe/Berlin"}, distribution_window="90s"),
        task_type("off", enabled=False),
        task_type("later", MIDNIGHT, start_at="2024-02-01T01:00:00+01:00"),
        task_type("over", MIDNIGHT, end_at="2024-01-15T00:00:00Z"),
    )
    return tasks_file.watch(events)


@pytest.fixture
async def http(
    catalog: CatalogWatch,
    index: AudienceIndex,
    plan: PlanStore,
    clock: Clock,
    events: EventLog,
    health: dict[str, object],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the scheduler's endpoints; it is half past nine of 2024-01-15."""
    defaults = PlanDefaults(distribution_window=timedelta(minutes=30), batch_size=500)
    routes = SchedulerRoutes(catalog, index, plan, defaults, health=lambda: health, now=clock)
    server = OpsServer(
        host="127.0.0.1", port=0, ready=dict, metrics=Metrics(version="1"), emit=events, routes=routes.routes()
    )
    await server.start()
    port = await server.wait_bound(10)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    await server.stop(asyncio.get_running_loop().time() + 2)


async def occurrence(plan: PlanStore) -> tuple[Occurrence, Progress]:
    ((member, _),) = await plan.live(None, 10)
    return (await plan.read([member]))[member]


def trigger(**changes: object) -> dict[str, object]:
    return {"task_type_id": "daily_report", "user_ids": ["user1", "user2"], "execute_immediately": False} | changes


async def test_health_is_that_of_the_spec(http: httpx.AsyncClient, health: dict[str, object]) -> None:
    answer = await http.get("/health")

    assert (answer.status_code, answer.json()) == (200, health)
    assert (health["status"], health["uptime"]) == ("healthy", 3600)


async def test_health_is_503_when_something_is_missing(http: httpx.AsyncClient, health: dict[str, object]) -> None:
    health["status"] = "unhealthy"

    assert (await http.get("/health")).status_code == 503


async def test_the_status_is_that_of_the_spec(http: httpx.AsyncClient, index: AudienceIndex, redis: Redis) -> None:
    for number in range(1523):
        index.apply(Switches(user_id=f"user-{number}", on=frozenset({"daily_report"})))
    await redis.set("taskqueue:schedule:daily_report", "2024-01-15T00:00:00Z")

    answer = await http.get("/schedule/status/daily_report")

    assert answer.status_code == 200
    assert list(answer.json().items()) == [
        ("task_type_id", "daily_report"),
        ("last_execution", "2024-01-15T00:00:00Z"),
        ("next_execution", "2024-01-16T00:00:00Z"),
        ("enabled_users", 1523),
        ("interval", {"type": "daily", "value": 1, "timezone": "UTC"}),
    ]


async def test_the_status_of_a_task_that_never_ran_has_no_last_execution(http: httpx.AsyncClient) -> None:
    status = (await http.get("/schedule/status/often")).json()

    assert (status["last_execution"], status["next_execution"]) == (None, "2024-01-15T09:35:00Z")
    assert status["interval"] == {"type": "cron", "cron": "*/5 * * * *", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(("task", "following"), [("later", "2024-02-01T00:00:00Z"), ("over", None)])
async def test_the_next_execution_lies_between_start_at_and_end_at(
    http: httpx.AsyncClient, task: str, following: str | None
) -> None:
    assert (await http.get(f"/schedule/status/{task}")).json()["next_execution"] == following


async def test_a_disabled_task_has_no_next_execution(http: httpx.AsyncClient) -> None:
    assert (await http.get("/schedule/status/off")).json()["next_execution"] is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [("2024-01-15T01:00:00+01:00", "2024-01-15T00:00:00Z"), ("yesterday", None), ("", None)],
)
async def test_a_last_execution_that_others_wrote_is_shown_where_it_is_one(
    http: httpx.AsyncClient, redis: Redis, written: str, shown: str | None
) -> None:
    await redis.set("taskqueue:schedule:daily_report", written)

    assert (await http.get("/schedule/status/daily_report")).json()["last_execution"] == shown


async def test_a_trigger_is_answered_as_in_the_spec(http: httpx.AsyncClient) -> None:
    answer = await http.post("/schedule/trigger", json=trigger())

    assert (answer.status_code, answer.json()) == (202, {"jobs_created": 2, "distribution_window": "30m"})


async def test_a_trigger_is_spread_over_the_task_s_own_window(http: httpx.AsyncClient, plan: PlanStore) -> None:
    users = [f"user-{number}" for number in range(9)]

    answer = await http.post("/schedule/trigger", json=trigger(task_type_id="often", user_ids=users))

    found, progress = await occurrence(plan)
    assert answer.json() == {"jobs_created": 9, "distribution_window": "1m30s"}
    assert (found.window, found.users, found.distributed) == (timedelta(seconds=90), 9, True)
    assert (progress.complete, progress.planned) == (True, 9)


async def test_an_immediate_trigger_has_no_window(http: httpx.AsyncClient, plan: PlanStore, clock: Clock) -> None:
    answer = await http.post("/schedule/trigger", json=trigger(execute_immediately=True))

    found, _ = await occurrence(plan)
    assert answer.json() == {"jobs_created": 2, "distribution_window": "0s"}
    assert (found.window, found.distributed, found.scheduled_at) == (timedelta(0), False, clock.time)


async def test_a_user_who_is_named_twice_gets_one_job(http: httpx.AsyncClient, redis: Redis, plan: PlanStore) -> None:
    answer = await http.post("/schedule/trigger", json=trigger(user_ids=["ann", "bob", "ann"]))

    found, progress = await occurrence(plan)
    lists = await redis.keys(f"taskqueue:distribution:*{progress.suffix}")
    users = sorted([user for key in lists for user in await redis.lrange(key, 0, -1)])
    assert (answer.json()["jobs_created"], found.users, users) == (2, 2, ["ann", "bob"])


async def test_the_same_request_with_an_idempotency_key_is_one_trigger(
    http: httpx.AsyncClient, plan: PlanStore
) -> None:
    for _ in range(2):
        answer = await http.post("/schedule/trigger", json=trigger(), headers={"Idempotency-Key": "monday"})
        assert (answer.status_code, answer.json()["jobs_created"]) == (202, 2)

    assert len(await plan.live(None, 10)) == 1
    await http.post("/schedule/trigger", json=trigger(), headers={"Idempotency-Key": "tuesday"})
    assert len(await plan.live(None, 10)) == 2


async def test_under_an_idempotency_key_neither_order_nor_repetition_of_the_users_makes_another_trigger(
    http: httpx.AsyncClient, plan: PlanStore
) -> None:
    for users in (["cid", "ann", "bob"], ["bob", "cid", "ann"], ["ann", "bob", "ann", "cid"]):
        request = trigger(user_ids=users)
        answer = await http.post("/schedule/trigger", json=request, headers={"Idempotency-Key": "monday"})
        assert (answer.status_code, answer.json()["jobs_created"]) == (202, 3)

    assert (await occurrence(plan))[1].planned == 3


@pytest.mark.parametrize("changes", [{"user_ids": ["user1"]}, {"execute_immediately": True}, {"task_type_id": "often"}])
async def test_another_request_under_the_same_idempotency_key_is_another_trigger(
    http: httpx.AsyncClient, plan: PlanStore, changes: dict[str, object]
) -> None:
    for body in (trigger(), trigger(**changes)):
        answer = await http.post("/schedule/trigger", json=body, headers={"Idempotency-Key": "monday"})
        assert answer.status_code == 202

    assert len(await plan.live(None, 10)) == 2


async def test_an_empty_idempotency_key_is_as_good_as_none(http: httpx.AsyncClient, plan: PlanStore) -> None:
    for _ in range(2):
        await http.post("/schedule/trigger", json=trigger(), headers={"Idempotency-Key": ""})

    assert len(await plan.live(None, 10)) == 2


@pytest.mark.parametrize("key", ["k" * 256, "of monday", b"\xfcber"])
async def test_an_idempotency_key_that_is_none_is_refused(
    http: httpx.AsyncClient, plan: PlanStore, key: str | bytes
) -> None:
    answer = await http.post("/schedule/trigger", json=trigger(), headers=[(b"Idempotency-Key", key)])

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "Idempotency-Key: use 1 to 255 visible ASCII characters" in answer.json()["detail"]
    assert await plan.live(None, 10) == []


async def test_a_disabled_task_is_not_triggered(http: httpx.AsyncClient, plan: PlanStore) -> None:
    answer = await http.post("/schedule/trigger", json=trigger(task_type_id="off"))

    assert answer.status_code == 409
    assert "enabled: true" in answer.json()["detail"]
    assert await plan.live(None, 10) == []


async def test_a_paused_task_is_not_triggered_and_the_way_to_resume_it_is_named(
    http: httpx.AsyncClient, catalog: CatalogWatch, plan: PlanStore
) -> None:
    catalog.pause(frozenset({"daily_report"}))

    answer = await http.post("/schedule/trigger", json=trigger())

    assert answer.status_code == 409
    assert "`taskqueue task resume daily_report`" in answer.json()["detail"]
    assert await plan.live(None, 10) == []


async def test_ten_thousand_users_are_one_trigger_in_the_order_of_its_slots(
    http: httpx.AsyncClient, plan: PlanStore
) -> None:
    users = [f"{number:032x}" for number in range(10_000)]

    answer = await http.post("/schedule/trigger", json=trigger(user_ids=users))

    found, progress = await occurrence(plan)
    assert answer.json() == {"jobs_created": 10_000, "distribution_window": "30m"}
    assert (found.users, progress.planned, progress.complete) == (10_000, 10_000, True)
    assert found.spread.offset(9_999) < timedelta(minutes=30)


async def test_the_request_s_id_becomes_the_correlation_id(http: httpx.AsyncClient, plan: PlanStore) -> None:
    await http.post("/schedule/trigger", json=trigger(), headers={"X-Request-ID": "req_789"})

    assert (await occurrence(plan))[0].correlation_id == "req_789"


async def test_without_a_request_id_the_trigger_is_the_correlation(http: httpx.AsyncClient, plan: PlanStore) -> None:
    await http.post("/schedule/trigger", json=trigger())

    found, _ = await occurrence(plan)
    assert found.correlation_id == found.id


async def test_two_triggers_are_two_occurrences(http: httpx.AsyncClient, plan: PlanStore) -> None:
    for _ in range(2):
        await http.post("/schedule/trigger", json=trigger())

    assert len(await plan.live(None, 10)) == 2


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (trigger(task_type_id=None), 422, "task_type_id"),
        (trigger(task_type_id=["daily_report"]), 422, "task_type_id"),
        (trigger(user_ids=None), 422, "user_ids"),
        (trigger(user_ids=[]), 422, "user_ids"),
        (trigger(user_ids="user1"), 422, "user_ids"),
        (trigger(user_ids=["user1", 2]), 422, "user_ids[1]"),
        (trigger(user_ids=["user1", ""]), 422, "user_ids[1]"),
        (trigger(execute_immediately="no"), 422, "execute_immediately"),
        (trigger(immediately=True), 422, "immediately"),
        ({"user_ids": ["user1"]}, 422, "task_type_id"),
        ({"task_type_id": "daily_report"}, 422, "user_ids"),
        ([], 422, "JSON object"),
        (trigger(task_type_id="weekly_report"), 404, "weekly_report"),
    ],
)
async def test_a_wrong_body_is_a_problem_that_names_what_is_wrong(
    http: httpx.AsyncClient, plan: PlanStore, body: object, status: int, field: str
) -> None:
    answer = await http.post("/schedule/trigger", json=body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert field in answer.json()["detail"]
    assert await plan.live(None, 10) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"user_ids": NaN}', b'{"a": 1, "a": 2}', b"\xff"])
async def test_a_body_that_is_no_json_is_a_problem(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/schedule/trigger", content=content)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_an_unknown_task_is_404_and_the_known_ones_are_named(http: httpx.AsyncClient) -> None:
    answer = await http.get("/schedule/status/weekly_report")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "daily_report, later, off, often, over" in answer.json()["detail"]


async def test_a_trigger_is_a_post(http: httpx.AsyncClient) -> None:
    answer = await http.get("/schedule/trigger")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"
