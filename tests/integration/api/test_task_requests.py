"""Requests for new tasks: what each field takes, and how each mistake is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskqueue.core.task import Target
from taskqueue.dev.services import Redis
from taskqueue.store import keys
from taskqueue.store.catalog import CatalogStore
from tests.support.api_caller import ApiCaller, api_caller, pointers
from tests.support.documented import EXAMPLES
from tests.support.values import a_task

CRON = EXAMPLES["create_task"]["request"]
ONCE = {"task_name": "once", "task_type": "one_time", "next_execution_time": "2024-01-08T15:00:00Z"}
EVERY = {"task_name": "every", "task_type": "interval", "interval": {"type": "daily"}}
CALL = {"endpoint": "https://api.example.com/x"}

#: what is no text, no number, no object, ...
TEXT: list[Any] = [None, 1, True, [], {}]
NUMBER: list[Any] = [None, "3", 1.5, True, [], {}]
OBJECT: list[Any] = [None, 1, "x", True, []]
BOOLEAN: list[Any] = [None, 0, 1, "true", [], {}]


Case = tuple[dict[str, Any], str]


def every(field: str, values: list[Any], body: dict[str, Any] = CRON) -> list[Case]:
    """Return a case for each of the wrong values of a field."""
    return [(body | {field: value}, f"/{field}") for value in values]


WRONG: list[Case] = [
    *every("task_name", [*TEXT, "", "x" * 201, "a\nb", "a\x00b", "a\x85b"]),
    *every("task_type", [*TEXT, "", "Cron", "daily", "CRON"]),
    *every("schedule_expression", [*TEXT, "", "* * * *", "0 0 30 2 *", "0 0 * * * *", "R 0 * * *", "61 * * * *"]),
    *every("schedule_expression", ["x" * 257, "0 0 * * *\n* * * * *x", "@reboot", "10-10 * * * *"]),
    *every("next_execution_time", [*TEXT, "", "tomorrow", "2024-01-08", "2024-01-08T15:00:00"], ONCE),
    *every("next_execution_time", ["2024-01-08T09:58:59Z", "1969-01-01T00:00:00Z", "0001-01-01T00:00:00Z"], ONCE),
    *every("next_execution_time", ["9999-12-31T23:59:59Z", "2024-13-01T00:00:00Z", "2024-01-08T25:00:00Z"], ONCE),
    *every("interval", [*OBJECT, {}, {"type": "yearly"}, {"type": "daily", "value": 0}], EVERY),
    *every("interval", [{"type": "daily", "x": 1}, {"type": "daily", "timezone": "Mars/Olympus"}], EVERY),
    *every("interval", [{"type": "daily", "at_time": "25:00"}, {"type": "hourly", "at_time": "08:00"}], EVERY),
    *every("interval", [{"type": "daily", "value": None}, {"type": "daily", "timezone": ""}], EVERY),
    *every("interval", [{"cron": "0 0 * * *"}, {"type": "cron", "cron": "0 0 * * *"}], EVERY),
    *every("interval", [{"type": "once", "at": "2030-01-01T00:00:00Z"}, {"type": "hourly", "value": 10**30}], EVERY),
    *every("timezone", [*TEXT, "", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "x" * 100, "UTC\x00"]),
    *every("timeout_seconds", [*NUMBER, 0, -1, 901, 10**30, 1e300]),
    *every("max_retries", [*NUMBER, -1, 101, 10**30]),
    *every("priority", [*TEXT, "", "urgent", "normal", "HIGH"]),
    *every("tags", [*OBJECT, {f"tag{number}": "" for number in range(51)}]),
    *every("enabled", BOOLEAN),
    *every("config", [*OBJECT]),
    *every("task_type_id", [*TEXT, "", "a b", "a:b", "x" * 65, "tasks", "nothing"]),
    (CRON | {"unknown": 1}, "/unknown"),
    (CRON | {"task_id": "x"}, "/task_id"),
    (CRON | {"payload": "x" * 65_537}, "/payload"),
    (CRON | {"tags": {"": "x"}}, "/tags/"),
    (CRON | {"tags": {"a:b": "x"}}, "/tags/a:b"),
    (CRON | {"tags": {"k": "v" * 257}}, "/tags/k"),
    (CRON | {"tags": {"k": 1}}, "/tags/k"),
    (CRON | {"tags": {"k": "a\nb"}}, "/tags/k"),
    (CRON | {"tags": {"k" * 65: "v"}}, f"/tags/{'k' * 65}"),
    ({"task_name": "x", "task_type": "cron"}, "/schedule_expression"),
    ({"task_name": "x", "task_type": "one_time"}, "/next_execution_time"),
    ({"task_name": "x", "task_type": "interval"}, "/interval"),
    (CRON | {"interval": {"type": "daily"}}, "/interval"),
    (CRON | {"next_execution_time": "2025-01-01T00:00:00Z"}, "/next_execution_time"),
    (ONCE | {"schedule_expression": "0 0 * * *"}, "/schedule_expression"),
    ({"task_type": "cron", "schedule_expression": "@daily"}, "/task_name"),
    ({"task_name": "x", "schedule_expression": "@daily"}, "/task_type"),
    (CRON | {"config": {}}, "/config/endpoint"),
    (CRON | {"config": CALL | {"x": 1}}, "/config/x"),
    (CRON | {"config": CALL | {"method": "TRACE"}}, "/config/method"),
    (CRON | {"config": CALL | {"max_duration": "5"}}, "/config/max_duration"),
    (CRON | {"config": CALL | {"max_duration": "16m"}}, "/config/max_duration"),
    (CRON | {"config": CALL | {"max_duration": None}}, "/config/max_duration"),
    (
        CRON | {"config": CALL | {"signing_secrets": ["${env:X}"]}}, "/config/signing_secrets"
    ),
    (CRON | {"config": CALL | {"headers": {"A": "a\r\nB: b"}}}, "/config/headers/A"),
    (CRON | {"config": CALL | {"headers": {"A": 1}}}, "/config/headers/A"),
    (
        CRON | {"config": CALL | {"headers": {"A\r\nB": "b"}}}, "/config/headers/A\r\nB"
    ),
    (CRON | {"config": CALL | {"headers": {"Host": "x"}}}, "/config/headers/Host"),
    (CRON | {"config": CALL | {"headers": {"A": "Bearer ${env:HOME}"}}}, "/config/headers"),
    (CRON | {"config": CALL | {"headers": {"A": "${file:/etc/passwd}"}}}, "/config/headers"),
    *[
        (CRON | {"config": {"endpoint": endpoint}}, "/config/endpoint")
        for endpoint in (
            "", "x", "ftp://x/", "https://", "https://a b/", "https://u:p@x/", "https://x/#f", "https://x/\r\nA: b",
            "https://${env:HOST}/", "https://x/${file:/etc/passwd}", "https://x/${env", "https://x/{user_id}",
            "https://x/{name}", "https://{task_id}/", "https://x/../y", "https://x/" + "a" * 2048, 1, None,
        )
    ],
]  # fmt: skip


@pytest.fixture
async def caller(redis_server: Redis, redis_db: int) -> AsyncIterator[ApiCaller]:
    async with api_caller(redis_server, redis_db) as caller:
        yield caller


@pytest.mark.parametrize("field", sorted({pointer.split("/")[1] for _, pointer in WRONG}))
async def test_a_wrong_field_is_named_and_nothing_is_written(caller: ApiCaller, field: str) -> None:
    for body, pointer in WRONG:
        if pointer.split("/")[1] == field:
            problem = await caller.post("/tasks", body, 422)
            assert (pointers(problem), problem["code"]) == ([pointer], "invalid"), str(body)[:1000]
    assert not await caller.keys(f"{keys.API_TASKS}*")


async def test_all_wrong_fields_are_named_at_once(caller: ApiCaller) -> None:
    problem = await caller.post("/tasks", CRON | {"priority": "x", "max_retries": -1, "more": 1}, 422)

    assert sorted(str(pointer) for pointer in pointers(problem)) == ["/max_retries", "/more", "/priority"]
    assert "(and 2 more)" in problem["detail"]


async def test_no_value_of_a_request_is_repeated(caller: ApiCaller) -> None:
    headers = {"Authorization": "hunter2\n", "Cookie": "hunter2 ${env:X}"}
    config = {"endpoint": "https://user:hunter2@x/", "headers": headers}

    answer = await caller.ask("POST", "/tasks", 422, json=CRON | {"config": config})

    assert "hunter2" not in answer.text


async def test_a_body_that_is_no_task_is_refused(caller: ApiCaller) -> None:
    for body in (None, 1, "x", True, [], [CRON], {}):
        answer = await caller.ask("POST", "/tasks", 422, json=body)
        assert answer.json()["errors"]


async def test_a_payload_is_any_json_value(caller: ApiCaller) -> None:
    for payload in (None, 1, "text", True, [], [1, {"a": None}], {}, {"a": {"b": "ü"}}):
        task_id = (await caller.post("/tasks", CRON | {"payload": payload}, 201))["task_id"]
        assert (await caller.task(task_id))["payload"] == payload


async def test_what_is_left_out_has_a_default(caller: ApiCaller) -> None:
    created = await caller.post("/tasks", ONCE, 201)

    task = await caller.task(created["task_id"])
    assert (
        task
        | {
            "timezone": "UTC",
            "payload": {},
            "timeout_seconds": 300,
            "max_retries": 3,
            "priority": "medium",
            "tags": {},
            "enabled": True,
        }
        == task
    )


async def test_a_one_time_task_may_be_late_by_a_minute(caller: ApiCaller) -> None:
    created = await caller.post("/tasks", ONCE | {"next_execution_time": "2024-01-08T09:59:00Z"}, 201)

    assert created["next_execution_time"] == "2024-01-08T09:59:00Z"


async def test_limits_are_inclusive(caller: ApiCaller) -> None:
    body = CRON | {
        "task_name": "x" * 200,
        "timeout_seconds": 900,
        "max_retries": 100,
        "tags": {f"{number:064}": "v" * 256 for number in range(50)},
        "payload": "x" * (65_536 - 2),
        "config": CALL,
    }

    task_id = (await caller.post("/tasks", body, 201))["task_id"]

    assert (await caller.task(task_id))["tags"] == body["tags"]


# --- what a task calls ------------------------------------------------------------------------------------------------


@pytest.fixture
async def types(caller: ApiCaller) -> CatalogStore:
    """Some task types of tasks.yaml, put in force by a leader."""
    tasks = [
        a_task(id="daily_report", name="Daily Report Generation", target=Target(endpoint="https://x/daily")),
        a_task(id="secretive", name="Secretive", target=Target(endpoint="https://x/", headers={"A": "${env:A}"})),
        a_task(id="signed", name="Signed", target=Target(endpoint="https://x/", signing_secrets=("${env:S}",))),
        a_task(id="personal", name="Personal", target=Target(endpoint="https://x/{user_id}")),
    ]
    await caller.services.store.command("SET", keys.LEASE, "t:1")
    catalog = CatalogStore(caller.services.store, caller.services.scripts)
    await catalog.write("t:1", {task.id: task for task in tasks}, "1")
    return catalog


async def called(caller: ApiCaller, **fields: object) -> str:
    task_id = (await caller.post("/tasks", ONCE | fields, 201))["task_id"]
    return str((await caller.task(task_id))["config"]["endpoint"])


@pytest.mark.usefixtures("types")
async def test_what_a_task_calls_is_found_in_four_ways(caller: ApiCaller) -> None:
    assert await called(caller, config=CALL, task_type_id="daily_report") == "https://api.example.com/x"
    assert await called(caller, task_type_id="daily_report", task_name="secretive") == "https://x/daily"
    assert await called(caller, task_name="daily_report") == "https://x/daily"
    assert await called(caller, task_name="daily_report_generation") == "https://x/daily"
    assert await called(caller, task_name="Daily Report Generation") == "https://x/daily"
    assert await called(caller, task_name="é/ {x}?") == "http://localhost:9000/tasks/%C3%A9%2F%20%7Bx%7D%3F"


@pytest.mark.usefixtures("types")
@pytest.mark.parametrize("task_type_id", ["secretive", "signed", "personal"])
async def test_a_task_gets_no_secrets_signature_or_user_of_a_task_type(caller: ApiCaller, task_type_id: str) -> None:
    assert pointers(await caller.post("/tasks", ONCE | {"task_type_id": task_type_id}, 422)) == ["/task_type_id"]
    assert pointers(await caller.post("/tasks", ONCE | {"task_name": task_type_id}, 422)) == ["/task_name"]


async def test_a_new_revision_of_the_task_types_counts_at_once(caller: ApiCaller, types: CatalogStore) -> None:
    assert await called(caller, task_type_id="daily_report") == "https://x/daily"

    changed = a_task(id="daily_report", target=Target(endpoint="https://x/changed"))
    await types.write("t:1", {changed.id: changed}, "2")

    assert await called(caller, task_type_id="daily_report") == "https://x/changed"


async def test_without_a_default_target_the_four_ways_are_told(redis_server: Redis, redis_db: int) -> None:
    async with api_caller(redis_server, redis_db, default_target="") as caller:
        problem = await caller.post("/tasks", ONCE, 422)

    assert problem["code"] == "no_target"
    for way in ("config", "task_type_id", "task_name", "api.default_target"):
        assert way in problem["detail"]


async def test_a_name_that_makes_no_url_needs_config(caller: ApiCaller) -> None:
    assert pointers(await caller.post("/tasks", ONCE | {"task_name": ".."}, 422)) == ["/task_name"]
    assert await called(caller, task_name="..", config=CALL) == CALL["endpoint"]
