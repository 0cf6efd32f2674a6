"""What the three SDKs make of servers that are no API: typed errors that name the remedy, and never the key."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.mirror import answer, headers_of
from tests.support.raw_endpoint import Script, raw_endpoint
from tests.support.sdk_bad_servers import BAD_SERVERS, BadServer
from tests.support.sdk_drivers import LANGUAGES, Driver, driver
from tests.support.sdk_programs import is_installed, require
from tests.support.sick_endpoints import nobody

KEY = "canary-key-0123456789abcdef"

#: how messages name the request, by its path or by its method
_REQUEST = re.compile(r"(GET )?\S*/api/v1/workers\S*|list_?workers:?", re.IGNORECASE)

#: how a remedy begins: at the start of a sentence, or of a part of one
_REMEDY = re.compile(
    r"([;:.,(]|\bor|\band|\bthen) "
    r"(ask (the|for)|check|correct|get the|give|look (at|up|whether)|see (what|whether)|send (less|fewer|it again)|"
    r"set|try again|use|wait)\b",
    re.IGNORECASE,
)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
async def drivers() -> AsyncIterator[list[Driver]]:
    """A driver of each language that is on the machine, with a client that has KEY; none of them may show it."""
    async with AsyncExitStack() as stack:
        opened = [
            stack.enter_async_context(driver(language, "http://127.0.0.1:1", KEY))
            for language in filter(is_installed, LANGUAGES)
        ]
        found = await asyncio.gather(*opened)
        yield found
    written = "".join(text for each in found for text in each.written)
    assert KEY not in written


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_is_here_to_be_tried(language: str) -> None:
    require(language)


@pytest.mark.parametrize("name", BAD_SERVERS)
async def test_a_bad_server_is_a_typed_error_with_its_remedy(name: str, drivers: list[Driver]) -> None:
    bad = BAD_SERVERS[name]

    wrong = await asyncio.gather(*(_wrong(each, bad) for each in drivers))

    assert not any(wrong), "\n".join(filter(None, wrong))


async def test_nobody_who_listens_is_a_connect_error(drivers: list[Driver]) -> None:
    async with nobody() as url:
        errors = await asyncio.gather(*(_error(each, url) for each in drivers))

    assert [error["type"] for error in errors] == ["ConnectError"] * len(drivers), errors
    assert all(url.removeprefix("http://") in error["message"] for error in errors), errors


async def test_a_redirect_is_not_followed(drivers: list[Driver]) -> None:
    visits = Visits(lambda _count: answer(200, b"{}"))
    async with raw_endpoint(visits.script) as elsewhere:
        moved = Visits(lambda _count: answer(307, b"", {"Location": elsewhere + "/api/v1/workers"}))
        async with raw_endpoint(moved.script) as url:
            errors = await asyncio.gather(*(_error(each, url) for each in drivers))

    assert [(error["type"], error["status"]) for error in errors] == [("ApiError", 307)] * len(drivers), errors
    assert visits.heads == []


async def test_a_post_is_sent_again_with_the_same_key_when_the_api_is_busy(drivers: list[Driver]) -> None:
    made = {"task_id": "t", "task_name": "n", "status": "scheduled", "next_execution_time": None}
    created = json.dumps({**made, "created_at": "2026-01-08T05:00:00Z"}).encode()

    for each in drivers:
        visits = Visits(lambda count: answer(503, b"", {"Retry-After": "0"}) if count == 1 else answer(201, created))
        async with raw_endpoint(visits.script) as url:
            await each.call("connect", base_url=url)
            task = {"task_name": "n", "task_type": "cron", "schedule_expression": "@daily"}
            said = await each.call("create_task", **task)

        keys = [headers_of(head)["idempotency-key"] for head in visits.heads]
        assert said["value"]["task_id"] == "t", each.language
        assert len(keys) == 2, each.language
        assert keys[0] == keys[1], each.language
        assert len(keys[0]) >= 16, each.language


@pytest.mark.parametrize("call", ["update_task", "delete_task"])
async def test_what_the_api_does_not_do_once_by_itself_is_sent_once(call: str, drivers: list[Driver]) -> None:
    arguments = {"task_id": "t", **({"priority": "low"} if call == "update_task" else {})}
    visits = Visits(lambda _count: answer(503, b"", {"Retry-After": "0"}))

    async with raw_endpoint(visits.script) as url:
        for each in drivers:
            await each.call("connect", base_url=url)
            said = await each.call(call, **arguments)
            assert said["error"]["type"] == "ServiceUnavailableError", each.language

    assert len(visits.heads) == len(drivers)


async def test_retry_after_is_waited_for(drivers: list[Driver]) -> None:
    waits = await asyncio.gather(*map(_wait_before_the_second_try, drivers))

    assert all(1.0 <= wait < 10.0 for wait in waits), waits


async def test_a_member_and_a_word_of_a_newer_api_do_no_harm(drivers: list[Driver]) -> None:
    worker = {"worker_id": "w", "status": "dreaming", "capacity": 1, "current_load": 0, "uptime_seconds": 1}
    newer = {"last_heartbeat": "2026-01-08T05:00:00.123456789+01:00", "mood": {"of": ["the", "day"]}}
    body = json.dumps({"workers": [{**worker, **newer}], "total": 1, "page": None}).encode()

    async with raw_endpoint(Visits(lambda _count: answer(200, body)).script) as url:
        for each in drivers:
            await each.call("connect", base_url=url)
            (decoded,) = (await each.call("list_workers"))["value"]["workers"]

            assert decoded["status"] == "dreaming", each.language
            assert decoded["last_heartbeat"] == {"$instant": "2026-01-08T04:00:00.123Z"}, each.language


@pytest.mark.parametrize(
    "settings",
    [{"api_key": ""}, {"api_key": f"{KEY}\r\nX-Evil: 1"}, {"api_key": f"{KEY}\x00"}, {"api_key": f" {KEY}"}]
    + [{"base_url": url} for url in ("", "api.example.com", "ftp://example.com", f"http://user:{KEY}@example.com")],
)
async def test_settings_that_cannot_be_used_are_refused_at_once(
    settings: dict[str, str], drivers: list[Driver]
) -> None:
    for each in drivers:
        said = await each.call("connect", **settings)
        assert "error" in said, each.language
        assert said["error"]["message"], each.language
        assert KEY not in json.dumps(said), each.language


async def test_a_client_does_not_show_its_key(drivers: list[Driver]) -> None:
    for each in drivers:
        await each.call("connect")
        shown = (await each.call("show_client"))["value"]
        assert "TaskSchedulerClient" in shown, each.language
        assert KEY not in shown, each.language


@pytest.mark.parametrize(
    "message", ["GET /api/v1/workers: d", "listWorkers: look, they give: d", "GET /x: 418; see; d"]
)
def test_a_request_and_a_loose_word_are_no_remedy(message: str) -> None:
    assert _REMEDY.search(_REQUEST.sub("…", message)) is None


class Visits:
    """Answers each request by its number, from 1 on; `heads` are what was asked."""

    def __init__(self, answered: Any) -> None:
        self.heads: list[str] = []
        self._answered = answered

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, as `raw_endpoint` calls it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(headers_of(head).get("content-length", "0")))
        self.heads.append(head)
        writer.write(self._answered(len(self.heads)))
        await writer.drain()


async def _wait_before_the_second_try(each: Driver) -> float:
    """Return how long an SDK waits that is told to wait for a second."""
    loop = asyncio.get_running_loop()
    at: list[float] = []

    def answered(count: int) -> bytes:
        at.append(loop.time())
        return answer(429, b"", {"Retry-After": "1"}) if count == 1 else answer(200, b'{"workers": [], "total": 0}')

    async with raw_endpoint(Visits(answered).script) as url:
        await each.call("connect", base_url=url)
        said = await each.call("list_workers")
    assert said.get("value") == {"workers": [], "total": 0}, each.language
    return at[1] - at[0]


async def _error(each: Driver, url: str, **settings: object) -> dict[str, Any]:
    """Return the error of a call of `url`."""
    await each.call("connect", base_url=url, **settings)
    said = await each.call("list_workers")
    assert "error" in said, f"{each.language}: {said}"
    error: dict[str, Any] = said["error"]
    return error


async def _wrong(each: Driver, bad: BadServer) -> str:
    """Return what is wrong with what an SDK makes of a bad server, or nothing."""
    script, connections = _counted(bad.script)
    async with raw_endpoint(script) as url:
        error = await _error(each, url, timeout_s=bad.timeout_s)
    return f"{each.language}: {'; '.join(found)}" if (found := list(_faults(error, bad, len(connections)))) else ""


def _faults(error: dict[str, Any], bad: BadServer, tries: int) -> Iterator[str]:
    if error["type"] not in bad.errors:
        yield f"{error['type']} ({error['message']}), not {' or '.join(bad.errors)}"
    if bad.tries and tries not in bad.tries:
        yield f"sent {tries} times, not {set(bad.tries)}"
    for name, value in bad.members.items():
        if error[name] != value:
            yield f"{name} is {error[name]!r}, not {value!r}"
    if not _REMEDY.search(_REQUEST.sub("…", error["message"])):
        yield f"no remedy in {error['message']!r}"
    if KEY in json.dumps(error):
        yield "the key is shown"


def _counted(script: Script) -> tuple[Script, list[None]]:
    connections: list[None] = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        await script(reader, writer)

    return counting, connections
