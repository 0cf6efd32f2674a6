"""Tasks through the API, on a real Redis; the clock shows what the published examples show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from taskqueue.core.instants import parse_rfc3339
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.documented import EXAMPLES, assert_as_documented

CREATE = EXAMPLES["create_task"]["request"]


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


async def test_a_task_is_created_as_documented(caller: ApiCaller) -> None:
    answer = await caller.ask("POST", "/tasks", 201, json=CREATE)

    example = EXAMPLES["create_task"]["response"]
    assert_as_documented(answer.json(), "create_task")
    assert without(answer.json(), "task_id") == without(example, "task_id")
    assert answer.headers["location"] == f"/api/v1/tasks/{answer.json()['task_id']}"
    assert answer.headers["etag"] == '"1"'


async def test_a_task_is_shown_as_documented(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    task = await caller.task(task_id)

    example = EXAMPLES["get_task"]["response"]
    own = {
        "task_id": task_id,
        "payload": CREATE["payload"],
        "last_execution_time": None,  # no worker is there
        "created_at": "2024-01-08T10:00:00Z",
    }
    assert {name: task[name] for name in example} == example | own
    assert list(task)[: len(example)] == list(example)
    assert task["tags"] == CREATE["tags"]
    assert task["config"]["endpoint"] == "http://localhost:9000/tasks/daily_report_generation"


async def test_tasks_are_listed_as_documented(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    await caller.create(task_name="another one")

    page = await caller.get(EXAMPLES["list_tasks"]["path"].removeprefix("/api/v1"))

    assert_as_documented(page, "list_tasks")
    assert [row["task_id"] for row in page["tasks"]] == [task_id]
    assert {name: page[name] for name in ("total", "limit", "offset")} == {"total": 1, "limit": 20, "offset": 0}


async def test_a_task_is_changed_as_documented(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    caller.clock.set("2024-01-08T10:30:00Z")

    answer = await caller.patch(f"/tasks/{task_id}", EXAMPLES["update_task"]["request"])

    assert answer == EXAMPLES["update_task"]["response"] | {"task_id": task_id}
    task = await caller.task(task_id)
    assert (task["schedule_expression"], task["priority"]) == ("0 2 * * *", "medium")
    assert (task["updated_at"], task["created_at"]) == ("2024-01-08T10:30:00Z", "2024-01-08T10:00:00Z")


async def test_a_deleted_task_is_gone_with_all_that_stands_of_it(caller: ApiCaller) -> None:
    task_id = await caller.create()

    await caller.delete(f"/tasks/{task_id}")

    assert (await caller.get(f"/tasks/{task_id}", 404))["code"] == "no_such_task"
    assert (await caller.delete(f"/tasks/{task_id}", 404))["code"] == "no_such_task"
    assert (await caller.get("/tasks"))["total"] == 0
    assert not await caller.keys(f"*{task_id}*")


@pytest.mark.parametrize(
    ("method", "below"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/trigger")],
)
async def test_an_id_that_no_task_has_is_not_found(caller: ApiCaller, method: str, below: str) -> None:
    request = {"json": {"enabled": False}} if method == "PATCH" else {}

    for task_id in ("nothing", "a b", "%2e%2e", "x" * 300, "taskqueue:lock", "a%0d%0ab", "a%00b"):
        answer = await caller.ask(method, f"/tasks/{task_id}{below}", 404, **request)
        assert answer.json()["code"] == "no_such_task"

    assert not await caller.keys(f"{keys.API_TASK_PREFIX}*")


async def test_a_task_that_runs_once_has_its_instant_in_milliseconds(caller: ApiCaller) -> None:
    created = await caller.post(
        "/tasks",
        {"task_name": "once", "task_type": "one_time", "next_execution_time": "2024-01-08T16:00:00.123987+01:00"},
        201,
    )

    assert created["next_execution_time"] == "2024-01-08T15:00:00.123000Z"


async def test_a_task_may_begin_paused(caller: ApiCaller) -> None:
    cron = await caller.post("/tasks", CREATE | {"enabled": False}, 201)
    once = {"task_name": "x", "task_type": "one_time", "next_execution_time": "2025-01-01T00:00:00Z", "enabled": False}
    one_time = await caller.post("/tasks", once, 201)

    assert (cron["status"], cron["next_execution_time"]) == ("paused", None)
    assert (one_time["status"], one_time["next_execution_time"]) == ("paused", "2025-01-01T00:00:00Z")


async def test_an_interval_counts_on_the_wall_clock_of_the_task(caller: ApiCaller) -> None:
    interval = {"type": "daily", "value": 1, "at_time": "08:00"}
    body = {"task_name": "x", "task_type": "interval", "interval": interval, "timezone": "America/New_York"}
    created = await caller.post("/tasks", body, 201)

    assert created["next_execution_time"] == "2024-01-08T13:00:00Z"
    task = await caller.task(created["task_id"])
    assert task["interval"] == interval | {"timezone": "America/New_York"}
    assert task["schedule_expression"] is None


async def test_the_zone_of_an_interval_is_that_of_the_task(caller: ApiCaller) -> None:
    interval = {"type": "daily", "timezone": "Europe/Berlin"}
    task_id = await caller.create(task_type="interval", interval=interval)

    assert (await caller.task(task_id))["timezone"] == "Europe/Berlin"
    body = {"task_name": "x", "task_type": "interval", "interval": interval, "timezone": "UTC"}
    assert pointers(await caller.post("/tasks", body, 422)) == ["/interval"]


async def test_headers_are_never_shown(caller: ApiCaller) -> None:
    config = {"endpoint": "https://api.example.com/x", "headers": {"Authorization": "Bearer hunter2"}}
    task_id = await caller.create(config=config | {"max_duration": "4m"})

    answer = await caller.ask("GET", f"/tasks/{task_id}", 200)

    assert "hunter2" not in answer.text
    shown = answer.json()["config"]
    assert shown == config | {"method": "POST", "headers": {"Authorization": "***"}, "max_duration": "4m"}


# --- a request that is sent again -------------------------------------------------------------------------------------


async def test_a_request_with_a_key_makes_the_same_task_even_where_its_answer_was_lost(caller: ApiCaller) -> None:
    first = await caller.post("/tasks", CREATE, 201, idempotency_key="k")
    await caller.lose_answer("k")
    caller.clock.turn(timedelta(seconds=30))

    again = await caller.post("/tasks", CREATE, 201, idempotency_key="k")

    assert again == first
    assert (await caller.get("/tasks"))["total"] == 1


async def test_a_key_that_is_used_again_a_day_later_makes_another_task(caller: ApiCaller) -> None:
    first = await caller.post("/tasks", CREATE, 201, idempotency_key="k")
    await caller.let_key_lapse("k")

    again = await caller.post("/tasks", CREATE, 201, idempotency_key="k")

    assert again["task_id"] != first["task_id"]
    assert (await caller.get("/tasks"))["total"] == 2


async def test_another_key_makes_another_task(caller: ApiCaller) -> None:
    made = {(await caller.post("/tasks", CREATE, 201, idempotency_key=key))["task_id"] for key in "ab"}

    assert len(made) == 2


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_a_change_lists_what_really_changed_in_the_order_of_the_request(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    change = {"tags": {}, "timeout_seconds": 300, "payload": {"b": 1}, "task_name": "other", "max_retries": 0}

    answer = await caller.patch(f"/tasks/{task_id}", change)

    assert answer["updated_fields"] == ["tags", "payload", "task_name", "max_retries"]
    task = await caller.task(task_id)
    assert {name: task[name] for name in change} == change


async def test_a_change_to_what_is_there_changes_nothing(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    caller.clock.turn(timedelta(minutes=1))

    answer = await caller.ask("PATCH", f"/tasks/{task_id}", 200, json=CREATE)

    assert answer.json()["updated_fields"] == []
    assert answer.json()["updated_at"] == "2024-01-08T10:00:00Z"
    assert answer.headers["etag"] == '"1"'


async def test_enabled_is_the_switch_of_pause_and_resume(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    off = await caller.patch(f"/tasks/{task_id}", {"enabled": False})
    paused = await caller.task(task_id)
    on = await caller.patch(f"/tasks/{task_id}", {"enabled": True})

    assert (off["updated_fields"], off["next_execution_time"]) == (["enabled"], None)
    assert (paused["status"], paused["enabled"]) == ("paused", False)
    assert (on["updated_fields"], on["next_execution_time"]) == (["enabled"], "2024-01-09T05:00:00Z")
    assert (await caller.task(task_id))["status"] == "scheduled"


async def test_a_paused_task_stays_paused_when_its_schedule_changes(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE | {"enabled": False}, 201))["task_id"]

    await caller.patch(f"/tasks/{task_id}", {"schedule_expression": "0 3 * * *"})

    task = await caller.task(task_id)
    assert (task["status"], task["next_execution_time"]) == ("paused", None)
    resumed = await caller.post(f"/tasks/{task_id}/resume")
    assert resumed["next_execution_time"] == "2024-01-09T08:00:00Z"


async def test_another_type_brings_its_own_schedule(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    assert pointers(await caller.patch(f"/tasks/{task_id}", {"task_type": "one_time"}, 422)) == ["/next_execution_time"]
    change = {"task_type": "one_time", "next_execution_time": "2024-02-01T00:00:00Z"}
    answer = await caller.patch(f"/tasks/{task_id}", change)

    assert answer["updated_fields"] == ["task_type", "next_execution_time"]
    assert answer["next_execution_time"] == "2024-02-01T00:00:00Z"
    assert (await caller.task(task_id))["schedule_expression"] is None


async def test_a_field_of_another_type_is_refused(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    for change in ({"next_execution_time": "2025-01-01T00:00:00Z"}, {"interval": {"type": "daily"}}):
        assert pointers(await caller.patch(f"/tasks/{task_id}", change, 422)) == [f"/{next(iter(change))}"]
    both = {"task_type": "interval", "interval": {"type": "daily"}, "schedule_expression": "0 0 * * *"}
    assert pointers(await caller.patch(f"/tasks/{task_id}", both, 422)) == ["/schedule_expression"]


async def test_another_zone_moves_the_next_instant(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    answer = await caller.patch(f"/tasks/{task_id}", {"timezone": "UTC"})

    assert answer["next_execution_time"] == "2024-01-09T00:00:00Z"


async def test_a_change_with_the_present_etag_is_made_and_with_an_old_one_refused(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    path = f"/tasks/{task_id}"

    async def change(name: str, if_match: str, status: int) -> Any:
        return await caller.ask("PATCH", path, status, json={"task_name": name}, headers={"If-Match": if_match})

    assert (await change("a", '"1"', 200)).headers["etag"] == '"2"'
    assert (await change("b", '"1"', 412)).json()["code"] == "stale"
    assert (await change("b", 'W/"2"', 412)).json()["code"] == "stale"
    assert (await change("b", '"7", "2"', 200)).headers["etag"] == '"3"'
    assert (await change("c", "*", 200)).headers["etag"] == '"4"'
    assert (await change("d", "4", 422)).json()["errors"][0]["parameter"] == "If-Match"
    assert (await caller.task(task_id))["task_name"] == "c"


async def test_changes_of_different_fields_at_the_same_time_all_hold(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    changes = [{"task_name": "other"}, {"priority": "low"}, {"tags": {}}, {"timeout_seconds": 7}, {"max_retries": 9}]

    await asyncio.gather(*(caller.patch(f"/tasks/{task_id}", change) for change in changes))

    task = await caller.task(task_id)
    for change in changes:
        assert change.items() <= task.items()


async def test_what_a_task_calls_can_be_changed(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    config = {"endpoint": "https://api.example.com/other", "method": "PUT"}

    answer = await caller.patch(f"/tasks/{task_id}", {"config": config})

    assert answer["updated_fields"] == ["config"]
    assert config.items() <= (await caller.task(task_id))["config"].items()
    assert (await caller.patch(f"/tasks/{task_id}", {"config": config}))["updated_fields"] == []


async def test_a_task_that_changes_its_type_keeps_the_rest(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]

    await caller.patch(f"/tasks/{task_id}", {"task_type": "interval", "interval": {"type": "hourly", "value": 2}})

    task = await caller.task(task_id)
    assert {name: task[name] for name in ("payload", "tags", "priority")} == {
        name: CREATE[name] for name in ("payload", "tags", "priority")
    }
    assert parse_rfc3339(task["next_execution_time"]) == caller.clock.now + timedelta(hours=1)


#: changes that cannot be made, each with the field that is wrong
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"next_execution_time": None}, "/next_execution_time"),
    ({"task_name": None}, "/task_name"),
    ({"tags": None}, "/tags"),
    ({"enabled": None}, "/enabled"),
    ({"config": None}, "/config"),
    ({"interval": None}, "/interval"),
    ({"priority": None}, "/priority"),
    ({"task_id": "x"}, "/task_id"),
    ({"status": "completed"}, "/status"),
    ({"created_at": "2024-01-01T00:00:00Z"}, "/created_at"),
    ({"schedule_expression": "0 0 30 2 *"}, "/schedule_expression"),
    ({"timezone": "Mars/Olympus"}, "/timezone"),
    ({"config": {"endpoint": "https://x/", "method": "GET"}, "payload": [1]}, "/payload"),
    ({"task_type_id": "nothing"}, "/task_type_id"),
]


async def test_a_change_that_cannot_be_made_changes_nothing(caller: ApiCaller) -> None:
    task_id = (await caller.post("/tasks", CREATE, 201))["task_id"]
    before = await caller.task(task_id)

    for change, pointer in WRONG:
        problem = await caller.patch(f"/tasks/{task_id}", {"task_name": "other"} | change, 422)
        assert pointers(problem) == [pointer]

    assert await caller.task(task_id) == before
