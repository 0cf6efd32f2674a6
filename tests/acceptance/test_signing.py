"""What an endpoint sees of signatures, of references in its address, and how it ends a job for good."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from taskqueue.dev.target import Call
from tests.support.failed_queue import FailedMessage
from tests.support.processes import Process
from tests.support.raw_endpoint import after_request, raw_endpoint
from tests.support.system import System, new_users, trigger

pytestmark = pytest.mark.timeout(60)

NEW, OLD, NEXT = ("whsec_" + base64.b64encode(os.urandom(32)).decode() for _ in range(3))

#: what must be percent-encoded, and would be a gap of the endpoint if it were filled in twice
HOOK_TOKEN = "canary/{user_id}&?#${env:OTHER_TOKEN}%"


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the task `rotating` is signed with."""
    path = tmp_path_factory.mktemp("secrets") / "billing"
    path.write_text(NEW + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
async def refusing() -> AsyncIterator[tuple[str, list[str]]]:
    """An endpoint that answers 503 and forbids a retry, and the first lines of the requests that it got."""
    requests = list[str]()
    refuse = after_request(b"HTTP/1.1 503 Busy\r\nx-taskqueue-RETRY: NO\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readline()).decode())
        await refuse(reader, writer)

    async with raw_endpoint(script) as url:
        yield url, requests


@pytest.fixture(scope="module")
async def running(shared_system: System, secret_file: Path, refusing: tuple[str, list[str]]) -> tuple[Process, Process]:
    system = shared_system
    url, secrets = system.target.url, ["${env:BILLING_NEW}", "${env:BILLING_OLD}"]
    # The one that is refused has a host of its own: 503 closes a host for a while.
    elsewhere = url.replace("127.0.0.1", "localhost")
    system.write_tasks(
        system.task("signed", config={"endpoint": url + "/ok", "signing_secrets": secrets}),
        system.task("asked", config={"endpoint": url + "/ok?a=b", "method": "GET", "signing_secrets": secrets}),
        system.task(
            "late", config={"endpoint": elsewhere + "/status/503?retry_after=2", "signing_secrets": secrets}, retries=1
        ),
        system.task("rotating", config={"endpoint": url + "/ok", "signing_secrets": [f"${{file:{secret_file}}}"]}),
        system.task("unsigned", config={"endpoint": url + "/ok"}),
        system.task("no_secret", config={"endpoint": url + "/ok", "signing_secrets": ["${env:NOT_THERE}"]}),
        system.task("bad_secret", config={"endpoint": url + "/ok", "signing_secrets": ["${env:HOOK_TOKEN}"]}),
        system.task("token", config={"endpoint": url + "/in/{user_id}?token=${env:HOOK_TOKEN}"}),
        system.task("host", config={"endpoint": "http://${env:HOOK_HOST}/in"}),
        system.task("beginning", config={"endpoint": "${env:HOOK_URL}/in"}),
        system.task("nowhere", config={"endpoint": "${env:NOT_THERE}/in"}),
        system.task("closed", config={"endpoint": "http://${env:CLOSED_HOST}/in"}, retries=0),
        system.task("refused", config={"endpoint": refusing[0] + "/in"}, retries=5),
    )
    environment = {
        "BILLING_NEW": NEW,
        "BILLING_OLD": OLD,
        "HOOK_TOKEN": HOOK_TOKEN,
        "OTHER_TOKEN": "never",
        "HOOK_HOST": urlsplit(url).netloc,
        "HOOK_URL": url + "/v1/",
        "CLOSED_HOST": "canary.invalid:81",
    }
    return await system.scheduler_and_worker(environment=environment)


@pytest.fixture
def scheduler(running: tuple[Process, Process]) -> Process:
    return running[0]


async def _calls(system: System, scheduler: Process, task_id: str, count: int = 1) -> Sequence[Call]:
    """Return the first calls of a job of the task."""
    (user,) = new_users(1)
    await trigger(scheduler, task_id, [user])
    async with asyncio.timeout(20):
        while len(calls := system.calls(user=user)) < count:
            await system.target.wait_for_calls(len(system.target.calls) + 1)
    return calls[:count]


async def _failed(system: System, scheduler: Process, task_id: str) -> tuple[FailedMessage, dict[str, object]]:
    """Return what is in the failed queue of a job of the task, and its record's error; the endpoint was not called."""
    (user,) = new_users(1)
    await trigger(scheduler, task_id, [user])
    message = await system.failed.wait_until(lambda message: user.encode() in message.body)
    assert system.calls(user=user) == []
    return message, (await system.execution(str(message.message_id)))["error"]


def _verify(call: Call, secret: str, body: bytes | None = None) -> None:
    Webhook(secret).verify(call.body if body is None else body, dict(call.headers), json_parse=False)


@pytest.mark.parametrize("task_id", ["signed", "asked"])
async def test_a_call_verifies_with_both_secrets_of_a_rotation(
    shared_system: System, scheduler: Process, task_id: str
) -> None:
    (call,) = await _calls(shared_system, scheduler, task_id)

    _verify(call, NEW)
    _verify(call, OLD)
    with pytest.raises(WebhookVerificationError):
        _verify(call, NEXT)
    assert call.headers["webhook-id"] == call.headers["idempotency-key"]


async def test_a_changed_body_does_not_verify(shared_system: System, scheduler: Process) -> None:
    (call,) = await _calls(shared_system, scheduler, "signed")

    with pytest.raises(WebhookVerificationError):
        _verify(call, NEW, call.body.replace(b"user-", b"USER-"))


async def test_a_retry_keeps_the_id_and_bears_its_own_time(shared_system: System, scheduler: Process) -> None:
    first, second = await _calls(shared_system, scheduler, "late", count=2)

    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for call in (first, second):
        _verify(call, NEW)
        assert 0 <= call.at - int(call.headers["webhook-timestamp"]) < 5
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 2


async def test_a_secret_in_a_file_is_replaced_without_a_restart(
    shared_system: System, scheduler: Process, secret_file: Path
) -> None:
    (before,) = await _calls(shared_system, scheduler, "rotating")
    (replacement := secret_file.with_suffix(".new")).write_text(NEXT + "\n", encoding="utf-8")
    replacement.rename(secret_file)
    (after,) = await _calls(shared_system, scheduler, "rotating")

    _verify(before, NEW)
    _verify(after, NEXT)


async def test_a_task_without_secrets_is_called_without_a_signature(shared_system: System, scheduler: Process) -> None:
    (call,) = await _calls(shared_system, scheduler, "unsigned")

    assert [name for name in call.headers if name.startswith("webhook-")] == []


@pytest.mark.parametrize(
    ("task_id", "named"), [("no_secret", "NOT_THERE"), ("bad_secret", "HOOK_TOKEN"), ("nowhere", "NOT_THERE")]
)
async def test_a_reference_that_is_no_help_ends_the_job_before_its_call(
    shared_system: System, scheduler: Process, task_id: str, named: str
) -> None:
    message, error = await _failed(shared_system, scheduler, task_id)

    assert message.reason == "permanent"
    assert (error["code"], error["retry"]) == ("invalid_request", False)
    assert named in str(error["message"])
    assert "canary" not in json.dumps(error)


async def test_a_secret_in_the_address_arrives_as_one_value(shared_system: System, scheduler: Process) -> None:
    (call,) = await _calls(shared_system, scheduler, "token")

    assert call.path == f"/in/{call.headers['x-taskqueue-user']}?token={quote(HOOK_TOKEN, safe='')}"


@pytest.mark.parametrize(("task_id", "path"), [("host", "/in"), ("beginning", "/v1/in")])
async def test_a_reference_stands_for_the_host_or_for_the_beginning(
    shared_system: System, scheduler: Process, task_id: str, path: str
) -> None:
    (call,) = await _calls(shared_system, scheduler, task_id)

    assert call.path == path


async def test_a_host_behind_a_reference_is_named_by_that_alone(
    shared_system: System, scheduler: Process, running: tuple[Process, Process]
) -> None:
    message, error = await _failed(shared_system, scheduler, "closed")

    assert message.reason == "retries_exhausted"
    assert str(error["message"]).startswith("http://${env:CLOSED_HOST}: ")
    said = [line for process in running for line in process.lines]
    assert "canary" not in json.dumps([error, said], default=str)


async def test_no_to_a_retry_ends_the_job_at_once(
    shared_system: System, scheduler: Process, refusing: tuple[str, list[str]]
) -> None:
    message, error = await _failed(shared_system, scheduler, "refused")

    assert message.reason == "permanent"
    assert error == {"code": "http_503", "message": "the endpoint answered 503 and wants no retry", "retry": False}
    assert refusing[1] == ["POST /in HTTP/1.1\r\n"]
