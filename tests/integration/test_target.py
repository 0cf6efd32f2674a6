import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from taskqueue.dev.playground import is_ready
from taskqueue.dev.target import Target
from taskqueue.errors import InvalidValueError


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with Target() as target:
        yield target


@pytest.fixture
async def client(target: Target) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=target.url, trust_env=False) as client:
        yield client


async def test_a_call_is_answered_and_recorded(target: Target, client: httpx.AsyncClient) -> None:
    answer = await client.post("/reports/daily?x=1", content=b'{"user_id":"u"}', headers={"Idempotency-Key": "j"})

    [call] = target.calls
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert (call.method, call.path, call.body, call.status) == ("POST", "/reports/daily?x=1", b'{"user_id":"u"}', 200)
    assert call.headers["idempotency-key"] == "j"
    assert call.at > 1.7e9


async def test_it_is_taken_for_no_process_of_ours_that_is_ready(target: Target) -> None:
    assert not await asyncio.to_thread(is_ready, target.url + "/readyz")


@pytest.mark.parametrize(
    ("path", "status"), [("/ok", 200), ("/status/404", 404), ("/status/599", 599), ("/fail/0", 200)]
)
async def test_the_path_says_which_status(client: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await client.get(path)).status_code == status


async def test_a_status_without_a_body_has_none(client: httpx.AsyncClient) -> None:
    assert (await client.get("/status/204")).content == b""
    assert (await client.get("/ok")).json() == {"ok": True}


async def test_retry_after_is_sent_when_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/status/503?retry_after=3")).headers["retry-after"] == "3"


async def test_a_path_that_makes_no_sense_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.get("/status/many")

    assert answer.status_code == 400
    assert "'many' must be a number" in answer.text


async def test_the_first_calls_of_each_job_fail(client: httpx.AsyncClient) -> None:
    async def call(job: str) -> int:
        return (await client.post("/fail/2", headers={"Idempotency-Key": job})).status_code

    statuses = [await call(job) for job in ("a", "a", "b", "a", "a", "b", "b")]

    assert statuses == [500, 500, 500, 200, 200, 500, 200]


async def test_a_slow_answer_takes_its_time(client: httpx.AsyncClient) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    await client.get("/slow/50")

    assert loop.time() - began >= 0.05


async def test_a_blocked_call_is_answered_when_it_is_released(target: Target, client: httpx.AsyncClient) -> None:
    call = asyncio.create_task(client.get("/block"))
    await target.wait_for_calls(1)
    assert target.blocked == 1

    assert target.release() == 1

    assert (await call).status_code == 200
    assert target.blocked == 0


async def test_a_blocked_call_whose_caller_died_is_not_counted(target: Target) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", int(target.url.rpartition(":")[2]))
    writer.write(b"GET /block HTTP/1.1\r\n\r\n")
    await target.wait_for_calls(1)

    writer.transport.abort()
    async with asyncio.timeout(5), httpx.AsyncClient(base_url=target.url, trust_env=False) as client:
        while target.blocked:
            await client.get("/-/calls")

    assert target.release() == 0


async def test_a_reset_call_gets_no_answer(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ReadError):
        await client.get("/reset")


async def test_a_rule_for_a_user_replaces_the_path(target: Target, client: httpx.AsyncClient) -> None:
    target.set_user_rule("u 1", "/status/500")

    statuses = [(await client.get("/ok", headers={"X-TaskQueue-User": user})).status_code for user in ("u 1", "u2")]
    target.set_user_rule("u 1", None)
    statuses.append((await client.get("/ok", headers={"X-TaskQueue-User": "u 1"})).status_code)

    assert statuses == [500, 200, 200]


def test_a_rule_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be a number"):
        Target().set_user_rule("u", "/slow/soon")


async def test_the_same_control_works_from_outside(target: Target, client: httpx.AsyncClient) -> None:
    blocked = asyncio.create_task(client.get("/block"))
    await target.wait_for_calls(1)

    assert (await client.post("/-/release")).json() == {"released": 1}
    await blocked
    assert [call["path"] for call in (await client.get("/-/calls")).json()] == ["/block"]
    await client.put("/-/users/u%201", content=b"/status/503")
    assert (await client.get("/ok", headers={"X-TaskQueue-User": "u 1"})).status_code == 503
    await client.post("/-/clear")
    assert target.calls == []
    assert (await client.get("/-/nothing")).status_code == 404


async def test_waiting_for_calls_that_do_not_come_is_bounded(target: Target) -> None:
    with pytest.raises(TimeoutError):
        await target.wait_for_calls(1, timeout_s=0.05)


async def test_requests_may_come_in_pieces_and_in_one_piece(target: Target) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(target.url.rpartition(":")[2]))
    one = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    async with asyncio.timeout(5):
        for part in (one[:10], one[10:-1], one[-1:] + one * 2):
            writer.write(part)
            await writer.drain()
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(11) == b'{"ok":true}'
    writer.close()

    assert [call.body for call in target.calls] == [b"abc"] * 3


async def test_what_is_not_http_ends_the_connection(target: Target) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(target.url.rpartition(":")[2]))
    writer.write(b"nonsense\r\n\r\n")

    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_calls_are_appended_to_the_record_without_secrets(tmp_path: Path) -> None:
    record = tmp_path / "calls.jsonl"
    record.write_text('{"path": "/before"}\n', encoding="utf-8")

    async with Target(record=record) as target, httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"{target.url}/ok", headers={"Authorization": "Bearer canary", "X-TaskQueue-User": "u"})
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]

    assert [line["path"] for line in lines] == ["/before", "/ok"]
    assert lines[1]["headers"]["x-taskqueue-user"] == "u"
    assert "canary" not in record.read_text(encoding="utf-8")


async def test_as_a_process_it_prints_its_url_and_ends_with_a_signal(tmp_path: Path) -> None:
    record = tmp_path / "calls.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taskqueue.dev.target", "--record", str(record), "--user", "bad=/status/500"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        url = (await process.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{url}/ok", headers={"X-TaskQueue-User": "bad"})
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert (answer.status_code, code) == (500, 0)
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == 500
