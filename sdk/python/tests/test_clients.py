from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from task_scheduler import (
    AsyncTaskSchedulerClient,
    AuthenticationError,
    ConnectError,
    MalformedAnswerError,
    NotFoundError,
    RequestTimeoutError,
    TaskSchedulerClient,
    TaskSchedulerError,
)
from task_scheduler.api import operations
from tests.support.sick_endpoints import AUTHORITY, CERTIFICATES
from tests.support.threaded_server import Server, threaded_server

KEY = "canary-key-0123456789"
WORKERS = {"workers": [], "total": 0}


@contextmanager
def dripping(head: bytes, piece: bytes) -> Iterator[str]:
    """Serve an answer that begins with `head` and goes on with `piece`, forever and slowly."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(head)
            while not over.wait(0.02):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join(5)


def certificate(name: str) -> ssl.SSLContext:
    """Return what a server needs to have this certificate of the tests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


def public(kind: type[object]) -> dict[str, inspect.Signature]:
    names = [name for name in vars(kind) if not name.startswith("_")]
    return {name: inspect.signature(getattr(kind, name)) for name in names}


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    blocking, asynchronous = public(TaskSchedulerClient), public(AsyncTaskSchedulerClient)

    assert blocking.keys() == asynchronous.keys()
    assert {name: each.parameters.keys() for name, each in blocking.items()} == {
        name: each.parameters.keys() for name, each in asynchronous.items()
    }


def test_every_operation_is_a_method_with_its_description() -> None:
    builders = [
        name
        for name, function in vars(operations).items()
        if inspect.isfunction(function) and function.__module__ == operations.__name__ and not name.startswith("_")
    ]

    assert len(builders) == 23
    for name in builders:
        for kind in (TaskSchedulerClient, AsyncTaskSchedulerClient):
            assert getattr(kind, name).__doc__ == getattr(operations, name).__doc__
            assert getattr(kind, name).__name__ == name


def test_connections_are_used_again(server: Server) -> None:
    server.always(WORKERS)

    with TaskSchedulerClient(server.url, KEY) as client:
        for _ in range(5):
            client.list_workers()

    assert len({asked.port for asked in server.asked}) == 1


def test_threads_may_share_a_client(server: Server) -> None:
    server.always(WORKERS)

    with TaskSchedulerClient(server.url, KEY) as client, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: client.list_workers().total, range(40)))

    assert found == [0] * 40


async def test_many_calls_may_be_under_way_in_one_loop(server: Server) -> None:
    server.always(WORKERS)

    async with AsyncTaskSchedulerClient(server.url, KEY) as client:
        found = await asyncio.gather(*(client.list_workers() for _ in range(40)))

    assert [each.total for each in found] == [0] * 40


@pytest.mark.parametrize(
    ("base_url", "path"), [("", "/api/v1/workers"), ("/", "/api/v1/workers"), ("/a%20b/c//", "/a%20b/c/api/v1/workers")]
)
def test_a_base_url_may_have_a_path_and_slashes_behind(server: Server, base_url: str, path: str) -> None:
    server.always(WORKERS)

    with TaskSchedulerClient(server.url + base_url, KEY) as client:
        client.list_workers()

    (asked,) = server.asked
    assert asked.path == path
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["user-agent"].startswith("task-scheduler-sdk-python/")


@pytest.mark.parametrize("task_id", ["a/b?c#d%2Fé ✓", "..%2f", "%"])
def test_an_id_reaches_the_server_as_it_was_encoded(server: Server, task_id: str) -> None:
    server.always({}, 404)

    with TaskSchedulerClient(server.url, KEY) as client, pytest.raises(NotFoundError):
        client.get_task(task_id)

    assert server.asked[0].path == operations.get_task(task_id).path


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"), (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" ")],
)
async def test_a_try_has_one_deadline_over_head_and_body(head: bytes, piece: bytes) -> None:
    with dripping(head, piece) as url, TaskSchedulerClient(url, KEY, timeout_s=0.3) as client:
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError, match=r"within 0\.3 s; try again, or give a greater timeout_s"):
            client.list_workers()
        assert time.monotonic() - began < 3

    with dripping(head, piece) as url:
        async with AsyncTaskSchedulerClient(url, KEY, timeout_s=0.3) as asynchronous:
            with pytest.raises(RequestTimeoutError):
                await asynchronous.list_workers()


def test_a_client_with_other_settings_shares_the_connections(server: Server) -> None:
    server.always(WORKERS)

    with TaskSchedulerClient(server.url, KEY) as client:
        client.list_workers()
        client.with_options(timeout_s=5, max_tries=1).list_workers()
        with pytest.raises(ValueError, match="must be more than 0"):
            client.with_options(timeout_s=0)

    assert len({asked.port for asked in server.asked}) == 1


async def test_a_call_that_is_cancelled_ends_at_once() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n") as url:
        async with AsyncTaskSchedulerClient(url, KEY) as client:
            call = asyncio.create_task(client.list_workers())
            done, _ = await asyncio.wait([call], timeout=0.2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    assert not done


def test_no_log_line_has_the_key(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.always({"detail": "no"}, 401)

    caplog.set_level(logging.DEBUG)
    with TaskSchedulerClient(server.url, KEY) as client, pytest.raises(AuthenticationError) as caught:
        client.list_workers()

    assert caplog.records
    assert KEY not in caplog.text + repr(client) + repr(vars(client)) + repr(caught.value)


def test_a_key_that_is_echoed_is_shown_nowhere(server: Server) -> None:
    server.always({"detail": f"Bearer {KEY} is no key", "code": KEY, "headers": [f"Bearer {KEY}"]}, 401)

    with TaskSchedulerClient(server.url, KEY) as client, pytest.raises(AuthenticationError) as caught:
        client.list_workers()

    assert caught.value.detail == "Bearer *** is no key"
    assert KEY not in repr(caught.value) + repr(vars(caught.value))


async def test_a_key_in_a_head_that_is_none_is_shown_nowhere() -> None:
    head = f"HTTP/1.1 200 OK\r\nBearer {KEY}\r\n\r\n".encode()
    raises_connect = pytest.raises(ConnectError)
    with dripping(head, b"") as url, TaskSchedulerClient(url, KEY, max_tries=1) as client, raises_connect as caught:
        client.list_workers()

    assert "***" in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always(WORKERS)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)

    with TaskSchedulerClient("http://api.example.com/x", KEY) as client:
        client.list_workers()

    assert server.asked[0].path == "http://api.example.com/x/api/v1/workers"


def test_a_host_may_be_kept_from_the_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.always(WORKERS)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    with TaskSchedulerClient(server.url, KEY) as client:
        assert client.list_workers().total == 0


def test_a_transport_of_the_user_is_used() -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=WORKERS, headers={"x-path": request.url.path})

    with TaskSchedulerClient("https://api.example.com", KEY, transport=httpx.MockTransport(answered)) as client:
        assert client.list_workers().total == 0


def test_a_compressed_answer_that_is_damaged_is_malformed(server: Server) -> None:
    server.always("no gzip", content_encoding="gzip")

    with TaskSchedulerClient(server.url, KEY) as client, pytest.raises(MalformedAnswerError, match="compression"):
        client.list_workers()


def test_an_answer_without_a_body_is_malformed_where_there_has_to_be_one(server: Server) -> None:
    server.always(None, 204)

    with TaskSchedulerClient(server.url, KEY) as client, pytest.raises(MalformedAnswerError):
        client.list_workers()


async def test_tls_works_with_an_authority_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))

    with threaded_server(certificate("good")) as server:
        server.always(WORKERS)
        with TaskSchedulerClient(server.url, KEY) as client:
            assert client.list_workers().total == 0
        async with AsyncTaskSchedulerClient(server.url, KEY) as asynchronous:
            assert (await asynchronous.list_workers()).total == 0


@pytest.mark.parametrize("name", ["expired", "self_signed", "wrong_name"])
def test_a_bad_certificate_is_a_connect_error_and_the_key_is_not_sent(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(AUTHORITY))

    with threaded_server(certificate(name)) as server, TaskSchedulerClient(server.url, KEY, max_tries=1) as client:
        server.always(WORKERS)
        with pytest.raises(ConnectError, match="certificate"):
            client.list_workers()

    assert server.asked == []


def test_iterating_asks_for_page_after_page(server: Server) -> None:
    row: dict[str, Any] = dict.fromkeys(
        ("task_id", "worker_id", "started_at", "completed_at", "duration_ms", "queued_at")
    )
    pages = [["a", "b"], ["c"]]
    server.answers = lambda count: (
        200,
        {
            "executions": [row | {"execution_id": e, "status": "success", "retry_number": 0} for e in pages[count - 1]],
            "total": 3,
            "limit": 2,
            "offset": 0,
        },
        {},
    )

    with TaskSchedulerClient(server.url, KEY) as client:
        found = [each.execution_id for each in client.iterate_executions("t", page_size=2)]

    assert found == ["a", "b", "c"]
    assert [asked.path.partition("?")[2] for asked in server.asked] == ["limit=2&offset=0", "limit=2&offset=2"]


async def test_iterating_over_a_list_that_may_go_on_ends_with_an_error(server: Server) -> None:
    server.always({"tasks": [], "total": 0, "limit": 100, "offset": 0, "total_is_exact": False})

    with (
        TaskSchedulerClient(server.url, KEY) as client,
        pytest.raises(TaskSchedulerError, match="use one filter alone"),
    ):
        list(client.iterate_tasks(status="paused", priority="low"))
    async with AsyncTaskSchedulerClient(server.url, KEY) as asynchronous:
        with pytest.raises(TaskSchedulerError, match="use one filter alone"):
            _ = [task async for task in asynchronous.iterate_tasks(status="paused", priority="low")]
