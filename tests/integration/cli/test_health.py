"""`taskqueue health` asks servers that answer, refuse, hang, talk nonsense or are not there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.support.commands import run_here
from tests.support.ops_servers import an_ops_server, serving

Answer = tuple[int, str, str]
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@pytest.fixture
def run_health(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run `taskqueue health` here with arguments; return its exit code, output and errors."""

    return partial(run_here, capsys, "health")


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[str]:
    """Yield the URL of a server that does with each connection what `handle` says."""
    held: list[asyncio.StreamWriter] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        handle(reader, writer)

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in held:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_process_that_lives_ends_it_with_0(run_health: Callable[..., Answer]) -> None:
    async with serving(an_ops_server()) as client:
        port = client.base_url.port

        code, out, err = await asyncio.to_thread(run_health, "--port", str(port))

    assert (code, out, err) == (0, f'http://127.0.0.1:{port}/livez: 200 {{"status":"alive"}}\n', "")


async def test_the_port_is_the_one_that_the_process_got_from_the_environment(
    run_health: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(an_ops_server()) as client:
        monkeypatch.setenv("TASKQUEUE_SERVER__PORT", str(client.base_url.port))

        code, _, _ = await asyncio.to_thread(run_health)

    assert code == 0


async def test_a_process_that_is_not_ready_ends_it_with_1_and_says_what_is_missing(
    run_health: Callable[..., Answer],
) -> None:
    async with serving(an_ops_server(ready=lambda: {"redis": False})) as client:
        code, out, err = await asyncio.to_thread(run_health, f"{client.base_url}/readyz")

    assert (code, out) == (1, "")
    assert "/readyz: 503 " in err
    assert '"redis":false' in err


async def test_of_all_that_listen_at_the_usual_ports_each_has_to_live(
    run_health: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ndead")

    async with serving(an_ops_server()) as first, serving(an_ops_server()) as second, listening(dead) as third:
        ports = first.base_url.port, second.base_url.port, int(third.rpartition(":")[2])
        monkeypatch.setattr("taskqueue.cli.health._USUAL_PORTS", (1, *ports[:2]))
        living = await asyncio.to_thread(run_health)
        monkeypatch.setattr("taskqueue.cli.health._USUAL_PORTS", (1, ports[0], ports[2]))
        mixed = await asyncio.to_thread(run_health)

    alive = 'http://127.0.0.1:{}/livez: 200 {{"status":"alive"}}\n'
    assert living == (0, alive.format(ports[0]) + alive.format(ports[1]), "")
    assert mixed == (1, alive.format(ports[0]), f"{third}/livez: 503 dead\n")


async def test_a_process_that_hangs_at_a_usual_port_is_one_that_does_not_live(
    run_health: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(an_ops_server()) as living, listening(lambda _reader, _writer: None) as hung:
        ports = living.base_url.port, int(hung.rpartition(":")[2])
        monkeypatch.setattr("taskqueue.cli.health._USUAL_PORTS", ports)
        code, _, err = await asyncio.to_thread(run_health, "--timeout", "0.2")

    assert (code, err) == (1, f"{hung}/livez: no answer within 0.2 s\n")


async def test_nobody_at_the_port_ends_it_with_1(run_health: Callable[..., Answer]) -> None:
    code, out, err = await asyncio.to_thread(run_health, "--port", "1")

    assert (code, out, err) == (1, "", "http://127.0.0.1:1/livez: connection refused\n")


async def test_a_server_that_hangs_ends_it_within_the_time_out(run_health: Callable[..., Answer]) -> None:
    async with listening(lambda _reader, _writer: None) as url:
        began = time.monotonic()
        code, out, err = await asyncio.to_thread(run_health, url, "--timeout", "0.3")

    assert (code, out, err) == (1, "", f"{url}: no answer within 0.3 s\n")
    assert time.monotonic() - began < 3


async def test_a_server_that_sends_a_byte_now_and_then_is_no_answer_either(run_health: Callable[..., Answer]) -> None:
    trickling: set[asyncio.Task[None]] = set()

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)

    async with listening(lambda _reader, writer: trickling.add(asyncio.ensure_future(trickle(writer)))) as url:
        asked = asyncio.to_thread(run_health, url, "--timeout", "0.5")
        code, _, err = await asyncio.wait_for(asked, 5)
        for task in trickling:
            task.cancel()

    assert (code, err) == (1, f"{url}: no answer within 0.5 s\n")


async def test_what_is_no_http_ends_it_with_1(run_health: Callable[..., Answer]) -> None:
    async with listening(lambda _reader, writer: writer.write(b"AMQP\x00\x00\x09\x01\r\n\r\n")) as url:
        code, _, err = await asyncio.to_thread(run_health, url)

    assert (code, err) == (1, f"{url}: no HTTP answer (BadStatusLine)\n")


async def test_what_a_server_says_plays_no_tricks_on_the_terminal(run_health: Callable[..., Answer]) -> None:
    answer = b"HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\n\x1b[2Jgone"

    async with listening(lambda _reader, writer: writer.write(answer)) as url:
        code, _, err = await asyncio.to_thread(run_health, url)

    assert code == 1
    assert "\x1b" not in err
    assert "gone" in err


@pytest.mark.parametrize(
    "url", ["localhost:8080/livez", "ftp://localhost/", "http://", "http://h:port/", "http://h/a b", "http://[::1/"]
)
def test_what_is_no_url_is_wrong_usage(run_health: Callable[..., Answer], url: str) -> None:
    code, out, err = run_health(url)

    assert (code, out) == (2, "")
    assert "use http://host:port/livez" in err
