"""`taskqueue task` and `exec` over a real API, and `exec` straight from Redis."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.commands import Ended, run_command, run_process
from tests.support.sdk_system import SdkApi

Run = Callable[..., Awaitable[Ended]]

LEAP_DAYS = "0 0 29 2 *"


async def made(sdk_api: SdkApi, **fields: object) -> str:
    return await sdk_api.running.client.create(**fields)


# --- find, make, change -----------------------------------------------------------------------------------------------


async def test_a_task_is_made_from_a_file_with_options_over_it(run: Run, sdk_api: SdkApi) -> None:
    fields = {"task_name": "from a file", "payload": {"at": "10:30"}, "priority": "low"}
    options = ("--cron", LEAP_DAYS, "--priority", "high", "--tag", "team:blue", "--paused", "-f", "-")

    ended = await run("task", "create", *options, stdin=json.dumps(fields))

    assert (ended.code, ended.err) == (0, "")
    task = await sdk_api.running.client.task(ended.out.split()[0])
    assert (task["task_name"], task["priority"], task["tags"]) == ("from a file", "high", {"team": "blue"})
    assert (task["payload"], task["schedule_expression"], task["status"]) == ({"at": "10:30"}, LEAP_DAYS, "paused")


async def test_each_field_that_is_wrong_is_named_on_a_line_of_its_own(run: Run) -> None:
    ended = await run("task", "create", "--name", "x", "--cron", LEAP_DAYS, "--timeout", "0", "--max-retries", "999")

    assert (ended.code, ended.out) == (2, "")
    assert [line.split(":")[0] for line in ended.err.splitlines()] == ["/timeout_seconds", "/max_retries"]


async def test_a_list_is_filtered_and_read_page_by_page(run: Run, sdk_api: SdkApi) -> None:
    mark = uuid.uuid4().hex
    task_ids = [await made(sdk_api, task_name=f"{mark} {number}") for number in range(3)]

    some = await run("task", "list", "--name", f"{mark}*", "--limit", "2")
    all_of_them = await run("task", "list", "--name", f"{mark}*", "--all")

    assert (some.code, len(some.lines()), some.err) == (0, 2, "2 of 3; --all shows all\n")
    assert {row["task_id"] for row in all_of_them.lines()} == set(task_ids)


async def test_a_task_is_changed_paused_and_resumed(run: Run, sdk_api: SdkApi) -> None:
    task_id = await made(sdk_api)

    changed = await run("task", "update", task_id, "--priority", "high")
    paused = await run("task", "pause", task_id, "nightly_cleanup")
    resumed = await run("task", "resume", task_id, "nightly_cleanup", "-o", "json")

    assert (changed.code, changed.out.split(";")[0]) == (0, f"{task_id} changed: priority")
    assert [line.split(",")[0] for line in paused.out.splitlines()] == [f"{task_id} paused", "nightly_cleanup paused"]
    assert [answer["status"] for answer in resumed.lines()] == ["scheduled", "scheduled"]


async def test_another_endpoint_leaves_how_it_is_called(run: Run, sdk_api: SdkApi) -> None:
    config = {**sdk_api.running.target("/ok")["config"], "method": "PUT", "max_duration": "30s"}
    task_id = await made(sdk_api, config=config)
    endpoint = sdk_api.running.target("/elsewhere")["config"]["endpoint"]

    ended = await run("task", "update", task_id, "--endpoint", endpoint)

    assert (ended.code, ended.out.split(";")[0]) == (0, f"{task_id} changed: config")
    shown = (await sdk_api.running.client.task(task_id))["config"]
    assert shown == {"endpoint": endpoint, "method": "PUT", "headers": {}, "max_duration": "30s"}


async def test_deleting_wants_consent_and_a_task_of_a_file_stays(run: Run, sdk_api: SdkApi) -> None:
    task_id = await made(sdk_api)

    refused = await run("task", "delete", task_id)
    looked = await run("task", "delete", task_id, "--dry-run")
    deleted = await run("task", "delete", task_id, "--yes")
    gone = await run("task", "show", task_id)
    of_a_file = await run("task", "delete", "nightly_cleanup", "--yes")

    assert [each.code for each in (refused, looked, deleted, gone, of_a_file)] == [4, 0, 0, 3, 4]
    assert looked.out == f"would delete task {task_id}\n"
    assert deleted.out == f"{task_id} deleted\n"
    assert "change it in that file" in of_a_file.err


async def test_an_id_leads_nowhere_but_to_a_task(run: Run) -> None:
    dots, slashes = await asyncio.gather(run("task", "delete", "..", "--yes"), run("task", "show", "../status"))

    assert (dots.code, slashes.code) == (2, 3)


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_wrong_token_and_one_of_a_narrow_scope_are_exit_6(run: Run, sdk_api: SdkApi, tmp_path: Path) -> None:
    narrow = tmp_path / "token"
    narrow.write_text(f"{sdk_api.read_token}\n", encoding="utf-8")

    wrong = await run("task", "list", TASKQUEUE_TOKEN="wrong-0123456789")
    looks = await run("task", "list", "--token-file", str(narrow))
    changes = await run("task", "pause", "nightly_cleanup", "--token-file", str(narrow))

    assert [each.code for each in (wrong, looks, changes)] == [6, 0, 6]
    for each in (wrong, changes):
        assert len(each.err.splitlines()) == 1
        assert "token" in each.err
        assert "wrong-0123456789" not in each.err
        assert sdk_api.read_token not in each.err


# --- run it -----------------------------------------------------------------------------------------------------------


async def test_a_trigger_waits_for_the_end_and_its_exit_code_is_that_of_the_run(run: Run, sdk_api: SdkApi) -> None:
    good = await made(sdk_api)
    bad = await made(sdk_api, max_retries=0, **sdk_api.running.target("/status/500"))

    succeeded = await run("task", "trigger", good, "--wait")
    failed = await run("task", "trigger", bad, "--wait", "-o", "json")
    for_users = await run("task", "trigger", "nightly_cleanup", "--user", "ada", "--user", "grace")

    assert (succeeded.code, succeeded.out.split()[1]) == (0, "success")
    assert (failed.code, failed.json()["status"]) == (1, "failed")
    assert (for_users.code, len(for_users.out.splitlines())) == (0, 2)


async def test_what_is_sent_again_under_its_key_is_not_done_again(run: Run, sdk_api: SdkApi) -> None:
    key = uuid.uuid4().hex
    words = ("--name", "once", "--cron", LEAP_DAYS, "--idempotency-key", f"{key}-made")

    made_first, made_again = await run("task", "create", *words), await run("task", "create", *words)
    task_id = made_first.out.split()[0]
    words = (task_id, "--idempotency-key", f"{key}-run")
    run_first, run_again = await run("task", "trigger", *words), await run("task", "trigger", *words)
    another = await run("task", "trigger", "nightly_cleanup", "--user", "ada", "--idempotency-key", f"{key}-made")

    assert made_first.out == made_again.out != ""
    assert run_first.out == run_again.out != ""
    assert another.code == 2


async def test_executions_are_the_same_over_the_api_and_straight_from_redis(
    run: Run, sdk_api: SdkApi, direct: dict[str, str]
) -> None:
    task_id = await made(sdk_api)
    execution_id = (await sdk_api.running.client.run_once(task_id))["execution_id"]

    listed = await run("exec", "list", task_id)
    shown = await run("exec", "show", execution_id)
    logged = await run("exec", "logs", execution_id)
    cancelled = await run("exec", "cancel", execution_id)
    listed_directly = await run_command("exec", "list", task_id, environment=direct)
    logged_directly = await run_command("exec", "logs", execution_id, environment=direct)
    missing = await run_command("exec", "list", "nobodys_task", environment=direct)

    assert listed.lines()[0] | {"queued_at": ""} == listed_directly.lines()[0] | {"queued_at": ""}
    assert shown.json()["result"]["records_processed"] == 10000
    assert logged.out == logged_directly.out != ""
    assert (cancelled.code, missing.code) == (1, 3)


async def test_a_followed_log_goes_on_until_the_execution_has_ended(
    run: Run, sdk_api: SdkApi, direct: dict[str, str]
) -> None:
    client = sdk_api.running.client
    task_id = await made(sdk_api, **sdk_api.running.target("/slow/2500"))
    execution_id = await client.trigger(task_id)
    await client.execution_is(execution_id, "running")
    await client.post(f"/executions/{execution_id}/logs", {"logs": [{"message": "half of it is done"}]}, 201)
    words = ("exec", "logs", "-f", execution_id, "-o", "json")

    both = await asyncio.gather(run(*words), run_process(*words, environment=direct))

    for ended in both:
        messages = [line["message"] for line in ended.lines()]
        assert (ended.code, messages[0]) == (0, "half of it is done")
        assert any(message.startswith("answered 2") for message in messages)
        assert len(messages) == len(set(messages))
