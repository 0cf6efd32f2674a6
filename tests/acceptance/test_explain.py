"""Why a job ran, waits or did not run: asked of a whole system, through the API and on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from taskqueue.cli.main import main
from taskqueue.config.catalog import load_catalog
from taskqueue.core.file_task import in_slot_order
from taskqueue.core.ids import scheduled_job_id
from taskqueue.core.instants import parse_rfc3339, rfc3339, to_unix_ms
from taskqueue.core.occurrence import rule_text
from taskqueue.core.slots import Spread
from tests.support.api_system import (
    Client,
    api_settings,
    in_seconds,
    reports_endpoint,
    start_api,
    url_of,
    worker_settings,
)
from tests.support.inbox import eventually
from tests.support.processes import Process
from tests.support.system import System

pytestmark = pytest.mark.timeout(120)

DAY = timedelta(days=1)

#: every task is due each day two hours ago, and no scheduler ran for three days
TODAY = (datetime.now(UTC) - timedelta(hours=2)).replace(second=0, microsecond=0)
DAILY = {"type": "daily", "at_time": f"{TODAY:%H:%M}"}

SPREAD_USERS = ["u-other", *(f"spread-{number}" for number in range(39))]

#: comes late in the order of slots: none of the users about there is released within the first minute
LATE_COMER = in_slot_order("spread", [f"late-{number}" for number in range(100)])[-1]

QUEUED_USERS = ["queued-1", "queued-2", "queued-3"]

#: nothing listens there
NOBODY = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What runs, and somebody who asks."""

    system: System
    scheduler: Process
    api: Client

    async def explain(self, task_id: str, user_id: str | None = None, **more: str) -> dict[str, Any]:
        """Return the API's explanation."""
        asked = more if user_id is None else {"user_id": user_id, **more}
        return await self.api.get(f"/tasks/{task_id}/explain", **asked)

    async def explained(self, verdict: str, task_id: str, user_id: str | None = None, **more: str) -> dict[str, Any]:
        """Return the explanation once it has this verdict."""
        found: dict[str, Any] = {}

        async def there() -> bool:
            found.update(await self.explain(task_id, user_id, **more))
            return bool(found["verdict"] == verdict)

        try:
            await eventually(there, 20)
        except TimeoutError:
            raise AssertionError(f"not {verdict}: {found['verdict']} {found['reasons']}") from None
        return found

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run `taskqueue explain` and return its exit code, and what it prints."""
        config = str(self.system.tasks_file.with_name("explain.yaml"))
        return await asyncio.to_thread(_run, ["explain", *arguments, "--config", config])


def _run(arguments: list[str]) -> tuple[int, str, str]:
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0), output.getvalue(), errors.getvalue()
    return 0, output.getvalue(), errors.getvalue()


def write_tasks(system: System, *, removed: bool = False) -> None:
    """Write tasks.yaml; without the last task where that is `removed`."""
    common = {"interval": DAILY, "max_age": "10d"}
    tasks = [
        system.task("ran", **common),
        system.task("flaky", "/fail/1", **common),
        system.task("disabled", enabled=False, **common),
        system.task("paused", **common),
        system.task("queued", "/block", max_concurrency=1, **common),
        system.task("down", config={"endpoint": NOBODY}, retries=50, **common),
        system.task("spread", **{**common, "distribution_window": "2h"}),
        system.task("hanging", "/hang", overlap="skip", catch_up="all", interval=DAILY, max_age="30h", timeout="100s"),
        system.task("young", interval=DAILY, catch_up="all"),
        system.task("never", end_at="2030-01-01T00:00:00Z"),
        system.task("gone", **common),
    ]
    system.write_tasks(*(tasks[:-1] if removed else tasks))


async def set_up(system: System) -> None:
    """Let Redis stand as a scheduler left it three days ago, and users have their switches."""
    write_tasks(system)
    since = to_unix_ms(TODAY - 2 * DAY)
    for task in load_catalog(system.tasks_file).tasks.values():
        if task.enabled and task.interval.as_dict().get("type") == "daily":
            await system.redis.zadd("taskqueue:due", {task.id: since})
            await system.redis.hset("taskqueue:due:rules", task.id, rule_text(task.rule()))
    for task_id in ("ran", "flaky", "disabled", "paused", "down", "hanging", "young", "never", "gone"):
        await system.enable(task_id, "u1")
    await system.enable("queued", *QUEUED_USERS)
    await system.enable("spread", *SPREAD_USERS)
    await system.set_preference("u-off", "ran", on=False)


@pytest.fixture(scope="module")
async def stage(shared_system: System) -> AsyncIterator[Stage]:
    system = shared_system
    await set_up(system)
    async with reports_endpoint() as reports:
        scheduler, _ = await system.scheduler_and_worker(worker_settings(system, reports), watch_failed=False)
        process = await start_api(system, api_settings(reports))
        settings = {name: system.place.settings()[name] for name in ("redis", "queue")}
        system.tasks_file.with_name("explain.yaml").write_text(json.dumps(settings), encoding="utf-8")
        async with Client(url_of(process)) as api:
            stage = Stage(system=system, scheduler=scheduler, api=api)
            await stage.explained("succeeded", "ran", "u1")
            yield stage
            system.target.release()


async def test_a_job_that_ran_is_told_with_its_instant_slot_preference_and_attempt(stage: Stage) -> None:
    found = await stage.explain("ran", "u1")

    assert found["occurrence"]["scheduled_at"] == rfc3339(TODAY)
    assert found["occurrence"]["slot"]["exact"]
    assert found["preference"] == {
        "enabled": True, "rule": "own_switch", "switch": True, "interval": None, "problem": None,
    }  # fmt: skip
    job = found["job"]
    assert (job["job_id"], job["place"]) == (scheduled_job_id("ran", "u1", TODAY), "ended")
    assert [(attempt["attempt"], attempt["outcome"]) for attempt in job["attempts"]] == [(1, "success")]
    assert 0 <= job["late_ms"] < 20_000
    assert (found["next"]["scheduled_at"], found["next"]["verdict"]) == (rfc3339(TODAY + DAY), "not_due_yet")
    revision = await stage.system.redis.get("taskqueue:catalog:revision")
    assert found["task"]["revision"] == revision.decode()


async def test_the_command_says_the_same(stage: Stage) -> None:
    code, output, errors = await stage.command("--task", "ran", "--user", "u1", "-o", "json")

    assert (code, errors) == (0, "")
    from_api = await stage.explain("ran", "u1")
    assert {**json.loads(output), "explained_at": None} == {**from_api, "explained_at": None}


async def test_the_table_tells_reason_and_attempts(stage: Stage) -> None:
    code, output, _ = await stage.command("--task", "flaky", "--user", "u1", "-o", "table")

    assert code == 0
    assert output.startswith("succeeded: ")
    assert "http_500" in output
    assert "job: waits" in output


async def test_a_retry_is_a_wait_with_its_length(stage: Stage) -> None:
    job = (await stage.explained("succeeded", "flaky", "u1"))["job"]

    assert [(each["attempt"], each["error_code"]) for each in job["attempts"]] == [(1, "http_500"), (2, None)]
    (wait,) = job["waits"]
    assert (wait["reason"], wait["attempt"]) == ("retry", 2)
    assert wait["since"] == job["attempts"][0]["completed_at"]
    assert wait["until"] == job["attempts"][1]["started_at"]


async def test_instants_that_were_passed_over_are_told(stage: Stage) -> None:
    found = await stage.explain("ran", "u1", at=rfc3339(TODAY - timedelta(minutes=1)))

    assert found["occurrence"]["scheduled_at"] == rfc3339(TODAY - DAY)
    assert (found["verdict"], found["occurrence"]["state"]) == ("missed", "skipped")


async def test_an_instant_older_than_the_max_age_is_told(stage: Stage) -> None:
    assert (await stage.explain("young", "u1", at=rfc3339(TODAY - DAY)))["verdict"] == "too_old"


async def test_users_who_do_not_get_the_task_are_told_apart(stage: Stage) -> None:
    verdicts = [(await stage.explain("ran", user))["verdict"] for user in ("u-off", "u-other", "stranger")]

    assert verdicts == ["user_off", "user_not_on", "user_unknown"]


async def test_a_user_who_came_after_the_planning_was_not_in_the_audience(stage: Stage) -> None:
    await stage.system.enable("spread", LATE_COMER)

    found = await stage.explained("not_in_audience", "spread", LATE_COMER)

    assert found["job"] is None


async def test_a_disabled_task_is_told(stage: Stage) -> None:
    found = await stage.explain("disabled", "u1")

    assert (found["verdict"], found["next"]["verdict"]) == ("task_disabled", "task_disabled")


async def test_a_paused_task_is_told_from_a_disabled_one(stage: Stage) -> None:
    await stage.api.post("/tasks/paused/pause")

    found = await stage.explain("paused", "u1")

    assert (found["task"]["paused"], found["next"]["verdict"]) == (True, "task_paused")


async def test_the_slot_of_a_job_that_is_not_released_is_the_planned_one(stage: Stage) -> None:
    last = in_slot_order("spread", SPREAD_USERS)[-1]

    found = await stage.explain("spread", last)

    occurrence, slot = found["occurrence"], found["occurrence"]["slot"]
    spread, place = Spread(window=timedelta(hours=2), users=len(SPREAD_USERS)), len(SPREAD_USERS) - 1
    assert (found["verdict"], found["job"]["place"]) == ("planned", "slot")
    assert (slot["number"], slot["exact"]) == (spread.slot(place), True)
    assert parse_rfc3339(slot["planned_at"]) == parse_rfc3339(occurrence["starts_at"]) + spread.offset(place)


async def test_a_job_waits_for_its_limit_is_cancelled_or_runs_with_its_wait_on_record(stage: Stage) -> None:
    async def verdicts() -> dict[str, str]:
        return {user: (await stage.explain("queued", user))["verdict"] for user in QUEUED_USERS}

    async def two_wait() -> bool:
        return sorted((await verdicts()).values()) == ["running", "waits_for_limit", "waits_for_limit"]

    await eventually(two_wait, 20)
    first, second = [user for user, verdict in (await verdicts()).items() if verdict == "waits_for_limit"]
    waiting = (await stage.explain("queued", first))["job"]
    assert (waiting["place"], waiting["waits_for"]) == ("waiting_list", "concurrency:queued")
    assert [(wait["limit"], wait["until"]) for wait in waiting["waits"]][-1] == ("concurrency:queued", None)
    assert {"name": "concurrency:queued", "in_force": "1 at a time", "waiting": 2} in waiting["limits"]

    await stage.api.post(f"/executions/{waiting['job_id']}/cancel")
    assert (await stage.explain("queued", first))["verdict"] == "cancelled"

    stage.system.target.release()
    await stage.explained("running", "queued", second)
    stage.system.target.release()
    ran = (await stage.explained("succeeded", "queued", second))["job"]
    assert ran["waits"][-1]["until"] == ran["started_at"]
    assert ran["waits"][-1]["duration_ms"] > 0


async def test_jobs_of_a_closed_host_wait_for_it_with_their_retries(stage: Stage) -> None:
    job = (await stage.explained("host_closed", "down", "u1"))["job"]

    assert job["attempts"][0]["error_code"] == "connection_refused"
    assert job["waits_for"].startswith("host:")
    assert {wait["reason"] for wait in job["waits"]} >= {"retry", "host"}
    assert any((limit["in_force"] or "").startswith("closed until") for limit in job["limits"])


async def test_what_was_left_out_for_a_running_one_is_told(stage: Stage) -> None:
    running = await stage.explained("running", "hanging", "u1", at=rfc3339(TODAY - DAY))
    left_out = await stage.explain("hanging", "u1")

    assert running["job"]["worker_id"] == "worker-1"
    assert (left_out["verdict"], left_out["job"]) == ("overlap_skipped", None)


async def test_what_is_not_due_yet_says_when_it_is(stage: Stage) -> None:
    never = await stage.explain("never", "u1")
    ahead = await stage.explain("ran", "u1", at=rfc3339(TODAY + 3 * DAY))

    assert (never["next"]["verdict"], never["next"]["scheduled_at"]) == ("not_due_yet", "2028-02-29T00:00:00Z")
    assert (ahead["verdict"], ahead["occurrence"]["state"]) == ("not_due_yet", "upcoming")
    assert ahead["occurrence"]["scheduled_at"] == rfc3339(TODAY + 3 * DAY)


async def test_a_removed_task_is_told(stage: Stage) -> None:
    write_tasks(stage.system, removed=True)

    async def removed() -> bool:
        return (await stage.explain("gone", "u1"))["next"]["verdict"] == "task_removed"

    await eventually(removed, 20)
    assert (await stage.explain("gone", "u1"))["verdict"] == "succeeded"
    assert (await stage.explain("gone", "stranger"))["verdict"] == "task_removed"


async def test_a_task_of_the_api_is_told_without_a_user(stage: Stage) -> None:
    task = await stage.api.create(config={"endpoint": stage.system.target.url + "/ok"})
    assert (await stage.explain(task))["verdict"] == "never_ran"
    await stage.api.run_once(task)

    found = await stage.explain(task)

    assert (found["verdict"], found["preference"], found["job"]["attempts"][0]["attempt"]) == ("succeeded", None, 1)
    code, output, _ = await stage.command("--task", task, "-o", "json")
    assert (code, {**json.loads(output), "explained_at": None}) == (0, {**found, "explained_at": None})


async def test_a_task_that_waits_for_another_one_names_it(stage: Stage) -> None:
    parent = await stage.api.create(task_name="parent")
    child = await stage.api.create(task_type="one_time", next_execution_time=in_seconds(1))
    await stage.api.post(
        f"/tasks/{child}/dependencies", {"depends_on_task_id": parent, "dependency_type": "success"}, 201
    )

    found = await stage.explained("dependency_open", child)

    assert parent in found["reasons"][0]["message"]
    assert [(each["task_id"], each["satisfied"]) for each in found["dependencies"]] == [(parent, False)]


async def test_what_cannot_be_explained_is_refused(stage: Stage) -> None:
    task = await stage.api.create()

    assert (await stage.api.get("/tasks/no_such/explain", 404, user_id="u1"))["code"] == "no_such_task"
    assert (await stage.api.get("/tasks/ran/explain", 422))["errors"][0]["parameter"] == "user_id"
    assert (await stage.api.get(f"/tasks/{task}/explain", 422, user_id="u1"))["errors"][0]["parameter"] == "user_id"
    assert (await stage.api.get("/tasks/ran/explain", 422, user_id="u1", at="noon"))["errors"][0]["parameter"] == "at"


async def test_the_command_ends_with_3_for_an_unknown_task_and_2_for_wrong_usage(stage: Stage) -> None:
    unknown = await stage.command("--task", "no_such", "--user", "u1")
    without_user = await stage.command("--task", "ran")
    at_noon = await stage.command("--task", "ran", "--user", "u1", "--at", "noon")

    assert [unknown[0], without_user[0], at_noon[0]] == [3, 2, 2]
    assert "--user" in without_user[2]
    assert "RFC 3339" in at_noon[2]
