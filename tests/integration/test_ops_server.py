import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taskqueue import ops_server, request_body
from taskqueue.errors import ConfigError
from taskqueue.ops_server import problem
from taskqueue.request_body import read_json_object
from taskqueue.runtime import stop_signals
from taskqueue.telemetry.events import Event, PortBound, PortBusy
from tests.support.ops_servers import an_ops_server, serving


async def test_livez_answers_while_the_loop_turns() -> None:
    async with serving(an_ops_server(ready=lambda: {"rabbitmq": False})) as client:
        answer = await client.get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_readyz_names_each_check_and_fails_when_one_does() -> None:
    checks = {"rabbitmq": True, "redis": False}

    async with serving(an_ops_server(ready=lambda: checks)) as client:
        unready = await client.get("/readyz")
        checks["redis"] = True
        ready = await client.get("/readyz")

    assert (unready.status_code, unready.json()["checks"]["redis"]) == (503, False)
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"rabbitmq": True, "redis": True, "accepting_work": True}}


async def test_quiet_turns_readiness_off_and_keeps_answering() -> None:
    server = an_ops_server()

    async with serving(server) as client:
        await server.quiet()
        answer = await client.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]) == (503, {"accepting_work": False})


async def test_metrics_are_the_text_format() -> None:
    async with serving(an_ops_server()) as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'taskqueue_build_info{version="1"} 1.0' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/echo", 405, "Method Not Allowed"),
        ("GET", "/invalid", 422, "task id 'a b': use 1 to 64 of A-Z a-z 0-9 . _ -"),
        ("GET", "/unavailable", 503, "Redis at 10.0.0.1:6379 does not answer"),
        ("GET", "/bug", 500, "unexpected error; the log of this process has the details"),
    ],
)
async def test_every_error_is_a_problem_document(method: str, path: str, status: int, detail: str) -> None:
    async with serving(an_ops_server()) as client:
        answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"] == detail
    assert "canary" not in answer.text


async def test_an_unavailable_service_says_when_to_come_back() -> None:
    async with serving(an_ops_server()) as client:
        assert (await client.get("/unavailable")).headers["retry-after"] == "5"


async def test_a_json_object_is_read() -> None:
    async with serving(an_ops_server()) as client:
        answer = await client.post("/echo", content='{"a": [1, {"ä": null}]}')

    assert answer.json() == {"a": [1, {"ä": None}]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b'{"a": "\\ud800"}', 400),
        (b'{"a": ' + b"9" * 900 + b"}", 200),
        (b"[1]", 422),
        (b"null", 422),
        (b'{"a": [[[1]]]}', 200),
        (b'{"a": [[[[1]]]]}', 422),
        (b'{"a": "' + b"x" * 1000 + b'"}', 413),
    ],
)
async def test_a_body_is_an_object_within_limits_or_is_refused(body: bytes, status: int) -> None:
    async with serving(an_ops_server()) as client:
        answer = await client.post("/echo", content=body)

    assert answer.status_code == status


async def test_a_body_without_announced_length_is_bounded_too() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 500

    async with serving(an_ops_server()) as client:
        answer = await client.post("/echo", content=chunks())

    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
async def test_a_hostile_body_is_a_client_error(body: bytes) -> None:
    async def echo(request: Request) -> Response:
        return JSONResponse(await read_json_object(request))

    async with serving(an_ops_server(routes=[Route("/big", echo, methods=["POST"])])) as client:
        answer = await client.post("/big", content=body)

    assert answer.status_code in {400, 422}


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_S", 0.1)
    server = an_ops_server()

    async with serving(server), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 408 ")


async def test_a_busy_port_is_reported_and_taken_once_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_server, "BUSY_RETRY_S", 0.05)
    seen: list[Event] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = an_ops_server(port=port, emit=seen.append)
        await server.start()
        assert server.port is None
    bound = await server.wait_bound(5)
    await server.stop(0)

    assert bound == port
    assert seen[0] == PortBusy(host="127.0.0.1", port=port, error="Address already in use", retry_in_s=0.05)
    assert seen[-1] == PortBound(host="127.0.0.1", port=port)


async def test_a_host_that_can_never_be_listened_on_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"server: cannot listen on no\.such\.host\.invalid:0"):
        await an_ops_server(host="no.such.host.invalid").start()


async def test_stopping_frees_the_port_and_lets_a_running_answer_finish() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        entered.set()
        await leave.wait()
        return JSONResponse({"finished": True})

    server = an_ops_server(routes=[Route("/slow", slow)])
    async with serving(server) as client:
        port = server.port
        answer = asyncio.create_task(client.get("/slow"))
        await entered.wait()
        stopping = asyncio.create_task(server.stop(asyncio.get_running_loop().time() + 5))
        await asyncio.sleep(0)
        leave.set()
        assert (await answer).json() == {"finished": True}
        await stopping

    with socket.create_server(("127.0.0.1", port or 0)):
        assert server.port is None


async def test_stopping_cuts_an_answer_that_outlasts_the_deadline() -> None:
    entered = asyncio.Event()

    async def endless(_request: Request) -> Response:
        entered.set()
        await asyncio.Event().wait()
        return JSONResponse({})

    server = an_ops_server(routes=[Route("/endless", endless)])
    async with serving(server) as client, asyncio.timeout(10):
        answer = asyncio.create_task(client.get("/endless"))
        await entered.wait()
        await server.stop(asyncio.get_running_loop().time())
        with contextlib.suppress(httpx.TransportError):
            assert (await answer).status_code >= 500


async def test_the_server_leaves_signals_to_the_process() -> None:
    with stop_signals() as stop:
        async with serving(an_ops_server()) as client:
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(5):
                await stop.wait()
            answer = await client.get("/livez")

    assert answer.status_code == 200
    assert stop.reason == "SIGTERM"


async def test_stop_is_harmless_before_start_and_twice() -> None:
    server = an_ops_server()
    await server.stop(0)
    await server.start()
    await server.stop(0)
    await server.stop(0)


def test_a_problem_may_carry_members_of_its_own() -> None:
    response = problem(409, detail="edit tasks.yaml", task="report")

    assert response.body == (
        b'{"type":"about:blank","title":"Conflict","status":409,"detail":"edit tasks.yaml","task":"report"}'
    )
