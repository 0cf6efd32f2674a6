"""The time-outs and connections of real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from task_scheduler import ConnectError, RequestTimeoutError, TaskSchedulerClient
from task_scheduler import _transport as transport
from tests.support.threaded_server import Server

KEY = "canary-key-0123456789"
WORKERS = {"workers": [], "total": 0}


@contextmanager
def swallowing(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """Give a port where connecting never ends: the queue of those that are to be accepted is full."""
    with socket.socket() as listening:
        listening.bind(address)
        listening.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])
        for each in waiting:
            each.close()


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str]], None]:
    """Let a name have addresses, for nobody can say which ones a machine has."""
    ask = socket.getaddrinfo
    named: dict[object, list[str]] = {}

    def found(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return [each for address in named.get(host, [host]) for each in ask(address, port, *args, **kwargs)]

    monkeypatch.setattr(transport.socket, "getaddrinfo", found)
    return named.__setitem__


def test_all_addresses_of_a_host_share_the_time_to_connect(addresses: Callable[[str, list[str]], None]) -> None:
    addresses("dead.example.com", ["127.0.0.1", "127.0.0.1", "127.0.0.1"])

    with swallowing() as port:
        url = f"http://dead.example.com:{port}"
        with TaskSchedulerClient(url, KEY, connect_timeout_s=0.6, timeout_s=9, max_tries=1) as client:
            began = time.monotonic()
            with pytest.raises(ConnectError, match=r"within 0\.6 s"):
                client.list_workers()

    assert time.monotonic() - began < 1.2


@pytest.mark.parametrize("dead", [["::1"], ["127.0.0.2"]], ids=["one that refuses", "one that swallows"])
def test_an_address_that_does_not_work_leaves_time_for_the_next(
    server: Server, addresses: Callable[[str, list[str]], None], dead: list[str]
) -> None:
    server.always(WORKERS)
    addresses("half.example.com", [*dead, "127.0.0.1"])

    url = server.url.replace("127.0.0.1", "half.example.com")
    with (
        swallowing(("127.0.0.2", int(url.rpartition(":")[2]))),
        TaskSchedulerClient(url, KEY, connect_timeout_s=0.6, max_tries=1) as client,
    ):
        assert client.list_workers().total == 0


def test_a_name_that_nobody_knows_is_a_connect_error() -> None:
    with TaskSchedulerClient("http://nobody.invalid", KEY, max_tries=1) as client, pytest.raises(ConnectError):
        client.list_workers()


def test_a_server_that_reads_slowly_cannot_go_beyond_the_time_out() -> None:
    over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            while not over.wait(0.1) and connection.recv(500_000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with TaskSchedulerClient(url, KEY, timeout_s=0.5) as client:
            began = time.monotonic()
            with pytest.raises(RequestTimeoutError):
                client.create_task(task_name="n", task_type="cron", payload="x" * 40_000_000)
            took = time.monotonic() - began
        over.set()
        thread.join(5)

    assert took < 2


def test_thirty_threads_have_thirty_connections(server: Server) -> None:
    together = threading.Barrier(30, timeout=10)

    def answered(_count: int) -> tuple[int, Any, dict[str, str]]:
        together.wait()
        return 200, WORKERS, {}

    server.answers = answered
    with TaskSchedulerClient(server.url, KEY, max_tries=1) as client, ThreadPoolExecutor(30) as threads:
        found = list(threads.map(lambda _: client.list_workers().total, range(30)))

    assert found == [0] * 30


def test_more_calls_than_connections_is_an_error_that_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_CONNECTIONS", 1)
    over, begun = threading.Event(), threading.Event()

    def answered(_count: int) -> tuple[int, Any, dict[str, str]]:
        begun.set()
        over.wait(10)
        return 200, WORKERS, {}

    server.answers = answered
    with TaskSchedulerClient(server.url, KEY) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.list_workers)
        assert begun.wait(10)
        with pytest.raises(ConnectError, match=r"connections of the client were in use for 0\.3 s; use fewer"):
            client.with_options(timeout_s=0.3).list_workers()
        over.set()
        assert first.result(10).total == 0
